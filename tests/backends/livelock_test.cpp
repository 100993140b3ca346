#include "backends/livelock.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <set>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

struct LivelockTest : ::testing::Test {
  static constexpr base::Millis kLook = 250ms;

  void workers(std::uint32_t count) {
    for (std::uint32_t slot = 1; slot <= count; ++slot) figures.push_back({slot, 1, true, 0, {}});
  }
  ProgressFigures& worker(std::uint32_t slot) { return figures[slot - 1]; }
  std::vector<ProgressVerdict> look(base::Millis step = kLook) {
    now += step;
    for (const std::uint32_t slot : moving) worker(slot).moved = now - 1ms;
    return livelock.look(figures, p99, now);
  }
  std::optional<ProgressVerdict> next_verdict(base::Millis patience) {
    for (const auto end = now + patience; now < end;) {
      if (auto verdicts = look(); !verdicts.empty()) return verdicts.front();
    }
    return std::nullopt;
  }

  Livelock livelock;
  std::vector<ProgressFigures> figures;
  std::set<std::uint32_t> moving;  ///< give a byte before each look
  base::Millis p99{0};
  base::TimePoint now = base::TimePoint{} + 1h;
};

TEST_F(LivelockTest, SilentOneAmongMovingSiblingsIsSuspectAfterASecond) {
  workers(3);
  moving = {2};
  worker(1).in_flight = 1;
  look();
  const auto busy = now;
  const auto verdict = next_verdict(5s);
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->suspect);
  EXPECT_EQ(verdict->slot, 1U);
  EXPECT_EQ(now - busy, Livelock::kAtLeast);
  EXPECT_EQ(verdict->stalled, Livelock::kAtLeast);
  EXPECT_FALSE(next_verdict(5s)) << "told once";
}

TEST_F(LivelockTest, SlowPoolHasMorePatience) {
  workers(2);
  moving = {2};
  p99 = 700ms;
  worker(1).in_flight = 1;
  look();
  const auto busy = now;
  ASSERT_TRUE(next_verdict(20s));
  EXPECT_EQ(now - busy, p99 * Livelock::kTimes);
}

TEST_F(LivelockTest, NextByteClears) {
  workers(2);
  moving = {2};
  worker(1).in_flight = 2;
  ASSERT_TRUE(next_verdict(5s));
  const auto suspected = now;
  look(3s);
  now += 10ms;
  worker(1).moved = now;
  const auto verdict = next_verdict(5s);
  ASSERT_TRUE(verdict);
  EXPECT_FALSE(verdict->suspect);
  EXPECT_EQ(verdict->stalled, Livelock::kAtLeast + std::chrono::duration_cast<base::Millis>(worker(1).moved - suspected));
  EXPECT_EQ(livelock.stalled(1, 1, now), std::nullopt);
  EXPECT_TRUE(next_verdict(5s)->suspect) << "it stands still again";
}

TEST_F(LivelockTest, EmptyOneIsCleared) {
  workers(2);
  moving = {2};
  worker(1).in_flight = 1;
  ASSERT_TRUE(next_verdict(5s));
  worker(1).in_flight = 0;
  const auto verdict = next_verdict(1s);
  ASSERT_TRUE(verdict);
  EXPECT_FALSE(verdict->suspect);
  EXPECT_FALSE(next_verdict(5s));
}

TEST_F(LivelockTest, IdleTimeIsNoStall) {
  workers(2);
  moving = {2};
  worker(1).moved = now;
  look(60s);
  worker(1).in_flight = 1;
  EXPECT_TRUE(look().empty());
  EXPECT_EQ(livelock.stalled(1, 1, now), 0ms);
  EXPECT_TRUE(look(900ms).empty());
  EXPECT_EQ(look(100ms).size(), 1U);
}

