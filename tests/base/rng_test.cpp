#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <array>

namespace drover::base {
namespace {

TEST(Rng, SameNumbersOnEveryMachine) {
  Rng rng(0);
  EXPECT_EQ(rng.next(), 0xe220a8397b1dcdafU);
  EXPECT_EQ(rng.next(), 0x6e789e6aa1b965f4U);
  EXPECT_EQ(rng.next(), 0x06c45d188009454fU);
}

TEST(Rng, StaysBelowItsBoundAndReachesAll) {
  Rng rng(5);
  std::array<int, 7> seen{};
  for (int i = 0; i < 7000; ++i) {
    const std::uint64_t n = rng.below(7);
    ASSERT_LT(n, 7U);
    ++seen[n];
  }
  for (const int count : seen) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(rng.below(1), 0U);
}

TEST(Rng, UnitIsFromZeroToBelowOne) {
  Rng rng(6);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double n = rng.unit();
    ASSERT_GE(n, 0);
    ASSERT_LT(n, 1);
    sum += n;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

}  // namespace
}  // namespace drover::base
