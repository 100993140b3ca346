// Role: the restart policy of one slot as a pure function: what a death means, how long to wait, when a slot is failed.
// Thread: any; no clock, no I/O. Ownership: the history belongs to the slot and outlives its incarnations: a new process must
//         not reset the record of the old ones.
#pragma once

#include "base/rng.hpp"
#include "base/units.hpp"
#include "config/model.hpp"

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <optional>

namespace drover::backends {

enum class Cause : std::uint8_t {
  exit_zero,
  exit_nonzero,    ///< self-inflicted
  own_signal,      ///< SEGV, ABRT, BUS, ILL, FPE: self-inflicted
  out_of_memory,   ///< proven by the kernel's count: self-inflicted
  outside_signal,  ///< KILL, TERM, … from somebody else
  never_ready,     ///< stopped by us when ready.timeout was over
  spawn_failed,
  port_taken,  ///< ended before ready while a stranger listened on its port
};

bool self_inflicted(Cause cause);
/// What an exit status says by itself. `out_of_memory`: the kernel counted an OOM kill meanwhile.
Cause cause_of(bool signaled, int value, bool out_of_memory);

struct Death {
  Cause cause = Cause::exit_zero;
  std::optional<base::Millis> since_ready;  ///< none: it never was ready
};

struct RestartHistory {
  boost::container::small_vector<base::TimePoint, 12> counted;  ///< deaths before ready or young, within the window; at most max + 1
  std::uint32_t series = 0;                                     ///< growing deaths in a row; a life beyond `young` ends the series
  std::uint32_t ports_lost = 0;                                 ///< in a row
};

/// More than this many lost ports in a row are no accident: they are counted like any death before ready.
inline constexpr std::uint32_t kPortsLostInRow = 5;

struct RestartVerdict {
  enum class Then : std::uint8_t { wait, failed, given_up };
  Then then = Then::wait;
  base::Millis delay{0};  ///< until the next start; given_up: none comes
};

RestartVerdict judge(const config::Pool::Restart& rule, RestartHistory& history, const Death& death, base::TimePoint now, base::Rng& rng);

}  // namespace drover::backends
