// What effects do to the simulated world: processes, their ends, probes, gates.
#include "simulation_world.hpp"

#include <algorithm>
#include <csignal>
#include <iostream>

namespace drover::backends::simulation {

namespace {

using base::Millis;

constexpr base::TimePoint kNever = base::TimePoint::max();

}  // namespace

void World::carry_out() {
  beside_ = 0;
  std::size_t of_life = 0;
  for (std::size_t i = 0; i < effects_.size() && !violation_; ++i) {
    const SlotEffect each = effects_[i];
    const bool same = i > 0 && effects_[i - 1].slot == each.slot && effects_[i - 1].effect.incarnation == each.effect.incarnation;
    of_life = same ? of_life + 1 : 1;
    if (of_life > kMaxEffects) violate(4, each.slot, "more effects than an event may have");
    carry_out(each.slot, each.effect);
  }
}

void World::carry_out(std::uint32_t slot, const Effect& effect) {
  if (trace_) {
    std::cerr << now_.time_since_epoch() / Millis(1) << " slot " << slot << "   effect " << static_cast<int>(effect.type) << " for "
              << effect.incarnation << " signal " << effect.signal << " notice " << static_cast<int>(effect.notice) << "\n";
  }
  Life* it = life(slot, effect.incarnation);
  if (effect.type != EffectType::spawn && effect.type != EffectType::tell && it == nullptr) {
    violate(effect.type == EffectType::release ? 12 : 5, slot, "an effect for an incarnation that is gone");
    return;
  }
  switch (effect.type) {
    case EffectType::spawn: spawn(slot, effect); break;
    case EffectType::open_gate: it->book.gate = true; break;
    case EffectType::close_gate: close_gate(slot, effect); break;
    case EffectType::probe: probe(slot, effect); break;
    case EffectType::disconnect: disconnect(slot, effect); break;
    case EffectType::signal_main: signal_main(slot, effect); break;
    case EffectType::signal_tree: signal_tree(slot, effect); break;
    case EffectType::release: note_release(slot, effect); break;
    case EffectType::tell: note_notice(slot, effect); break;
  }
}

void World::close_gate(std::uint32_t slot, const Effect& effect) {
  life(slot, effect.incarnation)->book.gate = false;
  if (floor_) {
    std::uint32_t serving = 0;
    for (std::uint32_t each = 1; each <= slots(); ++each) serving += serves(each) ? 1 : 0;
    if (serving < *floor_) violate(13, slot, "fewer serve in a roll than may be missing");
  }
  if (!proxied()) {  // nobody comes through the gate, so nobody is ever inside
    later(between(0, 20), Kind::deliver, slot, {EventType::emptied, effect.incarnation});
  } else if (!faulty_ || chance(80)) {
    const auto most = config_.drain.http.count();
    later(between(0, faulty_ ? most * 13 / 10 : most / 2), Kind::deliver, slot, {EventType::emptied, effect.incarnation});
  }
}

void World::spawn(std::uint32_t slot, const Effect& effect) {
  note_spawn(slot, effect);
  Child& it = life(slot, effect.incarnation)->child;
  if (faulty_ && chance(3)) {
    later(Millis(0), Kind::deliver, slot, {EventType::spawn_failed, effect.incarnation, Cause::spawn_failed});
    return;
  }
  it.main = true;
  it.tree = chance(20);
  it.ready_at = now_ + between(50, 500);
  if (faulty_) {
    it.deaf = chance(10);
    it.deaf_tree = chance(30);
    it.disobeys = chance(20);
    it.lingers = chance(20);
    if (chance(5)) later(between(0, 1000), Kind::leaves, slot, {EventType::left, effect.incarnation});
    const auto fate = rng_.below(100);
    if (fate < 15) {
      later(between(0, 1000), Kind::main_dies, slot, {EventType::exited, effect.incarnation, Cause::exit_nonzero});
    } else if (fate < 22) {
      it.ready_at = kNever;
    } else if (fate < 32) {
      it.ready_at = now_ + between(config_.ready.timeout.count() / 2, config_.ready.timeout.count() * 3 / 2);
    }
  }
  const bool speaks = config_.ready.notify || chance(20);
  if (speaks && it.ready_at != kNever) {
    ahead_.push({it.ready_at, ++order_, Kind::deliver, slot, {EventType::reported_ready, effect.incarnation}});
  }
}

void World::probe(std::uint32_t slot, const Effect& effect) {
  auto& [it, book] = *life(slot, effect.incarnation);
  if (!book.known_alive) violate(7, slot, "a probe of a process known to be gone");
  if (book.probe_out) violate(7, slot, "a second probe while one runs");
  if (config_.ready.notify && !book.ready) violate(7, slot, "a probe of one that gives its word instead");
  book.probe_out = true;
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

void World::disconnect(std::uint32_t slot, const Effect& effect) {
  auto& [it, book] = *life(slot, effect.incarnation);
  if (!book.known_alive) violate(7, slot, "a word to a process known to be gone");
  if (!node()) violate(16, slot, "a word over a channel to one that is no Node program");
  if (book.knows) violate(16, slot, "told to finish what it knows already");
  if (book.gate) violate(16, slot, "told to finish with its gate open");
  if (proxied() && told_ != EventType::emptied) violate(16, slot, "told to finish while requests are inside");
  book.told_finish = now_;
  book.knows = true;
  it.told_to_finish = true;
  if (faulty_ && at(slot).drained && chance(70)) later(between(0, 200), Kind::deliver, slot, {EventType::resume});  // too late
  // It is we who close a forked program's channel.
  if (!cluster()) later(between(0, 5), Kind::deliver, slot, {EventType::disconnected, effect.incarnation});
  if (!it.paused && !it.hung) finish(slot, effect.incarnation, it);
}

void World::finish(std::uint32_t slot, base::Incarnation incarnation, Child& it) {
  if (!it.main || it.disobeys) return;
  const auto most = (proxied() ? finishing() : config_.drain.http).count();
  const Millis takes = between(0, faulty_ ? most * 3 / 2 : most / 2);
  if (cluster()) later(takes, Kind::deliver, slot, {EventType::disconnected, incarnation});
  if (!it.lingers) later(takes + between(0, 5), Kind::main_dies, slot, {EventType::exited, incarnation, Cause::exit_zero});
}

void World::leaves(std::uint32_t slot, base::Incarnation incarnation) {
  Life* it = life(slot, incarnation);
  if (!cluster() || it == nullptr || !it->child.main || it->child.paused || it->child.hung) return;
  tell(slot, {EventType::left, incarnation});
  if (Life* still = life(slot, incarnation)) finish(slot, incarnation, still->child);
}

void World::signal_main(std::uint32_t slot, const Effect& effect) {
  auto& [it, book] = *life(slot, effect.incarnation);
  if (!book.known_alive) violate(7, slot, "a signal to a main process known to be gone");
  if (effect.signal == config_.stop.signal) check_signal(slot, effect.incarnation, book);
  if (!it.main) return;
  if (effect.signal == SIGCONT) {
    it.paused = false;
    later(Millis(1), Kind::deliver, slot, {EventType::continued, effect.incarnation});
  } else if (effect.signal == config_.hang.signal) {
    if (chance(30)) later(between(0, 500), Kind::main_dies, slot, {EventType::exited, effect.incarnation, Cause::own_signal});
    return;
  } else {
    it.told_to_end = true;
  }
  if (it.paused || it.deaf || !it.told_to_end) return;
  const auto grace = config_.stop.grace.count();
  later(between(0, faulty_ ? grace * 3 / 2 : grace / 2), Kind::main_dies, slot, {EventType::exited, effect.incarnation, Cause::exit_zero});
}

void World::signal_tree(std::uint32_t slot, const Effect& effect) {
  auto& [it, book] = *life(slot, effect.incarnation);
  const bool kill = effect.signal == SIGKILL;
  if (kill) {
    book.killed = true;
    later(between(1, 5), Kind::main_dies, slot, {EventType::exited, effect.incarnation, Cause::outside_signal});
  }
  if (kill || !it.deaf_tree) later(kill ? between(1, 5) : between(0, 500), Kind::tree_dies, slot, {EventType::tree_gone, effect.incarnation});
}

void World::main_dies(std::uint32_t slot, const Event& event) {
  Life* it = life(slot, event.incarnation);
  if (it == nullptr || !it->child.main) return;
  it->child.main = false;
  const Event told{EventType::exited, event.incarnation, event.cause};
  later(between(0, 3), Kind::deliver, slot, told);
  if (faulty_ && chance(10)) later(between(0, 4000), Kind::deliver, slot, told);
}

void World::tree_dies(std::uint32_t slot, const Event& event) {
  Life* it = life(slot, event.incarnation);
  if (it == nullptr || !it->child.tree) return;
  it->child.tree = false;
  if (!it->child.main) later(between(1, 20), Kind::deliver, slot, {EventType::tree_gone, event.incarnation});
}

void World::pause(std::uint32_t slot, base::Incarnation incarnation, bool paused) {
  Life* it = life(slot, incarnation);
  if (it == nullptr || !it->child.main || it->child.paused == paused) return;
  it->child.paused = paused;
  const bool ends = !paused && it->child.told_to_end && !it->child.deaf;
  const Event told{paused ? EventType::paused : EventType::continued, incarnation};
  tell(slot, told);
  if (faulty_ && chance(20)) tell(slot, told);
  if (Life* still = life(slot, incarnation); still != nullptr && !paused && still->child.told_to_finish) finish(slot, incarnation, still->child);
  if (ends) later(between(0, 100), Kind::main_dies, slot, {EventType::exited, incarnation});
}

World::Life* World::life(std::uint32_t slot, base::Incarnation incarnation) {
  const auto it = at(slot).lives.find(incarnation);
  return it != at(slot).lives.end() ? &it->second : nullptr;
}

base::Incarnation World::any_life(std::uint32_t slot) {
  const auto& lives = at(slot).lives;
  if (lives.empty()) return 0;
  auto it = lives.begin();
  std::advance(it, static_cast<std::ptrdiff_t>(rng_.below(lives.size())));
  return it->first;
}

}  // namespace drover::backends::simulation
