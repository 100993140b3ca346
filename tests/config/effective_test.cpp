// What is written out holds everything, and means the same when it is read again.
#include "config/effective.hpp"
#include "config/keys.hpp"
#include "config/parse.hpp"
#include "config/reference.hpp"
#include "test_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover::config {
namespace {

using testing::HasSubstr;
using testing::Not;

Config good(std::string_view text) {
  const auto result = parse(text, "cluster.toml", 4);
  if (!result) {
    ADD_FAILURE() << render(result.error()) << text;
    return {};
  }
  return *result;
}

void expect_same(const Config& a, const Config& b) {
  EXPECT_EQ(a.cluster, b.cluster);
  EXPECT_EQ(a.admin, b.admin);
  EXPECT_EQ(a.log, b.log);
  EXPECT_EQ(a.proxy, b.proxy);
  EXPECT_EQ(a.listeners, b.listeners);
  EXPECT_EQ(a.pools, b.pools);
  EXPECT_EQ(a.routes, b.routes);
}

void expect_round_trip(std::string_view text) {
  const Config first = good(text);
  const std::string written = effective(first, Secrets::shown);
  SCOPED_TRACE(written);
  const Config second = good(written);
  expect_same(first, second);
  EXPECT_EQ(second.warnings.size(), first.warnings.size());
  EXPECT_EQ(effective(second, Secrets::shown), written);
}

class GoodFile : public testing::TestWithParam<std::string> {};

TEST_P(GoodFile, MeansTheSameWhenItIsWrittenOut) { expect_round_trip(read_file(test_dir() + "/good/" + GetParam() + ".toml")); }

INSTANTIATE_TEST_SUITE_P(Effective, GoodFile, testing::ValuesIn(names_in_folder("good", ".toml")), [](const auto& each) { return each.param; });

TEST(Effective, MeansTheSameForTheReferencesExample) { expect_round_trip(reference_example()); }

TEST(Effective, MeansTheSameForValuesThatAreHardToWrite) {
  expect_round_trip(R"(
[listener.odd-name_1]
bind = "[::1]:0"
timeouts = { head = "1ms", body = "90s", idle = "36h", send = "61001ms" }
limits = { body = "0B", head = "1048575B" }
[pool.a]
command = ["sh", "-c", "echo \"a\\b\" 'c'\n\t\u0001\u007f é 😀", ""]
env = { "odd name" = "#", A-b = "\r\n" }
retry = { budget = "33.333%" }
alert = { memory = "1.5GiB", cpu = "0.1%" }
umask = "000"
recycle = { jitter = 0.123456789, memory = "1B" }
limits = { core = "4194303TiB", nice = -20 }
idle_stop = "1s"
)");
}

/// Every key of `of` in the lines: with a value, or said to have none.
void expect_keys(const Section& of, const std::string& lines) {
  const auto says = [&lines](const std::string& name) {
    return lines.find("\n" + name + " = ") != std::string::npos || lines.find("\n# " + name + " is not given\n") != std::string::npos;
  };
  for (const Key& key : of.keys()) {
    if (key.later) {
      EXPECT_FALSE(says(std::string(key.name))) << key.name;
      continue;
    }
    EXPECT_TRUE(says(std::string(key.name))) << key.name << " is missing in\n" << lines;
    if (key.fields == nullptr || lines.find("\n# " + std::string(key.name) + " is not given\n") != std::string::npos) continue;
    const std::size_t begin = lines.find("\n" + std::string(key.name) + " = ") + 1;
    const std::string line = lines.substr(begin, lines.find('\n', begin) - begin) + ",";
    for (const Key& field : key.fields->keys()) {
      const std::string name(field.name);
      EXPECT_TRUE(line.find(" " + name + " = ") != std::string::npos || line.find(" " + name + ",") != std::string::npos)
          << key.name << "." << name << " is missing in " << line;
    }
  }
}

TEST(Effective, HoldsEachKeyOfEachSection) {
  for (const char* file : {"minimal", "everything"}) {
    const std::string text = effective(good(read_file(test_dir() + "/good/" + file + ".toml")));
    for (const Section& each : sections()) {
      const std::string name(each.name);
      const std::size_t begin = std::min(text.find("\n[" + name), text.find("\n[[" + name));
      const std::size_t found = text.starts_with("[" + name) ? 0 : begin;
      ASSERT_NE(found, std::string::npos) << name << " is missing";
      expect_keys(each, text.substr(found, text.find("\n[", found + 2) - found) + "\n");
    }
  }
}

TEST(Effective, ResolvesWhatWasNotSaid) {
  const std::string text = effective(good("[pool.a]\ncommand = [\"a\"]\n"));
  EXPECT_THAT(text, HasSubstr("\nworkers = 4\n"));
  EXPECT_THAT(text, HasSubstr("\nthreads = 4\n"));
  EXPECT_THAT(text, HasSubstr("\n[listener.default]\nbind = \"127.0.0.1:3000\"\nmode = \"http\"\n"));
  EXPECT_THAT(text,
              HasSubstr("\n[[route]]\nhost = \"*\"\npath = \"/\"\nexact = false\nmethods = []\nheaders = {}\npool = \"a\"\n# split is not given\n"));
  EXPECT_THAT(text, HasSubstr("\nready = { tcp = true, notify = false, status = [200], timeout = \"30s\" }  # not given: http, host\n"));
  EXPECT_THAT(text, HasSubstr("\nlimits = {}  # not given: memory, files, nice, core\n"));
  EXPECT_THAT(text, HasSubstr("\nenv = {}\n# env_file is not given\n"));
  EXPECT_THAT(text, HasSubstr("\nrecycle = { memory = \"off\", hard_memory = \"off\", requests = \"off\", age = \"off\", jitter = 0.1 }\n"));
}

TEST(Effective, HidesWhatMayBeSecret) {
  const Config config = good(
      "[pool.a]\ncommand = [\"a\"]\nenv = { DB_PASSWORD = \"hunter2\", api_key = \"hunter2\", Token = \"hunter2\", SECRET_ONE = \"hunter2\", "
      "DATABASE_URL = \"postgres://shop:hunter2@db/shop\", APP_ENV = \"production\" }\n");
  const std::string hidden = effective(config);
  EXPECT_THAT(hidden, Not(HasSubstr("hunter2")));
  EXPECT_THAT(hidden, HasSubstr("DB_PASSWORD = \"(hidden)\""));
  EXPECT_THAT(hidden, HasSubstr("APP_ENV = \"production\""));
  Config again = good(hidden);
  again.pools[0].env = config.pools[0].env;
  expect_same(again, config);
  EXPECT_THAT(effective(config, Secrets::shown), HasSubstr("DB_PASSWORD = \"hunter2\""));
}

TEST(Effective, HidesWhatARouteWritesToLetSomebodyIn) {
  const Config config = good(
      "[pool.a]\ncommand = [\"a\"]\n[[route]]\nrequest = { set = { Authorization = \"Basic hunter2\", X-Api-Key = \"hunter2\", X-Mode = \"old\" } }\n"
      "response = { add = { Set-Cookie = \"seat=hunter2\" } }\nheaders = { X-Token = \"hunter2\" }\n");
  const std::string hidden = effective(config);
  EXPECT_THAT(hidden, Not(HasSubstr("hunter2")));
  EXPECT_THAT(hidden, HasSubstr("X-Mode = \"old\""));
  EXPECT_EQ(good(hidden).routes.size(), 1U);
  EXPECT_EQ(good(effective(config, Secrets::shown)).routes, config.routes);
}

TEST(Effective, KnowsAUrlWithAPassword) {
  EXPECT_TRUE(may_be_secret("A", "redis://:pw@host"));
  EXPECT_TRUE(may_be_secret("A", "amqp://u:p@h/x?y"));
  for (const char* value : {"http://host:80/", "http://user@host/", "http://host/a:b@c", "mailto:a@b", ""})
    EXPECT_FALSE(may_be_secret("A", value)) << value;
}

}  // namespace
}  // namespace drover::config
