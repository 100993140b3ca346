#include "backends/pool_control.hpp"

#include "backends/defects.hpp"

#include <algorithm>

namespace drover::backends {

namespace {

bool leaves_or_left(const SlotState& state) {
  return state.lifecycle == Lifecycle::draining || state.lifecycle == Lifecycle::stopping || state.lifecycle == Lifecycle::stopped;
}

}  // namespace

PoolControl::PoolControl(const config::Pool& pool, std::uint64_t seed) : pool_(&pool), seats_(pool.workers) {
  base::Rng rng(seed);
  for (Seat& seat : seats_) seat.state.seed = rng.next();
}

void PoolControl::handle(std::uint32_t slot, const Event& event, base::TimePoint now, std::vector<SlotEffect>& out) {
  if (slot == 0 || slot > size()) return;
  if (event.type == EventType::replace) {
    seats_[slot - 1].replace_asked = true;
  } else {
    apply(slot, event, now, out);
  }
  grant(now, out);
}

void PoolControl::tick(base::TimePoint now, std::vector<SlotEffect>& out) {
  for (std::uint32_t slot = 1; slot <= size(); ++slot) {
    const auto at = backends::next_tick(seats_[slot - 1].state);
    if (at && *at <= now) apply(slot, {EventType::tick}, now, out);
  }
  grant(now, out);
}

void PoolControl::apply(std::uint32_t slot, const Event& event, base::TimePoint now, std::vector<SlotEffect>& out) {
  SlotState& state = seats_[slot - 1].state;
  Step result = step(std::move(state), event, now, *pool_);
  state = std::move(result.state);
  for (const Effect& effect : result.effects) {
    // A new life is what was asked for, whatever brought it about.
    if (effect.type == EffectType::release || effect.type == EffectType::spawn) seats_[slot - 1].replace_asked = false;
    out.push_back({slot, effect});
  }
}

/// The holder gives the token back when its new incarnation is ready, or when there is nothing to wait for: it has died
/// (the restart policy has it now), has failed or stays away.
bool PoolControl::token_free() const {
  if (replacing_ == 0 || planted(Defect::two_replaced_at_once)) return true;
  switch (seats_[replacing_ - 1].state.lifecycle) {
    case Lifecycle::starting:
    case Lifecycle::draining:
    case Lifecycle::stopping: return false;
    case Lifecycle::running:
    case Lifecycle::stopped:
    case Lifecycle::backoff:
    case Lifecycle::failed: return true;
  }
  return true;
}

/// A worker that serves is taken out only when no other that should serve is missing.
bool PoolControl::others_serve(std::uint32_t slot) const {
  for (std::uint32_t other = 1; other <= size(); ++other) {
    const SlotState& state = seats_[other - 1].state;
    const bool away = state.lifecycle == Lifecycle::failed || state.intent == Intent::drained || state.leaving == Leaving::retired;
    if (other != slot && !away && !eligible(state)) return false;
  }
  return true;
}

/// Hands the token to a failing worker first: nothing is lost with it.
void PoolControl::grant(base::TimePoint now, std::vector<SlotEffect>& out) {
  if (!token_free()) return;
  replacing_ = 0;
  std::uint32_t chosen = 0;
  for (std::uint32_t slot = 1; slot <= size() && chosen == 0; ++slot) {
    if (wants_replacement(seats_[slot - 1].state, now, *pool_)) chosen = slot;
  }
  for (std::uint32_t slot = 1; slot <= size() && chosen == 0; ++slot) {
    Seat& seat = seats_[slot - 1];
    if (leaves_or_left(seat.state)) seat.replace_asked = false;
    if (!seat.replace_asked) continue;
    if (eligible(seat.state) && !others_serve(slot) && !planted(Defect::two_replaced_at_once)) continue;
    chosen = slot;
  }
  if (chosen == 0) return;
  seats_[chosen - 1].replace_asked = false;
  replacing_ = chosen;
  apply(chosen, {EventType::replace}, now, out);
}

std::optional<base::TimePoint> PoolControl::next_tick() const {
  std::optional<base::TimePoint> first;
  const auto consider = [&](base::TimePoint at) {
    if (!first || at < *first) first = at;
  };
  const bool may_replace = token_free() && pool_->health.restart_after;
  for (const Seat& seat : seats_) {
    if (const auto at = backends::next_tick(seat.state)) consider(*at);
    if (may_replace && seat.state.lifecycle == Lifecycle::running && seat.state.failing_since) {
      consider(*seat.state.failing_since + *pool_->health.restart_after);
    }
  }
  return first;
}

std::uint32_t PoolControl::expected(base::TimePoint now) const {
  return static_cast<std::uint32_t>(std::ranges::count_if(seats_, [&](const Seat& seat) { return backends::expected(seat.state, now, *pool_); }));
}

bool PoolControl::any_eligible() const {
  return std::ranges::any_of(seats_, [](const Seat& seat) { return eligible(seat.state); });
}

bool PoolControl::given_up() const {
  return std::ranges::all_of(seats_, [](const Seat& seat) { return seat.state.lifecycle == Lifecycle::failed && !seat.state.due; });
}

bool PoolControl::stopped() const {
  return std::ranges::all_of(seats_,
                             [](const Seat& seat) { return seat.state.lifecycle == Lifecycle::stopped && seat.state.process == Process::none; });
}

}  // namespace drover::backends
