// The rolling restart of a pool: who is next, how many at a time, when it is over.
#include "backends/pool_control.hpp"

#include "backends/defects.hpp"

#include <algorithm>

namespace drover::backends {

bool PoolControl::takes_part(std::uint32_t slot) const {
  const SlotState& state = seats_[slot - 1].state;
  return wanted(slot) && state.intent == Intent::enabled && state.lifecycle != Lifecycle::stopped && state.leaving != Leaving::retired;
}

bool PoolControl::roll(base::TimePoint now, Out& out) {
  if (ending_ || rolling()) return false;
  std::uint32_t total = 0;
  for (std::uint32_t slot = 1; slot <= desired_; ++slot) total += takes_part(slot) ? 1 : 0;
  if (total == 0) return false;
  const std::uint64_t number = roll_.number + 1;
  roll_ = Roll{};
  roll_.phase = Roll::Phase::running;
  roll_.number = number;
  roll_.total = total;
  roll_.began = roll_moved_ = now;
  for (std::uint32_t slot = 1; slot <= desired_; ++slot) {
    if (!takes_part(slot)) continue;
    Seat& seat = seats_[slot - 1];
    seat.part = Seat::Part::waiting;
    seat.old = seat.state.last;  // also a successor that is starting now is of yesterday
    seat.asked = std::max(seat.asked, Why::rolling);
    seat.tries = {};
    seat.pause.reset();
  }
  grant(now, out);
  return true;
}

void PoolControl::advance_roll(base::TimePoint now, Out& out) {
  review_roll(now, out);
  if (rolling()) take_next(now, out);
  if (!rolling()) return;
  std::uint32_t waiting = 0;
  std::uint32_t taken = 0;
  for (const Seat& seat : seats_) {
    if (seat.part == Seat::Part::waiting) ++waiting;
    if (seat.part == Seat::Part::taken) ++taken;
  }
  if (taken > 0) roll_moved_ = now;
  if (waiting + taken == 0 && !planted(Defect::roll_without_end)) {
    roll_.phase = Roll::Phase::done;
    roll_.ended = now;
  } else if (now - roll_moved_ >= roll_patience()) {
    // Nothing can be taken: somebody else is missing and does not come back. Whoever is missing is the one to look at.
    std::uint32_t stuck = 1;
    while (stuck < desired_ && eligible(seats_[stuck - 1].state)) ++stuck;
    fail_roll(stuck, seats_[stuck - 1].state.incarnation, now, out);
  }
}

/// Longer than anything that lets a roll wait takes: a replacement begun before it, an old incarnation's leave, a delay.
base::Millis PoolControl::roll_patience() const {
  return pool_->ready.timeout * 2 + pool_->rolling.soak + pool_->drain.http + farewell(*pool_) + pool_->stop.grace + pool_->restart.max_delay;
}

/// Who is through, who has left the roll, who has failed it.
void PoolControl::review_roll(base::TimePoint now, Out& out) {
  for (std::uint32_t slot = 1; slot <= size() && rolling(); ++slot) {
    Seat& seat = seats_[slot - 1];
    if (seat.part == Seat::Part::none) continue;
    if (!takes_part(slot)) {
      seat.part = Seat::Part::none;
      --roll_.total;
      continue;
    }
    if (seat.successor) continue;
    if (seat.part == Seat::Part::waiting && seat.state.incarnation > seat.old) {  // whatever started it: it is new, if it is good
      seat.part = Seat::Part::taken;
      seat.forget_ask();
    }
    if (newcomer(seat) == nullptr) continue;
    switch (prove(seat, now)) {
      case Proof::pending: break;
      case Proof::passed:
        seat.part = Seat::Part::none;
        if (seat.asked == Why::rolling) seat.asked = Why::none;
        ++roll_.done;
        break;
      case Proof::failed: fail_roll(slot, seat.state.incarnation, now, out); break;
    }
  }
}

/// Those that serve nobody come first: nothing is lost with them.
std::vector<std::uint32_t> PoolControl::in_roll_order() const {
  std::vector<std::uint32_t> out;
  for (std::uint32_t slot = 1; slot <= desired_; ++slot) {
    if (seats_[slot - 1].part == Seat::Part::waiting && !seats_[slot - 1].successor) out.push_back(slot);
  }
  std::ranges::stable_sort(out, [&](std::uint32_t left, std::uint32_t right) {
    const Seat& a = seats_[left - 1];
    const Seat& b = seats_[right - 1];
    if (eligible(a.state) != eligible(b.state)) return !eligible(a.state);
    switch (pool_->rolling.order) {
      case config::RollOrder::slot: return false;
      case config::RollOrder::oldest: return a.state.started < b.state.started;
      case config::RollOrder::largest: return a.memory > b.memory;
    }
    return false;
  });
  return out;
}

/// May it be taken out of service with nothing in its stead?
bool PoolControl::may_be_missed(std::uint32_t slot) const {
  if (!eligible(seats_[slot - 1].state)) return true;
  std::uint32_t missing = 1;
  for (std::uint32_t other = 1; other <= desired_; ++other) {
    const Seat& seat = seats_[other - 1];
    const bool serves = eligible(seat.state) || (seat.successor && eligible(*seat.successor));
    if (other != slot && seat.state.intent == Intent::enabled && !serves) ++missing;
  }
  return missing <= pool_->rolling.max_unavailable || planted(Defect::roll_empties_the_pool);
}

void PoolControl::take_next(base::TimePoint now, Out& out) {
  const std::uint32_t most = std::max(1U, pool_->rolling.max_surge + pool_->rolling.max_unavailable);
  auto taken = static_cast<std::uint32_t>(std::ranges::count(seats_, Seat::Part::taken, &Seat::part));
  if (taken >= most && !planted(Defect::surge_without_end)) return;
  for (const std::uint32_t slot : in_roll_order()) {
    if (taken >= most && !planted(Defect::surge_without_end)) return;
    Seat& seat = seats_[slot - 1];
    const bool on_its_way = seat.state.lifecycle == Lifecycle::draining || seat.state.lifecycle == Lifecycle::stopping;
    if (on_its_way && seat.state.leaving != Leaving::replaced) continue;  // the restart policy has it first
    const bool beside = eligible(seat.state) && may_start_successor(slot, now);
    if (!beside && !may_be_missed(slot)) continue;
    seat.part = Seat::Part::taken;
    seat.fit_since.reset();
    ++taken;
    if (!on_its_way) begin(slot, beside, now, out);
  }
}

/// The roll stops where it is: what was started for it and has not proved itself goes, the old incarnations stay.
void PoolControl::fail_roll(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now, Out& out) {
  roll_.phase = Roll::Phase::failed;
  roll_.failed_slot = slot;
  roll_.failed_incarnation = incarnation;
  roll_.ended = now;
  for (std::uint32_t each = 1; each <= size(); ++each) {
    Seat& seat = seats_[each - 1];
    if (seat.part == Seat::Part::taken && seat.successor) drop_successor(each, EventType::supersede, now, out);
    seat.part = Seat::Part::none;
    if (seat.asked == Why::rolling) seat.asked = Why::none;
  }
}

}  // namespace drover::backends
