#include "balancer/breaker.hpp"

#include <algorithm>

namespace drover::balancer {

void Breaker::become(BreakerState state) {
  state_ = state;
  ++state_number_;
  trying_ = false;
}

void Breaker::open(base::TimePoint now) {
  become(BreakerState::open);
  open_until_ = now + config_.open;
  ++opened_;
}

std::optional<Breaker::Pass> Breaker::admit(base::TimePoint now) {
  if (state_ == BreakerState::closed) return Pass{state_number_, false};
  if (state_ == BreakerState::open) {
    if (now < open_until_) return {};
    become(BreakerState::half_open);
  }
  if (trying_ && now - tried_at_ < config_.open) return {};
  trying_ = true;
  tried_at_ = now;
  return Pass{state_number_, true};
}

void Breaker::ended(const Pass& pass, End end, base::TimePoint now) {
  if (pass.state_number != state_number_) return;
  if (state_ == BreakerState::closed) {
    if (end != End::told_nothing) count(end == End::failed, now);
    return;
  }
  switch (end) {
    case End::told_nothing: trying_ = false; return;
    case End::failed: return open(now);
    case End::good:
      become(BreakerState::closed);
      buckets_.fill({});
      return;
  }
}

std::int64_t Breaker::bucket_number(base::TimePoint now) const {
  const auto width = std::max<std::int64_t>(config_.window.count() / kBuckets, 1);
  return std::chrono::duration_cast<base::Millis>(now.time_since_epoch()).count() / width;
}

void Breaker::count(bool failed, base::TimePoint now) {
  const std::int64_t number = bucket_number(now);
  Bucket& bucket = buckets_[static_cast<std::size_t>(number % kBuckets)];
  if (bucket.number != number) bucket = {number, 0, 0};
  ++bucket.all;
  if (!failed) return;
  ++bucket.failed;
  if (too_many(number)) open(now);
}

bool Breaker::too_many(std::int64_t bucket) const {
  std::uint64_t all = 0;
  std::uint64_t failed = 0;
  for (const Bucket& each : buckets_) {
    if (each.number <= bucket - kBuckets) continue;
    all += each.all;
    failed += each.failed;
  }
  return all >= config_.requests && static_cast<double>(failed) * 100.0 >= config_.errors * static_cast<double>(all);
}

base::Millis Breaker::wait(base::TimePoint now) const {
  const base::TimePoint until = state_ == BreakerState::open ? open_until_ : state_ == BreakerState::half_open ? tried_at_ + config_.open : now;
  return std::max(std::chrono::ceil<base::Millis>(until - now), base::Millis(0));
}

}  // namespace drover::balancer
