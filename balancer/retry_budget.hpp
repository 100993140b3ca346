// Role: retry budget: how many retries a pool may add to its requests, so that a failing pool isn't hit harder for failing.
// Thread: one proxy thread's own, one per pool. Pure: time is passed in. Ownership: plain value.
//
// A request earns `percent` of a retry, a retry costs one. A small reserve refills with time, so that low traffic can retry too.
#pragma once

#include "base/units.hpp"

namespace drover::balancer {

class RetryBudget {
 public:
  static constexpr double kReserve = 10;          ///< retries that can be spent at once out of nothing, by all threads together
  static constexpr double kReservePerSecond = 1;  ///< how fast the reserve refills, that of all threads
  static constexpr double kMaxEarned = 100;       ///< retries that a quiet pool may save up

  /// `percent` of requests, as pool.retry.budget; 0: no retry at all. `threads`: between so many the reserve is divided; each has at
  /// least one retry of it.
  explicit RetryBudget(double percent, unsigned threads = 1);

  void request();
  /// True: retry, it is paid for.
  bool take(base::TimePoint now);

 private:
  double per_request_;
  double most_reserve_;
  double per_second_;
  double earned_ = 0;
  double reserve_;
  base::TimePoint refilled_{};
};

}  // namespace drover::balancer
