// What workers may ask of the shared state, what they are told, and who hears of changes.
#include "ipc/state_service.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace drover::ipc {
namespace {

namespace json = boost::json;
using base::Millis;

class Service : public ::testing::Test {
 protected:
  explicit Service(const StateLimits& limits = {}) : service(make_memory_store(limits), hooks()) {}

  StateService::Hooks hooks() {
    return {[this](const std::string& key, StateService::Member by) { syncs.push_back(key + " by " + std::to_string(by)); },
            [this](StateService::Member member, std::string line) {
              const json::object message = json::parse(line).as_object();
              EXPECT_EQ(message.at("type"), "state:change");
              changes.push_back(std::to_string(member) + ": " + json::serialize(message.at("data")));
              if (on_change) on_change();
            }};
  }
  base::Result<json::value> ask(StateService::Member member, std::string_view line) {
    const auto message = parse_message(line);
    EXPECT_TRUE(message) << line;
    return service.handle(member, *message, now);
  }
  std::string answer(std::string_view line, StateService::Member member = 1) {
    const auto result = ask(member, line);
    return result ? json::serialize(*result) : "error: " + result.error().message;
  }
  std::string sync(const std::string& key) { return json::serialize(json::parse(service.sync_line(key, now)).at("data")); }
  std::vector<std::string> take(std::vector<std::string>& from) { return std::exchange(from, {}); }

