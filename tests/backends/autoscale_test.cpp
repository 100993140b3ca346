#include "backends/autoscale.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

struct AutoscaleTest : ::testing::Test {
  AutoscaleTest() {
    pool.workers = 2;
    pool.workers_max = 8;
    load.desired = load.eligible = 2;
  }
  /// One look, a second later; what it wants comes about at once.
  std::optional<ScaleVerdict> look(base::Millis step = 1s) {
    now += step;
    const auto verdict = autoscale.look(load, now);
    if (verdict) load.desired = load.eligible = verdict->desired;
    return verdict;
  }
  std::optional<ScaleVerdict> look_for(base::Millis time) {
    for (const auto end = now + time; now < end;) {
      if (const auto verdict = look()) return verdict;
    }
    return std::nullopt;
  }

  config::Pool pool;
  Autoscale autoscale{pool};
  LoadFigures load;
  base::TimePoint now = base::TimePoint{} + 1h;
};

TEST(BusyShare, IsOfConcurrencyOrOfTimeAndCpu) {
  EXPECT_DOUBLE_EQ(busy_share(1, 4, 100), 0.25);
  EXPECT_DOUBLE_EQ(busy_share(9, 4, 0), 1);
  EXPECT_DOUBLE_EQ(busy_share(0, 0, 30), 0.3);
  EXPECT_DOUBLE_EQ(busy_share(0, 0, 250), 1);
  EXPECT_DOUBLE_EQ(busy_share(3, 0, 10), 1);
  EXPECT_DOUBLE_EQ(busy_share(0, 0, -1), 0);
}

TEST_F(AutoscaleTest, GrowsAfterTwoSecondsOfPressureAndRestsBetween) {
  look();
  load.busy = 0.9;
  EXPECT_FALSE(look());
  EXPECT_FALSE(look());
  const auto first = look();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->desired, 3U);
  EXPECT_STREQ(first->why, "load");
  EXPECT_FALSE(look());
  EXPECT_FALSE(look());
  EXPECT_EQ(look()->desired, 4U);
}

TEST_F(AutoscaleTest, WaitingRequestsArePressure) {
  look();
  for (int i = 0; i < 2; ++i) {
    ++load.queue_waits;
    EXPECT_FALSE(look());
  }
  load.queued = 1;
  EXPECT_EQ(look()->desired, 3U);
}

TEST_F(AutoscaleTest, MomentOfPressureIsNone) {
  look();
  for (int i = 0; i < 30; ++i) {
    load.busy = i % 3 == 2 ? 0.1 : 0.9;
    EXPECT_FALSE(look());
  }
}

TEST_F(AutoscaleTest, GrowsByAQuarterAndNeverBeyondTheMost) {
  pool.workers_max = 30;
  load.desired = load.eligible = 16;
  look();
  load.busy = 1;
  EXPECT_EQ(look_for(10s)->desired, 20U);
  EXPECT_EQ(look_for(10s)->desired, 25U);
  EXPECT_EQ(look_for(10s)->desired, 30U);
  EXPECT_FALSE(look_for(60s));
}

TEST_F(AutoscaleTest, GrowthWaitsForThoseThatAreBeingStarted) {
  look();
  load.busy = 1;
  const auto grown = look_for(10s);
  ASSERT_TRUE(grown);
  const auto at = now;
  load.eligible = 2;
  ASSERT_TRUE(look_for(60s));
  EXPECT_EQ(now - at, Autoscale::kStartPatience);
}

TEST_F(AutoscaleTest, ShrinksByOneAfterAMinuteOfEase) {
  load.desired = load.eligible = 4;
  load.busy = 0.3;  // of four: 0.4 of three
  look();
  const auto began = now;
  EXPECT_EQ(look_for(2min)->desired, 3U);
  EXPECT_EQ(now - began, Autoscale::kDownAfter);
  load.busy = 0.4;  // 0.6 of two
  EXPECT_FALSE(look_for(5min));
  load.busy = 0.3;
  EXPECT_EQ(look_for(2min)->desired, 2U);
  load.busy = 0;
  EXPECT_FALSE(look_for(10min)) << "the fewest stay";
}

