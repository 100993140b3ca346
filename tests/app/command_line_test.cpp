// Usage: what is refused, with which code, before anything is asked or started.
#include "app/command_line.hpp"

#include "base/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

namespace drover::app {
namespace {

using testing::HasSubstr;

struct Said {
  int code;
  std::string out;
  std::string err;
};

Said drover(std::initializer_list<const char*> arguments) {
  std::vector<const char*> argv{"drover"};
  argv.insert(argv.end(), arguments);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = CommandLine().run(static_cast<int>(argv.size()), argv.data());
  std::fflush(stdout);
  return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

TEST(CommandLine, WrongUsageIs2) {
  const std::initializer_list<const char*> wrong[] = {
      {},
      {"nonsense"},
      {"restart"},
      {"restart", "a", "b"},
      {"restart", "shop", "--wait", "--no-wait"},
      {"why"},
      {"scale"},
      {"scale", "shop"},
      {"scale", "shop=x"},
      {"scale", "shop=-1"},
      {"scale", "shop", "1.5"},
      {"scale", "=4"},
      {"hold"},
      {"hold", "shop", "--max"},
      {"hold", "shop", "--max", "0s"},
      {"hold", "shop", "--max", "30"},
      {"hold", "shop", "--max", "3601s"},
      {"hold", "shop", "--max", "5s", "--off"},
      {"maintenance"},
      {"maintenance", "shop", "--message", "soon", "--off"},
      {"completion"},
      {"completion", "csh"},
      {"top", "--interval", "1"},
      {"top", "--interval", "1ms"},
      {"run", "--status", "often"},
      {"run", "--status", "10ms"},
      {"logs", "-n", "x"},
      {"ps", "--socket", "/a", "--config", "/b"},
      {"ps", "--no-such"},
      {"send"},
      {"send", "shop"},
      {"send", "shop", "reload", "{}", "more"},
      {"send", "shop", "reload", "hello"},
      {"send", "shop", "reload", "{"},
      {"request", "shop", "ask", "1", "--timeout", "61s"},
      {"request", "shop", "ask", "1", "--timeout", "5"},
      {"request", "shop", "ask", "1", "--timeout", "0s"},
      {"state"},
      {"state", "get"},
      {"state", "get", "shop"},
      {"state", "get", "shop", "key", "1"},
      {"state", "steal", "shop", "key"},
      {"state", "set", "shop", "key"},
      {"state", "set", "shop", "key", "hello"},
      {"state", "set", "shop", "key", "1", "--expires", "soon"},
      {"state", "delete", "shop", "key", "--expires", "5s"},
      {"state", "list", "shop", "prefix", "1"},
      {"state", "watch", "shop", "key", "1"},
  };
  for (const auto& each : wrong) {
    const Said said = drover(each);
    EXPECT_EQ(said.code, kUsage) << (each.size() > 0 ? *each.begin() : "");
    EXPECT_FALSE(said.err.empty() && said.out.empty());
  }
}

TEST(CommandLine, NobodyAnswersIs1AndNamed) {
  for (const auto& each : {std::initializer_list<const char*>{"status"},
                           {"ps"},
                           {"events", "-f"},
                           {"logs"},
                           {"why", "shop"},
                           {"restart", "shop"},
                           {"drain", "shop"},
                           {"resume", "shop"},
                           {"scale", "shop=2"},
                           {"hold", "shop", "--max", "1h"},
                           {"hold", "shop", "--off"},
                           {"maintenance", "shop", "--message", "back at noon"},
                           {"stop"},
                           {"top"},
                           {"config", "--effective"},
                           {"send", "shop", "reload"},
                           {"request", "shop.1", "ask", "{}", "--timeout", "60s"},
                           {"state", "list", "shop"},
                           {"state", "get", "shop", "key"},
                           {"state", "watch", "shop"}}) {
    std::vector<const char*> argv{"drover"};
    argv.insert(argv.end(), each);
    argv.insert(argv.end(), {"--socket", "/nonexistent/drover.sock"});
    testing::internal::CaptureStderr();
    EXPECT_EQ(CommandLine().run(static_cast<int>(argv.size()), argv.data()), 1) << *each.begin();
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_THAT(said, HasSubstr("no drover answers on /nonexistent/drover.sock: No such file or directory; is it running?")) << *each.begin();
  }
}

TEST(CommandLine, EveryJsonIsTakenAsItIs) {
  for (const char* value :
       {"[1,2]", "[\"a,b\", []]", "{\"a\": {\"b\": null}}", "\"text\"", "-5", "-0.5e3", "true", "null", " 1 ", "\"\"", "\"--wait\""}) {
    const Said said = drover({"state", "set", "shop", "stop", value, "--socket", "/nonexistent/drover.sock"});
    EXPECT_EQ(said.code, kFailed) << value;
    EXPECT_THAT(said.err, HasSubstr("no drover answers")) << value << ": it came to asking";
  }
  EXPECT_THAT(drover({"send", "run", "stop", "--socket", "/nonexistent/drover.sock"}).err, HasSubstr("no drover answers"))
      << "a verb's name is a type, too";
}

TEST(CommandLine, WhatIsNoJsonIsToldWithTheFix) {
  EXPECT_THAT(drover({"state", "set", "shop", "key", "hello"}).err, HasSubstr("state set: hello: not JSON: "));
  EXPECT_THAT(drover({"state", "set", "shop", "key", "hello"}).err, HasSubstr("a string has its quotes: '\"hello\"'"));
  EXPECT_THAT(drover({"send", "shop", "x", "{a:1}"}).err, HasSubstr("send: {a:1}: not JSON"));
  EXPECT_THAT(drover({"send", "shop", "x", "he\x1bllo"}).err, HasSubstr("send: he\\x1bllo: not JSON: "));
  EXPECT_THAT(drover({"request", "shop", "x", std::string(40, '[').c_str()}).err, HasSubstr("not JSON"));
  EXPECT_THAT(drover({"state", "set", "shop", "key"}).err, HasSubstr("no value: drover state set shop key JSON"));
  EXPECT_THAT(drover({"state", "--help"}).out, HasSubstr("incr POOL KEY [N]"));
}

TEST(CommandLine, AWrongConfigIs78) {
  EXPECT_EQ(drover({"ps", "--config", "/nonexistent/cluster.toml"}).code, kWrongConfig);
  EXPECT_EQ(drover({"config", "--effective", "/nonexistent/cluster.toml"}).code, kWrongConfig);
}

TEST(CommandLine, HelpTellsSignalsAndCodes) {
  const Said said = drover({"--help"});
  EXPECT_EQ(said.code, 0);
  for (const char* part :
       {"78 the configuration is wrong", "130 interrupted", "USR1 opens the access log anew", "TTIN, TTOU", "--socket", "restart", "top"})
    EXPECT_THAT(said.out, HasSubstr(part));
}

TEST(CommandLine, VersionIsToldThreeWays) {
  const std::string version(base::version());
  EXPECT_EQ(drover({"version"}).out, "drover " + version + "\n");
  EXPECT_EQ(drover({"version", "--json"}).out, "{\"version\":\"" + version + "\"}\n");
  EXPECT_THAT(drover({"--version"}).out, HasSubstr("drover " + version));
}

}  // namespace
}  // namespace drover::app
