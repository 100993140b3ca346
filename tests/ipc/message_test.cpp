// What a worker's line is taken for, whom it is for, and the lines that drover writes.
#include "ipc/message.hpp"
#include "base/rng.hpp"
#include "ipc/json_reader.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>

namespace drover::ipc {
namespace {

namespace json = boost::json;
using Whom = Addressee::Whom;

MessageKind kind(std::string_view line) {
  const auto message = parse_message(line);
  EXPECT_TRUE(message) << line;
  return message ? message->kind : MessageKind::user;
}

Addressee addressee(std::string_view target) {
  const json::value message = json::parse(R"({"type":"chat","target":)" + std::string(target) + "}");
  return addressee_of(message.as_object());
}

json::object object(std::string_view text) { return json::parse({text.data(), text.size()}).as_object(); }

/// A line as its reader sees it.
json::object read(const std::string& line) {
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  return object(line);
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

const Origin kOrigin{4711, "shop.3"};

TEST(Message, Kind_IsToldByCmdTypeAndTarget) {
  EXPECT_EQ(kind(R"({"cmd":"NODE_CLUSTER","act":"online","seq":0})"), MessageKind::node);
  EXPECT_EQ(kind(R"({"cmd":"NODE_HANDLE_ACK","type":"state:get"})"), MessageKind::node);
  EXPECT_EQ(kind(R"({"cmd":"node_x"})"), MessageKind::user);
  EXPECT_EQ(kind(R"({"data":{"cmd":"NODE_CLUSTER"}})"), MessageKind::user) << "not at the top";
  EXPECT_EQ(kind(R"({"cmd":["NODE_CLUSTER"]})"), MessageKind::user);
  EXPECT_EQ(kind(R"({"type":"state:get","key":"a"})"), MessageKind::state);
  EXPECT_EQ(kind(R"({"type":"state:nonsense"})"), MessageKind::state);
  EXPECT_EQ(kind(R"({"type":"State:get"})"), MessageKind::user);
  EXPECT_EQ(kind(R"({"type":"response","originalId":"d:1"})"), MessageKind::response);
  EXPECT_EQ(kind(R"({"type":7})"), MessageKind::user);
  EXPECT_EQ(kind(R"({})"), MessageKind::user);
  for (const char* any : {"null", "true", "7", "[1,2]", R"("hello")", R"("")"}) EXPECT_EQ(kind(any), MessageKind::user) << any;
}

TEST(Message, Report_IsOneOnlyIfItIsForNobodyElse) {
  for (const char* type : {"request", "stats", "error", "health", "metrics", "ready"}) {
    const std::string begin = R"({"type":")" + std::string(type) + "\"";
    EXPECT_EQ(kind(begin + "}"), MessageKind::report) << type;
    EXPECT_EQ(kind(begin + R"(,"target":null,"broadcast":false})"), MessageKind::report) << type;
    EXPECT_EQ(kind(begin + R"(,"target":2})"), MessageKind::user) << type;
    EXPECT_EQ(kind(begin + R"(,"target":{}})"), MessageKind::user) << type;
    EXPECT_EQ(kind(begin + R"(,"broadcast":true})"), MessageKind::user) << type;
  }
  const auto ready = parse_message(R"("ready")");
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->kind, MessageKind::report);
  EXPECT_EQ(ready->type(), "ready");
}

TEST(Message, Member_AtTheTopGoesBeforeTheOneInData) {
  const auto message = parse_message(R"({"type":"state:set","value":null,"data":{"key":"inner","value":1,"only":2}})");
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type(), "state:set");
  ASSERT_NE(message->member("value"), nullptr);
  EXPECT_TRUE(message->member("value")->is_null());
  ASSERT_NE(message->member("key"), nullptr);
  EXPECT_EQ(*message->member("key"), "inner");
  EXPECT_EQ(*message->member("only"), 2);
  EXPECT_EQ(message->member("nowhere"), nullptr);
  for (const char* other : {R"({"data":7})", R"({"data":["key"]})", R"({"data":null})", "[]", R"("ready")", "{}"}) {
    const auto without = parse_message(other);
    ASSERT_TRUE(without) << other;
    EXPECT_EQ(without->member("key"), nullptr) << other;
  }
  EXPECT_EQ(parse_message("[]")->type(), "");
  EXPECT_EQ(parse_message(R"("other")")->type(), "");
}

