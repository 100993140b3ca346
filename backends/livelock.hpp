// Role: which workers have requests inside and give no byte while their siblings move (suspect), and which have stood still for so
//       long that they may hang. Pure.
// Thread: supervisor's deciding thread (or a test). Ownership: a value; one per pool.
#pragma once

#include "base/units.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace drover::backends {

/// Of one incarnation, as read from all proxies' boards.
struct ProgressFigures {
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  bool in_use = true;           ///< eligible, or suspect and nothing else
  std::uint32_t in_flight = 0;  ///< exchanges inside
  base::TimePoint moved{};      ///< last byte that came from it; epoch: none yet
};

struct ProgressVerdict {
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  bool suspect = false;
  base::Millis stalled{0};
};

/// Rules: a worker is stalled since the later of its last byte and the first look that found it busy. Suspect: stalled for at least
/// max(kAtLeast, kTimes × p99 of the pool), and another worker of the pool in use moved within that time while it had requests. A
/// suspect one is cleared by its next byte, or when nothing is inside any more. The worker that moved last is never suspect.
class Livelock {
 public:
  static constexpr base::Millis kAtLeast{1000};
  static constexpr int kTimes = 10;

  /// All of the pool at once, at each look (a few times a second). Returns what changes.
  std::vector<ProgressVerdict> look(std::span<const ProgressFigures> figures, base::Millis p99, base::TimePoint now);
  /// How long it has stood still with requests inside; none: it moved between the last two looks, is empty, or isn't known.
  std::optional<base::Millis> stalled(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) const;

 private:
  struct Seat {
    base::Incarnation incarnation = 0;
    bool present = false;  ///< among the figures of this look
    bool in_use = false;
    bool suspect = false;
    bool moving = false;                        ///< gave a byte since the look before
    std::optional<base::TimePoint> busy_since;  ///< first look that found requests inside; none: it was empty
    base::TimePoint moved{};                    ///< never falls, also when a proxy and its figures are replaced
    base::TimePoint still_since() const { return std::max(*busy_since, moved); }
  };
  std::map<std::uint32_t, Seat> seats_;
};

}  // namespace drover::backends
