// Role: bugs that the test suite plants to prove that it can fail. In every other build the question is a constant "no" and vanishes.
// Thread: the simulation's own. Ownership: one word, present only where DROVER_PLANTED_BUGS is defined (tests/backends).
#pragma once

#include <cstdint>

namespace drover::backends {

enum class Defect : std::uint8_t {
  none,
  stale_events_obeyed,         ///< an event of an earlier incarnation changes the present one
  gate_open_while_leaving,     ///< a worker told to leave still gets work
  gate_ignores_health,         ///< a failing worker still gets work
  gate_ignores_pause,          ///< a stopped process still gets work
  continue_forgotten,          ///< a continued process never gets work again
  spawn_beside_leftovers,      ///< a new incarnation starts while the old one's tree lives
  window_forgotten,            ///< each new process starts with a clean record
  delay_never_grows,           ///< a crash loop at full speed
  kill_forgotten,              ///< a worker that ignores the stop signal is waited for without end
  two_replaced_at_once,        ///< the pool's token is ignored
  row_not_released,            ///< the row of a worker that left while stopping is kept
  ready_timeout_ignored,       ///< a worker that never gets ready is waited for without end
  busy_ends_probing,           ///< after a busy answer no probe is made again
  drain_without_end,           ///< a drain waits for a stuck exchange without end
  failing_never_replaced,      ///< restart_after is ignored
  probe_overlaps,              ///< a second probe starts while one runs
  gate_ignores_suspicion,      ///< a suspect worker still gets work
  gate_ignores_ejection,       ///< an ejected worker still gets work
  gate_ignores_its_word,       ///< a worker that declined still gets work
  promoted_before_ready,       ///< the old incarnation leaves as soon as its successor is started
  soak_ignored,                ///< the old incarnation leaves as soon as its successor is ready
  failure_hits_the_old,        ///< a successor that fails takes the old incarnation along
  roll_goes_on_after_failure,  ///< a successor's failure does not stop it
  roll_without_end,            ///< a roll that is through is not over
  roll_empties_the_pool,       ///< max_unavailable is ignored
  surge_without_end,           ///< max_surge is ignored
  rows_ignored,                ///< more incarnations than rows
  leavers_forgotten,           ///< an old incarnation is forgotten while it drains
  incarnation_used_twice,      ///< the number of a successor that failed is given again
  successors_without_pause,    ///< a successor that fails is followed by another at once
  kill_misses_leavers,         ///< the pool's forced stop reaches only the present incarnations
  recycled_while_queue_waits,  ///< soft limits are obeyed while requests wait
  wanted_again_forgotten,      ///< a slot wanted again while it leaves is not started
  diagnosis_without_end,       ///< after the diagnostic signal nothing follows
  own_word_not_heard,          ///< READY=1 makes nobody ready
  dismissed_while_busy,        ///< a worker hears that it is to finish while requests are inside
  dismissed_again,             ///< and hears it again and again
  farewell_without_end,        ///< one that does not obey is waited for without end
  disconnect_not_heard,        ///< one that has closed its channel is given all its time
  dismissed_goes_on,           ///< one that was told to finish gets work again
  own_leave_counted,           ///< a worker that goes of its own will counts as dead
  slow_start_once,             ///< only a slot's first life warms up
  leavers_spin,                ///< one that goes as its first act is started again without a pause
};

#ifdef DROVER_PLANTED_BUGS
inline Defect planted_defect = Defect::none;
inline bool planted(Defect defect) { return planted_defect == defect; }
#else
constexpr bool planted(Defect) { return false; }
#endif

}  // namespace drover::backends
