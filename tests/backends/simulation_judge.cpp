// The judge of the simulated world: it keeps a ledger of its own and knows the rules from the documentation, not from the code.
#include "simulation_world.hpp"

#include <algorithm>

namespace drover::backends::simulation {

namespace {

using base::Millis;

constexpr Millis kSlack{50};

bool waits(Lifecycle lifecycle) { return lifecycle == Lifecycle::backoff || lifecycle == Lifecycle::failed; }

}  // namespace

World::Before World::brief(const SlotState& s) { return {s.lifecycle, s.process, s.leaving, s.health, s.incarnation, s.paused, eligible(s), s.due}; }

void World::remember() {
  tick_at_ = control_->next_tick();
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) before_[slot - 1] = brief(control_->slot(slot));
}

void World::note(std::uint32_t slot, const Event& event) {
  const Before& was = before(slot);
  Ledger& book = ledger(slot);
  if (event.type >= EventType::spawn_failed && event.incarnation != was.incarnation) {
    const bool clock_spoke_too = tick_at_ && *tick_at_ <= now_;
    if (clock_spoke_too) return;
    if (!effects_.empty() || brief(control_->slot(slot)) != was) violate(5, slot, "an event of a stale incarnation had a consequence");
    return;
  }
  const bool lived = was.process == Process::alive;
  switch (event.type) {
    case EventType::drain: book.drained = true; break;
    case EventType::resume:
      book.drained = false;
      book.entered = now_;  // back to work, perhaps to be taken out again within the same event
      break;
    case EventType::replace: book.replace_asked = true; break;
    case EventType::probe_passed:
    case EventType::probe_failed:
    case EventType::probe_busy:
      book.probe_out = false;
      if (was.lifecycle != Lifecycle::starting && was.lifecycle != Lifecycle::running) break;
      if (event.type != EventType::probe_busy) note_probe(slot, event.type == EventType::probe_passed);
      break;
    case EventType::paused:
    case EventType::continued:
      if (lived) book.paused = event.type == EventType::paused;
      break;
    case EventType::exited:
    case EventType::spawn_failed:
      if (!lived) break;
      book.known_alive = false;
      book.ended = now_;
      book.cause = event.cause;
      break;
    case EventType::stop:
    case EventType::kill: book.told_to_stop = true; break;
    case EventType::start:
    case EventType::tick:
    case EventType::emptied:
    case EventType::tree_gone: break;
  }
}

void World::note_probe(std::uint32_t slot, bool passed) {
  Ledger& book = ledger(slot);
  if (!book.ready) {
    if (!passed) return;
    book.ready = true;
    book.ready_since = now_;
    return;
  }
  book.passes = passed ? book.passes + 1 : 0;
  book.fails = passed ? 0 : book.fails + 1;
  if (book.failing && book.passes >= config_.health.rise) book.failing = false;
  if (!book.failing && book.fails >= config_.health.fall) {
    book.failing = true;
    book.failing_since = now_;
  }
}

void World::note_spawn(std::uint32_t slot, const Effect& effect) {
  Ledger& book = ledger(slot);
  if (child(slot).main || child(slot).tree || book.row) violate(6, slot, "a start beside a process of the same slot");
  if (effect.incarnation != book.incarnation + 1) violate(6, slot, "incarnations do not grow by one");
  const bool early = book.earliest && now_ < *book.earliest;
  const bool by_itself = told_ == EventType::tick && before(slot).due && now_ >= *before(slot).due;
  if (waits(before(slot).lifecycle) && book.replace_asked && !by_itself) {  // the operator's fresh start wipes the record
    book.counted.clear();
    book.series = book.ports_lost = 0;
  } else if (early) {
    violate(8, slot, "a start before its delay was over");
  }
  Ledger fresh;
  fresh.incarnation = effect.incarnation;
  fresh.row = fresh.known_alive = true;
  if (book.told_to_stop) violate(6, slot, "a start after the stop");
  fresh.drained = book.drained;
  fresh.taken = book.taken;
  fresh.counted = std::move(book.counted);
  fresh.series = book.series;
  fresh.ports_lost = book.ports_lost;
  book = std::move(fresh);
}

void World::note_release(std::uint32_t slot) {
  Ledger& book = ledger(slot);
  if (!book.row) violate(7, slot, "a row was released twice");
  if (child(slot).main || child(slot).tree) violate(6, slot, "a row was released while its processes live");
  book.row = book.known_alive = book.replace_asked = false;
  const Leaving why = before(slot).leaving;
  if (why == Leaving::no || why == Leaving::crashed || why == Leaving::never_ready) note_death(slot, why == Leaving::never_ready);
}

