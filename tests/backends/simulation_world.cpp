#include "simulation_world.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

namespace drover::backends::simulation {

namespace {

using base::Millis;
using std::chrono::seconds;

constexpr std::uint64_t kMaxEvents = 60'000;

}  // namespace

World::World(std::uint64_t seed) : seed_(seed), rng_(seed * 0x9e3779b97f4a7c15U + 1), trace_(std::getenv("DROVER_SIMULATION_TRACE") != nullptr) {
  roll_config();
  control_.emplace(config_, rng_.next(), capacity_, rows_);
  slots_.resize(capacity_);
  before_.resize(capacity_);
}

void World::roll_config() {
  config_.name = "shop";
  config_.workers = number(1, 5);
  capacity_ = config_.workers + number(0, 2);
  rows_ = capacity_ + (chance(50) ? number(2, 4) : capacity_ + 4);
  config_.ready.timeout = between(2000, 6000);
  config_.ready.notify = chance(20);
  config_.health.interval = between(1000, 4000);
  config_.health.timeout = between(500, 1000);
  config_.health.rise = number(1, 3);
  config_.health.fall = number(1, 3);
  config_.health.restart_after.reset();
  if (chance(75)) config_.health.restart_after = between(3000, 15000);
  config_.restart.delay = between(100, 1000);
  config_.restart.max_delay = between(2000, 8000);
  config_.restart.max = number(0, 6);
  config_.restart.within = between(20000, 60000);
  config_.restart.young = between(1000, 5000);
  config_.restart.give_up = chance(15);
  config_.stop.grace = between(500, 3000);
  config_.drain.http = between(500, 4000);
  config_.rolling.max_surge = number(0, 2);
  config_.rolling.max_unavailable = number(config_.rolling.max_surge == 0 ? 1 : 0, 2);
  config_.rolling.soak = chance(50) ? Millis(0) : between(100, 2000);
  config_.node = chance(60) ? "off" : chance(75) ? "cluster" : "fork";
  if (chance(30)) config_.dispatch = chance(50) ? config::Dispatch::handoff : config::Dispatch::shared;
  config_.rolling.order = static_cast<config::RollOrder>(rng_.below(3));
  config_.slow_start = Millis(static_cast<std::int64_t>(seed_ % 3) * 4000);
}

std::optional<std::string> World::run() {
  for (std::uint32_t slot = 1; slot <= config_.workers; ++slot) tell(slot, {EventType::start});
  faults_phase();
  const bool stopped_amid_faults = chance(30);
  if (!stopped_amid_faults) {
    peace_phase();
    if (chance(60)) roll_in_peace();
    if (chance(40)) scale_in_peace();
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
  queue_waits(false);
  for (std::uint32_t slot = 1; slot <= slots(); ++slot) {
    std::vector<base::Incarnation> all;
    for (auto& [incarnation, life] : at(slot).lives) {
      if (!config_.health.restart_after) life.child.hung = false;  // nothing but itself can heal it
      all.push_back(incarnation);
    }
    for (const base::Incarnation each : all) {
      pause(slot, each, false);
      for (const EventType relief : {EventType::cleared, EventType::admitted, EventType::accepted}) tell(slot, {relief, each});
    }
    tell(slot, {EventType::resume});
  }
}

Millis World::finishing() const {
  if (!node()) return Millis(0);
  return cluster() ? config_.stop.grace : Millis(1000);
}

/// In which whatever goes on must have come to rest, without faults.
Millis World::calm_bound() const {
  const auto& c = config_;
  const Millis verdict = (c.health.interval + c.health.timeout + Millis(100)) * (c.health.fall + c.health.rise + 2);
  const Millis replace =
      c.health.restart_after.value_or(Millis(0)) + c.drain.http + finishing() + c.stop.grace + kLeftoverGrace + kKillAgain + kDiagnosis;
  const Millis start = c.ready.timeout * 4 + c.restart.max_delay * 3 + c.rolling.soak * 2;
  return (verdict + replace + start) * (capacity_ + 2);
}

void World::peace_phase() {
  make_peace();
  if (advance(now_ + calm_bound(), [this] { return calm(); }) || violation_) return;
  for (std::uint32_t slot = 1; slot <= control_->desired(); ++slot) {
    if (!serves(slot)) violate(10, slot, "does not serve within the bound after the last fault");
  }
  violate(10, 0, "a roll does not end within the bound after the last fault");
}

void World::roll_in_peace() {
  for (Slot& slot : slots_) {
    for (auto& [incarnation, life] : slot.lives) life.child.hung = false;
  }
  advance(now_ + seconds(2));  // what was bound to happen before the peace
  if (!advance(now_ + calm_bound(), [this] { return calm(); })) return;
  std::uint32_t serving = 0;
  for (std::uint32_t slot = 1; slot <= slots(); ++slot) {
    at(slot).at_roll = at(slot).last;
    serving += serves(slot) ? 1 : 0;
  }
  floor_ = serving - std::min(serving, config_.rolling.max_unavailable);
  if (roll() != (control_->desired() > 0)) violate(13, 0, "a roll of a calm pool is refused, or one of nothing begun");
  advance(now_ + calm_bound(), [this] { return !rolling(); });
  floor_.reset();
  if (violation_ || control_->desired() == 0) return;
  const Roll& now = control_->last_roll();
  if (now.phase != Roll::Phase::done) violate(13, now.failed_slot, "a roll in peace does not end, or fails");
  if (now.done != now.total || now.total != control_->desired()) violate(13, 0, "a roll is done, but not of all");
  for (std::uint32_t slot = 1; slot <= control_->desired(); ++slot) {
    if (control_->slot(slot).incarnation <= at(slot).at_roll || !serves(slot)) violate(13, slot, "no new incarnation serves after the roll");
  }
}

void World::scale_in_peace() {
  scale(number(0, capacity_));
  if (chance(50)) {
    advance(now_ + between(0, 2000));
    scale(number(0, capacity_));
  }
  if (!advance(now_ + calm_bound(), [this] { return as_wanted(); })) violate(15, 0, "not the wanted slots serve within the bound after a scaling");
}

void World::stop_phase() {
  stopping_ = true;
  for (std::uint32_t slot = 1; slot <= slots(); ++slot) tell(slot, {EventType::stop});
  const base::TimePoint bound = now_ + config_.drain.http + finishing() + config_.stop.grace + seconds(4);
  if (chance(30)) {
    advance(now_ + between(0, 1000));
    const base::TimePoint killed = now_ + Millis(500);
    for (std::uint32_t slot = 1; slot <= slots(); ++slot) tell(slot, {EventType::kill});
    advance(killed);
  } else {
    advance(bound);
  }
  check_all_gone();
}

/// True: what is to come about has.
bool World::advance(base::TimePoint until, const std::function<bool()>& done) {
  while (!violation_) {
    if (done && done()) return true;
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
      const Life* it = life(slot, event.incarnation);
      if (event.type == EventType::exited && it != nullptr) event.tree_left = it->child.tree;
      tell(slot, event);
      break;
    }
    case Kind::main_dies: main_dies(slot, happening.event); break;
    case Kind::tree_dies: tree_dies(slot, happening.event); break;
    case Kind::leaves: leaves(slot, happening.event.incarnation); break;
    case Kind::fault:
      if (!faulty_ || (stopping_ && control_->stopped())) break;
      fault();
      later(between(100, 3000), Kind::fault, 1);
      break;
  }
}

void World::fault() {
  const std::uint32_t slot = any_slot();
  const base::Incarnation whom = any_life(slot);
  Life* it = life(slot, whom);
  static constexpr Cause kCauses[] = {Cause::exit_zero, Cause::exit_nonzero, Cause::own_signal, Cause::out_of_memory, Cause::outside_signal};
  switch (rng_.below(14)) {
    case 0: later(Millis(0), Kind::main_dies, slot, {EventType::exited, whom, kCauses[rng_.below(5)]}); break;
    case 1:
      if (it != nullptr) it->child.hung = true;
      break;
    case 2:
      if (it != nullptr) it->child.hung = false;
      break;
    case 3: pause(slot, whom, true); break;
    case 4: pause(slot, whom, false); break;
    case 5:
      if (it != nullptr && !it->book.ready) later(Millis(0), Kind::main_dies, slot, {EventType::exited, whom, Cause::port_taken});
      break;
    case 6: operator_acts(slot); break;
    case 7: noise(slot); break;
    case 8:
      for (std::uint32_t each = 1; chance(30) && each <= slots(); ++each) {
        later(between(0, 100), Kind::main_dies, each, {EventType::exited, any_life(each), Cause::outside_signal});
      }
      break;
    case 9: leaves(slot, whom); break;
    default: fault_of_supervision(slot); break;
  }
}

/// What drover itself finds out about a worker, or wants of it.
void World::fault_of_supervision(std::uint32_t slot) {
  static constexpr std::pair<EventType, EventType> kFacts[] = {
      {EventType::suspected, EventType::cleared}, {EventType::ejected, EventType::admitted}, {EventType::declined, EventType::accepted}};
  const base::Incarnation whom = any_life(slot);
  switch (rng_.below(6)) {
    case 0:
    case 1: {
      const auto& [begins, ends] = kFacts[rng_.below(3)];
      tell(slot, {begins, whom});
      if (chance(70)) later(between(100, 5000), Kind::deliver, slot, {ends, whom});
      break;
    }
    case 2: tell(slot, {EventType::hung, control_->slot(slot).incarnation}); break;
    case 3:
    case 4: {
      static constexpr Why kWhys[] = {Why::requests, Why::age, Why::memory, Why::by_operator, Why::silent, Why::hard_memory};
      ask(slot, kWhys[rng_.below(6)]);
      break;
    }
    default: queue_waits(!queue_waiting_); break;
  }
}

/// What no rule of the world forbids to arrive: late words of earlier incarnations, words said twice, a proxy's death.
void World::noise(std::uint32_t slot) {
  const auto type = static_cast<EventType>(rng_.below(kEventTypes));
  const base::Incarnation gone = static_cast<base::Incarnation>(rng_.below(at(slot).last + 2));
  if (type >= EventType::spawn_failed && life(slot, gone) == nullptr) {
    tell(slot, {type, gone, Cause::exit_nonzero, chance(50)});
  } else if ((type == EventType::start && !stopping_) || type == EventType::supersede) {
    tell(slot, {type});
  } else {
    for (std::uint32_t each = 1; each <= slots(); ++each) {  // in-flight counts die with the proxy that held them
      std::vector<base::Incarnation> all;
      for (const auto& [incarnation, life] : at(each).lives) all.push_back(incarnation);
      for (const base::Incarnation incarnation : all) tell(each, {EventType::emptied, incarnation});
    }
  }
}

void World::operator_acts(std::uint32_t slot) {
  switch (rng_.below(6)) {
    case 0: tell(slot, {EventType::drain}); break;
    case 1:
    case 2: tell(slot, {EventType::resume}); break;
    case 3: tell(slot, {EventType::replace}); break;
    case 4: roll(); break;
    case 5: scale(number(chance(20) ? 0 : 1, capacity_)); break;
  }
}

void World::begin(std::optional<EventType> told) {
  remember();
  told_ = told;
  effects_.clear();
}

void World::end() {
  carry_out();
  check();
}

void World::tell(std::uint32_t slot, Event event) {
  if (violation_) return;
  if (trace_) {
    std::cerr << now_.time_since_epoch() / Millis(1) << " slot " << slot << " event " << static_cast<int>(event.type) << " of " << event.incarnation
              << " in " << to_text(control_->slot(slot).lifecycle) << " " << control_->slot(slot).incarnation << "\n";
  }
  begin(event.type);
  control_->handle(slot, event, now_, effects_);
  note(slot, event);
  end();
}

void World::tick() {
  begin(EventType::tick);
  control_->tick(now_, effects_);
  end();
}

void World::ask(std::uint32_t slot, Why why) {
  if (violation_) return;
  if (trace_) std::cerr << now_.time_since_epoch() / Millis(1) << " slot " << slot << " ask: " << to_text(why) << "\n";
  begin({});
  control_->ask(slot, control_->slot(slot).incarnation, why, now_, effects_);
  at(slot).asked |= 1U << static_cast<unsigned>(why);
  if (why == Why::by_operator) at(slot).tries = {};
  at(slot).lost = why == Why::hard_memory;
  end();
}

bool World::roll() {
  if (violation_) return false;
  begin({});
  const bool begun = control_->roll(now_, effects_);
  if (trace_) std::cerr << now_.time_since_epoch() / Millis(1) << " roll: " << begun << "\n";
  for (std::uint32_t slot = 1; begun && slot <= slots(); ++slot) {
    if (control_->wanted(slot)) at(slot).asked |= 1U << static_cast<unsigned>(Why::rolling);
    at(slot).tries = {};
    at(slot).taken_by_roll = false;  // by the last one
  }
  end();
  return begun;
}

void World::scale(std::uint32_t desired) {
  if (violation_) return;
  if (trace_) std::cerr << now_.time_since_epoch() / Millis(1) << " scale to " << desired << "\n";
  begin({});
  control_->scale(desired, now_, effects_);
  end();
}

void World::queue_waits(bool waiting) {
  if (violation_) return;
  queue_waiting_ = waiting;
  control_->set_queue_waiting(waiting);
  tick();
}

void World::later(Millis after, Kind kind, std::uint32_t slot, Event event) { ahead_.push({now_ + after, ++order_, kind, slot, event}); }

}  // namespace drover::backends::simulation
