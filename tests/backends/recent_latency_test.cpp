// p99 of the last minute.
#include "backends/recent_latency.hpp"

#include <gtest/gtest.h>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

board::HistogramTotals totals(std::uint64_t quick, std::uint64_t slow) {
  board::HistogramTotals out;
  out.buckets[2] = quick;  // up to 2.5 ms
  out.buckets[9] = slow;   // up to 500 ms
  return out;
}

constexpr base::TimePoint kBegin{1h};

TEST(RecentLatency, NothingCounted_IsZero) {
  RecentLatency latency;
  EXPECT_EQ(latency.p99(), 0ms);
  latency.take(totals(0, 0), kBegin);
  EXPECT_EQ(latency.p99(), 0ms);
}

TEST(RecentLatency, OneOfAHundred_IsNotSeen_TwoAre) {
  RecentLatency one;
  one.take(totals(99, 1), kBegin);
  EXPECT_EQ(one.p99(), 3ms);
  RecentLatency two;
  two.take(totals(98, 2), kBegin);
  EXPECT_EQ(two.p99(), 500ms);
}

TEST(RecentLatency, WhatIsOlderThanAMinute_IsForgotten) {
  RecentLatency latency;
  latency.take(totals(0, 100), kBegin);
  for (int i = 1; i <= 13; ++i) latency.take(totals(static_cast<std::uint64_t>(i), 100), kBegin + i * RecentLatency::kStep);
  EXPECT_EQ(latency.p99(), 3ms);
}

TEST(RecentLatency, TotalsThatFall_BeginAnew) {
  RecentLatency latency;
  latency.take(totals(1000, 1000), kBegin);
  latency.take(totals(10, 0), kBegin + 5s);
  EXPECT_EQ(latency.p99(), 3ms);
}

}  // namespace
}  // namespace drover::backends
