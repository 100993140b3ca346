#include "balancer/sticky.hpp"

#include <gtest/gtest.h>

namespace drover::balancer {
namespace {

using namespace std::chrono_literals;
constexpr std::string_view kKey = "a secret of some length";

TEST(StickyCookie, WhatWasWrittenIsRead) {
  for (const auto& [slot, session] : {std::pair{1U, 0x1ULL}, std::pair{500U, ~0ULL}, std::pair{~0U, 0xabcdefULL}}) {
    const std::string value = sticky_value(kKey, "shop", {slot, session});
    const auto read = read_sticky(kKey, "shop", value);
    ASSERT_TRUE(read) << value;
    EXPECT_EQ(read->slot, slot);
    EXPECT_EQ(read->session, session);
  }
}

TEST(StickyCookie, HasTheFormThatIsDocumented) {
  // printf 'shop.3.00000000000000ff' | openssl dgst -sha256 -hmac key, the first half
  EXPECT_EQ(sticky_value("key", "shop", {3, 255}), "3.00000000000000ff.d19efc0a4729a8019ab702b0bda02401");
}

TEST(StickyCookie, AnyAlterationMakesItNothing) {
  const std::string value = sticky_value(kKey, "shop", {3, 0x1234});
  for (std::size_t at = 0; at < value.size(); ++at) {
    for (const char c : {'0', '1', '.', 'F', ' ', '\0'}) {
      std::string altered = value;
      if (altered[at] == c) continue;
      altered[at] = c;
      EXPECT_FALSE(read_sticky(kKey, "shop", altered)) << altered;
    }
    EXPECT_FALSE(read_sticky(kKey, "shop", value.substr(0, at)));
    EXPECT_FALSE(read_sticky(kKey, "shop", value.substr(at + 1)));
  }
  EXPECT_FALSE(read_sticky(kKey, "shop", value + "0"));
  EXPECT_FALSE(read_sticky(kKey, "shop", " " + value));
  EXPECT_FALSE(read_sticky(kKey, "shop", std::string(100'000, '.')));
}

TEST(StickyCookie, OfAnotherPoolOrKeyIsNothing) {
  const std::string value = sticky_value(kKey, "shop", {3, 0x1234});
  EXPECT_FALSE(read_sticky(kKey, "blog", value));
  EXPECT_FALSE(read_sticky("another secret", "shop", value));
  EXPECT_FALSE(read_sticky("", "shop", sticky_value("", "shop", {3, 0x1234}))) << "without a secret anybody could sign";
}

TEST(StickyCookie, ASignedValueThatIsNoneIsNothing) {
  // As a key that is used elsewhere, too, might have signed it.
  for (const char* slot : {"", "x", "-1", "+1", " 1", "99999999999"}) {
    const std::string honest = sticky_value(kKey, "shop", {1, 2});
    EXPECT_FALSE(read_sticky(kKey, "shop", slot + honest.substr(1)));
  }
}

TEST(StickyCookie, AttributesAsConfigured) {
  config::Pool::Sticky config;
  config.cookie = "worker";
  EXPECT_EQ(set_cookie(config, "v"), "worker=v; Path=/; HttpOnly; SameSite=Lax");
  config.age = 90s;
  config.secure = true;
  EXPECT_EQ(set_cookie(config, "v"), "worker=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=90; Secure");
  config.age = 10ms;
  EXPECT_EQ(set_cookie(config, "v"), "worker=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=1; Secure");
}

TEST(FindCookie, TheFirstOfThatWholeName) {
  EXPECT_EQ(find_cookie("a=1; b=2; b=3", "b"), "2");
  EXPECT_EQ(find_cookie("a=1;b=2", "b"), "2");
  EXPECT_EQ(find_cookie("b=2", "b"), "2");
  EXPECT_EQ(find_cookie("  b=2\t; c", "b"), "2");
  EXPECT_EQ(find_cookie("b=", "b"), "");
  EXPECT_EQ(find_cookie("b=x=y", "b"), "x=y");
  EXPECT_EQ(find_cookie("xb=1; bx=2; B=3; b", "b"), std::nullopt);
  EXPECT_EQ(find_cookie("a=b=1", "b"), std::nullopt);
  EXPECT_EQ(find_cookie("", "b"), std::nullopt);
  EXPECT_EQ(find_cookie(";;; ;", "b"), std::nullopt);
}

}  // namespace
}  // namespace drover::balancer
