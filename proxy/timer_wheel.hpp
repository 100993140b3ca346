// Role: deadlines of many waiting things at a cost that does not grow with their number: a wheel of slots, one a step of time.
// Thread: one proxy thread. Ownership: borrows its entries, which take themselves out before they end.
//
// An entry's own `deadline` is the truth; where it is filed may be too early, never too late by a step. So a deadline that moves away (as each
// request's does several times) costs nothing: it is looked at again when its slot comes.
#pragma once

#include "base/units.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace drover::proxy {

struct TimerEntry {
  base::TimePoint deadline = base::TimePoint::max();
  base::TimePoint filed = base::TimePoint::max();  ///< when its slot comes; max: it is in none
  TimerEntry* before = nullptr;
  TimerEntry* behind = nullptr;
};

class TimerWheel {
 public:
  static constexpr base::Millis kStep{8};
  static constexpr std::int64_t kSlots = 1024;  ///< what is farther off than the last one comes to be looked at, and is filed again

  explicit TimerWheel(base::TimePoint now) : passed_(step_of(now)) {}

  /// Its deadline has been set: inline, since most are set to a later one than before.
  void set(TimerEntry& entry) {
    if (entry.deadline <= entry.filed - kStep) file(entry);
  }
  void take_out(TimerEntry& entry);
  /// When there is something to be looked at; max: never.
  base::TimePoint next() const;
  /// Calls `due` for each entry whose deadline has passed, and forgets that deadline.
  template <class Due>
  void expire(base::TimePoint now, Due due) {
    TimerEntry* entry = take_passed(now);
    while (entry != nullptr) {
      TimerEntry* const following = entry->behind;
      entry->behind = nullptr;
      if (entry->deadline <= now) {
        entry->deadline = base::TimePoint::max();
        due(*entry);
      } else if (entry->deadline != base::TimePoint::max()) {
        file(*entry);
      }
      entry = following;
    }
  }

 private:
  static std::int64_t step_of(base::TimePoint time) { return time.time_since_epoch() / kStep; }
  static std::size_t index_of(std::int64_t step) { return static_cast<std::size_t>(step % kSlots); }
  void file(TimerEntry& entry);
  TimerEntry* take_passed(base::TimePoint now);

  std::int64_t passed_;  ///< the last step whose slot has been emptied
  std::array<TimerEntry*, static_cast<std::size_t>(kSlots)> slots_{};
  std::array<std::uint64_t, static_cast<std::size_t>(kSlots) / 64> used_{};  ///< one bit a slot
};

}  // namespace drover::proxy
