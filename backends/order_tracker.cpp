#include "backends/order_tracker.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace drover::backends {

namespace {

constexpr std::size_t kLinesShown = 3;  // of a failed start's last words

bool serving(const SlotState& state) { return state.lifecycle == Lifecycle::running && state.leaving == Leaving::no; }

/// Reason, last words, probes: what an operator needs to go on.
std::string in_full(const StartFailure& failure) {
  std::string out = failure.reason;
  const std::size_t count = failure.last_lines.size();
  for (std::size_t i = count - std::min(count, kLinesShown); i < count; ++i) out += "; it printed: " + failure.last_lines[i];
  for (std::size_t i = 0; i < failure.probes.size(); ++i) out += (i == 0 ? "; probes: " : ", ") + failure.probes[i];
  return out;
}

std::string plural(std::size_t count, const char* what) { return std::to_string(count) + " " + what + (count == 1 ? "" : "s"); }

}  // namespace

OrderId OrderTracker::begin(const Order& order, std::uint32_t pool, OrderWatcher watcher, base::TimePoint now) {
  Running running;
  running.id = ++last_;
  running.order = order;
  running.pool = pool;
  running.watcher = std::move(watcher);
  running.began = now;
  if (order.verb != Order::Verb::stop) {
    const PoolControl& control = pools_[pool].control();
    running.roll = control.last_roll().number + 1;
    const std::uint32_t slots = order.verb == Order::Verb::scale ? std::max(control.size(), order.count) : control.size();
    for (std::uint32_t slot = 1; slot <= slots; ++slot) {
      if (order.target.slot && *order.target.slot != slot) continue;
      running.steps.push_back({slot, slot <= control.size() ? control.slot(slot).incarnation : 0, false, ""});
    }
  }
  orders_.push_back(std::move(running));
  return last_;
}

void OrderTracker::forget(OrderId id) {
  const auto found = std::ranges::find(orders_, id, &Running::id);
  if (found != orders_.end()) found->gone = true;
}

void OrderTracker::look() {
  // By position: a watcher may order anew, which only appends.
  for (std::size_t i = 0; i < orders_.size(); ++i) {
    if (!orders_[i].gone) look_at(orders_[i]);
  }
  std::erase_if(orders_, [](const Running& order) { return order.gone; });
}

void OrderTracker::look_at(Running& order) {
  switch (order.order.verb) {
    case Order::Verb::stop: break;  // stopped() ends it
    case Order::Verb::hold: return look_at_hold(order);
    case Order::Verb::maintenance:
      return end(order, true,
                 order.order.target.pool +
                     (order.order.off ? " is not in maintenance"
                                      : " is in maintenance: its requests are answered 503, until drover resume " + order.order.target.pool));
    case Order::Verb::restart:
      if (!order.order.target.slot) return look_at_roll(order);
      [[fallthrough]];
    case Order::Verb::drain:
    case Order::Verb::resume:
    case Order::Verb::scale: look_at_steps(order); break;
  }
}

void OrderTracker::look_at_roll(Running& order) {
  const PoolRunner& pool = pool_of(order);
  const Roll& roll = pool.control().last_roll();
  const std::string& name = pool.config().name;
  if (roll.number != order.roll) return end(order, false, name + ": another rolling restart has taken its place");
  for (Step& step : order.steps) {
    if (step.done || step.slot > pool.control().size()) continue;
    const SlotState& state = pool.control().slot(step.slot);
    const auto& successor = pool.control().successor(step.slot);
    const std::string slot = pool.name_of(step.slot);
    if (state.incarnation > step.from && serving(state)) {
      step.done = true;
      const auto done = std::ranges::count_if(order.steps, &Step::done);
      tell(order, slot + " is ready (" + std::to_string(done) + " of " + std::to_string(roll.total) + ")");
    } else if (successor || state.incarnation > step.from) {
      std::string line = slot + " is starting (incarnation " + std::to_string(successor ? successor->incarnation : state.incarnation) + ")";
      if (line != step.last) tell(order, line);
      step.last = std::move(line);
    }
    if (order.gone) return;
  }
  if (roll.phase == Roll::Phase::done) {
    end(order, true, name + ": " + plural(roll.done, "worker") + " replaced");
  } else if (roll.phase == Roll::Phase::failed) {
    const bool known = roll.failed_slot >= 1 && roll.failed_slot <= pool.control().size();
    const StartFailure failure = known ? pool.last_failure(roll.failed_slot) : StartFailure{};
    const bool its_own = known && failure.incarnation == roll.failed_incarnation;
    end(order, false,
        name + ": stopped after " + std::to_string(roll.done) + " of " + std::to_string(roll.total) + ": " +
            (its_own ? pool.name_of(roll.failed_slot) + ": " + in_full(failure) : pool.roll_failure()) + "; the others stay as they are");
  }
}

