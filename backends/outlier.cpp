#include "backends/outlier.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cmath>

namespace drover::backends {

namespace {

std::uint64_t failures(const OutcomeFigures& figures) { return figures.errors + figures.gateway; }

bool fell(const OutcomeFigures& before, const OutcomeFigures& after) {
  return after.claims < before.claims || after.errors < before.errors || after.refused < before.refused || after.gateway < before.gateway;
}

base::Millis left_until(base::TimePoint until, base::TimePoint now) {
  return std::max(base::Millis(0), std::chrono::ceil<base::Millis>(until - now));
}

}  // namespace

/// Exchanges that failed may have begun before the first of the two figures: there are never fewer exchanges than failures.
Outliers::Count Outliers::between(const OutcomeFigures& before, const OutcomeFigures& after) {
  const std::uint64_t failed = failures(after) - failures(before);
  return {std::max(after.claims - before.claims, failed), failed};
}

/// Good from now on: only what comes counts.
void Outliers::pardon(Seat& seat, base::TimePoint now) {
  if (seat.until) seat.returned = std::min(now, *seat.until);
  seat.until.reset();
  seat.streak_before = seat.last.streak;
  seat.window.clear();
  seat.used_since.reset();
  seat.reason.clear();
  seat.bad = false;
}

void Outliers::take(Seat& seat, const OutcomeFigures& figures, base::TimePoint now) const {
  const bool first = seat.last.incarnation != figures.incarnation;
  if (first) {
    seat = Seat{};
  } else if (fell(seat.last, figures)) {
    seat.window.clear();
    seat.refused_before = 0;
    if (seat.used_since) seat.used_since = figures;
  }
  if (figures.streak < seat.last.streak) {
    seat.streak_before = 0;
    seat.refused_before = std::min(seat.last.refused, figures.refused);
  }
  if (figures.streak == 0) seat.refused_before = figures.refused;
  seat.last = figures;
  seat.present = true;

  const base::Millis length = std::max(pool_->outlier.window, kLeastWindow);
  const auto fresh = std::find_if(seat.window.begin(), seat.window.end(), [&](const Point& point) { return now - point.at <= length; });
  seat.window.erase(seat.window.begin(), fresh);
  if (seat.window.empty() || (now - seat.window.back().at >= length / kParts && seat.window.size() < seat.window.capacity())) {
    seat.window.push_back({now, figures});
  }
}

std::optional<std::string> Outliers::evidence(const Seat& seat, base::TimePoint now) const {
  const auto& rule = pool_->outlier;
  const std::uint32_t streak = seat.last.streak - std::min(seat.streak_before, seat.last.streak);
  if (rule.errors > 0 && streak >= rule.errors) {
    std::string text = std::to_string(seat.last.streak) + " errors in a row";
    const std::uint64_t refused = std::min<std::uint64_t>(seat.last.streak, seat.last.refused - seat.refused_before);
    if (refused > 0) text += " (" + std::to_string(refused) + " of them refused connections)";
    return text;
  }
  if (rule.ratio <= 0 || seat.window.empty()) return std::nullopt;
  const Count count = between(seat.window.front().figures, seat.last);
  if (count.exchanges < kLeastExchanges) return std::nullopt;
  const double percent = 100.0 * static_cast<double>(count.failed) / static_cast<double>(count.exchanges);
  if (percent < rule.ratio) return std::nullopt;
  const auto span = std::chrono::ceil<std::chrono::seconds>(now - seat.window.front().at);
  return std::to_string(std::lround(percent)) + "% of " + std::to_string(count.exchanges) + " exchanges in " + base::to_text(base::Millis(span)) +
         " failed";
}

/// Who is bad? Of those that are out nothing new is seen; they are bad until their time is over (look() ends it).
void Outliers::judge(Seat& seat, base::TimePoint now) const {
  if (seat.out) return;
  if (auto reason = evidence(seat, now)) {
    if (!seat.bad) seat.reason = std::move(*reason);
    seat.bad = true;
    return;
  }
  if (!seat.bad) return;
  if (seat.until && now < *seat.until) {
    const Count count = seat.used_since ? between(*seat.used_since, seat.last) : Count{};
    const double allowed = pool_->outlier.ratio > 0 ? pool_->outlier.ratio : 100.0;
    const bool proven = seat.last.streak == 0 && count.exchanges >= kLeastExchanges &&
                        100.0 * static_cast<double>(count.failed) < allowed * static_cast<double>(count.exchanges);
    if (!proven) return;
  }
  pardon(seat, now);
}

bool Outliers::too_many(std::uint32_t wanted, base::TimePoint now) {
  std::size_t present = 0;
  std::size_t bad = 0;
  for (const auto& [slot, seat] : seats_) {
    present += seat.present ? 1 : 0;
    bad += seat.present && seat.bad ? 1 : 0;
  }
  const double most = std::floor(wanted * pool_->outlier.eject_max / 100.0 + 1e-9);
  if (bad > 0 && (static_cast<double>(bad) > most || bad == present)) {
    if (!all_used_since_) all_used_since_ = now;
  } else if (all_used_since_ && now - *all_used_since_ >= pool_->outlier.base) {
    all_used_since_.reset();
  }
  return all_used_since_.has_value();
}

OutlierVerdict Outliers::eject(Seat& seat, base::TimePoint now) const {
  if (!seat.until || *seat.until <= now) {
    if (seat.returned && now - *seat.returned >= kForgiven) seat.times = 0;
    const base::Millis longest = std::max(kLongest, pool_->outlier.base);
    base::Millis away = pool_->outlier.base;
    for (std::uint32_t i = 0; i < seat.times && away < longest; ++i) away *= 2;
    seat.until = now + std::min(away, longest);
    ++seat.times;
  }
  seat.out = true;
  seat.used_since.reset();
  return {seat.last.slot, seat.last.incarnation, true, seat.reason, left_until(*seat.until, now)};
}

OutlierVerdict Outliers::admit(Seat& seat, std::string reason) {
  seat.out = false;
  return {seat.last.slot, seat.last.incarnation, false, std::move(reason), base::Millis(0)};
}

std::vector<OutlierVerdict> Outliers::look(std::span<const OutcomeFigures> figures, std::uint32_t wanted, base::TimePoint now) {
  std::vector<OutlierVerdict> verdicts;
  for (auto& [slot, seat] : seats_) seat.present = false;
  for (const OutcomeFigures& each : figures) {
    Seat& seat = seats_[each.slot];
    if (each.incarnation < seat.last.incarnation) continue;  // an old one that still drains
    take(seat, each, now);
  }
  for (auto& [slot, seat] : seats_) {
    if (seat.out && now >= *seat.until) {
      verdicts.push_back(admit(seat, "tried again"));
      pardon(seat, now);
    } else if (seat.present) {
      judge(seat, now);
    } else if (!seat.out) {
      pardon(seat, now);  // what is old when it comes back is no evidence
    }
  }
  const bool all_used = too_many(wanted, now);
  for (auto& [slot, seat] : seats_) {
    if (!seat.present || !seat.bad) continue;
    if (all_used && seat.out) verdicts.push_back(admit(seat, "too many of the pool are bad: all are used"));
    if (all_used && !seat.used_since) seat.used_since = seat.last;
    if (!all_used && !seat.out) verdicts.push_back(eject(seat, now));
  }
  return verdicts;
}

std::optional<base::TimePoint> Outliers::next() const {
  std::optional<base::TimePoint> first;
  for (const auto& [slot, seat] : seats_) {
    if (seat.out && (!first || *seat.until < *first)) first = seat.until;
  }
  return first;
}

}  // namespace drover::backends
