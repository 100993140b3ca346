// What is taken, and what it means.
#include "board/shape.hpp"
#include "config/expand.hpp"
#include "config/keys.hpp"
#include "config/parse.hpp"
#include "config/tree.hpp"
#include "test_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <utility>

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
  // What has no default is shown with a value of its own.
  EXPECT_EQ(std::exchange(example.log.access, {}), (Log::Access{"/var/log/drover/access.log", AccessFormat::json}));
  EXPECT_EQ(example.admin.token_file, "/etc/drover/token");
  Pool& shop = example.pools[0];
  EXPECT_EQ(std::exchange(shop.limits, {}), (Pool::Limits{mib(1024), 4096, 0, Bytes{0}}));
  EXPECT_EQ(std::exchange(shop.sticky, {}), (Pool::Sticky{"seat", "/etc/drover/seat.key", 0s, false}));
  EXPECT_EQ(std::exchange(shop.errors, {}), (std::map<int, std::string>{{503, "/etc/drover/busy.html"}}));
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
  EXPECT_EQ(config.listeners[0].rates, Listener::Rates{});
  EXPECT_EQ(config.listeners[0].per_client, Listener::PerClient{});
  EXPECT_EQ(config.log, Log{});
  EXPECT_EQ(config.routes, std::vector{Route{}});
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
  EXPECT_EQ(config.log.access, (Log::Access{"/var/log/drover/access.log", AccessFormat::combined}));
  EXPECT_EQ(config.proxy.threads, 3U);
  EXPECT_EQ(config.proxy.user, "nobody");
}

TEST(Everything, Listeners) {
  const Config config = good_file("everything.toml");
  ASSERT_EQ(config.listeners.size(), 3U);
  const Listener& web = config.listeners[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.bind.host, "");
  EXPECT_EQ(web.bind.port, 8080);
  EXPECT_EQ(web.timeouts, (Listener::Timeouts{1s, 2s, 3s, 4500ms}));
  EXPECT_EQ(web.limits, (Listener::Limits{Bytes{1024}, Bytes{2048}, Bytes{1536ULL * 1024 * 1024}, 1000}));
  EXPECT_EQ(web.rates, (Listener::Rates{Bytes{50}, std::nullopt, 5s}));
  EXPECT_EQ(web.per_client, (Listener::PerClient{10, 2.5, 7}));
  EXPECT_TRUE(config.listeners[1].bind.unix_path);
  EXPECT_EQ(config.listeners[1].bind.path, "/run/web.sock");
  EXPECT_TRUE(proxied(config.listeners[1]));
  EXPECT_EQ(config.listeners[2].pool, 3U);
  EXPECT_FALSE(proxied(config.listeners[2]));
}

