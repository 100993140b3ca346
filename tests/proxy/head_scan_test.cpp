#include "proxy/head_scan.hpp"

#include <gtest/gtest.h>

#include <string>

namespace drover::proxy {
namespace {

constexpr std::string_view kHead = "GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";

TEST(HeadScan, FindsTheEndHoweverTheBytesArrive) {
  const std::string bytes = std::string(kHead) + "body";
  for (std::size_t first = 0; first <= kHead.size(); ++first) {
    for (std::size_t second = first; second <= kHead.size(); ++second) {
      HeadScan scan;
      auto state = scan.feed(std::string_view(bytes).substr(0, first));
      if (state == HeadScan::State::incomplete) state = scan.feed(std::string_view(bytes).substr(0, second));
      if (state == HeadScan::State::incomplete) state = scan.feed(bytes);
      ASSERT_EQ(state, HeadScan::State::complete) << first << ' ' << second;
      ASSERT_EQ(scan.length(), kHead.size());
    }
  }
}

TEST(HeadScan, RefusesAWrongByteBeforeTheHeadIsWhole) {
  for (const std::string_view bytes : {"GET / HTTP/1.1\nHost", "GET / HTTP/1.1\rHost", "GET /\x01 ", "GET / HTTP/1.1\r\nA: b\x7f"}) {
    HeadScan scan;
    EXPECT_EQ(scan.feed(bytes), HeadScan::State::bad_byte) << bytes;
  }
  HeadScan scan;
  EXPECT_EQ(scan.feed(std::string_view("GET / HTTP/1.1\r\nA: \0b", 21)), HeadScan::State::bad_byte);
}

TEST(HeadScan, DoesNotJudgeACarriageReturnBeforeItsSuccessorIsThere) {
  HeadScan scan;
  EXPECT_EQ(scan.feed("GET / HTTP/1.1\r"), HeadScan::State::incomplete);
  EXPECT_FALSE(scan.first_line_done());
  EXPECT_EQ(scan.feed("GET / HTTP/1.1\r\n"), HeadScan::State::incomplete);
  EXPECT_TRUE(scan.first_line_done());
}

}  // namespace
}  // namespace drover::proxy
