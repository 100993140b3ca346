// Role: the life of one slot as a pure function: step(state, event, now) -> (state, effects). Decides; does nothing.
// Thread: any; no clock, no I/O, no allocation beyond the restart history. Ownership: values.
//         The slot's state outlives its incarnations; everything in it that belongs to one incarnation is reset at its start.
//
// Three axes, each with one writer: lifecycle (this file's step), health (judge_probe in lifecycle.cpp), intent (drain and resume).
// Beside them stand facts that hold work back and decide nothing else: paused, suspect, ejected, declined.
//
// A Node worker (config::node_mode) hears over its channel that it is to finish before it is signalled:
//   - clients come through the proxy: it drains first, and hears it when nobody is inside its gate; then it has farewell() to go;
//   - clients reach it past the proxy: nobody but itself knows when it is done, so it hears it at once and has drain.http;
//   - `cluster`: its channel closed after that: it has finished. What still holds the process is only its own; kAfterDisconnect;
//   - it goes of its own will (`left`): drain.http and stop.grace to finish. That is no death, and the next incarnation starts at
//     once, but never more often than once in restart.delay: a program that leaves as its first act is no reason to spin.
// Beyond each of these times: signal, grace, KILL, as for everybody.
//
// A slot may have more than one incarnation at a time: its successor that gets ready, and old ones that drain. Each has a SlotState
// and goes through this same step(); PoolControl keeps them apart (pool_control.hpp).
#pragma once

#include "backends/restart_policy.hpp"
#include "backends/status.hpp"
#include "base/units.hpp"
#include "config/model.hpp"

#include <boost/container/static_vector.hpp>

#include <cstdint>
#include <optional>

namespace drover::backends {

/// What is left of the incarnation's processes.
enum class Process : std::uint8_t {
  none,       ///< nothing: it was reaped and its tree is gone, or it never was
  alive,      ///< the main process lives
  main_gone,  ///< the main process was reaped, descendants are left
};

/// Why a slot's process is leaving or has left; decides what follows when it is gone.
enum class Leaving : std::uint8_t {
  no,
  crashed,      ///< unasked: the restart policy decides
  never_ready,  ///< stopped because ready.timeout was over: the restart policy decides
  replaced,     ///< the next incarnation follows at once
  superseded,   ///< its successor has taken its place, or it was a successor and is not wanted any more: nothing follows
  drained,      ///< by the operator: stays away until resumed
  retired,      ///< for good: the cluster stops or the slot is given up
};

struct SlotState {
  Lifecycle lifecycle = Lifecycle::stopped;
  Health health = Health::unknown;
  Intent intent = Intent::enabled;

  // Of the present incarnation.
  base::Incarnation incarnation = 0;
  Process process = Process::none;
  Leaving leaving = Leaving::no;
  bool paused = false;       ///< stopped by a signal (SIGSTOP and friends)
  bool suspect = false;      ///< requests inside and no byte while its siblings move
  bool ejected = false;      ///< its answers fail
  bool declined = false;     ///< by its own word: drain, maint, down, STOPPING=1
  bool diagnosing = false;   ///< stopping: it got its diagnostic signal, the stop signal comes when `due` is over
  bool dismissed = false;    ///< draining: it was told over its channel to finish, or goes of its own will
  bool left = false;         ///< draining: of its own will
  bool successor = false;    ///< its death is not the restart policy's business: the old incarnation stays
  bool probing = false;      ///< a probe was asked for and has not answered
  std::uint32_t passes = 0;  ///< in a row
  std::uint32_t fails = 0;   ///< in a row
  base::TimePoint started{};
  base::TimePoint ended{};  ///< of the main process
  std::optional<base::TimePoint> ready_since;
  std::optional<base::TimePoint> failing_since;
  std::optional<base::TimePoint> fresh_since;  ///< its gate was opened for the first time, or after it had failed or been ejected
  base::TimePoint next_probe{};
  /// starting: ready.timeout is over; draining: the drain ends; stopping: KILL; backoff and failed: next start.
  std::optional<base::TimePoint> due;

