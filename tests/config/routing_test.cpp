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
  EXPECT_THAT(good("[pool.a]\ncommand = [\"a\"]\n[[route]]\nredirect = { to = \"https://a.example/\" }\n").warnings,
              testing::ElementsAre(testing::HasSubstr("no route leads to [pool.a]")));
}

/// Of a file with the pools a and b, all of whose requests have a route.
std::vector<std::string> warnings_of(const std::string& routes) {
  return good("[pool.a]\ncommand = [\"a\"]\n[pool.b]\ncommand = [\"b\"]\n[[route]]\nsplit = { a = 1, b = 1 }\n" + routes).warnings;
}

TEST(Routes, OfOneRankThatOneRequestFits_AreWarnedOf) {
  const auto of = [](const std::string& first, const std::string& second) {
    return warnings_of("[[route]]\npath = \"/x\"\npool = \"a\"\n" + first + "\n[[route]]\npath = \"/x\"\npool = \"b\"\n" + second + "\n");
  };
  EXPECT_THAT(of("headers = { X = \"1\" }", "headers = { Y = \"1\" }"),
              testing::ElementsAre("cluster.toml:14:11: warning: headers: a request can have these and those of the route in line 7, and only the "
                                   "alphabet decides which goes first: give the one that should win the other's, too"));
  for (const auto& [first, second] : std::vector<std::pair<const char*, const char*>>{
           {"headers = { X = \"1\", Z = \"*\" }", "headers = { X = \"*\", Z = \"1\" }"},
           {"headers = { X = \"1\" }\nmethods = [\"GET\", \"PUT\"]", "headers = { Y = \"2\" }\nmethods = [\"GET\", \"HEAD\"]"}}) {
    EXPECT_EQ(of(first, second).size(), 1U) << first;
  }
  for (const auto& [first, second] : std::vector<std::pair<const char*, const char*>>{
           {"headers = { X = \"1\" }", "headers = { x = \"2\" }"},
           {"headers = { X = \"1\" }", "headers = { Y = \"*\" }"},
           {"headers = { X = \"1\" }", "headers = { X = \"1\", Y = \"1\" }"},
           {"headers = { X = \"1\" }\nmethods = [\"GET\"]", "headers = { Y = \"1\" }\nmethods = [\"PUT\"]"},
           {"headers = { X = \"1\" }\nmethods = [\"GET\"]", "headers = { Y = \"1\" }"},
           {"methods = [\"GET\"]", "methods = [\"GET\", \"PUT\"]"}}) {
    EXPECT_THAT(of(first, second), testing::IsEmpty()) << first << second;
  }
}

TEST(Routes, WarnOfAStarThatIsNoPattern) {
  const auto of = [](const std::string& path) { return warnings_of("[[route]]\npath = \"" + path + "\"\npool = \"a\"\n"); };
  EXPECT_THAT(of("/x/*"), testing::ElementsAre("cluster.toml:8:8: warning: path: the '*' of \"/x/*\" is a star and nothing else; a path covers all "
                                               "that is below it: write \"/x\""));
  EXPECT_THAT(of("/*"), testing::ElementsAre(testing::EndsWith("write \"/\"")));
  EXPECT_THAT(of("/x*"), testing::ElementsAre(testing::EndsWith("a path covers all that is below it")));
  EXPECT_THAT(of("/*x"), testing::IsEmpty());
}

TEST(Routes, WarnOfARedirectThatLeadsBack) {
  const auto of = [](const std::string& to, const std::string& more) {
    return warnings_of("[[route]]\npath = \"/a\"\nredirect = { to = \"" + to + "\" }\n" + more);
  };
  EXPECT_THAT(of("/a", ""),
              testing::ElementsAre("cluster.toml:9:19: warning: redirect.to: \"/a\" leads back to this route: clients would go round in "
                                   "a circle"));
  for (const char* to : {"/a${query}", "/a?x", "/a/b", "/%61", "${path}", "${path}${query}"}) EXPECT_EQ(of(to, "").size(), 1U) << to;
  EXPECT_EQ(of("/a", "[[route]]\npath = \"/\"\nhost = \"*.x\"\npool = \"a\"\n").size(), 0U) << "may be the other host's";
  for (const char* to : {"/b", "/ab", "https://a.example/a", "/b${path}"}) EXPECT_THAT(of(to, ""), testing::IsEmpty()) << to;
  EXPECT_THAT(of("/a/b", "[[route]]\npath = \"/a/b\"\npool = \"a\"\n"), testing::IsEmpty()) << "a longer route takes it";
  EXPECT_THAT(of("/a/", "exact = true\n"), testing::IsEmpty());
  EXPECT_THAT(of("/a", "methods = [\"POST\"]\n"), testing::IsEmpty()) << "303: the next request is a GET";
  EXPECT_THAT(of("/a", "headers = { X-Old = \"1\" }\n"), testing::IsEmpty());
  EXPECT_THAT(of("/a", "[[route]]\npath = \"/a\"\nmethods = [\"GET\"]\npool = \"a\"\n"), testing::IsEmpty());
  EXPECT_THAT(of("${path}", "strip = \"/a\"\n"), testing::IsEmpty());
}

TEST(Sticky, WarnsOfOneCookieForTwoPoolsOfOneRoute) {
  const auto of = [](const std::string& a, const std::string& b, const std::string& routes) {
    return good("[pool.a]\ncommand = [\"a\"]\n" + a + "[pool.b]\ncommand = [\"b\"]\n" + b + routes).warnings;
  };
  const std::string seat = "sticky = { cookie = \"seat\" }\n";
  const std::string both = "[[route]]\nsplit = { a = 1, b = 1 }\n[[route]]\npath = \"/x\"\nsplit = { a = 1, b = 1 }\n";
  EXPECT_THAT(
      of(seat, seat, both),
      testing::ElementsAre("cluster.toml:6:21: warning: sticky.cookie: \"seat\" is also that of [pool.a], and one route leads to both (split, "
                           "spill_to): each would end the other's sessions; give each a name of its own"));
  EXPECT_EQ(of(seat + "spill_to = \"b\"\n", seat, "[[route]]\npool = \"a\"\n").size(), 1U);
  EXPECT_THAT(of(seat, "sticky = { cookie = \"place\" }\n", both), testing::IsEmpty());
  EXPECT_THAT(of(seat, "", both), testing::IsEmpty());
  EXPECT_THAT(of(seat, seat, "[[route]]\npool = \"a\"\n[[route]]\npath = \"/b\"\npool = \"b\"\n"), testing::IsEmpty()) << "each client has its pool";
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
