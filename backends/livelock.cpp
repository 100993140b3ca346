#include "backends/livelock.hpp"

namespace drover::backends {

namespace {

base::Millis span(base::TimePoint from, base::TimePoint to) {
  return std::max(base::Millis(0), std::chrono::floor<base::Millis>(to - from));  // a byte may be younger than the look's own time
}

}  // namespace

std::vector<ProgressVerdict> Livelock::look(std::span<const ProgressFigures> figures, base::Millis p99, base::TimePoint now) {
  std::vector<ProgressVerdict> verdicts;
  for (auto& [slot, seat] : seats_) seat.present = false;
  for (const ProgressFigures& each : figures) {
    Seat& seat = seats_[each.slot];
    if (each.incarnation < seat.incarnation) continue;  // an old one that still drains
    if (each.incarnation != seat.incarnation) seat = Seat{};
    const std::optional<base::TimePoint> before = seat.busy_since ? std::optional(seat.still_since()) : std::nullopt;
    seat.incarnation = each.incarnation;
    seat.present = true;
    seat.in_use = each.in_use;
    seat.moving = each.moved > seat.moved;
    seat.moved = std::max(seat.moved, each.moved);
    if (each.in_flight == 0) {
      seat.busy_since.reset();
    } else if (!seat.busy_since) {
      seat.busy_since = now;
    }
    if (seat.suspect && (seat.moving || !seat.busy_since)) {
      seat.suspect = false;
      verdicts.push_back({each.slot, seat.incarnation, false, before ? span(*before, seat.moving ? seat.moved : now) : base::Millis(0)});
    }
  }
  // Who isn't among the figures is forgotten, but for a suspicion that has to be taken back one day.
  std::erase_if(seats_, [](const auto& entry) { return !entry.second.present && !entry.second.suspect; });

  // The two that moved last: a worker's siblings are measured by the first of them, or the second if it is that one itself.
  const base::Millis limit = std::max(kAtLeast, p99 * kTimes);
  const Seat* last = nullptr;
  const Seat* last_but_one = nullptr;
  for (const auto& [slot, seat] : seats_) {
    if (!seat.present || !seat.in_use || seat.moved == base::TimePoint{}) continue;
    if (last == nullptr || seat.moved > last->moved) {
      last_but_one = last;
      last = &seat;
    } else if (last_but_one == nullptr || seat.moved > last_but_one->moved) {
      last_but_one = &seat;
    }
  }
  for (auto& [slot, seat] : seats_) {
    if (!seat.present || !seat.in_use || seat.suspect || !seat.busy_since) continue;
    const Seat* sibling = last == &seat ? last_but_one : last;
    if (sibling == nullptr || now - sibling->moved > limit || now - seat.still_since() < limit) continue;
    if (sibling->moved <= seat.moved) continue;
    seat.suspect = true;
    verdicts.push_back({slot, seat.incarnation, true, span(seat.still_since(), now)});
  }
  return verdicts;
}

std::optional<base::Millis> Livelock::stalled(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) const {
  const auto found = seats_.find(slot);
  if (found == seats_.end()) return std::nullopt;
  const Seat& seat = found->second;
  if (seat.incarnation != incarnation || !seat.present || !seat.busy_since || seat.moving) return std::nullopt;
  return span(seat.still_since(), now);
}

}  // namespace drover::backends
