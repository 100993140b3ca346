// Role: how many workers a pool should have: between min and max by load, none after idle_stop, some again on demand. Pure.
// Thread: supervisor's deciding thread (or a test). Ownership: a value; one per pool.
#pragma once

#include "base/units.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <optional>

namespace drover::backends {

/// What was seen since the last look (once a second).
struct LoadFigures {
  std::uint32_t desired = 0;
  std::uint32_t eligible = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t queued = 0;       ///< waiting now
  std::uint64_t queue_waits = 0;  ///< requests that have ever waited (a running total)
  std::uint64_t requests = 0;     ///< running total of the pool
  double busy = 0;                ///< mean share of eligible workers that are busy, 0 … 1: see busy_share()
};

/// Busy share: where `concurrency` bounds a worker, its exchanges in flight over that bound; else the larger of its CPU over one core
/// and whether anything is in flight, averaged over the look.
double busy_share(std::uint32_t in_flight, std::uint32_t concurrency, double cpu_percent);

struct ScaleVerdict {
  std::uint32_t desired = 0;
  const char* why = "";  ///< "load", "idle", "demand"
};

class Autoscale {
 public:
  static constexpr base::Millis kUpAfter{2000};          ///< of waiting requests or a busy share above kBusy
  static constexpr base::Millis kDownAfter{60'000};      ///< of a load that one worker less could bear at kRelaxed
  static constexpr base::Millis kUpPause{3000};          ///< after a change, until the next: new workers must have had a chance
  static constexpr base::Millis kStartPatience{30'000};  ///< after a change: growth waits that long for those that are being started
  static constexpr base::Millis kMaxGap{5000};           ///< without a look: what was before says nothing about now
  static constexpr double kBusy = 0.8;
  static constexpr double kRelaxed = 0.5;

  explicit Autoscale(const config::Pool& pool) : pool_(&pool) {}

  /// None: stay. Grows by one, or by a quarter of the pool if that is more; shrinks by one. Never below pool.workers but to 0 when
  /// idle_stop is over; never above workers_max. A pool scaled by hand (`manual`) beyond its bounds is left alone, but for idle_stop.
  /// While fewer workers serve than are wanted it doesn't shrink, and grows only when kStartPatience is over.
  std::optional<ScaleVerdict> look(const LoadFigures& figures, base::TimePoint now);
  /// Somebody asks for a pool that is asleep: the fewest it may have, or as many as were asked for by hand (none: it stays at 0).
  ScaleVerdict demand(base::TimePoint now);
  void by_hand(std::uint32_t desired);

 private:
  /// Something came since the last look, or is there.
  bool active(const LoadFigures& figures) const;
  std::optional<ScaleVerdict> by_load(const LoadFigures& figures, bool waiting, base::TimePoint now);
  ScaleVerdict changed(std::uint32_t desired, const char* why, base::TimePoint now);

  const config::Pool* pool_;
  std::optional<std::uint32_t> manual_;
  std::optional<base::TimePoint> pressed_since_;
  std::optional<base::TimePoint> relaxed_since_;
  std::optional<base::TimePoint> changed_;
  base::TimePoint asked_{};                ///< last request seen
  std::optional<base::TimePoint> looked_;  ///< none: not yet
  std::uint64_t requests_ = 0;
  std::uint64_t queue_waits_ = 0;
};

}  // namespace drover::backends