void World::note_death(std::uint32_t slot, bool never_ready) {
  Ledger& book = ledger(slot);
  const auto& rule = config_.restart;
  const SlotState& state = control_->slot(slot);
  if (book.cause == Cause::port_taken && !never_ready && ++book.ports_lost <= kPortsLostInRow) {
    book.earliest = book.latest = now_;
    return;
  }
  if (book.cause != Cause::port_taken || never_ready) book.ports_lost = 0;
  const bool young = !book.ready || book.ended - book.ready_since < rule.young;
  if (young && rule.max > 0) {
    std::erase_if(book.counted, [&](base::TimePoint at) { return now_ - at >= rule.within; });
    book.counted.push_back(now_);
    if (book.counted.size() > rule.max) {
      if (state.lifecycle != Lifecycle::failed) violate(8, slot, "more deaths than max within the window, but not failed");
      book.earliest = rule.give_up ? base::TimePoint::max() : now_ + rule.max_delay;
      book.latest = book.earliest;
      return;
    }
  }
  if (state.lifecycle != Lifecycle::backoff) violate(8, slot, "not in back-off after a death that max allows");
  if (!young) book.series = 0;
  Millis want = std::min(rule.delay, rule.max_delay);
  if (!book.ready || (!never_ready && self_inflicted(book.cause))) {
    for (std::uint32_t i = 0; i < book.series && want < rule.max_delay; ++i) want = std::min(want * 2, rule.max_delay);
    ++book.series;
  }
  book.earliest = now_ + want * 9 / 10 - Millis(1);
  book.latest = now_ + want * 11 / 10 + Millis(1);
}

void World::check() {
  std::uint32_t taken = 0;
  for (std::uint32_t slot = 1; slot <= config_.workers && !violation_; ++slot) {
    if (control_->slot(slot).lifecycle != before(slot).lifecycle) ledger(slot).entered = now_;
    check_taken(slot);
    check_gate(slot);
    check_times(slot);
    if (ledger(slot).taken) ++taken;
  }
  if (taken > 1) violate(3, 0, "two are being replaced at once");
}

void World::check_gate(std::uint32_t slot) {
  const Ledger& book = ledger(slot);
  const SlotState& state = control_->slot(slot);
  const bool fit = book.known_alive && book.ready && !book.failing && !book.paused;
  const bool told_to_leave = book.told_to_stop || book.drained;
  if (book.gate && !fit) violate(1, slot, "gate open for a worker that is dead, not ready, failing or paused");
  if (book.gate && (told_to_leave || state.lifecycle != Lifecycle::running)) violate(1, slot, "gate open for a worker told to leave");
  if (!book.gate && fit && !told_to_leave && state.leaving != Leaving::replaced) violate(2, slot, "gate closed for a worker fit to serve");
}

void World::check_times(std::uint32_t slot) {
  Ledger& book = ledger(slot);
  const SlotState& state = control_->slot(slot);
  const auto here = now_ - book.entered;
  if (state.lifecycle == Lifecycle::stopped) book.earliest = book.latest = std::nullopt;
  if (state.lifecycle == Lifecycle::draining && here > config_.drain.http + kSlack) violate(9, slot, "drains longer than it may");
  if (state.lifecycle == Lifecycle::stopping && here > config_.stop.grace + kSlack && !book.killed) violate(9, slot, "not killed after its grace");
  if (state.lifecycle == Lifecycle::starting && here > config_.ready.timeout + kSlack) violate(9, slot, "starts longer than ready.timeout");
  if (book.latest && waits(state.lifecycle) && *book.latest < base::TimePoint::max() && now_ > *book.latest + kSlack) {
    violate(8, slot, "not started when its delay was over");
  }
}

bool World::serves_or_may_be_missing(std::uint32_t slot) const {
  const SlotState& state = control_->slot(slot);
  return eligible(state) || state.lifecycle == Lifecycle::failed || ledgers_[slot - 1].drained || ledgers_[slot - 1].told_to_stop;
}

void World::check_taken(std::uint32_t slot) {
  Ledger& book = ledger(slot);
  const Before& was = before(slot);
  const SlotState& state = control_->slot(slot);
  if (state.leaving == Leaving::replaced && was.leaving != Leaving::replaced && told_ != EventType::resume) {
    book.taken = true;
    const bool served = was.open && book.known_alive && !book.failing && !book.paused;
    for (std::uint32_t other = 1; served && other <= config_.workers; ++other) {
      if (other != slot && !serves_or_may_be_missing(other)) violate(3, slot, "taken out while another is missing");
    }
    const bool long_failing = book.failing && config_.health.restart_after && now_ - book.failing_since >= *config_.health.restart_after;
    if (!long_failing && !book.replace_asked) violate(3, slot, "replaced without need");
    if (!long_failing) book.replace_asked = false;
  }
  const bool busy = state.lifecycle == Lifecycle::draining || state.lifecycle == Lifecycle::stopping || state.lifecycle == Lifecycle::starting;
  if (!busy) book.taken = false;
}

bool World::all_serve() const {
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) {
    const SlotState& state = control_->slot(slot);
    const bool given_up = state.lifecycle == Lifecycle::failed && !state.due;
    if (!ledgers_[slot - 1].gate && !given_up) return false;
  }
  return true;
}

void World::check_all_gone() {
  if (violation_) return;
  if (!control_->stopped()) violate(11, 0, "the stop does not end within its bound");
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) {
    if (child(slot).main || child(slot).tree) violate(11, slot, "a process is left after the stop");
    if (ledger(slot).row) violate(11, slot, "a row is not free after the stop");
    if (ledger(slot).gate) violate(11, slot, "a gate is open after the stop");
  }
}

void World::violate(int rule, std::uint32_t slot, const std::string& what) {
  if (violation_) return;
  violation_ = "seed " + std::to_string(seed_) + ", at " + std::to_string(now_.time_since_epoch() / Millis(1)) + " ms, slot " + std::to_string(slot) +
               ": rule " + std::to_string(rule) + ": " + what;
}

}  // namespace drover::backends::simulation
