// Role: passive evidence: which workers' exchanges fail so much that they should get no new work for a while. Pure.
// Thread: supervisor's deciding thread (or a test). Ownership: a value; one per pool.
#pragma once

#include "base/units.hpp"
#include "config/model.hpp"

#include <boost/container/static_vector.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace drover::backends {

/// Of one eligible or ejected incarnation, as read from all proxies' boards. Running totals of that incarnation.
struct OutcomeFigures {
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  std::uint64_t claims = 0;   ///< exchanges given to it
  std::uint64_t errors = 0;   ///< exchanges it broke: refused, reset, bad framing, timeout
  std::uint64_t refused = 0;  ///< of them: no connection came about
  std::uint64_t gateway = 0;  ///< its own 502, 503, 504
  std::uint32_t streak = 0;   ///< errors and gateway answers in a row (of the proxy with the longest row)
};

struct OutlierVerdict {
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  bool ejected = false;  ///< from now on; false: admitted again
  std::string reason;    ///< "5 errors in a row (5 of them refused connections)", "61% of 80 exchanges in 10s failed"
  base::Millis away{0};  ///< ejected: until it is tried again
};

/// Rules: a streak of `errors`, or a share of `ratio` of at least kLeastExchanges within `window`, ejects for `base`, doubled with each
/// further time up to kLongest; a life in peace of kForgiven since the last return starts at `base` again. Who returns starts with a
/// clean record: what was counted before says nothing any more.
/// Would more than `eject_max` of the pool's wanted workers (rounded down) be out, or all that are looked at, then none is: all are used
/// until fewer are bad, for `base` at least. Meanwhile a worker whose evidence has gone is good again, also before its time is over if
/// kLeastExchanges went well; the others go out again for the rest of their time, which counts as the same ejection.
class Outliers {
 public:
  static constexpr std::uint64_t kLeastExchanges = 20;
  static constexpr base::Millis kLongest{300'000};
  static constexpr base::Millis kForgiven{300'000};
  static constexpr base::Millis kLeastWindow{1000};  ///< a shorter `window` could fall between two looks
  static constexpr int kParts = 10;                  ///< figures are kept for each tenth of the window

  explicit Outliers(const config::Pool& pool) : pool_(&pool) {}

  /// All of the pool at once, at each look (a few times a second). `wanted`: the pool's desired workers. Returns what changes.
  /// Totals that fall (a proxy was replaced) begin a new count; a worker that isn't among the figures for a while, too.
  std::vector<OutlierVerdict> look(std::span<const OutcomeFigures> figures, std::uint32_t wanted, base::TimePoint now);
  /// When the next ejection ends.
  std::optional<base::TimePoint> next() const;

 private:
  struct Count {
    std::uint64_t exchanges = 0;
    std::uint64_t failed = 0;
  };
  struct Point {
    base::TimePoint at;
    OutcomeFigures figures;
  };
  /// Of one slot; all of it belongs to one incarnation.
  struct Seat {
    OutcomeFigures last;
    bool present = false;              ///< among the figures of this look
    bool bad = false;                  ///< condemned
    bool out = false;                  ///< bad, and the pool can do without it
    std::string reason;                ///< bad: why
    std::uint32_t streak_before = 0;   ///< that much of the streak was counted once already
    std::uint64_t refused_before = 0;  ///< refused connections before the present streak
    boost::container::static_vector<Point, kParts + 2> window;
    std::optional<OutcomeFigures> used_since;  ///< bad and in use all the same: the figures when that began
    std::uint32_t times = 0;                   ///< ejected so often in a row
    std::optional<base::TimePoint> until;      ///< of the present ejection
    std::optional<base::TimePoint> returned;   ///< from the last one
  };
  void take(Seat& seat, const OutcomeFigures& figures, base::TimePoint now) const;
  std::optional<std::string> evidence(const Seat& seat, base::TimePoint now) const;
  void judge(Seat& seat, base::TimePoint now) const;
  bool too_many(std::uint32_t wanted, base::TimePoint now);
  OutlierVerdict eject(Seat& seat, base::TimePoint now) const;
  static OutlierVerdict admit(Seat& seat, std::string reason);
  static Count between(const OutcomeFigures& before, const OutcomeFigures& after);
  static void pardon(Seat& seat, base::TimePoint now);

  const config::Pool* pool_;
  std::map<std::uint32_t, Seat> seats_;
  std::optional<base::TimePoint> all_used_since_;  ///< too many are bad
};

}  // namespace drover::backends
