#include "backends/recycle.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1024 * 1024;

struct Recycle : ::testing::Test {
  Recycle() { pool.recycle.jitter = 0; }

  /// Lives `life` of a worker that uses `memory(seconds)` MiB, sampled as often as it asks for; returns when something was reached.
  struct Life {
    Why why = Why::none;
    double at = 0;         ///< seconds
    double megabytes = 0;  ///< when it was reached
    base::Millis quickest{1'000'000};
    int samples = 0;
  };
  Life live(const std::function<double(double)>& memory, base::Millis start_takes, base::Millis life, std::uint64_t seed = 1) const {
    const base::TimePoint began = base::TimePoint{} + 1h;
    Recycling recycling(pool, seed, began);
    Life out;
    for (base::TimePoint now = began; now - began < life;) {
      out.at = std::chrono::duration<double>(now - began).count();
      out.megabytes = memory(out.at);
      recycling.sample(static_cast<std::uint64_t>(out.megabytes * kMiB), now);
      ++out.samples;
      out.why = recycling.reached(0, start_takes, now);
      if (out.why != Why::none) break;
      const base::Millis pause = recycling.sample_every(now);
      EXPECT_GE(pause, Recycling::kQuickest);
      EXPECT_LE(pause, Recycling::kSlowest);
      out.quickest = std::min(out.quickest, pause);
      now += pause;
    }
    return out;
  }

  config::Pool pool;
  base::TimePoint start = base::TimePoint{} + 1h;
};

TEST_F(Recycle, WithoutLimitsNothingIsReached) {
  Recycling recycling(pool, 1, start);
  recycling.sample(1ULL << 50, start + 1s);
  EXPECT_EQ(recycling.reached(1ULL << 60, 1s, start + 24h * 365), Why::none);
  EXPECT_EQ(recycling.sample_every(start + 1s), Recycling::kSlowest);
  EXPECT_FALSE(recycling.forecast(start + 1s));
  EXPECT_FALSE(recycling.age_limit());
}

TEST_F(Recycle, EachLimitIsReachedAndTheMostUrgentIsNamed) {
  pool.recycle.requests = 100;
  pool.recycle.age = 1h;
  pool.recycle.memory = base::Bytes{100 * kMiB};
  pool.recycle.hard_memory = base::Bytes{200 * kMiB};
  Recycling recycling(pool, 1, start);
  EXPECT_EQ(recycling.reached(99, 1s, start), Why::none);
  EXPECT_EQ(recycling.reached(100, 1s, start), Why::requests);
  EXPECT_EQ(recycling.reached(100, 1s, start + 1h - 1ms), Why::requests);
  EXPECT_EQ(recycling.reached(100, 1s, start + 1h), Why::age);
  recycling.sample(100 * kMiB, start + 1s);
  EXPECT_EQ(recycling.reached(100, 1s, start + 1h), Why::memory);
  recycling.sample(200 * kMiB, start + 2s);
  EXPECT_EQ(recycling.reached(100, 1s, start + 1h), Why::hard_memory);
  EXPECT_EQ(recycling.age_limit(), start + 1h);
}

TEST_F(Recycle, JitterLowersEachLimitByItsOwnPartAndNeverTheHardOne) {
  pool.recycle = {base::Bytes{1000 * kMiB}, base::Bytes{1200 * kMiB}, 10'000, 1h, 0.1};
  std::vector<std::uint64_t> memories;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const Recycling recycling(pool, seed, start);
    memories.push_back(*recycling.memory_limit());
    EXPECT_LE(*recycling.memory_limit(), 1000 * kMiB);
    EXPECT_GE(*recycling.memory_limit(), 900 * kMiB);
    EXPECT_LE(*recycling.request_limit(), 10'000U);
    EXPECT_GE(*recycling.request_limit(), 9'000U);
    EXPECT_LE(*recycling.age_limit(), start + 1h);
    EXPECT_GE(*recycling.age_limit(), start + 54min);
    EXPECT_EQ(recycling.hard_limit(), 1200 * kMiB);
  }
  const auto [least, most] = std::minmax_element(memories.begin(), memories.end());
  EXPECT_GT(*most - *least, 80 * kMiB) << "all of the range is used";
  EXPECT_EQ(*Recycling(pool, 7, start).memory_limit(), *Recycling(pool, 7, start).memory_limit());
}

TEST_F(Recycle, OneRequestStaysOneRequest) {
  pool.recycle.requests = 1;
  pool.recycle.jitter = 0.9;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) EXPECT_EQ(Recycling(pool, seed, start).request_limit(), 1U);
}

TEST_F(Recycle, LeakIsReplacedBeforeATenthBeyondTheLimit) {
  pool.recycle.memory = base::Bytes{200 * kMiB};
  constexpr base::Millis kStart = 300ms;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    base::Rng rng(seed);
    const double base_memory = 10 + 40 * rng.unit();
    const double idle = 20 * rng.unit();  // the leak begins whenever it likes
    const auto memory = [&](double at) { return base_memory + std::floor(25 * std::max(0.0, at - idle)); };
    const Life life = live(memory, kStart, 120s, seed);
    ASSERT_EQ(life.why, Why::memory) << "seed " << seed;
    EXPECT_LE(memory(life.at + 1.5 * 0.3), 220) << "seed " << seed << ": a successor that is half as slow again still comes in time";
    EXPECT_GE(life.megabytes, 160) << "seed " << seed << ": not long before its time";
    EXPECT_GE(life.quickest, Recycling::kQuickest);
    EXPECT_LT(life.quickest, 200ms) << "looked quicker near the limit";
  }
}

