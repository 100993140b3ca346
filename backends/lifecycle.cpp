#include "backends/lifecycle.hpp"

#include "backends/defects.hpp"
#include "backends/lifecycle_stepper.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace drover::backends {

void Stepper::handle(const Event& event) {
  switch (event.type) {
    case EventType::start: start(); break;
    case EventType::stop: leave(Leaving::retired); break;
    case EventType::kill: kill_now(); break;
    case EventType::drain: intent_drain(); break;
    case EventType::resume: intent_resume(); break;
    case EventType::replace: replace(); break;
    case EventType::supersede: leave(Leaving::superseded); break;
    case EventType::tick: tick(); break;
    case EventType::spawn_failed: spawn_failed(event); break;
    case EventType::probe_passed:
    case EventType::probe_failed:
    case EventType::probe_busy: judge_probe(event.type); break;
    case EventType::paused: hold_back(s_.paused, true, Notice::paused, Notice::continued); break;
    case EventType::continued:
      if (!planted(Defect::continue_forgotten)) hold_back(s_.paused, false, Notice::paused, Notice::continued);
      break;
    case EventType::reported_ready: report_ready(); break;
    case EventType::suspected: hold_back(s_.suspect, true, Notice::suspect, Notice::cleared); break;
    case EventType::cleared: hold_back(s_.suspect, false, Notice::suspect, Notice::cleared); break;
    case EventType::ejected: hold_back(s_.ejected, true, Notice::ejected, Notice::admitted); break;
    case EventType::admitted: hold_back(s_.ejected, false, Notice::ejected, Notice::admitted); break;
    case EventType::declined: hold_back(s_.declined, true, Notice::declined, Notice::accepted); break;
    case EventType::accepted: hold_back(s_.declined, false, Notice::declined, Notice::accepted); break;
    case EventType::hung: hang(); break;
    case EventType::emptied: emptied(); break;
    case EventType::left: left(); break;
    case EventType::disconnected: disconnected(); break;
    case EventType::exited: exited(event); break;
    case EventType::tree_gone:
      if (s_.process == Process::main_gone) gone();
      break;
  }
}

void Stepper::tick() {
  if (s_.due && now_ >= *s_.due) tick_due();
  if (serving() && (!s_.probing || planted(Defect::probe_overlaps)) && now_ >= s_.next_probe) {
    s_.probing = true;
    out_.push_back({EffectType::probe, s_.incarnation, 0, Notice::none});
  }
}

void Stepper::tick_due() {
  switch (s_.lifecycle) {
    case Lifecycle::starting:
      if (planted(Defect::ready_timeout_ignored)) break;
      tell(Notice::never_ready);
      s_.leaving = Leaving::never_ready;
      begin_stopping();
      break;
    case Lifecycle::draining:
      if (planted(Defect::drain_without_end) || (s_.dismissed && planted(Defect::farewell_without_end))) break;
      begin_stopping();
      break;
    case Lifecycle::stopping:
      if (s_.diagnosing && planted(Defect::diagnosis_without_end)) break;
      if (s_.diagnosing) {  // it has had its time to say where it stands
        begin_stopping();
        break;
      }
      if (planted(Defect::kill_forgotten)) break;
      tell(Notice::killed);
      signal(EffectType::signal_tree, SIGKILL);
      s_.due = now_ + kKillAgain;
      break;
    case Lifecycle::backoff:
    case Lifecycle::failed:
      ++s_.restarts;
      spawn();
      break;
    case Lifecycle::running:
    case Lifecycle::stopped: break;
  }
}

/// The one writer of health.
void Stepper::judge_probe(EventType type) {
  if (type == EventType::probe_busy && planted(Defect::busy_ends_probing)) return;
  s_.probing = false;
  if (!serving()) return;
  const bool starting = s_.lifecycle == Lifecycle::starting;
  s_.next_probe = now_ + (starting ? kReadyProbeEvery : pool_.health.interval);
  if (starting && pool_.ready.notify) {  // its own word alone counts
    s_.next_probe = kNever;
    return;
  }
  if (type == EventType::probe_busy) return;
  if (starting) {
    if (type == EventType::probe_passed) became_ready();
    return;
  }
  if (type == EventType::probe_passed) {
    s_.fails = 0;
    ++s_.passes;
    if (s_.health == Health::failing && s_.passes >= pool_.health.rise) {
      s_.health = Health::passing;
      s_.failing_since.reset();
      tell(Notice::recovered);
    }
    return;
  }
  s_.passes = 0;
  ++s_.fails;
  if (s_.health == Health::passing && s_.fails >= pool_.health.fall) {
    s_.health = Health::failing;
    s_.failing_since = now_;
    s_.fresh_since.reset();
    tell(Notice::failing);
  }
}

