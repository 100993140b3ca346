#include "backends/recent_latency.hpp"

#include <algorithm>
#include <chrono>

namespace drover::backends {

namespace {

constexpr std::uint64_t kOfHundred = 99;

}  // namespace

void RecentLatency::take(const board::HistogramTotals& totals, base::TimePoint now) {
  // A proxy that died between two reads may not have been folded yet: what seems to fall begins anew.
  const auto falls = [&](const Look& look) {
    for (std::size_t i = 0; i < totals.buckets.size(); ++i) {
      if (totals.buckets[i] < look.totals.buckets[i]) return true;
    }
    return false;
  };
  if (!looks_.empty() && falls(looks_.back())) looks_.clear();
  if (!looks_.empty() && now - looks_.back().at < kStep) return;
  looks_.push_back({now, totals});
  while (looks_.size() > 2 && now - looks_[1].at >= kWindow) looks_.pop_front();
}

base::Millis RecentLatency::p99() const {
  if (looks_.empty()) return base::Millis(0);
  const board::HistogramTotals& last = looks_.back().totals;
  board::HistogramTotals first;  // a single look counts from the start
  if (looks_.size() > 1) first = looks_.front().totals;
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < last.buckets.size(); ++i) all += last.buckets[i] - first.buckets[i];
  if (all == 0) return base::Millis(0);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < board::kBucketBounds.size(); ++i) {
    below += last.buckets[i] - first.buckets[i];
    if (below * 100 >= all * kOfHundred) return std::chrono::duration_cast<base::Millis>(std::chrono::microseconds(board::kBucketBounds[i] + 999));
  }
  return std::chrono::duration_cast<base::Millis>(std::chrono::microseconds(board::kBucketBounds.back()));
}

}  // namespace drover::backends