/// Done when nobody is inside any more: then what its workers use may be changed.
void OrderTracker::look_at_hold(Running& order) {
  const PoolRunner& pool = pool_of(order);
  const std::string& name = pool.config().name;
  if (order.order.off) return end(order, true, name + " is not held: its requests go to its workers");
  const std::uint32_t inside = pool.in_flight();
  const std::string who = inside == 0 ? "nobody is" : plural(inside, "request") + (inside == 1 ? " is" : " are");
  if (!pool.held_until()) return end(order, false, name + " is not held any more, while " + who + " inside");
  if (inside == 0 && pool.held()) {
    return end(order, true,
               name + " is held and nobody is inside: its requests wait, until drover resume " + name + ", for " + base::to_text(order.order.most) +
                   " at most");
  }
  std::string line = name + " is held; " + who + " inside";
  if (inside == 0 || line == order.said) return;
  order.said = line;
  tell(order, std::move(line));
}

void OrderTracker::look_at_steps(Running& order) {
  if (order.order.verb == Order::Verb::scale && pool_of(order).control().desired() != order.order.count) {
    return end(order, false, pool_of(order).config().name + ": meanwhile " + plural(pool_of(order).control().desired(), "worker") + " are wanted");
  }
  for (Step& step : order.steps) {
    if (step.done) continue;
    Outcome outcome = judge(order, step);
    if (outcome.is == Outcome::Is::failed) return end(order, false, std::move(outcome.line));
    step.done = outcome.is == Outcome::Is::done;
    if (!outcome.line.empty() && outcome.line != step.last) {
      step.last = outcome.line;
      const auto done = std::ranges::count_if(order.steps, &Step::done);
      const bool counted = step.done && order.steps.size() > 1;
      tell(order, counted ? outcome.line + " (" + std::to_string(done) + " of " + std::to_string(order.steps.size()) + ")" : outcome.line);
    }
    if (order.gone) return;
  }
  if (!std::ranges::all_of(order.steps, &Step::done)) return;
  switch (order.order.verb) {
    case Order::Verb::restart: return end(order, true, order.order.target.text() + " is restarted");
    case Order::Verb::drain: return end(order, true, order.order.target.text() + " is drained");
    case Order::Verb::resume: return end(order, true, order.order.target.text() + " is resumed");
    case Order::Verb::scale: return end(order, true, order.order.target.text() + " has " + plural(order.order.count, "worker"));
    case Order::Verb::hold:
    case Order::Verb::maintenance:
    case Order::Verb::stop: return;
  }
}

OrderTracker::Outcome OrderTracker::judge(const Running& order, const Step& step) const {
  const PoolControl& control = pool_of(order).control();
  if (step.slot > control.size()) return {Outcome::Is::under_way, ""};
  switch (order.order.verb) {
    case Order::Verb::restart: return judge_restart(order, step);
    case Order::Verb::drain: return judge_drain(order, step);
    case Order::Verb::resume: return judge_ready(order, step);
    case Order::Verb::scale: return control.wanted(step.slot) ? judge_ready(order, step) : judge_gone(order, step);
    case Order::Verb::hold:
    case Order::Verb::maintenance:
    case Order::Verb::stop: break;
  }
  return {Outcome::Is::done, ""};
}

OrderTracker::Outcome OrderTracker::judge_restart(const Running& order, const Step& step) const {
  const PoolRunner& pool = pool_of(order);
  const SlotState& state = pool.control().slot(step.slot);
  const std::string name = pool.name_of(step.slot);
  if (state.incarnation > step.from && serving(state))
    return {Outcome::Is::done, name + " is ready (incarnation " + std::to_string(state.incarnation) + ")"};
  if (const std::string why = failure_since(order, step); !why.empty()) return {Outcome::Is::failed, name + ": " + why};
  if (state.intent == Intent::drained) return {Outcome::Is::failed, name + " was drained meanwhile"};
  if (!pool.control().wanted(step.slot)) return {Outcome::Is::failed, name + " is not wanted any more: the pool was scaled meanwhile"};
  const auto& successor = pool.control().successor(step.slot);
  if (successor)
    return {Outcome::Is::under_way, name + " is starting beside the old one (incarnation " + std::to_string(successor->incarnation) + ")"};
  if (state.incarnation > step.from) return {Outcome::Is::under_way, name + " is starting (incarnation " + std::to_string(state.incarnation) + ")"};
  if (state.lifecycle == Lifecycle::draining) return {Outcome::Is::under_way, name + " is draining"};
  if (state.lifecycle == Lifecycle::stopping) return {Outcome::Is::under_way, name + " is stopping"};
  return {Outcome::Is::under_way, name + " waits for its turn: no two of a pool are replaced at once"};
}