void Stepper::became_ready() {
  rest(Lifecycle::running);
  s_.health = Health::passing;
  s_.ready_since = now_;
  s_.next_probe = now_ + pool_.health.interval;
  tell(Notice::ready);
}

/// Also for one that was retired and is wanted again: it starts anew when the old one is gone.
void Stepper::start() {
  if (s_.lifecycle == Lifecycle::stopped && s_.intent == Intent::enabled) {
    spawn();
  } else if (s_.leaving == Leaving::retired) {
    s_.leaving = s_.intent == Intent::enabled ? Leaving::replaced : Leaving::drained;
  }
}

void Stepper::spawn() {
  s_.lifecycle = Lifecycle::starting;
  s_.health = Health::unknown;
  s_.incarnation = s_.last = std::max(s_.incarnation, s_.last) + 1;
  s_.process = Process::alive;
  s_.leaving = Leaving::no;
  s_.paused = s_.suspect = s_.ejected = s_.declined = s_.diagnosing = s_.probing = s_.dismissed = s_.left = false;
  s_.passes = s_.fails = 0;
  s_.started = now_;
  s_.ready_since.reset();
  s_.failing_since.reset();
  if (!planted(Defect::slow_start_once)) s_.fresh_since.reset();
  s_.next_probe = pool_.ready.notify ? kNever : now_ + kFirstProbe;
  s_.due = now_ + pool_.ready.timeout;
  out_.push_back({EffectType::spawn, s_.incarnation, 0, Notice::none});
}

void Stepper::spawn_failed(const Event& event) {
  const bool just_asked = s_.lifecycle == Lifecycle::starting || s_.lifecycle == Lifecycle::stopping;
  if (!alive() || !just_asked) return;
  s_.ended = now_;
  if (s_.leaving == Leaving::no) {
    s_.leaving = Leaving::crashed;
    s_.last_death = event.cause;
  }
  gone();
}

void Stepper::exited(const Event& event) {
  if (!alive()) return;
  tell(Notice::exited);
  s_.process = Process::main_gone;
  s_.ended = now_;
  if (s_.leaving == Leaving::no) {
    s_.leaving = Leaving::crashed;
    s_.last_death = event.cause;
  }
  if (!event.tree_left || planted(Defect::spawn_beside_leftovers)) {
    gone();
    return;
  }
  const bool was_stopping = s_.lifecycle == Lifecycle::stopping && !s_.diagnosing;
  const auto kill_at = s_.due;
  begin_stopping();
  if (was_stopping) s_.due = kill_at;  // one grace for the whole tree
  if (s_.leaving == Leaving::crashed) s_.due = now_ + std::min(pool_.stop.grace, kLeftoverGrace);
}

/// Nothing is left of the incarnation: what follows depends on why it left.
void Stepper::gone() {
  const bool keep_row = planted(Defect::row_not_released) && s_.lifecycle == Lifecycle::stopping;
  s_.process = Process::none;
  s_.paused = s_.suspect = s_.ejected = s_.declined = s_.diagnosing = s_.probing = s_.dismissed = false;
  s_.health = Health::unknown;
  if (!keep_row) out_.push_back({EffectType::release, s_.incarnation, 0, Notice::none});
  switch (s_.leaving) {
    case Leaving::no:
    case Leaving::crashed: died(s_.last_death); break;
    case Leaving::never_ready: died(Cause::never_ready); break;
    case Leaving::replaced: follow_at_once(); break;
    case Leaving::superseded:
    case Leaving::drained:
    case Leaving::retired:
      rest(Lifecycle::stopped);
      tell(Notice::stopped);
      break;
  }
}

