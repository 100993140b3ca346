// Role: bugs that the test suite plants to prove that it can fail. In every other build the question is a constant "no" and vanishes.
// Thread: the simulation's own. Ownership: one word, present only where DROVER_PLANTED_BUGS is defined (tests/backends).
#pragma once

#include <cstdint>

namespace drover::backends {

enum class Defect : std::uint8_t {
  none,
  stale_events_obeyed,      ///< an event of an earlier incarnation changes the present one
  gate_open_while_leaving,  ///< a worker told to leave still gets work
  gate_ignores_health,      ///< a failing worker still gets work
  gate_ignores_pause,       ///< a stopped process still gets work
  continue_forgotten,       ///< a continued process never gets work again
  spawn_beside_leftovers,   ///< a new incarnation starts while the old one's tree lives
  window_forgotten,         ///< each new process starts with a clean record
  delay_never_grows,        ///< a crash loop at full speed
  kill_forgotten,           ///< a worker that ignores the stop signal is waited for without end
  two_replaced_at_once,     ///< the pool's token is ignored
  row_not_released,         ///< the row of a worker that left while stopping is kept
  ready_timeout_ignored,    ///< a worker that never gets ready is waited for without end
  busy_ends_probing,        ///< after a busy answer no probe is made again
  drain_without_end,        ///< a drain waits for a stuck exchange without end
  failing_never_replaced,   ///< restart_after is ignored
  probe_overlaps,           ///< a second probe starts while one runs
};

#ifdef DROVER_PLANTED_BUGS
inline Defect planted_defect = Defect::none;
inline bool planted(Defect defect) { return planted_defect == defect; }
#else
constexpr bool planted(Defect) { return false; }
#endif

}  // namespace drover::backends
