#include "balancer/latency.hpp"
#include "tests/balancer/pool_world.hpp"

#include <gtest/gtest.h>

namespace drover::balancer {
namespace {

using test::PoolWorld;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kStart = 1000 * kSecond;
constexpr std::uint64_t kHalfLife = 10 * kSecond;
constexpr base::Incarnation kLife = 7;

TEST(Latency, NothingIsKnownAtFirst) {
  const board::LatencyCell cell;
  EXPECT_EQ(latency_us(cell, kLife, kStart), 0U);
}

TEST(Latency, APeakCountsAtOnceAndInFull) {
  board::LatencyCell cell;
  note_latency(cell, kLife, 2'000, kStart);
  EXPECT_EQ(latency_us(cell, kLife, kStart), 2'000U);
  note_latency(cell, kLife, 900'000, kStart + 1);
  EXPECT_EQ(latency_us(cell, kLife, kStart + 1), 900'000U);
}

TEST(Latency, WhatNobodyConfirmsFallsByHalfEveryTenSeconds_NeverToUnknown) {
  board::LatencyCell cell;
  note_latency(cell, kLife, 800'000, kStart);
  EXPECT_NEAR(static_cast<double>(latency_us(cell, kLife, kStart + kHalfLife)), 400'000, 4'000);
  EXPECT_NEAR(static_cast<double>(latency_us(cell, kLife, kStart + 3 * kHalfLife)), 100'000, 1'000);
  EXPECT_EQ(latency_us(cell, kLife, kStart + 3600 * kSecond), 1U);
}

TEST(Latency, APeakFalls_ButNotBelowWhatIsSeen) {
  board::LatencyCell cell;
  note_latency(cell, kLife, 800'000, kStart);
  std::uint64_t now = kStart;
  for (int i = 0; i < 1000; ++i) note_latency(cell, kLife, 2'000, now += kHalfLife / 1000);
  EXPECT_NEAR(static_cast<double>(latency_us(cell, kLife, now)), 400'000, 4'000);
  for (int i = 0; i < 20'000; ++i) note_latency(cell, kLife, 2'000, now += kHalfLife / 1000);
  EXPECT_NEAR(static_cast<double>(latency_us(cell, kLife, now)), 2'000, 20);
}

TEST(Latency, AnotherLifeOfTheRowStartsAfresh) {
  board::LatencyCell cell;
  note_latency(cell, kLife, 800'000, kStart);
  EXPECT_EQ(latency_us(cell, kLife + 1, kStart), 0U);
  note_latency(cell, kLife + 1, 3'000, kStart);
  EXPECT_EQ(latency_us(cell, kLife + 1, kStart), 3'000U);
  EXPECT_EQ(latency_us(cell, kLife, kStart), 0U);
}

TEST(Latency, AFailureIsNeverFast_AndWeighsMoreEachTime) {
  board::LatencyCell cell;
  note_failure(cell, kLife, 50, kStart);
  EXPECT_EQ(latency_us(cell, kLife, kStart), kFailureUs);
  note_failure(cell, kLife, 50, kStart);
  EXPECT_EQ(latency_us(cell, kLife, kStart), 2 * kFailureUs);
  for (int i = 0; i < 100; ++i) note_failure(cell, kLife, 50, kStart);
  EXPECT_EQ(latency_us(cell, kLife, kStart), (1U << 26U) - 1) << "bounded";
}

TEST(Latency, OnlyAPeakIsWritten) {
  board::LatencyCell cell;
  note_latency(cell, kLife, 2'000, kStart);
  const std::uint64_t word = cell.figure.load();
  note_latency(cell, kLife, 2'000, kStart);
  note_latency(cell, kLife, 900, kStart + kHalfLife);
  EXPECT_EQ(cell.figure.load(), word);
  note_latency(cell, kLife, 1'100, kStart + kHalfLife);
  EXPECT_NE(cell.figure.load(), word);
}

TEST(Latency, AClockThatIsALittleBehindDecaysNothing) {
  board::LatencyCell cell;
  note_latency(cell, kLife, 800'000, kStart);
  EXPECT_EQ(latency_us(cell, kLife, kStart - kSecond), 800'000U);
  note_latency(cell, kLife, 2'000, kStart - kSecond);
  EXPECT_EQ(latency_us(cell, kLife, kStart), 800'000U);
}

PoolWorld pool_of(std::uint32_t workers) { return PoolWorld(workers, *find_strategy("least-latency"), 5); }

TEST(LeastLatency, ASlowWorkerGetsOneExchangeForEachFewOfTheOthers) {
  PoolWorld pool = pool_of(3);
  pool.come_all(3);
  pool.answered_in(0, 5'000);
  pool.answered_in(1, 5'000);
  pool.answered_in(2, 50'000);
  for (int i = 0; i < 90; ++i) ASSERT_TRUE(pool.claim().lease);
  EXPECT_NEAR(pool.in_flight(0), pool.in_flight(1), 1);
  EXPECT_NEAR(pool.in_flight(2), pool.in_flight(0) / 10.0, 1.5);
}

TEST(LeastLatency, OneThatHasBecomeFastAgainIsFoundOut) {
  PoolWorld pool = pool_of(2);
  pool.come_all(2);
  pool.answered_in(0, 5'000);
  pool.answered_in(1, 500'000);
  std::uint64_t served = 0;
  for (; served < 100'000 && pool.claims(1) == 0; ++served) {
    const auto worker = pool.serve();  // a millisecond each
    pool.answered_in(*worker, 5'000);
  }
  EXPECT_LT(served, 80'000U) << "two hundredfold is gone after seven to eight half-lives";
  EXPECT_GT(served, 50'000U);
  const std::uint64_t before = pool.claims(1);
  for (int i = 0; i < 30'000; ++i) pool.answered_in(*pool.serve(), 5'000);
  EXPECT_GT(pool.claims(1) - before, 5'000U);
}

TEST(LeastLatency, TheUnknownAreTriedOneAtATime) {
  PoolWorld pool = pool_of(3);
  pool.come_all(3);
  pool.answered_in(0, 5'000);
  pool.answered_in(1, 50'000);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool.claim().lease);
  EXPECT_EQ(pool.in_flight(2), 1U) << "as soon as the fastest";
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(pool.claim().lease);
  EXPECT_EQ(pool.in_flight(2), 1U) << "until it has answered";
  EXPECT_EQ(pool.in_flight(0), 7U);
  pool.answered_in(2, 5'000);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(pool.claim().lease);
  EXPECT_GE(pool.in_flight(2), 6U);
}

TEST(LeastLatency, WhoRefusesAtOnceIsLeftAlone) {
  PoolWorld pool = pool_of(2);
  pool.come_all(2);
  pool.answered_in(0, 20'000);
  note_failure(pool.board().latency(pool.row(1)), pool.lease_of(1).incarnation, 100, pool.now_ns);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.serve(), 0U);
}

}  // namespace
}  // namespace drover::balancer
