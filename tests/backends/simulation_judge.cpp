// The judge's rules. It knows them from the documentation, not from the code.
#include "simulation_world.hpp"

#include <algorithm>

namespace drover::backends::simulation {

namespace {

using base::Millis;

constexpr Millis kSlack{50};

bool waits(Lifecycle lifecycle) { return lifecycle == Lifecycle::backoff || lifecycle == Lifecycle::failed; }

bool starts_or_serves(Lifecycle lifecycle) { return lifecycle == Lifecycle::starting || lifecycle == Lifecycle::running; }

constexpr unsigned bit(Why why) { return 1U << static_cast<unsigned>(why); }

}  // namespace

void World::check() {
  note_fitness();
  for (std::uint32_t slot = 1; slot <= slots() && !violation_; ++slot) {
    check_taken(slot);
    check_delay(slot);
    for (auto& [incarnation, life] : at(slot).lives) {
      const SlotState* state = control_->find(slot, incarnation);
      if (state == nullptr) {
        violate(12, slot, "a life is forgotten that was not released");
        break;
      }
      const auto& was = before(slot);
      const auto same = [state](const Before& b) { return b.incarnation == state->incarnation && b.lifecycle == state->lifecycle; };
      if (!same(was.present) && std::ranges::none_of(was.others, same)) life.book.entered = now_;
      check_gate(slot, *state, life.book);
      check_share(slot, *state, life.book);
      check_times(slot, *state, life.book);
    }
  }
  check_counts();
}

void World::check_gate(std::uint32_t slot, const SlotState& state, const Book& book) {
  const Slot& it = at(slot);
  const bool is_present = control_->slot(slot).incarnation == state.incarnation;
  const bool is_successor = control_->successor(slot) && control_->successor(slot)->incarnation == state.incarnation;
  const bool told_to_leave = it.told_to_stop || it.drained || !control_->wanted(slot) || !(is_present || is_successor);
  if (book.gate && !book.fit()) violate(1, slot, "gate open for a worker that is dead, not ready, failing or held back");
  if (book.gate && (told_to_leave || state.lifecycle != Lifecycle::running)) violate(1, slot, "gate open for a worker told to leave");
  const bool leaves = state.leaving == Leaving::replaced || state.leaving == Leaving::retired;
  if (!book.gate && book.fit() && !told_to_leave && !leaves) violate(2, slot, "gate closed for a worker fit to serve");
}

void World::check_share(std::uint32_t slot, const SlotState& state, Book& book) {
  if (book.failing || book.ejected) book.fresh_since.reset();
  if (!book.gate) return;
  if (!book.fresh_since) book.fresh_since = now_;
  const Millis passed = std::chrono::duration_cast<Millis>(now_ - *book.fresh_since);
  std::int64_t percent = 100;
  if (passed < config_.slow_start) percent = std::max<std::int64_t>(10, passed.count() * 100 / config_.slow_start.count());
  if (warm_share(state, now_, config_) != percent) violate(17, slot, "its share is not that of a worker that warms up, or is warm");
}

void World::check_times(std::uint32_t slot, const SlotState& state, const Book& book) {
  const auto here = now_ - book.entered;
  const Millis grace = config_.stop.grace + (book.hung ? kDiagnosis : Millis(0));
  if (state.lifecycle == Lifecycle::draining && now_ > drain_end(book) + kSlack) violate(9, slot, "drains longer than it may");
  if (state.lifecycle == Lifecycle::stopping && here > grace + kSlack && !book.killed) violate(9, slot, "not killed after its grace");
  if (state.lifecycle == Lifecycle::starting && here > config_.ready.timeout + kSlack) violate(9, slot, "starts longer than ready.timeout");
}

base::TimePoint World::drain_end(const Book& book) const {
  base::TimePoint end = book.entered + config_.drain.http;
  if (book.left) {
    end = *book.left + config_.drain.http + config_.stop.grace;
  } else if (book.told_finish) {
    end = *book.told_finish + (proxied() ? finishing() : config_.drain.http);
  }
  return book.closed ? std::min(end, *book.closed + Millis(1000)) : end;
}

/// The stop signal.
void World::check_signal(std::uint32_t slot, base::Incarnation incarnation, const Book& book) {
  if (!node() || told_ == EventType::tick) {
    if ((book.told_finish || book.left) && now_ < drain_end(book)) violate(16, slot, "signalled before its time to finish was over");
    return;
  }
  const auto drained = [&](const Before& was) { return was.incarnation == incarnation && was.lifecycle == Lifecycle::draining; };
  const SlotBefore& was = before(slot);
  if (drained(was.present) || std::ranges::any_of(was.others, drained)) violate(16, slot, "signalled out of its drain without being told to finish");
}

void World::check_delay(std::uint32_t slot) {
  Record& record = at(slot).record;
  const Lifecycle lifecycle = control_->slot(slot).lifecycle;
  if (lifecycle == Lifecycle::stopped) record.earliest = record.latest = std::nullopt;
  if (record.latest && waits(lifecycle) && *record.latest < base::TimePoint::max() && now_ > *record.latest + kSlack) {
    violate(8, slot, "not started when its delay was over");
  }
}

bool World::serves(std::uint32_t slot) const {
  return std::ranges::any_of(at(slot).lives, [](const auto& each) { return each.second.book.gate; });
}

const World::Book* World::present(std::uint32_t slot) const {
  const auto it = at(slot).lives.find(before(slot).present.incarnation);
  return it != at(slot).lives.end() ? &it->second.book : nullptr;
}

bool World::serves_or_may_be_missing(std::uint32_t slot) const {
  return serves(slot) || control_->slot(slot).lifecycle == Lifecycle::failed || at(slot).drained || at(slot).told_to_stop || !control_->wanted(slot);
}

std::uint32_t World::missing_beside(std::uint32_t slot) const {
  std::uint32_t missing = 0;
  for (std::uint32_t other = 1; other <= control_->desired(); ++other) missing += other != slot && !at(other).drained && !serves(other) ? 1 : 0;
  return missing;
}

/// Was it asked for, and was it its turn?
void World::check_reason(std::uint32_t slot, const Book* book) {
  const Why why = control_->asked(slot);
  const bool soft = why == Why::requests || why == Why::age || why == Why::memory;
  if (soft && queue_waiting_) violate(3, slot, "recycled while requests wait");
  const bool long_failing =
      book != nullptr && book->failing && config_.health.restart_after && now_ - book->failing_since >= *config_.health.restart_after;
  if (why == Why::failing ? !long_failing : (at(slot).asked & bit(why)) == 0) violate(3, slot, "replaced without need");
}

void World::check_taken(std::uint32_t slot) {
  Slot& it = at(slot);
  const Before& was = before(slot).present;
  const SlotState& state = control_->slot(slot);
  const Book* book = present(slot);
  const bool in_place = state.incarnation == was.incarnation && state.leaving == Leaving::replaced && was.leaving != Leaving::replaced;
  const bool beside = control_->successor(slot) && before(slot).successor != control_->successor(slot)->incarnation;
  const bool wanted_again = was.leaving == Leaving::retired || told_ == EventType::resume;
  if ((in_place && !wanted_again && !it.lost) || beside) {
    (rolling() ? it.taken_by_roll : it.taken) = true;
    check_reason(slot, book);
    const bool served = was.open && book != nullptr && book->fit();
    if (in_place && served && rolling() && missing_beside(slot) >= config_.rolling.max_unavailable) {
      violate(13, slot, "taken out by a roll while others are missing");
    }
    for (std::uint32_t other = 1; in_place && served && !rolling() && other <= slots(); ++other) {
      if (other != slot && !serves_or_may_be_missing(other)) violate(3, slot, "taken out while another is missing");
    }
  }
  const bool leaves = state.lifecycle == Lifecycle::draining || state.lifecycle == Lifecycle::stopping;
  const bool busy = leaves || state.lifecycle == Lifecycle::starting || control_->successor(slot).has_value();
  if (!busy) it.taken = it.taken_by_roll = false;
  if (it.drained || !control_->wanted(slot)) it.taken_by_roll = false;  // the roll has let it go
}

void World::check_counts() {
  std::uint32_t taken = 0;
  std::uint32_t by_roll = 0;
  std::uint32_t in_service = 0;
  std::uint32_t successors = 0;
  std::size_t rows = 0;
  for (std::uint32_t slot = 1; slot <= slots(); ++slot) {
    const Slot& it = at(slot);
    taken += it.taken ? 1 : 0;
    by_roll += it.taken_by_roll ? 1 : 0;
    in_service += starts_or_serves(control_->slot(slot).lifecycle) ? 1 : 0;
    successors += control_->successor(slot) ? 1 : 0;
    rows += it.lives.size();
    if (control_->leavers(slot).size() > PoolControl::kMaxLeavers) violate(12, slot, "more old incarnations than may leave at a time");
  }
  const auto& rule = config_.rolling;
  if (taken > 1) violate(3, 0, "two are being replaced at once");
  if (by_roll > std::max(1U, rule.max_surge + rule.max_unavailable)) violate(13, 0, "a roll has taken more than it may");
  if (successors > rule.max_surge) violate(13, 0, "more successors than max_surge");
  if (in_service + successors > control_->desired() + rule.max_surge) violate(13, 0, "more serve or start than wanted ones and max_surge");
  if (rows > rows_) violate(12, 0, "more lives than rows");
}

/// Everybody who should serve does, and no roll goes on.
bool World::calm() const {
  for (std::uint32_t slot = 1; slot <= control_->desired(); ++slot) {
    const SlotState& state = control_->slot(slot);
    const bool given_up = state.lifecycle == Lifecycle::failed && !state.due;
    if (!serves(slot) && !given_up) return false;
  }
  return !rolling();
}

/// Likewise, and nobody else is there.
bool World::as_wanted() const {
  for (std::uint32_t slot = control_->desired() + 1; slot <= slots(); ++slot) {
    if (!at(slot).lives.empty() || control_->slot(slot).lifecycle != Lifecycle::stopped) return false;
  }
  return calm();
}

void World::check_all_gone() {
  if (violation_) return;
  if (!control_->stopped()) violate(11, 0, "the stop does not end within its bound");
  for (std::uint32_t slot = 1; slot <= slots(); ++slot) {
    if (!at(slot).lives.empty()) violate(11, slot, "a row, and perhaps a process, is left after the stop");
  }
  if (control_->last_roll().phase == Roll::Phase::running) violate(11, 0, "a roll goes on after the stop");
}

void World::violate(int rule, std::uint32_t slot, const std::string& what) {
  if (violation_) return;
  violation_ = "seed " + std::to_string(seed_) + ", at " + std::to_string(now_.time_since_epoch() / Millis(1)) + " ms, slot " + std::to_string(slot) +
               ": rule " + std::to_string(rule) + ": " + what;
}

}  // namespace drover::backends::simulation
