// Role: when has a worker grown, served or lived enough, when will it reach its memory limit, and how soon to look again. Pure.
// Thread: supervisor's deciding thread (or a test). Ownership: a value; one per incarnation.
#pragma once

#include "backends/pool_control.hpp"
#include "base/units.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <deque>
#include <optional>

namespace drover::backends {

/// Limits of one incarnation: the pool's, each lowered by up to recycle.jitter, so that workers don't all reach them at once. The
/// hard limit has no jitter.
///
/// The forecast for people and for the cadence follows the last kFreshWindow. What replaces a worker early is more careful: it looks back
/// twice as far as ahead (1 s … kMemoryWindow; of a shorter life, only half as far ahead as it lasted), takes the smallest figure of each
/// quarter of that time, and counts the least of the three growths between them: neither a cache that fills once nor the teeth of a
/// garbage collector are a leak. It needs kForecastFrom of the limit in use.
class Recycling {
 public:
  static constexpr base::Millis kSlowest{1000};  ///< between two samples
  static constexpr base::Millis kQuickest{50};
  static constexpr base::Millis kUnsure{250};     ///< a limit is set, and growth isn't known yet, or less than a tenth of it is left
  static constexpr int kSamplesBeforeLimit = 20;  ///< that many looks until the forecast limit
  static constexpr base::Millis kMemoryWindow{60'000};
  static constexpr base::Millis kMemoryStep{500};
  static constexpr base::Millis kFreshWindow{3000};
  static constexpr std::size_t kQuarters = 4;
  static constexpr double kForecastFrom = 0.5;
  static constexpr base::Millis kFarthest{24 * 3600 * 1000};  ///< a forecast beyond it is none

  Recycling(const config::Pool& pool, std::uint64_t seed, base::TimePoint started);

  void sample(std::uint64_t memory_bytes, base::TimePoint now);
  /// None: nothing is reached. memory is also reached when the forecast says that it will be before a successor that takes
  /// `start_takes` is ready (and drained into): a quarter more than that is allowed for. Where others of the pool wait to be replaced
  /// before this one, the caller adds their starts. A hard limit alone is foreseen, too: as memory.
  Why reached(std::uint64_t requests, base::Millis start_takes, base::TimePoint now) const;
  /// Until the nearest memory limit by the growth of the last samples; none: it does not grow, or no limit is set.
  std::optional<base::Millis> forecast(base::TimePoint now) const;
  /// kSlowest far from a limit, down to kQuickest near it.
  base::Millis sample_every(base::TimePoint now) const;
  /// When age is reached; none: no limit.
  std::optional<base::TimePoint> age_limit() const;

  struct Point {
    base::TimePoint at;
    std::uint64_t bytes = 0;
  };
  /// The last minute, oldest first, at most one point each half second but the newest.
  const std::deque<Point>& minute() const { return points_; }
  std::uint64_t peak() const { return peak_; }
  /// Present limits, for status: none: not set.
  std::optional<std::uint64_t> memory_limit() const { return memory_; }
  std::optional<std::uint64_t> hard_limit() const { return hard_; }
  std::optional<std::uint64_t> request_limit() const { return requests_; }

 private:
  std::optional<std::uint64_t> nearest_limit() const;
  /// Bytes per second by which memory grew in every part of the last `window`; none: a part without a sample.
  std::optional<double> steady_growth(base::Clock::duration window) const;
  bool foreseen(base::Millis start_takes, base::TimePoint now) const;

  base::TimePoint started_;
  std::optional<std::uint64_t> memory_;
  std::optional<std::uint64_t> hard_;
  std::optional<std::uint64_t> requests_;
  std::optional<base::Millis> age_;
  std::deque<Point> points_;
  std::deque<Point> recent_;  ///< of kFreshWindow: finer than `points_`
  std::uint64_t peak_ = 0;
};

}  // namespace drover::backends