TEST_F(AutoscaleTest, DoesNotShrinkWhileWorkersAreMissing) {
  load.desired = 4;
  load.eligible = 3;
  load.busy = 0;
  EXPECT_FALSE(look_for(5min));
}

TEST_F(AutoscaleTest, GapInTheLooksBeginsAnew) {
  look();
  load.busy = 1;
  look();
  EXPECT_FALSE(look(10s));
  EXPECT_FALSE(look());
  EXPECT_TRUE(look());
}

TEST_F(AutoscaleTest, FixedPoolStaysAsItIs) {
  pool.workers_max.reset();
  load.busy = 1;
  load.queued = 5;
  EXPECT_FALSE(look_for(5min));
  load.busy = 0;
  load.queued = 0;
  EXPECT_FALSE(look_for(5min));
}

TEST_F(AutoscaleTest, SleepsWhenNobodyAsksAndWakesOnDemand) {
  pool.idle_stop = 30s;
  look();
  for (int i = 0; i < 100; ++i) {
    ++load.requests;
    EXPECT_FALSE(look());
  }
  const auto last = now;
  load.in_flight = 1;  // a tunnel
  EXPECT_FALSE(look_for(2min));
  load.in_flight = 0;
  const auto asleep = look_for(2min);
  ASSERT_TRUE(asleep);
  EXPECT_EQ(asleep->desired, 0U);
  EXPECT_STREQ(asleep->why, "idle");
  EXPECT_EQ(now - last, 2min + 30s);
  EXPECT_FALSE(look_for(10min));
  const auto awake = autoscale.demand(now);
  EXPECT_EQ(awake.desired, 2U);
  EXPECT_STREQ(awake.why, "demand");
  load.desired = load.eligible = 2;
  EXPECT_FALSE(look_for(29s));
  EXPECT_EQ(look_for(10s)->desired, 0U);
}

TEST_F(AutoscaleTest, LookWakesASleepingPoolToo) {
  pool.idle_stop = 1s;
  EXPECT_EQ(look_for(5s)->desired, 0U);
  ++load.requests;
  EXPECT_EQ(look()->desired, 2U);
  EXPECT_EQ(look_for(5s)->desired, 0U);
  load.queued = 1;
  EXPECT_STREQ(look()->why, "demand");
}

TEST_F(AutoscaleTest, RequestsThatFallAreNoRequest) {
  pool.idle_stop = 30s;
  load.requests = 1000;
  look();
  load.requests = 10;
  ASSERT_TRUE(look_for(31s));
  EXPECT_EQ(load.desired, 0U);
}

TEST_F(AutoscaleTest, NumberByHandBeyondTheBoundsIsLeftAlone) {
  pool.idle_stop = 10min;
  look();
  autoscale.by_hand(12);
  load.desired = load.eligible = 12;
  load.busy = 1;
  EXPECT_FALSE(look_for(5min));
  load.busy = 0;
  const auto idle = look_for(10min);
  ASSERT_TRUE(idle);
  EXPECT_EQ(idle->desired, 0U) << "but for idle_stop";
  EXPECT_EQ(autoscale.demand(now).desired, 12U);
  autoscale.by_hand(3);
  load.desired = load.eligible = 3;
  load.busy = 1;
  EXPECT_EQ(look_for(10s)->desired, 4U);
}

TEST_F(AutoscaleTest, OrderIsASignOfLife) {
  pool.idle_stop = 30s;
  EXPECT_TRUE(look_for(1min));
  look_for(10min);
  autoscale.by_hand(3);
  load.desired = load.eligible = 3;
  EXPECT_FALSE(look_for(29s));
  EXPECT_TRUE(look_for(3s));
}

