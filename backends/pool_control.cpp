#include "backends/pool_control.hpp"

#include "backends/defects.hpp"

#include <algorithm>

namespace drover::backends {

const char* to_text(Why why) {
  switch (why) {
    case Why::none: return "";
    case Why::requests: return "request limit";
    case Why::age: return "age limit";
    case Why::memory: return "memory limit";
    case Why::rolling: return "rolling restart";
    case Why::by_operator: return "operator";
    case Why::failing: return "failing";
    case Why::silent: return "silent";
    case Why::hard_memory: return "hard memory limit";
    case Why::hung: return "hung";
  }
  return "";
}

PoolControl::PoolControl(const config::Pool& pool, std::uint64_t seed, std::uint32_t capacity, std::uint32_t rows)
    : pool_(&pool), capacity_(std::max(capacity, pool.workers)), rows_(rows), desired_(pool.workers), seed_(seed) {
  while (size() < desired_) add_seat();
}

void PoolControl::add_seat() {
  Seat& seat = seats_.emplace_back();
  seat.state.seed = base::Rng(seed_ + seats_.size()).next();
}

const SlotState* PoolControl::find(std::uint32_t slot, base::Incarnation incarnation) const {
  if (slot == 0 || slot > size() || incarnation == 0) return nullptr;
  const Seat& seat = seats_[slot - 1];
  if (seat.state.incarnation == incarnation) return &seat.state;
  if (seat.successor && seat.successor->incarnation == incarnation) return &*seat.successor;
  const auto leaver = std::ranges::find(seat.leavers, incarnation, &SlotState::incarnation);
  return leaver != seat.leavers.end() ? &*leaver : nullptr;
}

void PoolControl::handle(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out) {
  if (slot == 0 || slot > size()) return;
  switch (event.type) {
    case EventType::start:
      if (wanted(slot) && !ending_) apply(slot, event, now, out);
      break;
    case EventType::stop:
    case EventType::kill: end(slot, event, now, out); break;
    case EventType::drain: drain(slot, now, out); break;
    case EventType::resume: apply(slot, event, now, out); break;
    case EventType::replace: ask(slot, seats_[slot - 1].state.incarnation, Why::by_operator, now, out); return;
    case EventType::supersede: return;  // PoolControl's own word to its steps
    case EventType::tick: tick_seat(slot, now, out); break;
    case EventType::hung: ask(slot, event.incarnation, Why::hung, now, out); return;
    default: deliver(slot, event, now, out); break;
  }
  settle(slot, now, out);
  grant(now, out);
}

/// Whichever of the slot's incarnations the event is about; of none that is known: nothing.
void PoolControl::deliver(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  if (seat.successor && seat.successor->incarnation == event.incarnation) {
    run(slot, *seat.successor, event, now, out);
    return;
  }
  const auto leaver = std::ranges::find(seat.leavers, event.incarnation, &SlotState::incarnation);
  if (leaver != seat.leavers.end()) {
    run(slot, *leaver, event, now, out);
  } else {
    apply(slot, event, now, out);
  }
}

void PoolControl::run(std::uint32_t slot, SlotState& state, const Event& event, base::TimePoint now, Out& out) {
  Step result = step(std::move(state), event, now, *pool_);
  state = std::move(result.state);
  for (const Effect& effect : result.effects) out.push_back({slot, effect});
}

/// To the slot's present incarnation.
void PoolControl::apply(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  const base::Incarnation before = seat.state.incarnation;
  const bool lived = seat.state.process != Process::none;
  run(slot, seat.state, event, now, out);
  const bool new_life = seat.state.incarnation != before;
  // A new life is what was asked for, whatever brought it about; and nobody asks for a dead one's replacement.
  if (new_life || (lived && seat.state.process == Process::none)) seat.forget_ask();
  if (new_life) seat.fit_since.reset();
}

void PoolControl::drain(std::uint32_t slot, base::TimePoint now, Out& out) {
  drop_successor(slot, EventType::supersede, now, out);
  seats_[slot - 1].asked = Why::none;
  apply(slot, {EventType::drain}, now, out);
}

void PoolControl::retire(std::uint32_t slot, base::TimePoint now, Out& out) {
  drop_successor(slot, EventType::supersede, now, out);
  seats_[slot - 1].asked = Why::none;
  apply(slot, {EventType::stop}, now, out);
  settle(slot, now, out);
}

/// The pool stops: every life of the slot hears it.
void PoolControl::end(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out) {
  ending_ = true;
  if (rolling()) fail_roll(0, 0, now, out);
  Seat& seat = seats_[slot - 1];
  for (SlotState& leaver : seat.leavers) {
    if (!planted(Defect::kill_misses_leavers)) run(slot, leaver, event, now, out);
  }
  drop_successor(slot, event.type, now, out);
  seat.asked = Why::none;
  apply(slot, event, now, out);
}

void PoolControl::scale(std::uint32_t desired, base::TimePoint now, Out& out) {
  if (ending_) return;
  const std::uint32_t before = desired_;
  desired_ = std::min(desired, capacity_);
  while (size() < desired_) add_seat();
  for (std::uint32_t slot = before + 1; slot <= desired_; ++slot) {
    if (planted(Defect::wanted_again_forgotten) && seats_[slot - 1].state.process != Process::none) continue;
    apply(slot, {EventType::start}, now, out);
  }
  for (std::uint32_t slot = before; slot > desired_; --slot) retire(slot, now, out);
  grant(now, out);
}

void PoolControl::tick(base::TimePoint now, Out& out) {
  for (std::uint32_t slot = 1; slot <= size(); ++slot) {
    tick_seat(slot, now, out);
    settle(slot, now, out);
  }
  grant(now, out);
}

void PoolControl::tick_seat(std::uint32_t slot, base::TimePoint now, Out& out) {
  Seat& seat = seats_[slot - 1];
  const auto is_due = [now](const SlotState& state) {
    const auto at = backends::next_tick(state);
    return at && *at <= now;
  };
  if (seat.pause && *seat.pause <= now) seat.pause.reset();
  if (is_due(seat.state)) apply(slot, {EventType::tick}, now, out);
  if (seat.successor && is_due(*seat.successor)) run(slot, *seat.successor, {EventType::tick}, now, out);
  for (SlotState& leaver : seat.leavers) {
    if (is_due(leaver)) run(slot, leaver, {EventType::tick}, now, out);
  }
}

std::optional<base::TimePoint> PoolControl::next_tick() const {
  std::optional<base::TimePoint> first;
  const auto consider = [&](const std::optional<base::TimePoint>& at) {
    if (at && (!first || *at < *first)) first = at;
  };
  const bool may_replace = !ending_ && !rolling() && token_free() && pool_->health.restart_after;
  for (std::uint32_t slot = 1; slot <= size(); ++slot) {
    const Seat& seat = seats_[slot - 1];
    consider(backends::next_tick(seat.state));
    if (seat.successor) consider(backends::next_tick(*seat.successor));
    for (const SlotState& leaver : seat.leavers) consider(backends::next_tick(leaver));
    consider(proof_due(seat));
    consider(seat.pause);
    if (may_replace && wanted(slot) && seat.state.lifecycle == Lifecycle::running && seat.state.failing_since) {
      consider(*seat.state.failing_since + *pool_->health.restart_after);
    }
  }
  if (rolling()) consider(roll_moved_ + roll_patience());
  return first;
}

std::uint32_t PoolControl::expected(base::TimePoint now) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(wanted_seats(), [&](const Seat& seat) {
    if (backends::expected(seat.state, now, *pool_)) return true;
    return seat.successor && !eligible(seat.state) && backends::expected(*seat.successor, now, *pool_);
  }));
}

bool PoolControl::any_eligible() const {
  return std::ranges::any_of(seats_, [](const Seat& seat) { return eligible(seat.state) || (seat.successor && eligible(*seat.successor)); });
}

bool PoolControl::given_up() const {
  return desired_ > 0 && std::ranges::all_of(wanted_seats(), [](const Seat& seat) {
           return seat.state.lifecycle == Lifecycle::failed && !seat.state.due && !seat.successor;
         });
}

bool PoolControl::stopped() const {
  return std::ranges::all_of(seats_, [](const Seat& seat) {
    const bool rests = seat.state.lifecycle == Lifecycle::stopped && seat.state.process == Process::none;
    return rests && !seat.successor && seat.leavers.empty();
  });
}

}  // namespace drover::backends
