#include "backends/orders.hpp"

#include "base/rng.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace drover::backends {
namespace {

TEST(Target, IsAPoolOrOneWorkerOfIt) {
  const auto pool = parse_target("shop");
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->pool, "shop");
  EXPECT_FALSE(pool->slot);
  const auto worker = parse_target("shop_2-b.17");
  ASSERT_TRUE(worker);
  EXPECT_EQ(worker->pool, "shop_2-b");
  EXPECT_EQ(worker->slot, 17U);
  EXPECT_EQ(worker->text(), "shop_2-b.17");
  EXPECT_EQ(parse_target("3")->pool, "3") << "a pool may be called so";
  EXPECT_EQ(parse_target("3.4")->slot, 4U);
}

TEST(Target, RefusesWhatIsNeitherAndSaysWhy) {
  for (const std::string text : {"",
                                 ".",
                                 "shop.",
                                 ".3",
                                 "shop.0",
                                 "shop.03",
                                 "shop.-1",
                                 "shop.+1",
                                 "shop.3x",
                                 "shop. 3",
                                 "shop.3 ",
                                 " shop",
                                 "Shop",
                                 "shop.3.4",
                                 "shop.x",
                                 "shop.4294967296",
                                 "shop.99999999999999999999",
                                 "shop/3",
                                 "sh\xc3\xb6p",
                                 "shop\n",
                                 "*",
                                 "../etc"}) {
    const auto result = parse_target(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, EINVAL);
    EXPECT_NE(result.error().message.find("shop.3"), std::string::npos) << "names the form";
  }
  EXPECT_FALSE(parse_target(std::string("shop\0", 5)));
  EXPECT_TRUE(parse_target(std::string(63, 'a')));
  EXPECT_FALSE(parse_target(std::string(64, 'a')));
}

TEST(Target, MessageShowsHostileBytesHarmlessly) {
  const auto message = parse_target("a\x1b[2J\n" + std::string(100'000, 'x')).error().message;
  EXPECT_LT(message.size(), 500U);
  for (const unsigned char each : message) EXPECT_GE(each, 0x20U);
}

/// Whatever comes: it is understood if and only if the grammar says so, and then it is written back as it came.
TEST(Target, AgreesWithItsGrammar) {
  const auto grammar = ::testing::Matches(::testing::MatchesRegex("[a-z0-9_-]{1,63}(\\.[1-9][0-9]{0,8})?"));
  constexpr std::string_view kLetters = "az09_-..13 A\n\xc3";
  int understood = 0;
  for (std::uint64_t seed = 1; seed <= 20'000; ++seed) {
    base::Rng rng(seed);
    std::string text;
    const std::size_t tail = rng.below(12) == 0 ? kLetters.size() : 10;
    for (std::size_t n = rng.below(9); n > 0; --n) text += kLetters[rng.below(tail)];
    const auto result = parse_target(text);
    ASSERT_EQ(result.has_value(), grammar(text)) << "seed " << seed << ": " << text;
    if (!result) continue;
    ++understood;
    EXPECT_EQ(result->text(), text);
  }
  EXPECT_GT(understood, 2000);
}

}  // namespace
}  // namespace drover::backends