  base::TimePoint now{std::chrono::hours(10)};
  std::vector<std::string> syncs;
  std::vector<std::string> changes;
  std::function<void()> on_change;
  StateService service;
};

using Strings = std::vector<std::string>;

TEST_F(Service, SetGetDelete_InDataOrAtTheTop) {
  EXPECT_EQ(answer(R"({"type":"state:get","key":"a"})"), R"({"key":"a"})") << "no value";
  EXPECT_EQ(answer(R"({"type":"state:set","data":{"key":"a","value":{"n":1}}})"), R"({"success":true})");
  EXPECT_EQ(answer(R"({"type":"state:get","key":"a"})"), R"({"key":"a","value":{"n":1}})");
  EXPECT_EQ(answer(R"({"type":"state:set","key":"a","value":null})"), R"({"success":true})");
  EXPECT_EQ(answer(R"({"type":"state:get","data":{"key":"a"}})"), R"({"key":"a","value":null})") << "null is a value";
  EXPECT_EQ(answer(R"({"type":"state:set","key":"a","value":5,"data":"something else"})"), R"({"success":true})");
  EXPECT_EQ(answer(R"({"type":"state:set","key":"__proto__","value":{"__proto__":1},"data":[1]})"), R"({"success":true})");
  EXPECT_EQ(answer(R"({"type":"state:delete","key":"a"})"), R"({"success":true,"existed":true})");
  EXPECT_EQ(answer(R"({"type":"state:delete","data":{"key":"a"}})"), R"({"success":true,"existed":false})");
  EXPECT_EQ(answer(R"({"type":"state:all"})"), R"({"values":{"__proto__":{"__proto__":1}},"more":false})");
}

TEST_F(Service, EverybodyButTheSetterIsToSync_AndNobodyIfNothingChanged) {
  answer(R"({"type":"state:set","key":"a","value":1})", 4);
  answer(R"({"type":"state:set","key":"a","value":1.0})", 5);
  answer(R"({"type":"state:incr","key":"a"})", 6);
  answer(R"({"type":"state:cas","key":"a","expected":9,"value":1})", 6);
  answer(R"({"type":"state:cas","key":"a","expected":2})", 7);
  answer(R"({"type":"state:delete","key":"a"})", 8);
  EXPECT_EQ(take(syncs), (Strings{"a by 4", "a by 6", "a by 7"}));
}

TEST_F(Service, SyncLine_TellsTheValueOfNow) {
  EXPECT_EQ(sync("a"), R"({"key":"a"})");
  answer(R"({"type":"state:set","key":"a","value":[1],"expires":1000})");
  EXPECT_EQ(sync("a"), R"({"key":"a","value":[1]})");
  now += Millis(1000);
  EXPECT_EQ(sync("a"), R"({"key":"a"})");
  const json::value line = json::parse(service.sync_line("a", now));
  EXPECT_EQ(line.at("type"), "state:sync");
  EXPECT_TRUE(line.at("from").is_int64());
  EXPECT_FALSE(line.as_object().contains("worker")) << "drover itself says so";
}

TEST_F(Service, Subscribers_HearOfEveryChange_TheSetterToo) {
  EXPECT_EQ(answer(R"({"type":"state:subscribe","workerId":1})", 1), R"({"success":true})");
  EXPECT_EQ(answer(R"({"type":"state:subscribe","data":{"prefix":"b/"}})", 2), R"({"success":true})");
  answer(R"({"type":"state:set","key":"a","value":1})", 1);
  answer(R"({"type":"state:set","key":"a","value":null})", 3);
  answer(R"({"type":"state:set","key":"a","value":null})", 3);
  answer(R"({"type":"state:set","key":"b/x","value":2})", 3);
  answer(R"({"type":"state:delete","key":"a"})", 1);
  EXPECT_EQ(take(changes), (Strings{R"(1: {"key":"a","value":1})", R"(1: {"key":"a","value":null,"oldValue":1})", R"(1: {"key":"b/x","value":2})",
                                    R"(2: {"key":"b/x","value":2})", R"(1: {"key":"a","oldValue":null})"}));
  EXPECT_EQ(answer(R"({"type":"state:unsubscribe"})", 1), R"({"success":true})");
  EXPECT_EQ(answer(R"({"type":"state:unsubscribe"})", 9), R"({"success":true})") << "as before";
  service.left(2);
  answer(R"({"type":"state:set","key":"b/x","value":3})", 3);
  EXPECT_TRUE(take(changes).empty());
}

TEST_F(Service, Subscriber_WhoLeavesWhileAllAreTold_HearsNoMore) {
  for (StateService::Member member = 1; member <= 3; ++member) answer(R"({"type":"state:subscribe"})", member);
  on_change = [this] {
    for (StateService::Member member = 1; member <= 3; ++member) service.left(member);
  };
  answer(R"({"type":"state:set","key":"a","value":1})", 9);
  EXPECT_EQ(changes.size(), 1U);
}

TEST_F(Service, Expiry_IsToldAsAChangeByNobody) {
  answer(R"({"type":"state:subscribe"})", 1);
  answer(R"({"type":"state:set","key":"a","value":1,"expires":"2s"})", 1);
  take(syncs);
  take(changes);
  service.store().expire(now + Millis(1999));
  EXPECT_TRUE(syncs.empty());
  service.store().expire(now + Millis(2000));
  EXPECT_EQ(take(syncs), Strings{"a by 0"});
  EXPECT_EQ(take(changes), Strings{R"(1: {"key":"a","oldValue":1})"});
}

TEST_F(Service, Expires_IsADurationOrMilliseconds) {
  const auto until = [this](const std::string& expires) {
    answer(R"({"type":"state:delete","key":"a"})");
    EXPECT_EQ(answer(R"({"type":"state:set","key":"a","value":1,"expires":)" + expires + "}"), R"({"success":true})") << expires;
    const auto next = service.store().next_expiry();
    return next ? std::chrono::duration_cast<Millis>(*next - now).count() : 0;
  };
  EXPECT_EQ(until("\"500ms\""), 500);
  EXPECT_EQ(until("\"30s\""), 30'000);
  EXPECT_EQ(until("\"5m\""), 300'000);
  EXPECT_EQ(until("\"2h\""), 7'200'000);
  EXPECT_EQ(until("1500"), 1500);
  EXPECT_EQ(until("0.2"), 1) << "not before its time";
  EXPECT_EQ(until("null"), 0) << "none";
  for (const char* wrong : {"\"\"", "\"30\"", "\"s\"", "\"1.5s\"", "\"-1s\"", "\" 1s\"", "\"1s \"", "\"1 s\"", "\"0x1s\"",
                            "\"99999999999999999999s\"", "0", "-5", "true", "{}", "[1]"}) {
    for (const char* type : {"state:set", "state:incr", "state:cas"}) {
      const std::string got = answer(R"({"type":")" + std::string(type) + R"(","key":"w","value":1,"expires":)" + wrong + "}");
      EXPECT_NE(got.find("\"expires\" is neither a duration like \"30s\""), std::string::npos) << wrong << ": " << got;
    }
  }
  for (const char* far : {"\"0s\"", "\"721h\"", "\"9999999999h\"", "1e300", "9223372036854775807"}) {
    const std::string got = answer(R"({"type":"state:set","key":"w","value":1,"expires":)" + std::string(far) + "}");
    EXPECT_NE(got.find("can't expire after"), std::string::npos) << far << ": " << got;
  }
}

TEST_F(Service, IncrAndCompareAndSet) {
  EXPECT_EQ(answer(R"({"type":"state:incr","key":"n"})"), R"({"key":"n","value":1})");
  EXPECT_EQ(answer(R"({"type":"state:incr","data":{"key":"n","by":-4}})"), R"({"key":"n","value":-3})");
  EXPECT_NE(answer(R"({"type":"state:incr","key":"n","by":"2"})").find("error: "), std::string::npos);
  EXPECT_EQ(answer(R"({"type":"state:cas","key":"n","expected":1,"value":2})"), R"({"success":false,"value":-3})");
  EXPECT_EQ(answer(R"({"type":"state:cas","key":"n","value":2})"), R"({"success":false,"value":-3})") << "it was to have none";
  EXPECT_EQ(answer(R"({"type":"state:cas","key":"n","expected":-3,"value":2})"), R"({"success":true,"value":2})");
  EXPECT_EQ(answer(R"({"type":"state:cas","key":"n","expected":2})"), R"({"success":true})") << "removed";
  EXPECT_EQ(answer(R"({"type":"state:cas","key":"n","expected":null,"value":1})"), R"({"success":false})") << "null is a value";
  EXPECT_EQ(answer(R"({"type":"state:cas","key":"n","value":1})"), R"({"success":true,"value":1})");
}

TEST_F(Service, WhatIsMissingOrWrong_IsSaid) {
  const auto says = [this](std::string_view line, std::string_view words) {
    const std::string got = answer(line);
    EXPECT_TRUE(got.starts_with("error: ")) << got;
    EXPECT_NE(got.find(words), std::string::npos) << line << ": " << got;
    EXPECT_LT(got.size(), 500U);
  };
  for (const char* type : {"get", "set", "delete", "incr", "cas"}) {
    const std::string begin = R"({"type":"state:)" + std::string(type) + "\"";
    says(begin + "}", "state:" + std::string(type) + ": there is no \"key\"");
    says(begin + R"(,"data":"a"})", "there is no \"key\"");
    for (const char* key : {"7", "null", "{}", "[\"a\"]", "true"}) says(begin + R"(,"key":)" + key + "}", "\"key\" is not a string");
    says(begin + R"(,"key":"","value":1})", "empty");
    says(begin + R"(,"key":"a\nb","value":1})", "control character");
    says(begin + R"(,"key":")" + std::string(1 << 20, 'k') + R"(","value":1})", "1048576 bytes; the limit is 256");
  }
  says(R"({"type":"state:set","key":"a"})", "there is no \"value\" for \"a\"");
  says(R"({"type":"state:all","prefix":1})", "\"prefix\" is not a string");
  says(R"({"type":"state:all","after":{}})", "\"after\" is not a string");
  says(R"({"type":"state:subscribe","prefix":[]})", "\"prefix\" is not a string");
  says(R"({"type":"state:subscribe","prefix":")" + std::string(1000, 'p') + "\"}", "longer than any key");
  says(R"({"type":"state:gte","key":"a"})", "did you mean \"state:get\"");
  says(R"({"type":"state:"})", "state:unsubscribe");
  says(R"({"type":"state:)" + std::string(100'000, 'x') + "\"}", "there is no request");
  says(R"({"type":"state:set","key":"a","value":")" + std::string(65'535, 'x') + "\"}", "state = { value");
  EXPECT_TRUE(syncs.empty());
}