  // Of the slot.
  base::Incarnation last = 0;  ///< highest ever started in the slot, by whichever of its lives: the next gets one more
  RestartHistory history;
  std::uint64_t restarts = 0;
  std::uint64_t seed = 0;  ///< for jitter
  Cause last_death = Cause::exit_zero;
};

enum class EventType : std::uint8_t {
  // of the cluster and the operator
  start,      ///< one that is retired and still leaves starts anew when it is gone
  stop,       ///< drain, stop, stay away for good
  kill,       ///< the same at once
  drain,      ///< intent
  resume,     ///< intent
  replace,    ///< drain, stop, start anew
  supersede,  ///< drain, stop, nothing follows
  // of the clock
  tick,
  // of one incarnation
  spawn_failed,
  probe_passed,
  probe_failed,
  probe_busy,  ///< not made because the worker's `concurrency` was in use: neutral
  paused,
  continued,
  reported_ready,  ///< READY=1, where ready.notify asks for it; else the next probe is made at once
  suspected,
  cleared,  ///< of suspicion
  ejected,
  admitted,      ///< after an ejection
  declined,      ///< by its own word
  accepted,      ///< likewise, again
  hung,          ///< diagnosed: diagnostic signal, then replaced
  emptied,       ///< nobody is inside its gate any more
  left,          ///< it goes of its own will (Node's exitedAfterDisconnect): the next incarnation follows at once, no death is counted
  disconnected,  ///< it has closed its channel
  exited,        ///< the main process was reaped
  tree_gone,     ///< and no descendant is left
};
inline constexpr std::size_t kEventTypes = 27;

struct Event {
  EventType type = EventType::tick;
  base::Incarnation incarnation = 0;  ///< whom it is about; unused by the first two groups
  Cause cause = Cause::exit_zero;     ///< exited, spawn_failed
  bool tree_left = false;             ///< exited: descendants live on
};

enum class EffectType : std::uint8_t {
  spawn,
  open_gate,
  close_gate,
  probe,
  disconnect,  ///< over its channel: finish and leave
  signal_main,
  signal_tree,
  release,  ///< nothing is left of the incarnation: free its row and port, forget it
  tell,     ///< something worth an event and a log line happened
};

enum class Notice : std::uint8_t {
  none,
  ready,
  never_ready,
  exited,
  failing,
  recovered,
  paused,
  continued,
  suspect,
  cleared,
  ejected,
  admitted,
  declined,
  accepted,
  hung,
  superseding,       ///< a successor was started beside it (told of the old incarnation)
  promoted,          ///< the successor has taken its place (told of the new incarnation, as is successor_failed)
  successor_failed,  ///< the successor died or was never ready: the old incarnation stays
  failed,
  given_up,
  killed,
  forced,
  draining,
  stopped
};

struct Effect {
  EffectType type = EffectType::tell;
  base::Incarnation incarnation = 0;
  int signal = 0;
  Notice notice = Notice::none;
};

/// No event has more consequences than these.
inline constexpr std::size_t kMaxEffects = 8;
using Effects = boost::container::static_vector<Effect, kMaxEffects>;

struct Step {
  SlotState state;
  Effects effects;
};

inline constexpr base::Millis kFirstProbe{20};        ///< after a start: a quick worker need not wait for the cadence
inline constexpr base::Millis kReadyProbeEvery{100};  ///< while starting
inline constexpr base::Millis kLeftoverGrace{2000};   ///< TERM to KILL for what a crashed main process left behind
inline constexpr base::Millis kDiagnosis{1000};       ///< hang.signal to stop.signal: time to print stacks
inline constexpr base::Millis kForkFarewell{1000};  ///< closed channel to stop.signal: a forked Node program that lives by its channel ends by itself
inline constexpr base::Millis kAfterDisconnect{1000};  ///< a Node cluster worker has closed its channel: what is left is its own
inline constexpr base::Millis kKillAgain{1000};        ///< a KILL that has not worked yet (uninterruptible sleep) is repeated

inline constexpr std::uint32_t kWholeShare = 100;
inline constexpr std::uint32_t kFreshShare = 10;  ///< less would be so little that its caches stay cold

Step step(SlotState state, const Event& event, base::TimePoint now, const config::Pool& pool);

/// Counts a death that nobody asked for on the slot's record and says what follows.
RestartVerdict judge_death(SlotState& state, base::TimePoint now, const config::Pool& pool);

/// Can a worker be told over its channel to finish?
bool can_be_dismissed(const config::Pool& pool);
/// How long one that was told so when it had nothing more to do may take until it is signalled; zero: it can't be told.
base::Millis farewell(const config::Pool& pool);

/// Is it kept from new work for another reason than its health?
bool held_back(const SlotState& state);
/// May the slot's present incarnation get new work? (truth table in lifecycle_facts.cpp)
bool eligible(const SlotState& state);
/// Is its worker about to be ready, so that a request had better wait for it?
bool expected(const SlotState& state, base::TimePoint now, const config::Pool& pool);
/// Percent of its even part that a fresh worker gets: from kFreshShare up to the whole, along slow_start.
std::uint32_t warm_share(const SlotState& state, base::TimePoint now, const config::Pool& pool);
/// When it has the whole; none: it has.
std::optional<base::TimePoint> warm_at(const SlotState& state, base::TimePoint now, const config::Pool& pool);
/// Has it been failing for so long that it should be replaced?
bool wants_replacement(const SlotState& state, base::TimePoint now, const config::Pool& pool);
/// When step() wants a tick; none: only an event can change anything.
std::optional<base::TimePoint> next_tick(const SlotState& state);

}  // namespace drover::backends
