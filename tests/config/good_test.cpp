// What is taken, and what it means.
#include "board/shape.hpp"
#include "config/keys.hpp"
#include "config/parse.hpp"
#include "config/tree.hpp"
#include "test_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace drover::config {
namespace {

Config good(const std::string& text) {
  const auto result = parse(text, "cluster.toml", 4);
  if (!result) {
    ADD_FAILURE() << render(result.error());
    return {};
  }
  return *result;
}

constexpr Bytes mib(std::uint64_t count) { return {count * 1024 * 1024}; }

Config good_file(const std::string& name) { return good(read_file(test_dir() + "/good/" + name)); }

TEST(Minimal, OnePoolFileNeedsOnlyACommand) {
  const Config config = good_file("minimal.toml");
  ASSERT_EQ(config.pools.size(), 1U);
  Pool expected;
  expected.name = "shop";
  expected.command = {"python3", "legacy.py", "--port", "${PORT}"};
  expected.workers = 4;
  EXPECT_EQ(config.pools[0], expected);
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(config.listeners[0].name, "default");
  EXPECT_EQ(config.listeners[0].bind.host, "127.0.0.1");
  EXPECT_EQ(config.listeners[0].bind.port, 3000);
  EXPECT_EQ(config.routes, std::vector<Route>{Route{}});
  EXPECT_EQ(config.cluster, Cluster{});
  EXPECT_EQ(config.log, Log{});
  ASSERT_TRUE(config.admin.listen);
  EXPECT_EQ(config.admin.listen->port, 9180);
  EXPECT_EQ(config.admin.socket, "");
  EXPECT_EQ(config.proxy.threads, 4U);
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(Example, ShowsTheDefaults) {
  Config example = good_file("example.toml");
  const Config minimal = good_file("minimal.toml");
  EXPECT_EQ(example.pools, minimal.pools);
  EXPECT_EQ(example.routes, minimal.routes);
  EXPECT_EQ(example.cluster, minimal.cluster);
  EXPECT_EQ(example.log, minimal.log);
  EXPECT_EQ(example.proxy, minimal.proxy);
  EXPECT_EQ(example.admin.listen, minimal.admin.listen);
  EXPECT_EQ(example.admin.socket, "/run/drover/drover.sock");
  ASSERT_EQ(example.listeners.size(), 1U);
  EXPECT_EQ(example.listeners[0].name, "web");
  example.listeners[0].name = "default";
  EXPECT_EQ(example.listeners, minimal.listeners);
  EXPECT_THAT(example.warnings, testing::IsEmpty());
}

TEST(KeyTable_Defaults, AreTheModels) {
  const Config config = good("[listener.web]\nmode = \"http\"\n[pool.shop]\ncommand = [\"a\"]\n");
  EXPECT_EQ(config.listeners[0].timeouts, Listener::Timeouts{});
  EXPECT_EQ(config.listeners[0].limits, Listener::Limits{});
  EXPECT_EQ(config.cluster, Cluster{});
  Pool pool;
  pool.name = "shop";
  pool.command = {"a"};
  pool.workers = 4;
  EXPECT_EQ(config.pools[0], pool);
}

TEST(Everything, TopSections) {
  const Config config = good_file("everything.toml");
  EXPECT_EQ(config.cluster.ports, (PortRange{10000, 10999}));
  EXPECT_EQ(config.cluster.shutdown, 60s);
  EXPECT_EQ(config.admin.listen->host, "::1");
  EXPECT_EQ(config.admin.listen->port, 9999);
  EXPECT_EQ(config.admin.socket, "/run/elsewhere.sock");
  EXPECT_EQ(config.admin.token_file, "/etc/drover/token");
  EXPECT_EQ(config.log.level, LogLevel::debug);
  EXPECT_EQ(config.log.format, LogFormat::json);
  EXPECT_EQ(config.proxy.threads, 3U);
  EXPECT_EQ(config.proxy.user, "nobody");
}

TEST(Everything, Listeners) {
  const Config config = good_file("everything.toml");
  ASSERT_EQ(config.listeners.size(), 2U);
  const Listener& web = config.listeners[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.bind.host, "");
  EXPECT_EQ(web.bind.port, 8080);
  EXPECT_EQ(web.timeouts, (Listener::Timeouts{1s, 2s, 3s, 4500ms}));
  EXPECT_EQ(web.limits, (Listener::Limits{Bytes{1024}, Bytes{2048}, Bytes{1536ULL * 1024 * 1024}, 1000}));
  EXPECT_TRUE(config.listeners[1].bind.unix_path);
  EXPECT_EQ(config.listeners[1].bind.path, "/run/web.sock");
}

TEST(Everything, Pools) {
  const Config config = good_file("everything.toml");
  ASSERT_EQ(config.pools.size(), 3U);
  Pool shop;
  shop.name = "shop";
  shop.command = {"./app", "--socket=${SOCKET}", "$$5", "${HOME}"};
  shop.dir = "/srv";
  shop.user = "shop";
  shop.env = {{"APP_ENV", "production"}, {"N", "${WORKER}"}};
  shop.env_file = "shop.env";
  shop.umask = 027;
  shop.workers = 7;
  shop.strategy = "least-memory";
  shop.concurrency = 1;
  shop.keepalive = false;
  shop.endpoint = Endpoint::unix_path;
  shop.node = "off";
  shop.ready = {"/ready?deep=1", "shop.example.org", false, {200, 204}, 60s};
  shop.health = {"/health", "shop.example.org:8080", {204}, 5s, 1s, 1, 1, std::nullopt};
  shop.restart = {2s, 4s, 0, 1h, 0s, true};
  shop.stop = {SIGQUIT, 0s};
  shop.drain = {1s, 2s};
  shop.alert = {Bytes{1ULL << 30U}, 250};
  shop.timeouts = {1s, 2s, 3s, 4ms};
  shop.retry = {1, 0};
  shop.queue = {1, 0s};
  shop.recycle = {mib(400), mib(600), 10'000, 12h, 0.25};
  shop.rolling = {2, 3, 5s, RollOrder::largest};
  shop.hang = {30s, SIGABRT};
  shop.outlier = {7, 12.5, 20s, 30, 6s};
  shop.killer = {4, 6min};
  shop.limits = {mib(1024), 4096, 5, Bytes{0}};
  shop.idle_stop = 15min;
  EXPECT_EQ(config.pools[0], shop);
  EXPECT_EQ(config.pools[1].name, "api");
  EXPECT_EQ(config.pools[1].workers, 2U);
  EXPECT_EQ(config.pools[1].workers_max, 8U);
  EXPECT_TRUE(config.pools[1].ready.notify);
  EXPECT_EQ(config.pools[2].workers, 4U);
  EXPECT_EQ(config.pools[2].workers_max, std::nullopt);
}

TEST(Everything, Routes) {
  const Config config = good_file("everything.toml");
  ASSERT_EQ(config.routes.size(), 3U);
  EXPECT_EQ(config.routes[0], (Route{"*", "/", 0}));
  EXPECT_EQ(config.routes[1], (Route{"*.example.org", "/api", 1}));
}

TEST(Parse, KeepsTheOrderOfTheFile) {
  const Config config =
      good("[pool.zebra]\ncommand = [\"a\"]\n[pool.ant]\ncommand = [\"a\"]\n[[route]]\npool = \"ant\"\n[[route]]\npath = \"/z\"\npool = \"zebra\"\n");
  EXPECT_EQ(config.pools[0].name, "zebra");
  EXPECT_EQ(config.pools[1].name, "ant");
  EXPECT_EQ(config.routes[0].pool, 1U);
}

TEST(Parse, KnowsWhereThingsStand) {
  const Config config = good("[pool.shop]\ncommand = [\"a\",\n  \"b\"]\nstop = { grace = \"1s\" }\n");
  EXPECT_EQ(config.places.at("pool.shop"), (Place{1, 1}));
  EXPECT_EQ(config.places.at("pool.shop.command"), (Place{2, 11}));
  EXPECT_EQ(config.places.at("pool.shop.command.1"), (Place{3, 3}));
  EXPECT_EQ(config.places.at("pool.shop.stop.grace"), (Place{4, 18}));
  EXPECT_FALSE(config.places.contains("pool.shop.workers"));
}

TEST(Parse, AutoStaysWithinTheLimit) {
  const auto result = parse("[pool.shop]\ncommand = [\"a\"]\n", "cluster.toml", 4000);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->pools[0].workers, kMaxWorkers);
  EXPECT_EQ(result->proxy.threads, 256U);
}

TEST(Parse, AdminCanBeOff) { EXPECT_FALSE(good("[admin]\nlisten = \"off\"\n[pool.shop]\ncommand = [\"a\"]\n").admin.listen); }

TEST(Parse, AnyFreePortMayBeUsedTwice) {
  const Config config =
      good("[admin]\nlisten = \"127.0.0.1:0\"\n[listener.a]\nbind = \":0\"\n[listener.b]\nbind = \":0\"\n[pool.shop]\ncommand = [\"a\"]\n");
  EXPECT_EQ(config.listeners.size(), 2U);
}

TEST(Parse, InlineAndHeaderTablesMeanTheSame) {
  const Config inlined = good("[pool.shop]\ncommand = [\"a\"]\nhealth = { rise = 5 }\n");
  const Config headed = good("[pool.shop]\ncommand = [\"a\"]\n[pool.shop.health]\nrise = 5\n");
  const Config dotted = good("pool.shop.command = [\"a\"]\npool.shop.health.rise = 5\n");
  EXPECT_EQ(inlined.pools, headed.pools);
  EXPECT_EQ(inlined.pools, dotted.pools);
}

TEST(Parse, SecondReadingOfItsOwnTextIsTheSame) {
  const Config first = good_file("everything.toml");
  const Config second = good(first.text);
  EXPECT_EQ(first.pools, second.pools);
  EXPECT_EQ(first.listeners, second.listeners);
  EXPECT_EQ(first.routes, second.routes);
}

TEST(Parse, WarnsOfAPoolThatNoRouteReaches) {
  const Config config = good("[pool.a]\ncommand = [\"a\"]\n[pool.b]\ncommand = [\"b\"]\n[[route]]\npool = \"a\"\n");
  EXPECT_THAT(config.warnings, testing::ElementsAre("cluster.toml:3:1: warning: no route leads to [pool.b]: its workers run and get no request"));
}

TEST(Parse, WarnsOfStatusesThatNobodyAsksFor) {
  const Config config = good("[pool.a]\ncommand = [\"a\"]\nhealth = { status = [204] }\n");
  EXPECT_THAT(config.warnings, testing::ElementsAre("cluster.toml:3:21: warning: health.status does nothing without http = \"/…\""));
}

std::vector<std::string> warnings(const std::string& lines) { return good("[pool.a]\ncommand = [\"a\"]\n" + lines).warnings; }

TEST(Parse, DoesNotWarnOfDefaultsSaidAloud) {
  EXPECT_THAT(
      warnings(
          "workers = 1\nhealth = { status = [200] }\nhang = { signal = \"QUIT\" }\nrecycle = { jitter = 0.1 }\noutlier = { eject_max = \"50%\" }\n"),
      testing::IsEmpty());
}

TEST(Parse, WarnsOfHostsThatNobodyIsToldOf) {
  EXPECT_THAT(warnings("ready = { host = \"a\" }\n"),
              testing::ElementsAre("cluster.toml:3:18: warning: ready.host does nothing without http = \"/…\""));
}

TEST(Parse, WarnsOfRecyclingAboveTheLimit) {
  EXPECT_THAT(warnings("recycle = { memory = \"400MiB\", hard_memory = \"500MiB\" }\nlimits = { memory = \"500MiB\" }\n"),
              testing::ElementsAre("cluster.toml:3:46: warning: recycle.hard_memory (500MiB) is not below limits.memory (500MiB): the worker fails "
                                   "there before it is recycled"));
  EXPECT_THAT(warnings("recycle = { memory = \"1GiB\" }\nlimits = { memory = \"500MiB\" }\n"),
              testing::ElementsAre(testing::HasSubstr("3:22: warning: recycle.memory (1GiB) is not below limits.memory")));
}

TEST(Parse, WarnsOfARollThatTakesAllAway) {
  EXPECT_THAT(warnings("workers = 1\nrolling = { max_unavailable = 1 }\n"),
              testing::ElementsAre("cluster.toml:4:31: warning: rolling.max_unavailable (1) may take the pool's only worker away at once"));
  EXPECT_THAT(warnings("workers = 2\nrolling = { max_unavailable = 1 }\n"), testing::IsEmpty());
  EXPECT_EQ(warnings("workers = { min = 1, max = 8 }\nrolling = { max_unavailable = 1 }\n").size(), 1U);
}

TEST(Parse, WarnsOfAnEjectionThatCannotHappen) {
  EXPECT_THAT(warnings("workers = 4\noutlier = { eject_max = \"20%\" }\n"),
              testing::ElementsAre("cluster.toml:4:25: warning: outlier.eject_max: 20% of 4 workers is less than one: none will ever be ejected"));
  EXPECT_THAT(warnings("workers = 1\n"), testing::IsEmpty()) << "the default is not the user's word";
  EXPECT_THAT(warnings("workers = { min = 1, max = 5 }\noutlier = { eject_max = \"20%\" }\n"), testing::IsEmpty());
}

TEST(Parse, WarnsOfKeysThatSayNothingAlone) {
  EXPECT_THAT(warnings("recycle = { jitter = 0.2 }\n"), testing::ElementsAre(testing::HasSubstr("recycle.jitter does nothing")));
  EXPECT_THAT(warnings("recycle = { jitter = 0.2, age = \"1h\" }\n"), testing::IsEmpty());
  EXPECT_THAT(warnings("hang = { signal = \"ABRT\" }\n"), testing::ElementsAre(testing::HasSubstr("hang.signal does nothing")));
  EXPECT_THAT(warnings("idle_stop = \"1m\"\nqueue = { max = 0 }\n"), testing::ElementsAre(testing::HasSubstr("can't wait, since queue.max is 0")));
}

TEST(Parse, IdleStopAndARangeOfWorkersGoTogether) {
  EXPECT_THAT(warnings("idle_stop = \"1s\"\nworkers = { min = 2, max = 8 }\n"), testing::IsEmpty());
}

TEST(Parse, ARangeOfOneNumberIsThatNumber) {
  const Config config = good("[pool.a]\ncommand = [\"a\"]\n[pool.a.workers]\nmin = 3\nmax = 3\n");
  EXPECT_EQ(config.pools[0].workers, 3U);
  EXPECT_EQ(config.pools[0].workers_max, std::nullopt);
}

TEST(Parse, JitterMayBeAWholeNumber) {
  EXPECT_EQ(good("[pool.a]\ncommand = [\"a\"]\nrecycle = { age = \"1h\", jitter = 0 }\n").pools[0].recycle.jitter, 0.0);
}

TEST(Parse, EachLimitOfRecyclingCanBeOff) {
  const Config config = good(
      "[pool.a]\ncommand = [\"a\"]\nrecycle = { memory = \"off\", hard_memory = \"off\", requests = \"off\", age = \"off\" }\nhang = { after = "
      "\"off\" }\n");
  EXPECT_EQ(config.pools[0].recycle, Pool::Recycle{});
  EXPECT_EQ(config.pools[0].hang, Pool::Hang{});
}

TEST(MostWorkers, FitABoard) { EXPECT_LE(kMaxWorkers, board::kMaxWorkersPerPool); }

TEST(Parse, RouteOfAOnePoolFileNeedsNoPool) {
  const Config config = good("[pool.a]\ncommand = [\"a\"]\n[[route]]\npath = \"/only\"\n");
  EXPECT_EQ(config.routes, (std::vector{Route{"*", "/only", 0}}));
}

TEST(Everything, GivesEachKey) {
  const Config config = good_file("everything.toml");
  const auto given = [&config](const std::string& owner, const std::string& name) {
    return std::any_of(config.places.begin(), config.places.end(),
                       [&](const auto& place) { return place.first.starts_with(owner) && place.first.ends_with("." + name); });
  };
  const auto check = [&given](const auto& self, const Section& of, const std::string& owner, const std::string& prefix) -> void {
    for (const Key& key : of.keys()) {
      if (key.later) continue;
      const std::string name = prefix + std::string(key.name);
      EXPECT_TRUE(given(owner, name)) << owner << ": add " << name << " to everything.toml";
      if (key.fields != nullptr) self(self, *key.fields, owner, name + ".");
    }
  };
  for (const Section& each : sections()) check(check, each, std::string(each.name) + ".", "");
}

TEST(KeyTable, DeclaresEachKeyOnceWithHelpAndASetter) {
  const auto check = [](const auto& self, const Section& of) -> void {
    std::vector<std::string_view> seen;
    for (const Key& key : of.keys()) {
      EXPECT_THAT(seen, testing::Not(testing::Contains(key.name)));
      seen.push_back(key.name);
      EXPECT_FALSE(key.help.empty()) << key.name;
      EXPECT_TRUE(key.fallback.empty() || parse_tree("a = " + std::string(key.fallback))) << key.name;
      EXPECT_EQ(key.fallback.find('\n'), std::string_view::npos) << key.name;
      if (key.fields != nullptr) self(self, *key.fields);
      EXPECT_EQ(key.fields != nullptr, key.inner != nullptr) << key.name;
      EXPECT_EQ(key.type == Type::choice, !key.choices.empty()) << key.name;
    }
  };
  for (const Section& each : sections()) check(check, each);
}

}  // namespace
}  // namespace drover::config
