// Role: a pool's circuit breaker as the threads of a proxy share it, shown on the board. Cheap where a pool has none: one word is read.
// Thread: any proxy thread; one mutex, touched only in pools with a breaker. Ownership: the process owns one per pool.
#pragma once

#include "balancer/breaker.hpp"
#include "board/proxy_board.hpp"

#include <mutex>
#include <optional>

namespace drover::proxy {

class PoolBreaker {
 public:
  using Pass = balancer::Breaker::Pass;
  using End = balancer::Breaker::End;

  PoolBreaker(const config::Pool::Breaker& config, board::PoolCell& cell) : enabled_(config.errors > 0), cell_(cell), breaker_(config) {}

  bool enabled() const { return enabled_; }

  std::optional<Pass> admit(base::TimePoint now) {
    const std::lock_guard lock(mutex_);
    const auto pass = breaker_.admit(now);
    show();
    return pass;
  }
  void ended(const Pass& pass, End end, base::TimePoint now) {
    const std::lock_guard lock(mutex_);
    breaker_.ended(pass, end, now);
    show();
  }
  base::Millis wait(base::TimePoint now) const {
    const std::lock_guard lock(mutex_);
    return breaker_.wait(now);
  }

 private:
  void show() {
    cell_.breaker.store(static_cast<std::uint32_t>(breaker_.state()), std::memory_order_relaxed);
    cell_.breaker_opened.store(breaker_.opened(), std::memory_order_relaxed);
  }

  const bool enabled_;
  board::PoolCell& cell_;
  mutable std::mutex mutex_;
  balancer::Breaker breaker_;
};

}  // namespace drover::proxy