TEST(Message, BadLine_IsRefusedAndTheMessageSaysWhere) {
  const auto where = [](const std::string& line) {
    const auto message = parse_message(line);
    EXPECT_FALSE(message) << line;
    if (message) return std::string();
    const std::string& text = message.error().message;
    const std::size_t at = text.find(" at byte ");
    EXPECT_NE(at, std::string::npos) << text;
    return text.substr(at + 9);
  };
  EXPECT_EQ(where("garbage"), "1 of 7");
  EXPECT_EQ(where(R"({"a":1,})"), "8 of 8");
  EXPECT_EQ(where(R"({"a":1)"), "6 of 6");
  EXPECT_EQ(where(R"({"a":1} x)"), "9 of 9");
  EXPECT_EQ(where(R"({"a":1}{"b":2})"), "8 of 14");
  EXPECT_EQ(where("12 13"), "4 of 5");
  EXPECT_EQ(where("   "), "3 of 3");
  EXPECT_EQ(where("\"a\tb\""), "3 of 5");
  EXPECT_EQ(where("[" + std::string(10'000, ' ') + "x]"), "10002 of 10003");
  EXPECT_EQ(where(std::string("\"a\xff\"")), "3 of 4") << "not UTF-8";
  EXPECT_EQ(where("NaN"), "1 of 3");
  EXPECT_EQ(where("'a'"), "1 of 3");
  EXPECT_FALSE(parse_message(R"("\ud800")")) << "half of a surrogate pair is no text";
  EXPECT_FALSE(parse_message(R"("\ud800A")"));
  EXPECT_FALSE(parse_message(""));
  EXPECT_FALSE(parse_message(std::string(1, '\0')));
}

TEST(Message, Nesting_IsBounded) {
  EXPECT_TRUE(parse_message(nested(kMaxJsonDepth)));
  const auto deeper = parse_message(nested(kMaxJsonDepth + 1));
  ASSERT_FALSE(deeper);
  EXPECT_EQ(deeper.error().message, "not JSON: too deep at byte 33 of 66");
  EXPECT_FALSE(parse_message(std::string(1'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
  EXPECT_FALSE(parse_message(objects));
}

TEST(Message, ManySmallValues_AreBounded) {
  const auto line = [](std::size_t count, const std::string& each) {
    std::string text = "[" + each;
    for (std::size_t i = 1; i < count; ++i) text += "," + each;
    return text + "]";
  };
  EXPECT_TRUE(parse_message(line(kMostJsonValues - 1, "1"))) << "and the array itself";
  for (const char* each : {"1", "0.5", "-1", "18446744073709551615", "[]", "{}", "null", "true", "\"\""}) {
    const auto many = parse_message(line(kMostJsonValues, each));
    ASSERT_FALSE(many) << each;
    EXPECT_EQ(many.error().code, E2BIG);
    EXPECT_NE(many.error().message.find("more than 16384 values"), std::string::npos) << many.error().message;
  }
}

TEST(Message, StrangeButValid_IsOneLineAgain) {
  for (const char* line :
       {R"({"type":"chat","n":1e308,"m":1e-400,"k":-0.0})", R"({"type":"chat","n":123456789012345678901234567890})",
        R"({"type":"a","type":"b","id":1,"id":2})", R"({"__proto__":{"polluted":true},"constructor":1})",
        R"({"type":"chat","text":"line\nbreak\u0000 \ud83d\ude00 \u2028"})", R"({"":{"":[]}})", R"({"timestamp":"x","from":{},"worker":[]})"}) {
    const auto message = parse_message(line);
    ASSERT_TRUE(message) << line;
    const json::object forwarded = read(forwarded_line(*message->object(), kOrigin, {}));
    EXPECT_EQ(forwarded.at("from"), 4711);
    EXPECT_EQ(forwarded.at("worker"), "shop.3");
    EXPECT_TRUE(forwarded.at("timestamp").is_int64());
  }
  EXPECT_EQ(parse_message(R"({"type":"a","type":"b"})")->type(), "b") << "as JSON.parse has it";
}

TEST(Message, InfiniteNumber_IsNeverWritten) {
  for (const char* line : {"1e400", R"({"type":"chat","data":{"n":[1,-1e999]}})", R"({"n":1e309})"}) {
    const auto message = parse_message(line);
    ASSERT_FALSE(message) << line;
    EXPECT_EQ(message.error().code, ERANGE);
  }
  const json::value data{{"n", json::parse("1e400")}, {"m", {1, json::parse("-1e400")}}};
  EXPECT_EQ(json::serialize(read(message_line("chat", data, kOrigin)).at("data")), R"({"n":null,"m":[1,null]})");
  EXPECT_EQ(json::serialize(read(response_line(1, data, kOrigin)).at("data")), R"({"n":null,"m":[1,null]})");
}

TEST(Message, Numbers_ArePassedOnExactly) {
  base::Rng rng(3);
  for (int i = 0; i < 20'000; ++i) {
    const double number = rng.unit() * 1000;
    std::array<char, 40> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    for (const std::string& line : {std::string(text.data(), end), "[" + std::string(text.data(), end) + "]"}) {
      const auto message = parse_message(line);
      ASSERT_TRUE(message) << line;
      const json::value& read = message->value.is_array() ? message->value.get_array()[0] : message->value;
      ASSERT_TRUE(read.is_double()) << line;
      ASSERT_EQ(read.get_double(), number) << line;
    }
  }
  for (const char* whole : {"9007199254740993", "-9223372036854775808", "18446744073709551615"}) {
    EXPECT_EQ(json::serialize(parse_message(whole)->value), whole);
  }
  EXPECT_EQ(parse_message("1e+2")->value, 100.0);
  EXPECT_EQ(parse_message("2.5E-1")->value, 0.25);
  EXPECT_EQ(parse_message("1e-400")->value, 0.0);
}

TEST(Message, Target_NamesAWorkerOrAPool) {
  const auto worker = [](const char* target, const char* pool, std::uint32_t slot) {
    const Addressee to = addressee(target);
    EXPECT_EQ(to.whom, Whom::worker) << target;
    EXPECT_EQ(to.pool, pool) << target;
    EXPECT_EQ(to.slot, slot) << target;
  };
  worker("3", "", 3);
  worker("3.0", "", 3);
  worker("\"3\"", "", 3);
  worker("\"shop.3\"", "shop", 3);
  worker("\"shop_a-b.4294967295\"", "shop_a-b", 4'294'967'295);
  const Addressee pool = addressee("\"shop\"");
  EXPECT_EQ(pool.whom, Whom::pool);
  EXPECT_EQ(pool.pool, "shop");
  EXPECT_EQ(pool.text, "shop");
}

TEST(Message, TargetOfNoKnownForm_IsToldAsSuch) {
  for (const char* target : {"0", "-1", "1.5", "1e999", "4294967296", "18446744073709551615", "\"\"", "\"shop.\"", "\"shop.0\"", "\"shop.x\"",
                             "\"shop.03\"", "\"shop.3.4\"", "\".3\"", "\".\"", "\"shop.99999999999\"", "true", "{}", "[3]"}) {
    EXPECT_EQ(addressee(target).whom, Whom::unknown) << target;
  }
  EXPECT_EQ(addressee("\"a\\nb.x\"").text, "a\\x0ab.x");
  const Addressee huge = addressee("\"" + std::string(100'000, 'a') + "\"");
  EXPECT_EQ(huge.whom, Whom::unknown);
  EXPECT_LT(huge.text.size(), 200U);
}

TEST(Message, WithoutTarget_BroadcastIsForTheSendersPool) {
  EXPECT_EQ(addressee_of(object(R"({"type":"a"})")).whom, Whom::nobody);
  EXPECT_EQ(addressee_of(object(R"({"target":null})")).whom, Whom::nobody);
  EXPECT_EQ(addressee_of(object(R"({"broadcast":false})")).whom, Whom::nobody);
  EXPECT_EQ(addressee_of(object(R"({"broadcast":"true"})")).whom, Whom::nobody);
  const Addressee all = addressee_of(object(R"({"broadcast":true})"));
  EXPECT_EQ(all.whom, Whom::pool);
  EXPECT_EQ(all.pool, "");
  EXPECT_EQ(addressee_of(object(R"({"broadcast":true,"target":2})")).whom, Whom::worker);
}

TEST(Message, Id_IsAStringOfBoundedLengthOrANumber) {
  const auto id = [](std::string_view text) { return id_of(object(R"({"id":)" + std::string(text) + "}")) != nullptr; };
  EXPECT_TRUE(id("7"));
  EXPECT_TRUE(id("1.5"));
  EXPECT_TRUE(id("\"\""));
  EXPECT_TRUE(id("\"" + std::string(kMaxId, 'a') + "\""));
  EXPECT_FALSE(id("\"" + std::string(kMaxId + 1, 'a') + "\""));
  EXPECT_FALSE(id("\"" + std::string(300, 'a') + "\""));
  for (const char* other : {"{}", "[1]", "null", "true"}) EXPECT_FALSE(id(other)) << other;
  EXPECT_EQ(id_of(object("{}")), nullptr);
}

TEST(Message, Forwarded_SaysWhoSentItWhateverTheSenderWrote) {
  const json::object sent =
      object(R"({"id":"mine","type":"chat","data":{"x":[1,null]},"from":1,"worker":"other.1","timestamp":5,"extra":{"y":true}})");
  const std::int64_t before = now_ms();
  const json::object got = read(forwarded_line(sent, kOrigin, "d:9"));
  EXPECT_EQ(got.at("id"), "d:9");
  EXPECT_EQ(got.at("type"), "chat");
  EXPECT_EQ(got.at("data"), sent.at("data"));
  EXPECT_EQ(got.at("extra"), sent.at("extra"));
  EXPECT_EQ(got.at("from"), 4711);
  EXPECT_EQ(got.at("worker"), "shop.3");
  EXPECT_GE(got.at("timestamp").as_int64(), before);
  EXPECT_LE(got.at("timestamp").as_int64(), now_ms());
  EXPECT_EQ(read(forwarded_line(sent, kOrigin, {})).at("id"), "mine");
  EXPECT_FALSE(read(forwarded_line(sent, Origin{1, ""}, {})).contains("worker")) << "the operator is no worker";
}

TEST(Message, Lines_HaveTheShapesThatWorkersExpect) {
  const json::object message = read(message_line("state:sync", {{"key", "a\nb"}}, Origin{1, ""}));
  EXPECT_EQ(message.at("type"), "state:sync");
  EXPECT_EQ(message.at("data").at("key"), "a\nb");
  EXPECT_EQ(message.at("from"), 1);
  EXPECT_FALSE(message.contains("id"));
  EXPECT_EQ(read(message_line("chat", 1, kOrigin, "d:1")).at("id"), "d:1");

  const json::object response = read(response_line(12, {{"success", true}}, kOrigin));
  EXPECT_EQ(response.at("type"), "response");
  EXPECT_EQ(response.at("originalId"), 12);
  EXPECT_EQ(response.at("data").at("success"), true);
  EXPECT_TRUE(response.at("error").is_null());
  EXPECT_EQ(response.at("worker"), "shop.3");
  EXPECT_TRUE(response.at("timestamp").is_int64());

  const json::object error = read(error_line("x", "no worker \xff\n", kOrigin));
  EXPECT_EQ(error.at("originalId"), "x");
  EXPECT_TRUE(error.at("data").is_null());
  EXPECT_EQ(error.at("error").at("message"), "no worker \\xff\\x0a");
}

}  // namespace
}  // namespace drover::ipc
