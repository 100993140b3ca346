#include "simulation_world.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>

namespace drover::backends::simulation {

namespace {

using base::Millis;
using std::chrono::seconds;

constexpr std::uint64_t kMaxEvents = 60'000;
constexpr base::TimePoint kNever = base::TimePoint::max();

}  // namespace

World::World(std::uint64_t seed) : seed_(seed), rng_(seed * 0x9e3779b97f4a7c15U + 1), trace_(std::getenv("DROVER_SIMULATION_TRACE") != nullptr) {
  roll_config();
  control_.emplace(config_, rng_.next());
  children_.resize(config_.workers);
  ledgers_.resize(config_.workers);
  before_.resize(config_.workers);
}

void World::roll_config() {
  config_.name = "shop";
  config_.workers = static_cast<std::uint32_t>(between(1, 5).count());
  config_.ready.timeout = between(2000, 6000);
  config_.health.interval = between(1000, 4000);
  config_.health.timeout = between(500, 1000);
  config_.health.rise = static_cast<std::uint32_t>(between(1, 3).count());
  config_.health.fall = static_cast<std::uint32_t>(between(1, 3).count());
  config_.health.restart_after.reset();
  if (chance(75)) config_.health.restart_after = between(3000, 15000);
  config_.restart.delay = between(100, 1000);
  config_.restart.max_delay = between(2000, 8000);
  config_.restart.max = static_cast<std::uint32_t>(between(0, 6).count());
  config_.restart.within = between(20000, 60000);
  config_.restart.young = between(1000, 5000);
  config_.restart.give_up = chance(15);
  config_.stop.grace = between(500, 3000);
  config_.drain.http = between(500, 4000);
}

std::optional<std::string> World::run() {
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) tell(slot, {EventType::start});
  faults_phase();
  const bool stopped_amid_faults = chance(30);
  if (!stopped_amid_faults) {
    peace_phase();
    if (chance(30)) faulty_ = true;
  }
  stop_phase();
  return violation_;
}

void World::faults_phase() {
  later(between(100, 3000), Kind::fault, 1);
  advance(now_ + between(10'000, 45'000));
}

void World::make_peace() {
  faulty_ = false;
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) {
    if (!config_.health.restart_after) child(slot).hung = false;  // nothing but itself can heal it
    if (child(slot).paused) pause(slot, false);
    tell(slot, {EventType::resume});
  }
}

void World::peace_phase() {
  make_peace();
  const auto& c = config_;
  const Millis verdict = (c.health.interval + c.health.timeout + Millis(100)) * (c.health.fall + c.health.rise + 2);
  const Millis replace = c.health.restart_after.value_or(Millis(0)) + c.drain.http + c.stop.grace + kLeftoverGrace + kKillAgain;
  const Millis start = c.ready.timeout * 2 + c.restart.max_delay * 3;
  const Millis bound = (verdict + replace + start) * (c.workers + 1);
  if (advance(now_ + bound, true) || violation_) return;
  for (std::uint32_t slot = 1; slot <= c.workers; ++slot) {
    if (!ledger(slot).gate) violate(10, slot, "does not serve within the bound after the last fault");
  }
}

void World::stop_phase() {
  stopping_ = true;
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) tell(slot, {EventType::stop});
  const base::TimePoint bound = now_ + config_.drain.http + config_.stop.grace + seconds(3);
  if (chance(30)) {
    advance(now_ + between(0, 1000));
    const base::TimePoint killed = now_ + Millis(500);
    for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) tell(slot, {EventType::kill});
    advance(killed);
  } else {
    advance(bound);
  }
  check_all_gone();
}

/// True: with `until_served`, every slot serves (or is given up).
bool World::advance(base::TimePoint until, bool until_served) {
  while (!violation_) {
    if (until_served && all_serve()) return true;
    if (stopping_ && control_->stopped() && ahead_.empty()) return true;
    base::TimePoint next = until;
    if (!ahead_.empty()) next = std::min(next, ahead_.top().at);
    if (const auto tick_at = control_->next_tick()) next = std::min(next, std::max(*tick_at, now_ + Millis(events_ % 2)));
    now_ = std::max(now_, next);
    if (!ahead_.empty() && ahead_.top().at <= now_) {
      const Happening happening = ahead_.top();
      ahead_.pop();
      happen(happening);
    } else if (const auto at = control_->next_tick(); at && *at <= now_) {
      tick();
    } else if (now_ >= until) {
      return false;
    }
    if (++events_ > kMaxEvents) violate(4, 0, "more events than any run may have");
  }
  return false;
}

