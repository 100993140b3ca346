#include "balancer/retry_budget.hpp"

#include <algorithm>
#include <chrono>

namespace drover::balancer {

RetryBudget::RetryBudget(double percent, unsigned threads)
    : per_request_(std::max(percent, 0.0) / 100),
      most_reserve_(std::max(kReserve / threads, 1.0)),
      per_second_(kReservePerSecond / threads),
      reserve_(per_request_ > 0 ? most_reserve_ : 0) {}

void RetryBudget::request() { earned_ = std::min(earned_ + per_request_, kMaxEarned); }

bool RetryBudget::take(base::TimePoint now) {
  if (per_request_ <= 0) return false;
  if (now > refilled_) {
    // Before the first retry the reserve is full, whatever the clock's zero is: the minimum takes care of it.
    reserve_ = std::min(most_reserve_, reserve_ + std::chrono::duration<double>(now - refilled_).count() * per_second_);
    refilled_ = now;
  }
  // Sums of fractions fall short of the whole by a rounding error: five requests at 20 % are one retry.
  constexpr double kOne = 1 - 1e-9;
  double& pocket = earned_ >= kOne ? earned_ : reserve_;
  if (pocket < kOne) return false;
  pocket = std::max(0.0, pocket - 1);
  return true;
}

}  // namespace drover::balancer
