// Role: circuit breaker: lets a pool alone for a while when too many of its exchanges fail, then tries one.
// Thread: any proxy thread, under its owner's mutex. Pure: time is passed in. Ownership: plain value, one per pool.
//
// closed --(errors of the window >= percent, of at least `requests`)--> open --(`open` has passed)--> half_open: one exchange is let
// through --(it succeeds)--> closed, with an empty window; --(it fails)--> open.
#pragma once

#include "base/units.hpp"
#include "config/model.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace drover::balancer {

enum class BreakerState : std::uint8_t { closed, open, half_open };

class Breaker {
 public:
  explicit Breaker(const config::Pool::Breaker& config) : config_(config) {}

  bool enabled() const { return config_.errors > 0; }

  /// An exchange that was let in. What belongs to an earlier state than the present one says nothing any more: what fails while the
  /// breaker is open began before, and must not decide for the exchange that is on trial.
  struct Pass {
    std::uint64_t state_number = 0;
    bool trial = false;  ///< it decides: by the head of its response, or by having none
  };
  /// None: not now. In half_open one at a time; a trial that lasts longer than `open` bars no other one.
  std::optional<Pass> admit(base::TimePoint now);
  enum class End : std::uint8_t { good, failed, told_nothing };
  /// Told when it is known: of a trial that is the head of its response, of others their end.
  /// `failed` as it speaks against the pool; `told_nothing`: its end says nothing (the client left).
  void ended(const Pass& pass, End end, base::TimePoint now);

  BreakerState state() const { return state_; }
  std::uint64_t opened() const { return opened_; }
  /// Until the next try; for Retry-After.
  base::Millis wait(base::TimePoint now) const;

 private:
  static constexpr std::int64_t kBuckets = 10;  ///< of the window
  struct Bucket {
    std::int64_t number = -1;
    std::uint32_t all = 0;
    std::uint32_t failed = 0;
  };
  void become(BreakerState state);
  void open(base::TimePoint now);
  void count(bool failed, base::TimePoint now);
  bool too_many(std::int64_t bucket) const;
  std::int64_t bucket_number(base::TimePoint now) const;

  config::Pool::Breaker config_;
  BreakerState state_ = BreakerState::closed;
  std::uint64_t state_number_ = 1;  ///< grows with each change of state
  base::TimePoint open_until_{};
  bool trying_ = false;
  base::TimePoint tried_at_{};
  std::uint64_t opened_ = 0;
  std::array<Bucket, static_cast<std::size_t>(kBuckets)> buckets_{};
};

}  // namespace drover::balancer