TEST_F(Service, Asks_WhatCannotDoWithoutAnAnswer) {
  for (const char* type : {"state:get", "state:all", "state:incr", "state:cas"}) EXPECT_TRUE(StateService::asks(type)) << type;
  for (const char* type : {"state:set", "state:delete", "state:subscribe", "state:unsubscribe", "state:nonsense", ""}) {
    EXPECT_FALSE(StateService::asks(type)) << type;
    EXPECT_FALSE(StateService::only_asks(type)) << type;
  }
  for (const char* type : {"state:get", "state:all"}) EXPECT_TRUE(StateService::only_asks(type)) << type;
  for (const char* type : {"state:incr", "state:cas"}) EXPECT_FALSE(StateService::only_asks(type)) << type;
}

TEST_F(Service, All_ComesInPortionsThatFitALine) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(service.store().set("key" + std::to_string(10 + i), json::value(json::string(30'000, '"')), {}, now)) << "60,002 bytes as JSON text";
  }
  ASSERT_TRUE(service.store().set("other", 1, {}, now));
  std::string after;
  std::size_t seen = 0;
  int portions = 0;
  while (true) {
    const auto result = ask(1, R"({"type":"state:all","prefix":"key","after":")" + after + "\"}");
    ASSERT_TRUE(result);
    ++portions;
    EXPECT_LE(json::serialize(*result).size(), StateService::kAllBytes + 64);
    for (const auto& each : result->at("values").as_object()) {
      EXPECT_GT(std::string(each.key()), after);
      after = std::string(each.key());
      ++seen;
    }
    if (!result->at("more").as_bool()) {
      EXPECT_FALSE(result->as_object().contains("after"));
      break;
    }
    ASSERT_EQ(result->at("after"), json::value(json::string(after)));
    ASSERT_LT(portions, 50);
  }
  EXPECT_EQ(seen, 20U);
  EXPECT_EQ(portions, 5);
}

class TightService : public Service {
 protected:
  TightService() : Service({.keys = 2}) {}
};

TEST_F(TightService, Limits_AreToldToTheSender) {
  answer(R"({"type":"state:set","key":"a","value":1})");
  answer(R"({"type":"state:set","key":"b","value":1})");
  EXPECT_EQ(answer(R"({"type":"state:set","key":"c","value":1})"),
            "error: state key \"c\" is not kept: the pool has 2 keys; the limit is 2: delete some, let them expire, or raise state = { keys = … } of "
            "the pool");
}

TEST(ServiceAlone, WithoutHooks_NobodyIsTold) {
  StateService silent(make_memory_store({}), {});
  const base::TimePoint now{};
  ASSERT_TRUE(silent.handle(1, *parse_message(R"({"type":"state:subscribe"})"), now));
  EXPECT_TRUE(silent.store().set("a", 1, {}, now));
}

}  // namespace
}  // namespace drover::ipc