TEST_F(AutoscaleTest, NoneByHandStaysNone) {
  look();
  autoscale.by_hand(0);
  load.desired = load.eligible = 0;
  load.queued = 3;
  EXPECT_FALSE(look_for(1min));
  EXPECT_EQ(autoscale.demand(now).desired, 0U);
}

/// A pool that serves random arrivals, each worker one at a time; workers take seconds to start.
struct Served {
  std::vector<int> changes;  ///< desired after each change
  double unserved = 0;       ///< work that still waits at the end, seconds
};
Served serve(const config::Pool& pool, std::uint64_t seed, base::Millis start_takes, const std::vector<double>& erlangs, base::Millis each) {
  base::Rng rng(seed);
  Autoscale autoscale(pool);
  Served out;
  LoadFigures load;
  std::uint32_t desired = pool.workers;
  std::vector<base::TimePoint> ready(pool.workers);
  base::TimePoint now = base::TimePoint{} + 1h;
  constexpr double kRequest = 0.05;  // seconds of work in one
  constexpr base::Millis kStep = 250ms;
  double waiting = 0;  // seconds of work
  double busy = 0;
  for (const double offered : erlangs) {
    const auto end = now + each;
    for (int step = 1; now < end; ++step) {
      now += kStep;
      int arrived = 0;  // Poisson, by its gaps
      for (double gap = -std::log(1 - rng.unit()); gap < offered * 0.25 / kRequest; gap -= std::log(1 - rng.unit())) ++arrived;
      load.requests += static_cast<std::uint64_t>(arrived);
      load.eligible = static_cast<std::uint32_t>(std::ranges::count_if(ready, [&](base::TimePoint at) { return at <= now; }));
      const double can = load.eligible * 0.25;
      const double wanted = waiting + arrived * kRequest;
      const double done = std::min(can, wanted);
      waiting = wanted - done;
      busy += can > 0 ? done / can : 0;
      load.queued = static_cast<std::uint32_t>(waiting / kRequest);
      load.queue_waits += load.queued;
      if (step % 4 != 0) continue;
      load.busy = std::exchange(busy, 0) / 4;
      load.desired = desired;
      load.in_flight = load.queued;
      if (const auto verdict = autoscale.look(load, now)) {
        desired = verdict->desired;
        out.changes.push_back(static_cast<int>(desired));
        while (ready.size() < desired) ready.push_back(now + start_takes);
        ready.resize(desired);
      }
    }
  }
  out.unserved = waiting;
  return out;
}

TEST(AutoscaleSimulation, SteadyLoadSettlesWithoutFlapping) {
  config::Pool pool;
  pool.workers = 1;
  pool.workers_max = 12;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    for (const double offered : {0.2, 0.6, 1.5, 3.0, 5.5}) {
      const auto run = serve(pool, seed, 2s, {offered}, 30min);
      int turns = 0;  // growth after shrinking, or shrinking after growth
      for (std::size_t i = 2; i < run.changes.size(); ++i) {
        turns += (run.changes[i] > run.changes[i - 1]) != (run.changes[i - 1] > run.changes[i - 2]) ? 1 : 0;
      }
      EXPECT_LE(turns, 2) << "seed " << seed << " load " << offered;
      EXPECT_LT(run.unserved, 5) << "seed " << seed << " load " << offered;
      if (!run.changes.empty()) {
        EXPECT_LE(run.changes.back(), offered / 0.35 + 2) << "seed " << seed;
      }
    }
  }
}

TEST(AutoscaleSimulation, FollowsARushAndTheCalmAfterIt) {
  config::Pool pool;
  pool.workers = 1;
  pool.workers_max = 10;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto run = serve(pool, seed, 5s, {0.2, 6.0, 0.2}, 15min);
    ASSERT_FALSE(run.changes.empty());
    EXPECT_GE(*std::ranges::max_element(run.changes), 7) << "seed " << seed;
    EXPECT_EQ(run.changes.back(), 1) << "seed " << seed;
  }
}

}  // namespace
}  // namespace drover::backends
