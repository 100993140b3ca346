// The judge's books: what it holds of every slot and life, only from what was told, what was answered and what the effects said.
#include "simulation_world.hpp"

#include <algorithm>

namespace drover::backends::simulation {

namespace {

using base::Millis;

bool waits(Lifecycle lifecycle) { return lifecycle == Lifecycle::backoff || lifecycle == Lifecycle::failed; }

constexpr unsigned bit(Why why) { return 1U << static_cast<unsigned>(why); }

}  // namespace

World::Before World::brief(const SlotState& s) {
  const bool held = s.paused || s.suspect || s.ejected || s.declined;
  return {s.lifecycle, s.process, s.leaving, s.health, s.incarnation, held, eligible(s), s.due};
}

World::SlotBefore World::brief(std::uint32_t slot) const {
  SlotBefore out;
  out.present = brief(control_->slot(slot));
  if (const auto& successor = control_->successor(slot)) {
    out.successor = successor->incarnation;
    out.others.push_back(brief(*successor));
  }
  for (const SlotState& leaver : control_->leavers(slot)) out.others.push_back(brief(leaver));
  return out;
}

void World::remember() {
  tick_at_ = control_->next_tick();
  for (std::uint32_t slot = 1; slot <= capacity_; ++slot) {
    before_[slot - 1] = slot <= slots() ? brief(slot) : SlotBefore{};
    at(slot).lost = at(slot).died = false;
  }
}

void World::note(std::uint32_t slot, const Event& event) {
  Slot& it = at(slot);
  if (event.type >= EventType::spawn_failed) {
    Life* whom = life(slot, event.incarnation);
    if (whom == nullptr) {
      const bool clock_spoke_too = tick_at_ && *tick_at_ <= now_;
      if (!clock_spoke_too && (!effects_.empty() || brief(slot) != before(slot))) violate(5, slot, "an event of one that is gone had a consequence");
      return;
    }
    const SlotBefore& was = before(slot);
    const Before* its = &was.present;
    for (const Before& other : was.others) {
      if (other.incarnation == event.incarnation) its = &other;
    }
    note_of_life(slot, event, *whom, *its);
  } else if (event.type == EventType::drain) {
    it.drained = true;
  } else if (event.type == EventType::resume) {
    it.drained = false;
    for (auto& [incarnation, each] : it.lives) each.book.entered = now_;  // back to work, perhaps to be taken out again at once
  } else if (event.type == EventType::replace) {
    it.asked |= bit(Why::by_operator);
    it.tries = {};
  } else if (event.type == EventType::stop || event.type == EventType::kill) {
    it.told_to_stop = true;
  }
}

void World::note_of_life(std::uint32_t slot, const Event& event, Life& life, const Before& was) {
  Book& book = life.book;
  const bool lived = was.process == Process::alive;
  const bool is_present = was.incarnation == before(slot).present.incarnation;
  const bool in_service = was.lifecycle == Lifecycle::starting || was.lifecycle == Lifecycle::running;
  switch (event.type) {
    case EventType::probe_passed:
    case EventType::probe_failed:
    case EventType::probe_busy:
      book.probe_out = false;
      if (in_service && event.type != EventType::probe_busy) note_probe(book, event.type == EventType::probe_passed);
      break;
    case EventType::reported_ready:
      if (config_.ready.notify && lived && was.lifecycle == Lifecycle::starting) note_probe(book, true);
      break;
    case EventType::paused:
    case EventType::continued:
      if (lived) book.paused = event.type == EventType::paused;
      break;
    case EventType::suspected:
    case EventType::cleared:
      if (lived) book.suspect = event.type == EventType::suspected;
      break;
    case EventType::ejected:
    case EventType::admitted:
      if (lived) book.ejected = event.type == EventType::ejected;
      break;
    case EventType::declined:
    case EventType::accepted:
      if (lived) book.declined = event.type == EventType::declined;
      break;
    case EventType::hung:
      if (!is_present || was.lifecycle != Lifecycle::running || at(slot).told_to_stop) break;
      book.hung = at(slot).lost = true;
      at(slot).asked |= bit(Why::hung);
      break;
    case EventType::left:
      if (!node() || !lived || was.lifecycle == Lifecycle::stopping) break;
      book.knows = true;
      if (!in_service) break;
      book.left = now_;
      if (is_present) at(slot).lost = true;
      break;
    case EventType::disconnected:
      if (cluster() && lived && was.lifecycle == Lifecycle::draining && book.knows && !book.closed) book.closed = now_;
      break;
    case EventType::exited:
    case EventType::spawn_failed:
      if (!lived) break;
      book.known_alive = false;
      book.ended = now_;
      book.cause = event.cause;
      if (is_present) at(slot).lost = true;
      if (before(slot).successor == was.incarnation && event.cause == Cause::port_taken && was.leaving == Leaving::no) ++at(slot).tries.ports_lost;
      break;
    default: break;
  }
}

void World::note_probe(Book& book, bool passed) {
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
  Slot& it = at(slot);
  const Before& was = before(slot).present;
  if (effect.incarnation != it.last + 1) violate(6, slot, "numbers do not grow by one over all lives of the slot");
  if (it.told_to_stop) violate(6, slot, "a start after the stop");
  if (!control_->wanted(slot)) violate(6, slot, "a start of a slot that nobody wants");
  if (it.lives.contains(effect.incarnation)) {
    violate(6, slot, "an incarnation was started twice");
    return;
  }
  if (beside_ != 0) {
    if (it.tries.earliest && now_ < *it.tries.earliest) violate(8, slot, "a successor before the delay after the last one's failure was over");
    beside_ = 0;
  } else {
    for (const auto& [incarnation, other] : it.lives) {
      const bool leaves = control_->find(slot, incarnation) != nullptr && control_->slot(slot).incarnation != incarnation;
      if (!leaves) violate(6, slot, "a start beside a process of the same slot");
    }
    const bool by_itself = told_ == EventType::tick && was.due && now_ >= *was.due;
    const bool wiped = (it.asked & (bit(Why::by_operator) | bit(Why::rolling))) != 0 && !by_itself && (waits(was.lifecycle) || it.died);
    if (wiped) {  // the operator's fresh start wipes the record
      it.record = {};
    } else if (it.record.earliest && now_ < *it.record.earliest) {
      violate(8, slot, "a start before its delay was over");
    }
    it.record.earliest = it.record.latest = std::nullopt;
    if (!rolling()) it.asked = 0;
  }
  it.last = effect.incarnation;
  Life& fresh = it.lives[effect.incarnation];
  fresh.book.entered = fresh.book.started = now_;
}

void World::note_release(std::uint32_t slot, const Effect& effect) {
  Slot& it = at(slot);
  const auto found = it.lives.find(effect.incarnation);
  const Life gone = found->second;
  it.lives.erase(found);
  if (gone.child.main || gone.child.tree) violate(6, slot, "a row was released while its processes live");
  const Before& was = before(slot).present;
  if (was.incarnation != effect.incarnation) return;
  if (gone.book.left) note_own_leave(slot, gone.book, was);
  const bool never_ready = was.leaving == Leaving::never_ready;
  const bool followed = control_->slot(slot).incarnation != effect.incarnation;
  if (was.leaving == Leaving::no || was.leaving == Leaving::crashed || never_ready) note_death(slot, gone.book, never_ready, followed);
}

/// The present life of the slot went of its own will and is gone.
void World::note_own_leave(std::uint32_t slot, const Book& book, const Before& was) {
  Slot& it = at(slot);
  if (was.leaving == Leaving::no || was.leaving == Leaving::crashed || was.leaving == Leaving::never_ready) {
    violate(16, slot, "one that went of its own will counts as dead");
  }
  if (was.leaving != Leaving::replaced) return;
  const base::TimePoint earliest = book.started + config_.restart.delay;
  const Lifecycle now_in = control_->slot(slot).lifecycle;
  const bool fresh_start = (it.asked & (bit(Why::by_operator) | bit(Why::rolling))) != 0;
  if (now_in == Lifecycle::starting && now_ < earliest && !fresh_start) violate(16, slot, "one that went as its first act was followed too soon");
  if (now_in == Lifecycle::backoff && now_ >= earliest) violate(16, slot, "one that went of its own will is not followed at once");
  if (now_in == Lifecycle::backoff) it.record.earliest = it.record.latest = earliest;
}

/// The present life of the slot has died. `followed`: another has taken its place already.
void World::note_death(std::uint32_t slot, const Book& book, bool never_ready, bool followed) {
  Slot& it = at(slot);
  const Lifecycle now_in = control_->slot(slot).lifecycle;
  it.died = true;
  if (!rolling()) it.asked = 0;
  const bool exhausted = note_on(it.record, book, never_ready);
  if (followed) {
    it.record.earliest = it.record.latest = std::nullopt;
  } else if (exhausted && now_in != Lifecycle::failed) {
    violate(8, slot, "more deaths than max within the window, but not failed");
  } else if (!exhausted && now_in != Lifecycle::backoff) {
    violate(8, slot, "not in back-off after a death that max allows");
  }
}

/// True: there were more deaths than max allows.
bool World::note_on(Record& record, const Book& book, bool never_ready) {
  const auto& rule = config_.restart;
  if (book.cause == Cause::port_taken && !never_ready && ++record.ports_lost <= kPortsLostInRow) {
    record.earliest = record.latest = now_;
    return false;
  }
  if (book.cause != Cause::port_taken || never_ready) record.ports_lost = 0;
  const bool young = !book.ready || book.ended - book.ready_since < rule.young;
  if (young && rule.max > 0) {
    std::erase_if(record.counted, [&](base::TimePoint at) { return now_ - at >= rule.within; });
    record.counted.push_back(now_);
    if (record.counted.size() > rule.max) {
      record.earliest = rule.give_up ? base::TimePoint::max() : now_ + rule.max_delay;
      record.latest = record.earliest;
      return true;
    }
  }
  if (!young) record.series = 0;
  Millis want = std::min(rule.delay, rule.max_delay);
  if (!book.ready || (!never_ready && self_inflicted(book.cause))) {
    for (std::uint32_t i = 0; i < record.series && want < rule.max_delay; ++i) want = std::min(want * 2, rule.max_delay);
    ++record.series;
  }
  record.earliest = now_ + want * 9 / 10 - Millis(1);
  record.latest = now_ + want * 11 / 10 + Millis(1);
  return false;
}

void World::note_notice(std::uint32_t slot, const Effect& effect) {
  switch (effect.notice) {
    case Notice::superseding: beside_ = effect.incarnation; break;
    case Notice::promoted: note_promotion(slot, effect.incarnation); break;
    case Notice::successor_failed: note_failed_successor(slot, effect.incarnation); break;
    default: break;
  }
}

void World::note_promotion(std::uint32_t slot, base::Incarnation promoted) {
  Slot& it = at(slot);
  const Before& was = before(slot).present;
  Life* newcomer = life(slot, promoted);
  if (newcomer == nullptr || before(slot).successor != promoted) {
    violate(14, slot, "one that was no successor took the place");
    return;
  }
  note_fitness();
  const auto& fit_since = newcomer->book.fit_since;
  const bool proved = fit_since && now_ - *fit_since >= config_.rolling.soak;
  if (!proved && !it.lost) violate(14, slot, "a successor took the place before it had proved itself");
  const Life* old = life(slot, was.incarnation);
  if (old != nullptr && !old->book.known_alive && was.leaving == Leaving::no) note_death(slot, old->book, false, true);
  it.record.earliest = it.record.latest = std::nullopt;
  it.tries = {};
  if (!rolling()) it.asked = 0;
}

/// A delay for the slot's next successor; a lower bound is enough.
void World::note_failed_successor(std::uint32_t slot, base::Incarnation failed) {
  Slot& it = at(slot);
  Book book;  // whatever it was, it counts as a death before ready
  book.cause = it.tries.ports_lost > kPortsLostInRow ? Cause::exit_nonzero : Cause::never_ready;
  book.ended = now_;
  note_on(it.tries, book, book.cause == Cause::never_ready);
  if (config_.restart.give_up && it.tries.earliest == base::TimePoint::max()) it.tries.earliest = now_ + config_.restart.max_delay;
  if (before(slot).successor != failed) violate(14, slot, "a failure is told of one that was no successor");
  const bool next_turn = control_->slot(slot).leaving == Leaving::replaced && (rolling() || before(slot).present.health == Health::failing);
  if (!(brief(control_->slot(slot)) == before(slot).present) && !next_turn) violate(14, slot, "a successor's failure touched the old one");
  if (at(slot).taken_by_roll && control_->last_roll().phase == Roll::Phase::running) violate(14, slot, "a roll goes on after a successor's failure");
  if (!rolling()) it.asked &= ~bit(Why::rolling);
}

void World::note_fitness() {
  for (Slot& slot : slots_) {
    for (auto& [incarnation, life] : slot.lives) {
      if (!life.book.fit()) {
        life.book.fit_since.reset();
      } else if (!life.book.fit_since) {
        life.book.fit_since = now_;
      }
    }
  }
}

}  // namespace drover::backends::simulation