TEST_F(Recycle, SuddenLeakNearTheLimitIsSeenInTime) {
  pool.recycle.memory = base::Bytes{200 * kMiB};
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const double from = 30 + 10 * base::Rng(seed).unit();
    const auto memory = [&](double at) { return at < from ? 192.0 : 192 + 25 * (at - from); };
    const Life life = live(memory, 300ms, 120s, seed);
    ASSERT_EQ(life.why, Why::memory);
    EXPECT_GE(life.at, from);
    EXPECT_LE(memory(life.at + 0.3), 220) << "seed " << seed;
  }
}

TEST_F(Recycle, NoiseBelowTheLimitIsNoReason) {
  pool.recycle.memory = base::Bytes{200 * kMiB};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    base::Rng rng(seed);
    const Life life = live([&](double) { return 150 + 20 * rng.unit(); }, 300ms, 10min, seed);
    EXPECT_EQ(life.why, Why::none) << "seed " << seed << " at " << life.at << " s with " << life.megabytes << " MiB";
  }
}

TEST_F(Recycle, TeethOfAGarbageCollectorAreNoLeakHoweverSlowTheStart) {
  pool.recycle.memory = base::Bytes{400 * kMiB};
  for (const double period : {2.0, 5.0, 11.0, 23.0}) {
    const auto memory = [&](double at) { return 120 + 150 * std::fmod(at, period) / period; };
    for (const base::Millis start_takes : {300ms, 3000ms, 30'000ms}) {
      const Life life = live(memory, start_takes, 10min);
      EXPECT_EQ(life.why, Why::none) << "period " << period << " start " << start_takes.count() << " at " << life.at;
    }
  }
}

TEST_F(Recycle, CacheThatFillsOnceIsNoLeak) {
  pool.recycle.memory = base::Bytes{400 * kMiB};
  for (const base::Millis start_takes : {300ms, 3000ms, 20'000ms}) {
    const Life stairs = live([](double at) { return at < 60 ? 180.0 : 330.0; }, start_takes, 5min);
    EXPECT_EQ(stairs.why, Why::none) << "start " << start_takes.count() << " at " << stairs.at;
  }
}

TEST_F(Recycle, SlowLeakLooksSlowly) {
  pool.recycle.memory = base::Bytes{400 * kMiB};
  const Life life = live([](double at) { return 100 + at / 60; }, 1s, 10min);
  EXPECT_EQ(life.why, Why::none);
  EXPECT_LE(life.samples, 610);
}

TEST_F(Recycle, HardLimitAloneIsForeseen) {
  pool.recycle.hard_memory = base::Bytes{200 * kMiB};
  const Life life = live([](double at) { return 20 + 25 * at; }, 300ms, 60s);
  EXPECT_EQ(life.why, Why::memory);
  EXPECT_LT(life.megabytes, 200);
}

TEST_F(Recycle, ForecastTellsWhen) {
  pool.recycle.memory = base::Bytes{200 * kMiB};
  Recycling recycling(pool, 1, start);
  EXPECT_FALSE(recycling.forecast(start));
  for (int i = 0; i <= 10; ++i) recycling.sample((100 + 5 * static_cast<std::uint64_t>(i)) * kMiB, start + i * 500ms);
  const auto now = start + 5s;
  ASSERT_TRUE(recycling.forecast(now));  // 150 MiB, 10 MiB/s
  EXPECT_NEAR(static_cast<double>(recycling.forecast(now)->count()), 5000, 5);
  EXPECT_NEAR(static_cast<double>(recycling.forecast(now + 1s)->count()), 4000, 5);
  EXPECT_EQ(recycling.sample_every(now), *recycling.forecast(now) / Recycling::kSamplesBeforeLimit);
  recycling.sample(200 * kMiB, now + 2s);
  EXPECT_EQ(recycling.forecast(now + 2s), 0ms);
  EXPECT_EQ(recycling.sample_every(now + 2s), Recycling::kQuickest);
}

TEST_F(Recycle, MinuteKeepsHalfSecondsAndTheNewest) {
  Recycling recycling(pool, 1, start);
  for (int i = 0; i <= 2000; ++i) recycling.sample(static_cast<std::uint64_t>(i), start + i * 50ms);
  const auto& minute = recycling.minute();
  EXPECT_EQ(minute.back().bytes, 2000U);
  EXPECT_EQ(minute.back().at, start + 100s);
  EXPECT_GE(minute.front().at, start + 40s);
  EXPECT_LE(minute.front().at, start + 41s);
  EXPECT_LE(minute.size(), 122U);
  for (std::size_t i = 1; i + 1 < minute.size(); ++i) EXPECT_GE(minute[i].at - minute[i - 1].at, Recycling::kMemoryStep);
  EXPECT_EQ(recycling.peak(), 2000U);
}

TEST_F(Recycle, TimeMayStandStillOrLeap) {
  pool.recycle.memory = base::Bytes{200 * kMiB};
  Recycling recycling(pool, 1, start);
  for (int i = 0; i < 5; ++i) recycling.sample(100 * kMiB, start);
  recycling.sample(90 * kMiB, start - 1s);
  EXPECT_EQ(recycling.minute().size(), 1U);
  EXPECT_FALSE(recycling.forecast(start));
  recycling.sample(150 * kMiB, start + 3h);
  EXPECT_EQ(recycling.minute().size(), 1U);
  EXPECT_EQ(recycling.reached(0, 30s, start + 3h), Why::none);
  EXPECT_EQ(recycling.reached(0, 30s, start + 6h), Why::none);
}

}  // namespace
}  // namespace drover::backends