void World::happen(const Happening& happening) {
  const std::uint32_t slot = happening.slot;
  switch (happening.kind) {
    case Kind::deliver: {
      Event event = happening.event;
      if (event.type == EventType::exited && event.incarnation == child(slot).incarnation) event.tree_left = child(slot).tree;
      tell(slot, event);
      break;
    }
    case Kind::main_dies: main_dies(slot, happening.event); break;
    case Kind::tree_dies:
      if (child(slot).incarnation != happening.event.incarnation || !child(slot).tree) break;
      child(slot).tree = false;
      if (!child(slot).main) later(between(1, 20), Kind::deliver, slot, {EventType::tree_gone, happening.event.incarnation});
      break;
    case Kind::fault:
      if (!faulty_ || (stopping_ && control_->stopped())) break;
      fault();
      later(between(100, 3000), Kind::fault, 1);
      break;
  }
}

void World::main_dies(std::uint32_t slot, const Event& event) {
  Child& it = child(slot);
  if (it.incarnation != event.incarnation || !it.main) return;
  it.main = false;
  const Event told{EventType::exited, event.incarnation, event.cause};
  later(between(0, 3), Kind::deliver, slot, told);
  if (faulty_ && chance(10)) later(between(0, 4000), Kind::deliver, slot, told);
}

void World::fault() {
  const std::uint32_t slot = any_slot();
  Child& it = child(slot);
  static constexpr Cause kCauses[] = {Cause::exit_zero, Cause::exit_nonzero, Cause::own_signal, Cause::out_of_memory, Cause::outside_signal};
  switch (rng_.below(9)) {
    case 0: later(Millis(0), Kind::main_dies, slot, {EventType::exited, it.incarnation, kCauses[rng_.below(5)]}); break;
    case 1: it.hung = true; break;
    case 2: it.hung = false; break;
    case 3: pause(slot, true); break;
    case 4: pause(slot, false); break;
    case 5:
      if (!ledger(slot).ready) later(Millis(0), Kind::main_dies, slot, {EventType::exited, it.incarnation, Cause::port_taken});
      break;
    case 6: operator_acts(slot); break;
    case 7: noise(slot); break;
    case 8:
      for (std::uint32_t each = 1; chance(30) && each <= config_.workers; ++each) {
        later(between(0, 100), Kind::main_dies, each, {EventType::exited, child(each).incarnation, Cause::outside_signal});
      }
      break;
  }
}

/// What no rule of the world forbids to arrive: late words of earlier incarnations, words said twice, a proxy's death.
void World::noise(std::uint32_t slot) {
  const auto type = static_cast<EventType>(rng_.below(kEventTypes));
  const base::Incarnation present = control_->slot(slot).incarnation;
  if (type >= EventType::spawn_failed && present > 1) {
    tell(slot, {type, present - 1, Cause::exit_nonzero, chance(50)});
  } else if (type == EventType::start && !stopping_) {
    tell(slot, {type});
  } else {
    for (std::uint32_t each = 1; each <= config_.workers; ++each) {  // in-flight counts die with the proxy that held them
      tell(each, {EventType::emptied, control_->slot(each).incarnation});
    }
  }
}

void World::operator_acts(std::uint32_t slot) {
  switch (rng_.below(3)) {
    case 0: tell(slot, {EventType::drain}); break;
    case 1: tell(slot, {EventType::resume}); break;
    case 2: tell(slot, {EventType::replace}); break;
  }
}

void World::pause(std::uint32_t slot, bool paused) {
  Child& it = child(slot);
  if (!it.main) return;
  it.paused = paused;
  const Event told{paused ? EventType::paused : EventType::continued, it.incarnation};
  tell(slot, told);
  if (faulty_ && chance(20)) tell(slot, told);
  if (!paused && it.told_to_end && !it.deaf) later(between(0, 100), Kind::main_dies, slot, {EventType::exited, it.incarnation});
}

void World::tell(std::uint32_t slot, Event event) {
  if (violation_) return;
  if (trace_) {
    std::cerr << now_.time_since_epoch() / Millis(1) << " slot " << slot << " event " << static_cast<int>(event.type) << " of " << event.incarnation
              << " in " << to_text(control_->slot(slot).lifecycle) << " " << control_->slot(slot).incarnation << "\n";
  }
  remember();
  told_ = event.type;
  effects_.clear();
  control_->handle(slot, event, now_, effects_);
  note(slot, event);
  carry_out();
  check();
}

void World::tick() {
  remember();
  told_ = EventType::tick;
  effects_.clear();
  control_->tick(now_, effects_);
  carry_out();
  check();
}

void World::carry_out() {
  std::size_t of_slot = 0;
  for (std::size_t i = 0; i < effects_.size() && !violation_; ++i) {
    const SlotEffect each = effects_[i];
    of_slot = i > 0 && effects_[i - 1].slot == each.slot ? of_slot + 1 : 1;
    if (of_slot > kMaxEffects) violate(4, each.slot, "more effects than an event may have");
    carry_out(each.slot, each.effect);
  }
}

