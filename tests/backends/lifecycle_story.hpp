// Role: one pool told as a story: the pure control side, a clock of the test's own, and the effects of the last thing said.
// Thread: the test's. Ownership: owns the config and the control side.
#pragma once

#include "backends/pool_control.hpp"

#include <optional>
#include <vector>

namespace drover::backends {

using namespace std::chrono_literals;

struct Story {
  explicit Story(std::uint32_t workers = 1) {
    config.name = "shop";
    config.workers = workers;
    config.rolling.max_surge = 0;
    config.rolling.max_unavailable = 1;
  }

  void begin() {
    control.emplace(config, 1, capacity, rows);
    for (std::uint32_t slot = 1; slot <= config.workers; ++slot) say(slot, EventType::start);
  }
  void begin_ready() {
    begin();
    for (std::uint32_t slot = 1; slot <= config.workers; ++slot) say(slot, EventType::probe_passed);
  }

  const SlotState& at(std::uint32_t slot = 1) const { return control->slot(slot); }
  bool has_successor(std::uint32_t slot = 1) const { return control->successor(slot).has_value(); }
  base::Incarnation successor(std::uint32_t slot = 1) const { return control->successor(slot)->incarnation; }
  std::size_t leavers(std::uint32_t slot = 1) const { return control->leavers(slot).size(); }
  const Roll& roll_now() const { return control->last_roll(); }
  std::uint32_t eligible_slots() const {
    std::uint32_t count = 0;
    for (std::uint32_t slot = 1; slot <= control->size(); ++slot) count += eligible(at(slot)) ? 1 : 0;
    return count;
  }

  /// Of the slot's present incarnation.
  void say(std::uint32_t slot, EventType type, Cause cause = Cause::exit_zero, bool tree_left = false) {
    say_of(slot, at(slot).incarnation, type, cause, tree_left);
  }
  void say_of(std::uint32_t slot, base::Incarnation incarnation, EventType type, Cause cause = Cause::exit_zero, bool tree_left = false) {
    last.clear();
    control->handle(slot, {type, incarnation, cause, tree_left}, now, last);
  }
  void ask(std::uint32_t slot, Why why) {
    last.clear();
    control->ask(slot, at(slot).incarnation, why, now, last);
  }
  bool roll() {
    last.clear();
    return control->roll(now, last);
  }
  void scale(std::uint32_t desired) {
    last.clear();
    control->scale(desired, now, last);
  }
  void pass(base::Millis time) {
    now += time;
    last.clear();
    control->tick(now, last);
  }
  /// One that drains is empty and ends when told to.
  void leaves(std::uint32_t slot, base::Incarnation incarnation) {
    say_of(slot, incarnation, EventType::emptied);
    say_of(slot, incarnation, EventType::exited);
  }
  /// The slot's successor gets ready and the old incarnation goes.
  void succeeds(std::uint32_t slot) {
    const base::Incarnation old = at(slot).incarnation;
    say_of(slot, successor(slot), EventType::probe_passed);
    leaves(slot, old);
  }
  /// Of a slot that is replaced in place and drains now.
  void comes_back(std::uint32_t slot) {
    leaves(slot, at(slot).incarnation);
    say(slot, EventType::probe_passed);
  }

  bool did(EffectType type, int signal = 0) const {
    for (const SlotEffect& each : last) {
      if (each.effect.type == type && (signal == 0 || each.effect.signal == signal)) return true;
    }
    return false;
  }
  /// Where among the last effects; none: it is not there.
  std::optional<std::size_t> place_of(EffectType type, base::Incarnation incarnation) const {
    for (std::size_t i = 0; i < last.size(); ++i) {
      if (last[i].effect.type == type && last[i].effect.incarnation == incarnation) return i;
    }
    return {};
  }
  bool told(Notice notice, base::Incarnation incarnation) const {
    for (const SlotEffect& each : last) {
      if (each.effect.notice == notice && each.effect.incarnation == incarnation) return true;
    }
    return false;
  }

  config::Pool config;
  std::uint32_t capacity = 16;
  std::uint32_t rows = 36;
  std::optional<PoolControl> control;
  base::TimePoint now{1000s};
  std::vector<SlotEffect> last;
};

/// With one successor at a time and nobody missing, as the defaults are.
struct Surging : Story {
  explicit Surging(std::uint32_t workers = 1) : Story(workers) {
    config.rolling.max_surge = 1;
    config.rolling.max_unavailable = 0;
  }
};

}  // namespace drover::backends
