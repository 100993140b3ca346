// Whose turn it is to be replaced, and what becomes of successors.
#include "backends/pool_control.hpp"

#include "backends/defects.hpp"

#include <algorithm>

namespace drover::backends {

namespace {

bool leaves_or_left(const SlotState& state) {
  return state.lifecycle == Lifecycle::draining || state.lifecycle == Lifecycle::stopping || state.lifecycle == Lifecycle::stopped;
}

bool waits(const SlotState& state) { return state.lifecycle == Lifecycle::backoff || state.lifecycle == Lifecycle::failed; }

/// Recycling within its soft limits: nobody is in a hurry.
bool is_soft(Why why) { return why == Why::requests || why == Why::age || why == Why::memory; }

/// Its port was someone else's: an accident that says nothing about it, unless it happens again and again.
bool lost_port(const SlotState& state, const RestartHistory& history) {
  return state.last_death == Cause::port_taken && history.ports_lost <= kPortsLostInRow;
}

}  // namespace

void PoolControl::ask(std::uint32_t slot, base::Incarnation incarnation, Why why, base::TimePoint now, Out& out) {
  if (slot == 0 || slot > size() || !wanted(slot) || ending_ || why == Why::none) return;
  Seat& seat = seats_[slot - 1];
  if (incarnation != seat.state.incarnation || leaves_or_left(seat.state)) return;
  if (waits(seat.state) && why != Why::by_operator) return;
  if (why == Why::hung && seat.state.lifecycle != Lifecycle::running) return;
  seat.asked = std::max(seat.asked, why);
  if (why == Why::by_operator) {  // somebody has looked at it: earlier failures are no reason to wait
    seat.tries = {};
    seat.pause.reset();
  }
  if (why == Why::hung || why == Why::hard_memory) {
    apply(slot, {why == Why::hung ? EventType::hung : EventType::replace, incarnation}, now, out);
    settle(slot, now, out);
  }
  grant(now, out);
}

/// The holder gives the token back when its new incarnation is ready, or when there is nothing to wait for: it has died
/// (the restart policy has it now), has failed or stays away.
bool PoolControl::token_free() const {
  if (replacing_ == 0 || planted(Defect::two_replaced_at_once)) return true;
  const Seat& seat = seats_[replacing_ - 1];
  if (seat.successor) return false;
  switch (seat.state.lifecycle) {
    case Lifecycle::starting:
    case Lifecycle::draining:
    case Lifecycle::stopping: return false;
    case Lifecycle::running:
    case Lifecycle::stopped:
    case Lifecycle::backoff:
    case Lifecycle::failed: return true;
  }
  return true;
}

/// A worker that serves is taken out only when no other that should serve is missing.
bool PoolControl::others_serve(std::uint32_t slot) const {
  for (std::uint32_t other = 1; other <= desired_; ++other) {
    const Seat& seat = seats_[other - 1];
    const SlotState& state = seat.state;
    const bool away = state.lifecycle == Lifecycle::failed || state.intent == Intent::drained || state.leaving == Leaving::retired;
    const bool serves = eligible(state) || (seat.successor && eligible(*seat.successor));
    if (other != slot && !away && !serves) return false;
  }
  return true;
}

/// The most urgent first; among equals the lowest slot.
void PoolControl::grant(base::TimePoint now, Out& out) {
  if (ending_) return;
  if (rolling()) advance_roll(now, out);
  if (rolling() || !token_free()) return;
  replacing_ = 0;
  std::uint32_t chosen = 0;
  Why why = Why::none;
  for (std::uint32_t slot = 1; slot <= desired_; ++slot) {
    const Why each = reason(slot, now);
    if (each <= why || !may_begin(slot, each, now)) continue;
    chosen = slot;
    why = each;
  }
  if (chosen == 0) return;
  seats_[chosen - 1].asked = why;
  replacing_ = chosen;
  begin(chosen, eligible(seats_[chosen - 1].state) && pool_->rolling.max_surge > 0, now, out);
}

/// Failing is no ask that is kept: it may recover while others have their turn.
Why PoolControl::reason(std::uint32_t slot, base::TimePoint now) const {
  const Seat& seat = seats_[slot - 1];
  if (leaves_or_left(seat.state)) return Why::none;
  return wants_replacement(seat.state, now, *pool_) ? std::max(seat.asked, Why::failing) : seat.asked;
}

bool PoolControl::may_begin(std::uint32_t slot, Why why, base::TimePoint now) const {
  const Seat& seat = seats_[slot - 1];
  if (seat.successor) return false;
  const bool later = queue_waiting_ && !planted(Defect::recycled_while_queue_waits);
  if (is_soft(why) && (seat.state.lifecycle != Lifecycle::running || later)) return false;
  if (!eligible(seat.state) || planted(Defect::two_replaced_at_once)) return true;
  return pool_->rolling.max_surge > 0 ? may_start_successor(slot, now) : others_serve(slot);
}

/// `beside`: with a successor; else in place.
void PoolControl::begin(std::uint32_t slot, bool beside, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  if (!beside) {
    apply(slot, {EventType::replace}, now, out);
    return;
  }
  out.push_back({slot, {EffectType::tell, seat.state.incarnation, 0, Notice::superseding}});
  SlotState next;
  next.successor = true;
  next.seed = seat.state.seed;
  next.last = planted(Defect::incarnation_used_twice) ? seat.state.incarnation : seat.state.last;
  run(slot, next, {EventType::start}, now, out);
  seat.state.last = next.last;
  seat.successor = std::move(next);
  seat.fit_since.reset();
}

std::uint32_t PoolControl::successors() const {
  return static_cast<std::uint32_t>(std::ranges::count_if(seats_, [](const Seat& seat) { return seat.successor.has_value(); }));
}

/// Every slot keeps a row for its own next life; what lives beside it shares the rest, and one row stays free.
bool PoolControl::may_start_successor(std::uint32_t slot, base::TimePoint now) const {
  const Seat& seat = seats_[slot - 1];
  if (seat.successor || seat.leavers.size() >= kMaxLeavers) return false;
  if (seat.pause && now < *seat.pause && !planted(Defect::successors_without_pause)) return false;
  const std::uint32_t starting = successors();
  if (starting >= pool_->rolling.max_surge && !planted(Defect::surge_without_end)) return false;
  std::size_t exist = capacity_ + starting;
  for (const Seat& each : seats_) exist += each.leavers.size();
  return exist + 1 < rows_ || planted(Defect::rows_ignored);
}

/// After every event of a slot: has its successor proved itself or failed, is it needed at all, who is gone?
void PoolControl::settle(std::uint32_t slot, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  const auto is_gone = [](const SlotState& leaver) { return leaver.process == Process::none || planted(Defect::leavers_forgotten); };
  seat.leavers.erase(std::remove_if(seat.leavers.begin(), seat.leavers.end(), is_gone), seat.leavers.end());
  if (!seat.successor) return;
  switch (seat.state.leaving) {
    case Leaving::no:
      if (waits(seat.state)) {
        take_seat(slot, now, out);  // the present one died: its next life is under way already
        return;
      }
      break;
    case Leaving::crashed:
    case Leaving::never_ready: judge_death(seat.state, now, *pool_); [[fallthrough]];
    case Leaving::replaced: take_seat(slot, now, out); return;
    case Leaving::superseded:
    case Leaving::drained:
    case Leaving::retired: drop_successor(slot, EventType::supersede, now, out); return;
  }
  switch (prove(seat, now)) {
    case Proof::pending: break;
    case Proof::passed:
      seat.tries = {};
      take_seat(slot, now, out);
      break;
    case Proof::failed: successor_failed(slot, now, out); break;
  }
}

/// The one that has to prove itself: a successor, or what the roll has started in place.
const SlotState* PoolControl::newcomer(const Seat& seat) const {
  if (seat.successor) return &*seat.successor;
  const bool new_in_roll = seat.part == Seat::Part::taken && seat.state.incarnation > seat.old;
  return new_in_roll ? &seat.state : nullptr;
}

PoolControl::Proof PoolControl::prove(Seat& seat, base::TimePoint now) const {
  const SlotState& it = *newcomer(seat);
  if (planted(Defect::promoted_before_ready)) return Proof::passed;
  if (eligible(it)) {
    if (!seat.fit_since) seat.fit_since = now;
    return now - *seat.fit_since >= pool_->rolling.soak || planted(Defect::soak_ignored) ? Proof::passed : Proof::pending;
  }
  seat.fit_since.reset();
  const auto due = proof_due(seat);
  if (it.leaving == Leaving::never_ready || it.health == Health::failing || (due && now >= *due)) return Proof::failed;
  const bool died = it.leaving == Leaving::crashed || waits(it) || it.process == Process::none;
  // A successor's lost port is weighed when it is forgotten: its own record says nothing.
  return died && (it.successor || !lost_port(it, it.history)) ? Proof::failed : Proof::pending;
}

/// When prove() has more to say, if nothing happens until then. One that is ready but held back has as long as one that starts.
std::optional<base::TimePoint> PoolControl::proof_due(const Seat& seat) const {
  const SlotState* it = newcomer(seat);
  if (it == nullptr || it->lifecycle != Lifecycle::running) return {};
  if (seat.fit_since) return *seat.fit_since + pool_->rolling.soak;
  return *it->ready_since + pool_->rolling.soak + pool_->ready.timeout;
}

/// The successor becomes the slot's present incarnation. Its gate is open before the old one's closes, if it is ready.
void PoolControl::take_seat(std::uint32_t slot, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  SlotState old = std::move(seat.state);
  seat.state = std::move(*seat.successor);
  seat.successor.reset();
  seat.forget_ask();
  seat.state.successor = false;
  seat.state.intent = old.intent;
  seat.state.history = std::move(old.history);
  seat.state.restarts = old.restarts + 1;
  seat.state.last_death = old.last_death;
  out.push_back({slot, {EffectType::tell, seat.state.incarnation, 0, Notice::promoted}});
  if (old.process == Process::none) return;
  run(slot, old, {EventType::supersede}, now, out);
  seat.leavers.push_back(std::move(old));
}

/// `how`: supersede, or how the whole pool ends.
void PoolControl::drop_successor(std::uint32_t slot, EventType how, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  if (!seat.successor) return;
  SlotState it = std::move(*seat.successor);
  seat.successor.reset();
  seat.fit_since.reset();
  if (it.process == Process::none) return;
  run(slot, it, {how}, now, out);
  seat.leavers.push_back(std::move(it));
}

/// The old incarnation stays. Who asked has to ask again, and the slot's next successor waits as the restart policy says.
void PoolControl::successor_failed(std::uint32_t slot, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  const SlotState& it = *seat.successor;
  const base::Incarnation who = it.incarnation;
  const Cause cause = it.leaving == Leaving::crashed ? it.last_death : Cause::never_ready;
  base::Rng rng(it.seed ^ (static_cast<std::uint64_t>(who) << 32U));
  const RestartVerdict verdict = judge(pool_->restart, seat.tries, {cause, {}}, now, rng);
  seat.pause = now + (verdict.then == RestartVerdict::Then::given_up ? pool_->restart.max_delay : verdict.delay);
  const bool accident = cause == Cause::port_taken && lost_port(it, seat.tries);
  drop_successor(slot, EventType::supersede, now, out);
  if (accident) {
    if (seat.part == Seat::Part::taken) seat.part = Seat::Part::waiting;
    return;
  }
  out.push_back({slot, {EffectType::tell, who, 0, Notice::successor_failed}});
  seat.forget_ask();
  if (planted(Defect::failure_hits_the_old)) apply(slot, {EventType::replace}, now, out);
  if (seat.part != Seat::Part::taken) return;
  if (planted(Defect::roll_goes_on_after_failure)) {
    seat.part = Seat::Part::none;
  } else {
    fail_roll(slot, who, now, out);
  }
}

}  // namespace drover::backends