TEST_F(LivelockTest, WhenNobodyMovesNobodyIsSuspect) {
  workers(4);
  moving = {1, 2, 3, 4};
  for (auto& each : figures) each.in_flight = 5;
  look();
  moving.clear();
  EXPECT_FALSE(next_verdict(60s));
  EXPECT_TRUE(livelock.stalled(1, 1, now).has_value());
}

TEST_F(LivelockTest, SiblingThatMovedBeforeTheStallIsNoMeasure) {
  workers(2);
  now += 10s;
  worker(1).moved = now - 5s;
  worker(2).moved = now - 2s;
  look();
  worker(1).in_flight = 1;
  EXPECT_FALSE(next_verdict(30s));
}

TEST_F(LivelockTest, PoolOfOneIsNeverSuspectButStalls) {
  workers(1);
  worker(1).in_flight = 1;
  look();
  EXPECT_FALSE(next_verdict(30s));
  EXPECT_EQ(livelock.stalled(1, 1, now), 30s);
}

TEST_F(LivelockTest, SiblingOutOfUseIsNoMeasure) {
  workers(2);
  moving = {2};
  worker(2).in_use = false;
  worker(1).in_flight = 1;
  EXPECT_FALSE(next_verdict(10s));
}

TEST_F(LivelockTest, OneOutOfUseIsNotSuspected) {
  workers(2);
  moving = {2};
  worker(1).in_use = false;
  worker(1).in_flight = 1;
  EXPECT_FALSE(next_verdict(10s));
  EXPECT_EQ(livelock.stalled(1, 1, now), 10s - kLook);
}

TEST_F(LivelockTest, NewIncarnationBeginsAnew) {
  workers(2);
  moving = {2};
  worker(1).in_flight = 1;
  ASSERT_TRUE(next_verdict(5s));
  worker(1) = {1, 2, true, 1, {}};
  EXPECT_TRUE(look().empty());
  EXPECT_EQ(livelock.stalled(1, 1, now), std::nullopt);
  EXPECT_EQ(livelock.stalled(1, 2, now), 0ms);
}

TEST_F(LivelockTest, LastByteIsNotForgottenWithItsProxy) {
  workers(2);
  moving = {1, 2};
  worker(1).in_flight = 1;
  look();
  look();
  moving = {2};
  worker(1).moved = {};  // another proxy's board: no byte yet
  look();
  EXPECT_EQ(livelock.stalled(1, 1, now), kLook + 1ms);
}

TEST_F(LivelockTest, SuspicionOutlivesAnAbsence) {
  workers(2);
  moving = {2};
  worker(1).in_flight = 1;
  ASSERT_TRUE(next_verdict(5s));
  const auto gone = figures;
  figures.erase(figures.begin());
  moving.clear();
  look();
  EXPECT_EQ(livelock.stalled(1, 1, now), std::nullopt);
  figures = gone;
  worker(1).in_flight = 0;
  const auto verdicts = look();
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_FALSE(verdicts[0].suspect);
}

/// Steps as irregular as they come: never all that are in use at once, and each verdict says something new.
TEST_F(LivelockTest, OneAlwaysStaysInUse) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    base::Rng rng(seed);
    livelock = Livelock();
    figures.clear();
    const auto count = static_cast<std::uint32_t>(1 + rng.below(5));
    workers(count);
    std::set<std::uint32_t> suspects;
    for (int i = 0; i < 3000; ++i) {
      for (std::uint32_t slot = 1; slot <= count; ++slot) {
        if (rng.below(10) == 0) worker(slot).in_flight = static_cast<std::uint32_t>(rng.below(3));
        if (worker(slot).in_flight > 0 && rng.below(8) == 0) worker(slot).moved = now;
      }
      for (const auto& each : look(base::Millis(static_cast<base::Millis::rep>(1 + rng.below(2000))))) {
        ASSERT_NE(suspects.contains(each.slot), each.suspect);
        each.suspect ? static_cast<void>(suspects.insert(each.slot)) : static_cast<void>(suspects.erase(each.slot));
      }
      ASSERT_LT(suspects.size(), count) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace drover::backends