void World::carry_out(std::uint32_t slot, const Effect& effect) {
  if (trace_) {
    std::cerr << now_.time_since_epoch() / Millis(1) << " slot " << slot << "   effect " << static_cast<int>(effect.type) << " for "
              << effect.incarnation << " signal " << effect.signal << " notice " << static_cast<int>(effect.notice) << "\n";
  }
  switch (effect.type) {
    case EffectType::spawn: spawn(slot, effect); break;
    case EffectType::open_gate: ledger(slot).gate = true; break;
    case EffectType::close_gate:
      ledger(slot).gate = false;
      if (!faulty_ || chance(80)) {
        const auto most = config_.drain.http.count();
        later(between(0, faulty_ ? most * 13 / 10 : most / 2), Kind::deliver, slot, {EventType::emptied, effect.incarnation});
      }
      break;
    case EffectType::probe: probe(slot, effect); break;
    case EffectType::signal_main: signal_main(slot, effect); break;
    case EffectType::signal_tree: signal_tree(slot, effect); break;
    case EffectType::release: note_release(slot); break;
    case EffectType::tell: break;
  }
}

void World::spawn(std::uint32_t slot, const Effect& effect) {
  note_spawn(slot, effect);
  Child& it = child(slot);
  it = Child{};
  it.incarnation = effect.incarnation;
  if (faulty_ && chance(3)) {
    later(Millis(0), Kind::deliver, slot, {EventType::spawn_failed, effect.incarnation, Cause::spawn_failed});
    return;
  }
  it.main = true;
  it.tree = chance(20);
  it.ready_at = now_ + between(50, 500);
  if (!faulty_) return;
  it.deaf = chance(10);
  it.deaf_tree = chance(30);
  const auto fate = rng_.below(100);
  if (fate < 15) {
    later(between(0, 1000), Kind::main_dies, slot, {EventType::exited, effect.incarnation, Cause::exit_nonzero});
  } else if (fate < 22) {
    it.ready_at = kNever;
  } else if (fate < 32) {
    it.ready_at = now_ + between(config_.ready.timeout.count() / 2, config_.ready.timeout.count() * 3 / 2);
  }
}

void World::probe(std::uint32_t slot, const Effect& effect) {
  Ledger& book = ledger(slot);
  if (!book.known_alive) violate(7, slot, "a probe of a process known to be gone");
  if (book.probe_out) violate(7, slot, "a second probe while one runs");
  if (effect.incarnation != book.incarnation) violate(5, slot, "a probe for a stale incarnation");
  book.probe_out = true;
  const Child& it = child(slot);
  Millis takes = between(1, 50);
  EventType answer = EventType::probe_passed;
  if (!it.main || now_ < it.ready_at || (faulty_ && chance(5))) {
    answer = EventType::probe_failed;
  } else if (it.hung || it.paused) {
    answer = EventType::probe_failed;
    takes = config_.health.timeout;
  } else if (chance(faulty_ ? 10 : 3)) {
    answer = EventType::probe_busy;
  }
  later(takes, Kind::deliver, slot, {answer, effect.incarnation});
}

void World::signal_main(std::uint32_t slot, const Effect& effect) {
  if (!ledger(slot).known_alive) violate(7, slot, "a signal to a main process known to be gone");
  if (effect.incarnation != ledger(slot).incarnation) violate(5, slot, "a signal for a stale incarnation");
  Child& it = child(slot);
  if (!it.main) return;
  if (effect.signal == SIGCONT) {
    it.paused = false;
    later(Millis(1), Kind::deliver, slot, {EventType::continued, it.incarnation});
  } else {
    it.told_to_end = true;
  }
  if (it.paused || it.deaf || !it.told_to_end) return;
  const auto grace = config_.stop.grace.count();
  later(between(0, faulty_ ? grace * 3 / 2 : grace / 2), Kind::main_dies, slot, {EventType::exited, it.incarnation, Cause::exit_zero});
}

void World::signal_tree(std::uint32_t slot, const Effect& effect) {
  if (!ledger(slot).row) violate(7, slot, "a signal to a tree that was released");
  if (effect.incarnation != ledger(slot).incarnation) violate(5, slot, "a signal for a stale incarnation");
  Child& it = child(slot);
  const bool kill = effect.signal == SIGKILL;
  if (kill) {
    ledger(slot).killed = true;
    later(between(1, 5), Kind::main_dies, slot, {EventType::exited, it.incarnation, Cause::outside_signal});
  }
  if (kill || !it.deaf_tree) later(kill ? between(1, 5) : between(0, 500), Kind::tree_dies, slot, {EventType::tree_gone, it.incarnation});
}

void World::later(Millis after, Kind kind, std::uint32_t slot, Event event) { ahead_.push({now_ + after, ++order_, kind, slot, event}); }

}  // namespace drover::backends::simulation
