// JSON as drover writes it.
#include "admin/json_text.hpp"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <limits>

namespace drover::admin {
namespace {

namespace json = boost::json;

TEST(JsonText, WritesFiguresInPlainDecimals) {
  EXPECT_EQ(json_text(0.3), "0.3");
  EXPECT_EQ(json_text(12.346), "12.346");
  EXPECT_EQ(json_text(1'700'000'000.25), "1700000000.25");
  EXPECT_EQ(json_text(-0.001), "-0.001");
  EXPECT_EQ(json_text(0.253174701), "0.253175");
  EXPECT_EQ(json_text(1'795'352'619.5382974), "1795352619.538298");
  EXPECT_EQ(json_text(1e-9), "0.0");
  EXPECT_EQ(json_text(2.0), "2.0");
  EXPECT_EQ(json_text(1e21), "1000000000000000000000.0");
  EXPECT_EQ(json_text(std::numeric_limits<double>::infinity()), "0.0");
  EXPECT_EQ(json_text(std::uint64_t{18446744073709551615U}), "18446744073709551615");
  EXPECT_EQ(json_text(-7), "-7");
}

TEST(JsonText, IsReadBackAsItWas) {
  const json::value all{{"a", {1, -2, 0.5, true, nullptr, "x\"\\\n\t\x01"}}, {"", json::object{}}, {"c", json::array{}}, {"é", "日本"}};
  EXPECT_EQ(json::parse(json_text(all)), all) << json_text(all);
  EXPECT_EQ(json_text(json::value{{"a", {1, 2}}, {"b", "c"}}), R"({"a":[1,2],"b":"c"})");
}

TEST(JsonText, HasNoControlByteAndNothingButUtf8) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = json_text(json::string(std::string(1, static_cast<char>(byte))));
    EXPECT_NO_THROW(json::parse(text)) << byte;
    for (const char each : text) EXPECT_TRUE(each >= 0x20 && each < 0x7F) << byte;
  }
}

}  // namespace
}  // namespace drover::admin
