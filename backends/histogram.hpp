// Role: one more observation in a histogram of plain numbers, with the buckets that all histograms share.
// Thread: any. Ownership: the caller's.
#pragma once

#include "board/proxy_board.hpp"

#include <chrono>

namespace drover::backends {

inline void observe(board::HistogramTotals& histogram, base::Clock::duration took) {
  const auto us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  std::size_t bucket = 0;
  while (bucket < board::kBucketBounds.size() && us > board::kBucketBounds[bucket]) ++bucket;
  ++histogram.buckets[bucket];
  histogram.sum_us += us;
}

}  // namespace drover::backends
