// Routes, and what keeps a pool trusted: what goes together and what is warned of.
#include "config/parse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(Routes, OfOnePathMayDifferInWholePathMethodsOrHeaders) {
  const Config config = good(R"(
[pool.a]
command = ["a"]
[[route]]
path = "/a"
[[route]]
path = "/a"
exact = true
[[route]]
path = "/a"
methods = ["GET"]
[[route]]
path = "/a"
methods = ["GET", "HEAD"]
[[route]]
path = "/a"
methods = ["POST"]
[[route]]
path = "/a"
headers = { X-A = "1" }
[[route]]
path = "/a"
headers = { X-A = "2" }
[[route]]
path = "/a"
headers = { X-A = "*" }
)");
  EXPECT_EQ(config.routes.size(), 8U);
}

TEST(Routes, NeedNoPoolWhereDroverAnswers) {
  const std::string pools = "[pool.a]\ncommand = [\"a\"]\n[pool.b]\ncommand = [\"b\"]\n[[route]]\nsplit = { a = 1, b = 0 }\n";
  const Config config = good(pools + "[[route]]\npath = \"/x\"\nredirect = { to = \"/y\" }\n[[route]]\npath = \"/z\"\nrespond = { status = 204 }\n");
  EXPECT_TRUE(config.routes[1].answered_here());
  EXPECT_EQ(config.routes[1].redirect.status, 302);
  EXPECT_EQ(config.routes[2].respond.status, 204);
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(Routes, ToWhereDroverAnswersLeadToNoPool) {
  EXPECT_THAT(good("[pool.a]\ncommand = [\"a\"]\n[[route]]\nredirect = { to = \"/y\" }\n").warnings,
              testing::ElementsAre(testing::HasSubstr("no route leads to [pool.a]")));
}

TEST(Routes, WarnOfWhatNoWorkerWillSee) {
  const auto of = [](const std::string& line) {
    return good("[pool.a]\ncommand = [\"a\"]\n[[route]]\n[[route]]\npath = \"/x\"\nredirect = { to = \"/y\" }\n" + line + "\n").warnings;
  };
  for (const char* line : {"request = { set = { A = \"b\" } }", "timeout = \"1s\"", "priority = 1"}) {
    EXPECT_THAT(of(line), testing::ElementsAre(testing::HasSubstr(" does nothing with redirect: no worker gets the request"))) << line;
  }
  EXPECT_THAT(of("strip = \"/x\"\nprefix = \"/v\""), testing::IsEmpty()) << "they change its ${path}";
  EXPECT_THAT(of("response = { set = { A = \"b\" } }"), testing::IsEmpty());
}

TEST(Routes, MayPutAnotherHostAndForwardedProtocolBeforeTheWorker) {
  const Config config = good(
      "[pool.a]\ncommand = [\"a\"]\n[[route]]\nrequest = { remove = [\"X-Forwarded-For\"], set = { host = \"old.example:81\", X-Forwarded-Proto = "
      "\"https\" } }\n");
  EXPECT_EQ(config.routes[0].request.set[0], (Field{"host", "old.example:81"}));
}

TEST(Spill, ReachesAPoolThatNoRouteNames) {
  const Config config = good(
      "[pool.a]\ncommand = [\"a\"]\nspill_to = \"b\"\n[pool.b]\ncommand = [\"b\"]\nspill_to = \"c\"\n[pool.c]\ncommand = [\"c\"]\n[[route]]\npool = "
      "\"a\"\n");
  EXPECT_EQ(config.pools[0].spill_to, 1U);
  EXPECT_EQ(config.pools[1].spill_to, 2U);
  EXPECT_EQ(config.pools[2].spill_to, std::nullopt);
  EXPECT_THAT(config.warnings, testing::IsEmpty());
}

TEST(Resilience, WarnsOfKeysThatSayNothingAlone) {
  const auto of = [](const std::string& line) { return good("[pool.a]\ncommand = [\"a\"]\n" + line + "\n").warnings; };
  EXPECT_THAT(of("breaker = { open = \"9s\" }"), testing::ElementsAre("cluster.toml:3:11: warning: breaker does nothing without errors = \"50%\""));
  EXPECT_THAT(of("hash = { by = \"path\" }"),
              testing::ElementsAre("cluster.toml:3:8: warning: hash does nothing without strategy = \"consistent-hash\""));
  EXPECT_THAT(of("workers = 1\nslow_start = \"9s\""), testing::ElementsAre(testing::HasSubstr("slow_start does nothing for a pool's only worker")));
  EXPECT_THAT(of("[listener.a]\nper_client = { burst = 9 }"),
              testing::ElementsAre(testing::HasSubstr("per_client.burst does nothing without requests")));
  EXPECT_THAT(of("breaker = { errors = \"off\", open = \"5s\" }\nhash = { by = \"address\" }\nslow_start = \"9s\""), testing::IsEmpty());
}

}  // namespace
}  // namespace drover::config