OrderTracker::Outcome OrderTracker::judge_drain(const Running& order, const Step& step) const {
  const PoolRunner& pool = pool_of(order);
  const SlotState& state = pool.control().slot(step.slot);
  const std::string name = pool.name_of(step.slot);
  if (state.intent == Intent::enabled && pool.control().wanted(step.slot)) return {Outcome::Is::failed, name + " was resumed meanwhile"};
  return judge_gone(order, step);
}

/// Nothing of it lives.
OrderTracker::Outcome OrderTracker::judge_gone(const Running& order, const Step& step) const {
  const PoolRunner& pool = pool_of(order);
  const SlotState& state = pool.control().slot(step.slot);
  const std::string name = pool.name_of(step.slot);
  const bool alone = !pool.control().successor(step.slot) && pool.control().leavers(step.slot).empty();
  if (alone && state.process == Process::none && state.lifecycle == Lifecycle::stopped) {
    return {Outcome::Is::done, state.incarnation == 0 ? "" : name + " has stopped"};
  }
  if (state.lifecycle == Lifecycle::draining) return {Outcome::Is::under_way, name + " is draining"};
  return {Outcome::Is::under_way, name + " is stopping"};
}

/// It serves.
OrderTracker::Outcome OrderTracker::judge_ready(const Running& order, const Step& step) const {
  const PoolRunner& pool = pool_of(order);
  const SlotState& state = pool.control().slot(step.slot);
  const std::string name = pool.name_of(step.slot);
  const bool resume = order.order.verb == Order::Verb::resume;
  if (!pool.control().wanted(step.slot)) return {Outcome::Is::done, ""};  // resumed, for the day when it is wanted
  if (state.intent == Intent::drained) return resume ? Outcome{Outcome::Is::failed, name + " was drained meanwhile"} : Outcome{Outcome::Is::done, ""};
  if (serving(state)) return {Outcome::Is::done, state.incarnation == step.from && !resume ? "" : name + " is ready"};
  if (const std::string why = failure_since(order, step); !why.empty()) return {Outcome::Is::failed, name + ": " + why};
  return {Outcome::Is::under_way, name + " is starting"};
}

/// Why no new incarnation of the slot has come up since; "" = nothing is known against it.
std::string OrderTracker::failure_since(const Running& order, const Step& step) const {
  const PoolRunner& pool = pool_of(order);
  const std::string name = pool.name_of(step.slot);
  const StartFailure& failure = pool.last_failure(step.slot);
  if (failure.at >= order.began && failure.incarnation > step.from) return in_full(failure);
  const SlotState& state = pool.control().slot(step.slot);
  // One that had failed before the order is not started by it, unless that is what was asked for.
  const bool stays = state.incarnation > step.from || pool.control().asked(step.slot) == Why::none;
  return state.lifecycle == Lifecycle::failed && stays ? "failed too often within restart.within; drover restart " + name + " tries it anew" : "";
}

void OrderTracker::tell(Running& order, std::string line) {
  if (order.watcher) order.watcher({std::move(line), false, true});
}

void OrderTracker::end(Running& order, bool ok, std::string line) {
  order.gone = true;
  if (const OrderWatcher watcher = std::move(order.watcher)) watcher({std::move(line), true, ok});
}

void OrderTracker::cluster_stops() {
  for (std::size_t i = 0; i < orders_.size(); ++i) {
    Running& order = orders_[i];
    if (order.gone) continue;
    if (order.order.verb == Order::Verb::stop) {
      tell(order, "the cluster is stopping");
    } else {
      end(order, false, "the cluster stops");
    }
  }
}

void OrderTracker::stopped(int exit_code) {
  for (std::size_t i = 0; i < orders_.size(); ++i) {
    if (orders_[i].gone) continue;
    const bool as_asked = exit_code == 0 || orders_[i].order.force;
    end(orders_[i], as_asked, as_asked ? "stopped" : "stopped; something had to be killed");
  }
}

}  // namespace drover::backends
