// Role: p99 of the last minute, from a running histogram that is looked at now and then. Pure.
// Thread: supervisor's deciding thread (or a test). Ownership: a value; one per pool.
#pragma once

#include "base/units.hpp"
#include "board/proxy_board.hpp"

#include <cstddef>
#include <deque>

namespace drover::backends {

class RecentLatency {
 public:
  static constexpr base::Millis kWindow{60'000};
  static constexpr base::Millis kStep{5'000};

  /// Running totals, at any pace; kept once each kStep.
  void take(const board::HistogramTotals& totals, base::TimePoint now);
  /// Upper bound of the bucket in which 99% lie; 0: nothing was counted. Beyond the last bound: the last bound.
  base::Millis p99() const;

 private:
  struct Look {
    base::TimePoint at{};
    board::HistogramTotals totals;
  };
  std::deque<Look> looks_;  ///< oldest first: the first is the base line
};

}  // namespace drover::backends
