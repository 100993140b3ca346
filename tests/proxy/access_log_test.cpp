#include "proxy/access_log.hpp"

#include "proxy/trace_context.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include <algorithm>
#include <string>

namespace drover::proxy {
namespace {

namespace json = boost::json;
using config::AccessFormat;

constexpr std::uint64_t kMoment = 1'788'000'000'123'456;  // 2026-08-29T10:40:00.123456Z

AccessRecord sample() {
  AccessRecord record;
  record.unix_us = kMoment;
  record.id = "0123456789abcdef0123456789abcdef";
  record.client = "192.0.2.7";
  record.listener = "web";
  record.method = "GET";
  record.target = "/cart?item=7";
  record.origin = record.target;
  record.host = "shop.example";
  record.protocol = "HTTP/1.1";
  record.status = 200;
  record.sent = 1234;
  record.received = 5;
  record.queue_us = 1;
  record.connect_us = 20;
  record.worker_us = 12'345;
  record.total_us = 1'234'567;
  record.pool = "shop";
  record.slot = 3;
  record.incarnation = 2;
  record.retries = 1;
  record.user_agent = "curl/8";
  return record;
}

std::string line(AccessFormat format, const AccessRecord& record) { return std::string(AccessFormatter(format).line(record)); }

json::object object(const AccessRecord& record) {
  const std::string text = line(AccessFormat::json, record);
  EXPECT_TRUE(text.ends_with("}\n"));
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  EXPECT_LE(text.size(), AccessFormatter::kMaxLine);
  boost::system::error_code error;
  const json::value value = json::parse(text, error);
  EXPECT_FALSE(error) << text;
  return error ? json::object() : value.as_object();
}

/// Every byte there is.
std::string all_bytes() {
  std::string bytes;
  for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
  return bytes;
}

TEST(AccessJson, SaysAllThatIsKnown) {
  EXPECT_EQ(line(AccessFormat::json, sample()),
            R"({"time":"2026-08-29T10:40:00.123Z","id":"0123456789abcdef0123456789abcdef","client":"192.0.2.7","listener":"web",)"
            R"("method":"GET","host":"shop.example","path":"/cart","query":"item=7","protocol":"HTTP/1.1","status":200,"bytes":1234,"received":5,)"
            R"("queue_ms":0.001,"connect_ms":0.020,"worker_ms":12.345,"total_ms":1234.567,"pool":"shop","worker":3,"incarnation":2,"retries":1,)"
            R"("end":"complete","tls":null,"user_agent":"curl/8","referer":null,"trace_id":null,"parent_id":null})"
            "\n");
}

TEST(AccessJson, WhatIsNotKnownIsNull) {
  AccessRecord record;
  record.target = "garbage";
  record.status = 400;
  const json::object got = object(record);
  for (const char* key : {"id", "method", "host", "query", "protocol", "worker_ms", "pool", "worker", "incarnation", "user_agent", "trace_id"}) {
    EXPECT_TRUE(got.at(key).is_null()) << key;
  }
  EXPECT_EQ(got.at("path"), "garbage");
  EXPECT_EQ(got.at("client"), "unix:");
}

TEST(AccessJson, AnEmptyQueryIsNotNone) {
  AccessRecord record = sample();
  record.origin = record.target = "/a?";
  EXPECT_EQ(object(record).at("query"), "");
}

TEST(AccessJson, OfAnAbsoluteTargetThePathIsTold) {
  AccessRecord record = sample();
  record.target = "http://shop.example/a?b";
  record.origin = "/a?b";
  EXPECT_EQ(object(record).at("path"), "/a");
}

TEST(AccessJson, OfATargetWithoutAPathTheOneThatIsForwardedIsTold) {
  AccessRecord record = sample();
  record.target = "http://shop.example?a=b";
  record.origin = "?a=b";
  EXPECT_EQ(object(record).at("path"), "/");
  EXPECT_EQ(object(record).at("query"), "a=b");
}

TEST(AccessJson, IsValidWhateverTheClientSent) {
  const std::string bytes = all_bytes();
  AccessRecord record = sample();
  record.method = record.target = record.origin = record.host = record.user_agent = record.referer = bytes;
  record.protocol = bytes;
  const json::object got = object(record);
  EXPECT_NE(std::string(got.at("user_agent").as_string()).find("\"#$"), std::string::npos);
}

TEST(AccessJson, KeepsUtf8AndMarksWhatIsNone) {
  AccessRecord record = sample();
  record.user_agent = "caf\xc3\xa9 \xff \xe2\x82 \x1b[31m \xc2\x9b";
  const std::string text = line(AccessFormat::json, record);
  EXPECT_NE(text.find("caf\xc3\xa9 \\ufffd \\ufffd\\ufffd \\u001B[31m \\u009B"), std::string::npos) << text;
}

TEST(AccessLine, IsNeverLongerThanAPipeTakesWhole) {
  for (const char filler : {'a', '"', '\x01', '\xff'}) {
    const std::string huge(100'000, filler);
    AccessRecord record = sample();
    record.id = record.client = record.listener = record.method = record.target = record.host = record.protocol = record.pool = huge;
    record.user_agent = record.referer = record.trace_id = record.parent_id = huge;
    const std::string query = huge.substr(0, 50'000) + "?" + huge;
    record.origin = query;
    record.status = UINT32_MAX;
    record.sent = record.received = record.queue_us = record.connect_us = record.total_us = UINT64_MAX;
    record.worker_us = UINT64_MAX;
    record.slot = record.incarnation = record.retries = UINT32_MAX;
    record.end = AccessEnd::client_gone;
    for (const AccessFormat format : {AccessFormat::json, AccessFormat::common, AccessFormat::combined}) {
      const std::string text = line(format, record);
      EXPECT_LE(text.size(), AccessFormatter::kMaxLine);
      EXPECT_EQ(std::ranges::count(text, '\n'), 1);
      EXPECT_TRUE(text.ends_with(format == AccessFormat::json     ? R"("parent_id":")" + std::string() + text.substr(text.rfind(":\"") + 2)
                                 : format == AccessFormat::common ? " 4294967295 18446744073709551615\n"
                                                                  : "...\"\n"))
          << text.substr(text.size() - 100);
    }
    record.id = "i";  // the longest that may come, with every field cut
    object(record);
  }
}

TEST(AccessLine, WhatIsCutSaysSo) {
  AccessRecord record = sample();
  const std::string path = "/" + std::string(5000, 'p');
  record.target = record.origin = path;
  const std::string told(object(record).at("path").as_string());
  EXPECT_EQ(told, path.substr(0, 1000) + "...");
}

TEST(AccessCommon, HasTheFormThatEveryReaderKnows) {
  EXPECT_EQ(line(AccessFormat::common, sample()), "192.0.2.7 - - [29/Aug/2026:10:40:00 +0000] \"GET /cart?item=7 HTTP/1.1\" 200 1234\n");
  AccessRecord record = sample();
  record.referer = "http://a/";
  EXPECT_EQ(line(AccessFormat::combined, record),
            "192.0.2.7 - - [29/Aug/2026:10:40:00 +0000] \"GET /cart?item=7 HTTP/1.1\" 200 1234 \"http://a/\" \"curl/8\"\n");
  record.referer = record.user_agent = "";
  EXPECT_TRUE(line(AccessFormat::combined, record).ends_with(" 200 1234 \"-\" \"-\"\n"));
}

TEST(AccessCommon, AnAnswerWithoutABodyHasADash) {
  AccessRecord record = sample();
  record.sent = 0;
  EXPECT_TRUE(line(AccessFormat::common, record).ends_with("\" 200 -\n"));
  EXPECT_TRUE(line(AccessFormat::combined, record).ends_with("\" 200 - \"-\" \"curl/8\"\n"));
  EXPECT_EQ(object(record).at("bytes"), 0);
}

TEST(AccessCommon, NothingInAFieldCanEndIt) {
  AccessRecord record = sample();
  record.user_agent = "x\" 200 5\n1.2.3.4 - - \\ \x1b[2J \xff\x7f";
  EXPECT_TRUE(line(AccessFormat::combined, record).ends_with("\"x\\x22 200 5\\x0A1.2.3.4 - - \\x5C \\x1B[2J \\xFF\\x7F\"\n"));
  const std::string bytes = all_bytes();
  record.target = bytes;
  const std::string text = line(AccessFormat::common, record);
  EXPECT_TRUE(std::ranges::all_of(text.substr(0, text.size() - 1), [](char c) { return c >= ' ' && c <= '~'; })) << text;
  EXPECT_EQ(std::ranges::count(text, '"'), 2);
}

TEST(AccessLine, ANewSecondIsWrittenAnew) {
  AccessFormatter formatter(AccessFormat::json);
  AccessRecord record = sample();
  const std::string first(formatter.line(record));
  record.unix_us += 1'000'000;
  EXPECT_NE(formatter.line(record).find("10:40:01.123Z"), std::string_view::npos);
  record.unix_us -= 1'000'000;
  EXPECT_EQ(formatter.line(record), first);
}

TEST(RequestLineParts, AreThreeOrNone) {
  const RequestLine good = split_request_line("GET /a HTTP/1.1\r\nHost: b\r\n");
  EXPECT_EQ(good.method, "GET");
  EXPECT_EQ(good.target, "/a");
  EXPECT_EQ(good.protocol, "HTTP/1.1");
  for (const std::string_view odd : {"", "GET", "GET /a", " GET /a", "GET  /a", "GET /a b HTTP/1.1", "GET /a ", "\x16\x03\x01"}) {
    const RequestLine parts = split_request_line(odd);
    EXPECT_EQ(parts.method, "") << odd;
    EXPECT_EQ(parts.target, odd);
    EXPECT_EQ(parts.protocol, "") << odd;
  }
  EXPECT_EQ(split_request_line("GET\nHost: b").target, "GET");
}

TEST(TraceParentField, IsReadWhereItIsValid) {
  constexpr std::string_view kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const auto good = read_traceparent(kGood);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(good->parent_id, "00f067aa0ba902b7");
  EXPECT_TRUE(read_traceparent("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
  EXPECT_TRUE(read_traceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
}

TEST(TraceParentField, IsIgnoredWhereItIsNot) {
  for (const std::string_view bad : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
           "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
           "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
       }) {
    EXPECT_FALSE(read_traceparent(bad)) << bad;
  }
}

}  // namespace
}  // namespace drover::proxy