TEST(Everything, Pools) {
  const Config config = good_file("everything.toml");
  ASSERT_EQ(config.pools.size(), 4U);
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
  shop.timeouts = {1s, 2s, 3s, 4ms, 1s};
  shop.retry = {1, 0};
  shop.queue = {1, 0s, Pool::QueueOrder::newest};
  shop.recycle = {mib(400), mib(600), 10'000, 12h, 0.25};
  shop.rolling = {2, 3, 5s, RollOrder::largest};
  shop.hang = {30s, SIGABRT};
  shop.outlier = {7, 12.5, 20s, 30, 6s};
  shop.killer = {4, 6min};
  shop.limits = {mib(1024), 4096, 5, Bytes{0}};
  shop.state = {5, Bytes{1024}, mib(2)};
  shop.idle_stop = 15min;
  shop.slow_start = 20s;
  shop.breaker = {40, 10, 20s, 6s};
  shop.sticky = {"seat", "/etc/drover/seat.key", 36h, true};
  shop.spill_to = 1;
  shop.errors = {{503, "/srv/busy.html"}, {504, "/srv/late.html"}};
  EXPECT_EQ(config.pools[0], shop);
  EXPECT_EQ(config.pools[1].name, "api");
  EXPECT_EQ(config.pools[1].workers, 2U);
  EXPECT_EQ(config.pools[1].workers_max, 8U);
  EXPECT_TRUE(config.pools[1].ready.notify);
  EXPECT_EQ(config.pools[2].workers, 4U);
  EXPECT_EQ(config.pools[2].workers_max, std::nullopt);
  EXPECT_EQ(config.pools[2].hash, (Pool::Hash{Pool::HashBy::header, "X-Tenant", 1.5}));
  EXPECT_EQ(config.pools[3].dispatch, Dispatch::handoff);
  EXPECT_EQ(node_mode(config.pools[3]), NodeMode::cluster);
  EXPECT_EQ(config.pools[3].node_port, 7000);
}

TEST(Everything, Routes) {
  const Config config = good_file("everything.toml");
  ASSERT_EQ(config.routes.size(), 6U);
  EXPECT_EQ(config.routes[0], (Route{.host = "*", .path = "/", .pool = 0}));
  EXPECT_EQ(config.routes[1], (Route{.host = "*.example.org", .path = "/api", .pool = 1}));
  Route old{.host = "*", .path = "/old", .exact = true, .methods = {"GET", "HEAD"}, .pool = 2, .strip = "/old", .prefix = "/v1"};
  old.headers = {{"X-Canary", "1"}, {"X-Any", "*"}};
  old.request = {{"Cookie"}, {{"X-Mode", "old"}}, {{"Accept", "text/plain"}}};
  old.response = {{"Server"}, {{"X-Frame-Options", "DENY"}}, {{"Set-Cookie", "a=b; Path=/"}}};
  old.timeout = 5s;
  old.priority = -100;
  EXPECT_EQ(config.routes[2], old);
  EXPECT_EQ(config.routes[3], (Route{.path = "/split", .split = {{1, 90}, {2, 10}}}));
  EXPECT_EQ(config.routes[4], (Route{.path = "/moved", .redirect = {"https://${host}/new${path}${query}", 301}}));
  EXPECT_EQ(config.routes[5], (Route{.path = "/robots.txt", .respond = {200, "User-agent: *\nDisallow: /\n", "text/plain"}}));
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

TEST(Dispatch, TheOnlyListenerIsTheOnlyPools) {
  const Config config = good("[pool.a]\ncommand = [\"node\", \"a.js\"]\ndispatch = \"handoff\"\n");
  ASSERT_EQ(config.listeners.size(), 1U);
  EXPECT_EQ(config.listeners[0].pool, 0U);
  EXPECT_THAT(config.routes, testing::IsEmpty()) << "nothing passes the proxy";
  EXPECT_THAT(config.warnings, testing::IsEmpty());
  EXPECT_EQ(good("[listener.web]\nbind = \":3001\"\n[pool.a]\ncommand = [\"a\"]\ndispatch = \"shared\"\n").listeners[0].pool, 0U);
  EXPECT_EQ(good("[pool.a]\ncommand = [\"node\"]\n").listeners[0].pool, std::nullopt);
}

TEST(Dispatch, OnePoolMayHaveSeveralListeners_BesideOneOfTheProxy) {
  const Config config = good(
      "[listener.a]\nbind = \":1\"\npool = \"n\"\n[listener.b]\nbind = \":2\"\n[listener.c]\nbind = \":3\"\npool = \"n\"\n"
      "[pool.n]\ncommand = [\"node\"]\ndispatch = \"shared\"\nnode = \"fork\"\n[pool.p]\ncommand = [\"p\"]\n");
  EXPECT_EQ(config.listeners[0].pool, 0U);
  EXPECT_TRUE(proxied(config.listeners[1]));
  EXPECT_EQ(config.listeners[2].pool, 0U);
  EXPECT_EQ(config.routes, (std::vector{Route{.host = "*", .path = "/", .pool = 1}})) << "the proxy's only pool";
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(Dispatch, ARangeOfOneNumberIsNoRange) {
  EXPECT_EQ(good("[pool.a]\ncommand = [\"a\"]\ndispatch = \"shared\"\nworkers = { min = 3, max = 3 }\n").pools[0].workers, 3U);
}

TEST(Dispatch, ProbesByHttpGoWithHandoff) {
  const Config config = good("[pool.a]\ncommand = [\"node\"]\ndispatch = \"handoff\"\nready = { http = \"/r\" }\nhealth = { http = \"/h\" }\n");
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(Dispatch, WarnsOfWhatOnlyTheProxyCouldDo) {
  const std::string shared = "dispatch = \"shared\"\n";
  EXPECT_THAT(warnings(shared + "retry = { attempts = 1 }\n"),
              testing::ElementsAre("cluster.toml:4:9: warning: retry does nothing with dispatch = \"shared\": no request passes the proxy"));
  EXPECT_THAT(warnings(shared + "queue = { max = 5, wait = \"9s\" }\n"),
              testing::ElementsAre(testing::HasSubstr("queue.max does nothing"), testing::HasSubstr("queue.wait does nothing")));
  EXPECT_THAT(warnings(shared + "strategy = \"least-memory\"\n"), testing::ElementsAre(testing::HasSubstr("the kernel chooses")));
  for (const char* key : {"outlier = { errors = 1 }", "killer = { deaths = 1 }", "hang = { after = \"30s\" }", "keepalive = false",
                          "timeouts = { connect = \"1s\" }", "drain = { tunnel = \"1s\" }", "recycle = { requests = 5 }"}) {
    EXPECT_THAT(warnings(shared + key + "\n"), testing::ElementsAre(testing::HasSubstr("does nothing with dispatch"))) << key;
  }
  EXPECT_THAT(warnings(shared + "retry = { attempts = 3 }\nqueue = { max = 256 }\nkeepalive = true\n"), testing::IsEmpty()) << "defaults said aloud";
  EXPECT_THAT(good("[pool.a]\ncommand = [\"node\"]\ndispatch = \"handoff\"\nqueue = { wait = \"9s\" }\nstrategy = \"least-memory\"\n").warnings,
              testing::IsEmpty());
}

TEST(Dispatch, WarnsOfAListenersKeysThatOnlyTheProxyObeys) {
  const std::string file = "[pool.a]\ncommand = [\"node\"]\ndispatch = \"handoff\"\n[listener.web]\n";
  EXPECT_THAT(good(file + "timeouts = { head = \"1s\" }\n").warnings,
              testing::ElementsAre(testing::HasSubstr("5:12: warning: timeouts does nothing")));
  EXPECT_THAT(good(file + "limits = { body = \"1KiB\" }\n").warnings, testing::ElementsAre(testing::HasSubstr("limits does nothing")));
}

TEST(Node, WarnsOfProgramsThatKeepTheChannelToThemselves) {
  const auto of = [](const std::string& command, const std::string& node) {
    return good("[pool.a]\ncommand = [" + command + "]\nnode = \"" + node + "\"\n").warnings;
  };
  EXPECT_THAT(of(R"("npm", "start")", "cluster"),
              testing::ElementsAre("cluster.toml:3:8: warning: node: \"npm\" starts the program as its own child, which hears nothing of the "
                                   "channel: write command = [\"node\", \"server.js\"]"));
  EXPECT_EQ(of(R"("/usr/bin/npm", "start")", "fork").size(), 1U);
  EXPECT_THAT(of(R"("sh", "-c", "node server.js")", "fork"), testing::ElementsAre(testing::HasSubstr("or let the shell exec it")));
  EXPECT_THAT(of(R"("sh", "-c", "exec node server.js")", "cluster"), testing::IsEmpty());
  EXPECT_THAT(of(R"("npm", "start")", "off"), testing::IsEmpty());
  EXPECT_THAT(of(R"("npm", "start")", "auto"), testing::IsEmpty()) << "it gets no channel of Node's";
  EXPECT_THAT(of(R"("node", "server.js")", "cluster"), testing::IsEmpty());
}

TEST(Node, AutoIsClusterForNodeAlone) {
  const auto mode = [](const std::string& command, const std::string& node) {
    return node_mode(good("[pool.a]\ncommand = [" + command + "]\nnode = \"" + node + "\"\n").pools[0]);
  };
  EXPECT_EQ(mode(R"("node", "a.js")", "auto"), NodeMode::cluster);
  EXPECT_EQ(mode(R"("/opt/node20/bin/node", "a.js")", "auto"), NodeMode::cluster);
  EXPECT_EQ(mode(R"("nodejs", "a.js")", "auto"), NodeMode::cluster);
  EXPECT_EQ(mode(R"("node", "--max-old-space-size=128", "a.js", "-e")", "auto"), NodeMode::cluster);
  EXPECT_EQ(mode(R"("node", "-e", "code")", "auto"), NodeMode::off);
  EXPECT_EQ(mode(R"("node", "--no-warnings", "--eval=code")", "auto"), NodeMode::off);
  EXPECT_EQ(mode(R"("nodemon", "a.js")", "auto"), NodeMode::off);
  EXPECT_EQ(mode(R"("npm", "start")", "auto"), NodeMode::off);
  EXPECT_EQ(mode(R"("node", "a.js")", "off"), NodeMode::off);
  EXPECT_EQ(mode(R"("my-server")", "fork"), NodeMode::fork);
}

TEST(Withheld, HoldsEveryNameThatIsMadeForOneWorkerAlone) {
  for (const std::string_view name : {"DROVER_CHANNEL_FD", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID", "LISTEN_PID",
                                      "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET"}) {
    EXPECT_THAT(kWithheldNames, testing::Contains(name));
  }
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
