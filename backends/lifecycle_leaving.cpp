// The ways out of a slot's states: drain, farewell, stop, kill.
#include "backends/defects.hpp"
#include "backends/lifecycle_stepper.hpp"

#include <algorithm>
#include <csignal>

namespace drover::backends {

/// The way out of every state, for good or until resumed: drain what has work, stop what lives, rest where nothing does.
void Stepper::leave(Leaving why) {
  if (s_.leaving == Leaving::retired && s_.lifecycle == Lifecycle::stopped) return;
  switch (s_.lifecycle) {
    case Lifecycle::running: drain_for(why); break;
    case Lifecycle::starting:
      s_.leaving = why;
      begin_stopping();
      break;
    case Lifecycle::draining:
    case Lifecycle::stopping:
      s_.leaving = why;  // it is on its way: only what follows changes
      break;
    case Lifecycle::backoff:
    case Lifecycle::failed:
      rest(Lifecycle::stopped);
      s_.leaving = why;
      tell(Notice::stopped);
      break;
    case Lifecycle::stopped: s_.leaving = why; break;
  }
}

void Stepper::drain_for(Leaving why) {
  s_.lifecycle = Lifecycle::draining;
  s_.leaving = why;
  s_.due = now_ + pool_.drain.http;
  tell(Notice::draining);
  const bool past_the_proxy = pool_.dispatch != config::Dispatch::proxy || planted(Defect::dismissed_while_busy);
  if (past_the_proxy && can_be_dismissed(pool_)) dismiss(pool_.drain.http);
}

/// Nobody is inside its gate, which says nothing of one whose clients reach it past the proxy: that one was told already.
void Stepper::emptied() {
  if (s_.lifecycle != Lifecycle::draining) return;
  if (!can_be_dismissed(pool_)) {
    begin_stopping();
  } else if (!s_.dismissed || planted(Defect::dismissed_again)) {
    dismiss(farewell(pool_));
  }
}

void Stepper::dismiss(base::Millis time) {
  s_.dismissed = true;
  s_.due = now_ + time;
  out_.push_back({EffectType::disconnect, s_.incarnation, 0, Notice::none});
}

/// Nobody has to tell it to finish, and nobody can hold it. One that was told to leave anyway keeps the time it was given.
void Stepper::left() {
  if (!alive() || !can_be_dismissed(pool_)) return;
  if (s_.lifecycle == Lifecycle::draining) {
    s_.dismissed = true;
    return;
  }
  if (!serving()) return;
  s_.lifecycle = Lifecycle::draining;
  s_.dismissed = s_.left = true;
  s_.due = now_ + pool_.drain.http + pool_.stop.grace;
  s_.leaving = Leaving::replaced;
  if (s_.successor || planted(Defect::own_leave_counted)) {  // a successor has to stay to prove itself
    s_.leaving = Leaving::crashed;
    s_.last_death = Cause::exit_zero;
  }
  tell(Notice::draining);
}

/// A forked program's channel was closed by us: that it is closed says nothing about it.
void Stepper::disconnected() {
  if (s_.lifecycle != Lifecycle::draining || !s_.dismissed || config::node_mode(pool_) != config::NodeMode::cluster) return;
  if (!planted(Defect::disconnect_not_heard)) s_.due = std::min(s_.due.value_or(kNever), now_ + kAfterDisconnect);
}

void Stepper::begin_stopping() {
  s_.lifecycle = Lifecycle::stopping;
  s_.diagnosing = false;
  s_.due = now_ + pool_.stop.grace;
  if (s_.process == Process::main_gone) {
    signal(EffectType::signal_tree, SIGTERM);
    return;
  }
  signal(EffectType::signal_main, pool_.stop.signal);
  if (s_.paused) signal(EffectType::signal_main, SIGCONT);  // a stopped process would sleep through every signal but KILL
}

void Stepper::kill_now() {
  if (s_.process == Process::none) {
    leave(Leaving::retired);
    return;
  }
  s_.leaving = Leaving::retired;
  s_.lifecycle = Lifecycle::stopping;
  s_.diagnosing = false;
  s_.due = now_ + kKillAgain;
  tell(Notice::forced);
  signal(EffectType::signal_tree, SIGKILL);
}

/// No drain: what is inside does not move. First the signal that makes it say where it stands.
void Stepper::hang() {
  if (s_.lifecycle != Lifecycle::running) return;
  tell(Notice::hung);
  s_.lifecycle = Lifecycle::stopping;
  s_.leaving = Leaving::replaced;
  s_.diagnosing = true;
  s_.due = now_ + kDiagnosis;
  signal(EffectType::signal_main, pool_.hang.signal);
  if (s_.paused) signal(EffectType::signal_main, SIGCONT);
}

}  // namespace drover::backends
