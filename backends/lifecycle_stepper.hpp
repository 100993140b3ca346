// Role: one step in the making: the state it changes and the effects it has so far. Private to lifecycle*.cpp.
// Thread: any. Ownership: borrows all it works on.
#pragma once

#include "backends/lifecycle.hpp"

namespace drover::backends {

inline constexpr base::TimePoint kNever = base::TimePoint::max();

class Stepper {
 public:
  Stepper(SlotState& state, base::TimePoint now, const config::Pool& pool, Effects& effects) : s_(state), now_(now), pool_(pool), out_(effects) {}

  void handle(const Event& event);

 private:
  // lifecycle.cpp: the clock, health, beginning and end of a life, the operator
  void tick();
  void tick_due();
  void judge_probe(EventType type);
  void became_ready();
  void spawn();
  void spawn_failed(const Event& event);
  void exited(const Event& event);
  void gone();
  void follow_at_once();
  void died(Cause cause);
  void follow_policy();
  void intent_drain();
  void intent_resume();
  void replace();
  void start();
  void report_ready();
  void hold_back(bool& fact, bool holds, Notice begins, Notice ends);
  // lifecycle_leaving.cpp: the ways out
  void leave(Leaving why);
  void drain_for(Leaving why);
  void emptied();
  void dismiss(base::Millis time);
  void left();
  void disconnected();
  void begin_stopping();
  void kill_now();
  void hang();

  bool alive() const { return s_.process == Process::alive; }
  bool serving() const { return s_.lifecycle == Lifecycle::starting || s_.lifecycle == Lifecycle::running; }
  bool waiting() const { return s_.lifecycle == Lifecycle::backoff || s_.lifecycle == Lifecycle::failed; }
  void tell(Notice notice) { out_.push_back({EffectType::tell, s_.incarnation, 0, notice}); }
  void signal(EffectType whom, int number) { out_.push_back({whom, s_.incarnation, number, Notice::none}); }
  void rest(Lifecycle where) {
    s_.lifecycle = where;
    s_.due.reset();
  }

  SlotState& s_;
  base::TimePoint now_;
  const config::Pool& pool_;
  Effects& out_;
};

}  // namespace drover::backends
