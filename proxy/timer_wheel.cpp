#include "proxy/timer_wheel.hpp"

#include <algorithm>

namespace drover::proxy {

void TimerWheel::file(TimerEntry& entry) {
  take_out(entry);
  const std::int64_t wanted = step_of(entry.deadline) + 1;
  const std::int64_t step = std::clamp(wanted, passed_ + 1, passed_ + kSlots - 1);
  const std::size_t index = index_of(step);
  entry.filed = base::TimePoint(step * kStep);
  entry.behind = slots_[index];
  if (entry.behind != nullptr) entry.behind->before = &entry;
  slots_[index] = &entry;
  used_[index / 64] |= std::uint64_t{1} << (index % 64);
}

void TimerWheel::take_out(TimerEntry& entry) {
  if (entry.filed == base::TimePoint::max()) return;
  const std::size_t index = index_of(step_of(entry.filed));
  (entry.before != nullptr ? entry.before->behind : slots_[index]) = entry.behind;
  if (entry.behind != nullptr) entry.behind->before = entry.before;
  if (slots_[index] == nullptr) used_[index / 64] &= ~(std::uint64_t{1} << (index % 64));
  entry.before = entry.behind = nullptr;
  entry.filed = base::TimePoint::max();
}

base::TimePoint TimerWheel::next() const {
  const std::size_t first = index_of(passed_ + 1);
  // The first word from its bit on, the others whole, at last the first word's beginning.
  for (std::size_t i = 0; i <= used_.size(); ++i) {
    const std::size_t word = (first / 64 + i) % used_.size();
    std::uint64_t bits = used_[word];
    if (i == 0) bits &= ~std::uint64_t{0} << (first % 64);
    if (bits == 0) continue;
    const std::size_t index = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
    const auto ahead = static_cast<std::int64_t>((index + static_cast<std::size_t>(kSlots) - first) % static_cast<std::size_t>(kSlots));
    return base::TimePoint((passed_ + 1 + ahead) * kStep);
  }
  return base::TimePoint::max();
}

/// All that stands in slots whose time has come, as a chain by `behind`. Nothing is filed before all of them are empty: it could land in
/// one of them.
TimerEntry* TimerWheel::take_passed(base::TimePoint now) {
  const std::int64_t present = step_of(now);
  TimerEntry* chain = nullptr;
  const std::int64_t last = std::min(present, passed_ + kSlots);
  for (std::int64_t step = passed_ + 1; step <= last; ++step) {
    const std::size_t index = index_of(step);
    while (slots_[index] != nullptr) {
      TimerEntry& entry = *slots_[index];
      take_out(entry);
      entry.behind = chain;
      chain = &entry;
    }
  }
  passed_ = std::max(passed_, present);
  return chain;
}

}  // namespace drover::proxy
