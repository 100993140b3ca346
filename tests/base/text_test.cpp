#include "base/text.hpp"

#include <gtest/gtest.h>

#include <array>

namespace drover::base {
namespace {

using namespace std::chrono_literals;

TEST(Text, DurationsForPeople) {
  EXPECT_EQ(to_text(Millis(0)), "0ms");
  EXPECT_EQ(to_text(250ms), "250ms");
  EXPECT_EQ(to_text(Millis(1s)), "1s");
  EXPECT_EQ(to_text(1500ms), "1.5s");
  EXPECT_EQ(to_text(Millis(10min)), "10m");
  EXPECT_EQ(to_text(Millis(36h)), "36h");
}

TEST(Text, BytesForPeople) {
  EXPECT_EQ(to_text(Bytes{0}), "0B");
  EXPECT_EQ(to_text(Bytes{12}), "12B");
  EXPECT_EQ(to_text(Bytes{1024}), "1KiB");
  EXPECT_EQ(to_text(Bytes{400ULL << 20}), "400MiB");
  EXPECT_EQ(to_text(Bytes{3ULL << 29}), "1.5GiB");
  EXPECT_EQ(to_text(Bytes{5000ULL << 40}), "5000TiB");
}

TEST(Text, CaseIsThatOfAsciiLettersAlone) {
  EXPECT_TRUE(equal_ignoring_case("X-Forwarded-FOR", "x-forwarded-for"));
  EXPECT_TRUE(equal_ignoring_case("", ""));
  EXPECT_FALSE(equal_ignoring_case("ab", "abc"));
  EXPECT_FALSE(equal_ignoring_case("x[", "x{")) << "0x20 apart, and no letters";
  EXPECT_FALSE(equal_ignoring_case("\xc3\x84", "\xc3\xa4")) << "not ASCII";
  EXPECT_EQ(lowered("Az[\xc3\x84"), "az[\xc3\x84");
}

TEST(Text, NearestIsALikelySlipOrNothing) {
  constexpr std::array<std::string_view, 4> known{"workers", "strategy", "command", "round-robin"};
  EXPECT_EQ(nearest("worker", known), "workers");
  EXPECT_EQ(nearest("stratgey", known), "strategy");
  EXPECT_EQ(nearest("round-robbin", known), "round-robin");
  EXPECT_EQ(nearest("comand", known), "command");
  EXPECT_EQ(nearest("colour", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(Text, PrintableKeepsTextAndEscapesTheRest) {
  EXPECT_EQ(printable("plain text"), "plain text");
  EXPECT_EQ(printable("Grüße, 世界 🐕"), "Grüße, 世界 🐕");
  EXPECT_EQ(printable("a\tb"), "a\tb");
  EXPECT_EQ(printable("two\nlines\r"), "two\\x0alines\\x0d");
  EXPECT_EQ(printable("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("cut \xe4\xb8"), "cut \\xe4\\xb8") << "a sequence that ends too early";
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "an overlong slash";
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\xc2\\x9b"
            "2J")
      << "a C1 control";
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
}

TEST(Text, PrintableIsBounded) {
  EXPECT_EQ(printable(std::string(20, 'x'), 5), "xxxxx…");
  EXPECT_EQ(printable("xxxxx", 5), "xxxxx");
  EXPECT_LE(printable(std::string(1 << 20, '\x01')).size(), 4 * 1024 + 3U);
}

TEST(Text, VersionIsThisBuilds) { EXPECT_FALSE(version().empty()); }

}  // namespace
}  // namespace drover::base