/// At once, but for one that left of its own will so soon that its kind would come and go without a pause.
void Stepper::follow_at_once() {
  const base::TimePoint earliest = s_.started + pool_.restart.delay;
  if (s_.left && now_ < earliest && !planted(Defect::leavers_spin)) {
    s_.lifecycle = Lifecycle::backoff;
    s_.leaving = Leaving::no;
    s_.due = earliest;
    return;
  }
  ++s_.restarts;
  spawn();
}

void Stepper::died(Cause cause) {
  s_.last_death = cause;
  if (s_.successor) {  // whoever started it beside the other decides what follows
    rest(Lifecycle::stopped);
    return;
  }
  follow_policy();
}

void Stepper::follow_policy() {
  const RestartVerdict verdict = judge_death(s_, now_, pool_);
  s_.leaving = Leaving::no;
  switch (verdict.then) {
    case RestartVerdict::Then::wait:
      s_.lifecycle = Lifecycle::backoff;
      s_.due = now_ + verdict.delay;
      break;
    case RestartVerdict::Then::failed:
      s_.lifecycle = Lifecycle::failed;
      s_.due = now_ + verdict.delay;
      tell(Notice::failed);
      break;
    case RestartVerdict::Then::given_up:
      rest(Lifecycle::failed);
      tell(Notice::given_up);
      break;
  }
}

/// With intent_resume the one writer of intent.
void Stepper::intent_drain() {
  if (s_.intent == Intent::drained) return;
  s_.intent = Intent::drained;
  if (s_.leaving != Leaving::retired) leave(Leaving::drained);
}

void Stepper::intent_resume() {
  if (s_.intent == Intent::enabled) return;
  s_.intent = Intent::enabled;
  if (s_.leaving != Leaving::drained) return;
  switch (s_.lifecycle) {
    case Lifecycle::stopped: spawn(); break;
    case Lifecycle::draining:
      if (s_.dismissed && !planted(Defect::dismissed_goes_on)) {  // it closes its doors: there is no way back
        s_.leaving = Leaving::replaced;
        break;
      }
      // It never left: back to work, with the health it has.
      rest(Lifecycle::running);
      s_.leaving = Leaving::no;
      s_.next_probe = now_;
      break;
    case Lifecycle::stopping: s_.leaving = Leaving::replaced; break;
    case Lifecycle::starting:
    case Lifecycle::running:
    case Lifecycle::backoff:
    case Lifecycle::failed: break;
  }
}

void Stepper::replace() {
  if (serving()) {
    leave(Leaving::replaced);
  } else if (waiting()) {  // the operator asks for a fresh start: the record is wiped
    s_.history = {};
    ++s_.restarts;
    spawn();
  }
}

/// Facts that keep new work away and decide nothing else; each ends with the incarnation.
void Stepper::hold_back(bool& fact, bool holds, Notice begins, Notice ends) {
  if (!alive() || fact == holds) return;
  fact = holds;
  if (s_.ejected) s_.fresh_since.reset();
  tell(holds ? begins : ends);
}

/// READY=1: with ready.notify it is the readiness itself, else a reason to look now.
void Stepper::report_ready() {
  if (s_.lifecycle != Lifecycle::starting || !alive() || planted(Defect::own_word_not_heard)) return;
  if (pool_.ready.notify) {
    became_ready();
  } else {
    s_.next_probe = now_;
  }
}

namespace {

bool of_incarnation(EventType type) { return type >= EventType::spawn_failed; }

}  // namespace

Step step(SlotState state, const Event& event, base::TimePoint now, const config::Pool& pool) {
  if (of_incarnation(event.type) && event.incarnation != state.incarnation && !planted(Defect::stale_events_obeyed)) return {std::move(state), {}};
  Step out;
  const bool was_open = eligible(state);
  const base::Incarnation before = state.incarnation;
  Effects effects;
  Stepper(state, now, pool, effects).handle(event);
  const bool same = state.incarnation == before;
  const bool is_open = eligible(state);
  // The one door of the gate, and closing comes before everything else.
  if (was_open && (!is_open || !same)) out.effects.push_back({EffectType::close_gate, before, 0, Notice::none});
  out.effects.insert(out.effects.end(), effects.begin(), effects.end());
  const bool opens = is_open && (!was_open || !same);
  if (opens && !state.fresh_since) state.fresh_since = now;
  if (opens) out.effects.push_back({EffectType::open_gate, state.incarnation, 0, Notice::none});
  out.state = std::move(state);
  return out;
}

}  // namespace drover::backends
