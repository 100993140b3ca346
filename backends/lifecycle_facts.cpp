// What follows from a slot's state without changing it.
#include "backends/defects.hpp"
#include "backends/lifecycle.hpp"

#include <algorithm>

namespace drover::backends {

bool can_be_dismissed(const config::Pool& pool) { return config::node_mode(pool) != config::NodeMode::off; }

base::Millis farewell(const config::Pool& pool) {
  switch (config::node_mode(pool)) {
    case config::NodeMode::cluster: return pool.stop.grace;
    case config::NodeMode::fork: return kForkFarewell;
    case config::NodeMode::off: break;
  }
  return base::Millis(0);
}

RestartVerdict judge_death(SlotState& state, base::TimePoint now, const config::Pool& pool) {
  base::Rng rng(state.seed ^ (static_cast<std::uint64_t>(state.incarnation) << 32U));
  std::optional<base::Millis> since_ready;
  if (state.ready_since) since_ready = std::chrono::duration_cast<base::Millis>(state.ended - *state.ready_since);
  return judge(pool.restart, state.history, {state.last_death, since_ready}, now, rng);
}

bool held_back(const SlotState& state) {
  return (state.paused && !planted(Defect::gate_ignores_pause)) || (state.suspect && !planted(Defect::gate_ignores_suspicion)) ||
         (state.ejected && !planted(Defect::gate_ignores_ejection)) || (state.declined && !planted(Defect::gate_ignores_its_word));
}

// lifecycle  | health   | intent   | paused | suspect | ejected | declined | eligible
// -----------+----------+----------+--------+---------+---------+----------+---------
// running    | passing  | enabled  | no     | no      | no      | no       | yes
// running    | passing  | enabled  | yes    | any     | any     | any      | no
// running    | passing  | enabled  | any    | yes     | any     | any      | no
// running    | passing  | enabled  | any    | any     | yes     | any      | no
// running    | passing  | enabled  | any    | any     | any     | yes      | no
// running    | failing  | any      | any    | any     | any     | any      | no
// running    | unknown  | any      | any    | any     | any     | any      | no (does not occur: ready makes it passing)
// running    | any      | drained  | any    | any     | any     | any      | no (does not occur: drain makes it draining)
// any other  | any      | any      | any    | any     | any     | any      | no
bool eligible(const SlotState& state) {
  const bool running = state.lifecycle == Lifecycle::running || (planted(Defect::gate_open_while_leaving) && state.lifecycle == Lifecycle::draining);
  const bool healthy = state.health == Health::passing || (planted(Defect::gate_ignores_health) && state.health == Health::failing);
  return running && healthy && (state.intent == Intent::enabled || planted(Defect::gate_open_while_leaving)) && !held_back(state);
}

bool expected(const SlotState& state, base::TimePoint now, const config::Pool& pool) {
  switch (state.lifecycle) {
    case Lifecycle::starting:  // the retry of a failed slot is no hope to wait for
      return !state.paused && (pool.restart.max == 0 || state.history.counted.size() <= pool.restart.max);
    case Lifecycle::backoff: return state.due && *state.due - now <= pool.queue.wait;
    case Lifecycle::draining:
    case Lifecycle::stopping: return state.leaving == Leaving::replaced || state.leaving == Leaving::crashed;
    case Lifecycle::running:
    case Lifecycle::stopped:
    case Lifecycle::failed: return false;
  }
  return false;
}

std::optional<base::TimePoint> warm_at(const SlotState& state, base::TimePoint now, const config::Pool& pool) {
  if (!state.fresh_since || now >= *state.fresh_since + pool.slow_start) return std::nullopt;
  return *state.fresh_since + pool.slow_start;
}

std::uint32_t warm_share(const SlotState& state, base::TimePoint now, const config::Pool& pool) {
  if (!warm_at(state, now, pool)) return kWholeShare;
  const auto passed = std::chrono::duration_cast<base::Millis>(now - *state.fresh_since);
  return std::max(kFreshShare, static_cast<std::uint32_t>(passed * std::int64_t{kWholeShare} / pool.slow_start));
}

bool wants_replacement(const SlotState& state, base::TimePoint now, const config::Pool& pool) {
  return state.lifecycle == Lifecycle::running && state.failing_since && pool.health.restart_after &&
         now - *state.failing_since >= *pool.health.restart_after && !planted(Defect::failing_never_replaced);
}

std::optional<base::TimePoint> next_tick(const SlotState& state) {
  std::optional<base::TimePoint> at = state.due;
  const bool probes = state.lifecycle == Lifecycle::starting || state.lifecycle == Lifecycle::running;
  if (probes && (!state.probing || planted(Defect::probe_overlaps)) && (!at || state.next_probe < *at)) at = state.next_probe;
  return at;
}

}  // namespace drover::backends
