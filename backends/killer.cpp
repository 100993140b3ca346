#include "backends/killer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace drover::backends {

namespace {

constexpr double kLeastSeconds = 1.0;  // of traffic from which a rate can be told
// A request that is found inside has half of its time behind it, on average; and twice as many is no surprise where few are counted.
constexpr double kTimePerAge = 4;

/// The probability of at least `least` of `tries`, each with `chance`.
double at_least(std::uint32_t least, std::uint32_t tries, double chance) {
  if (chance <= 0) return 0;
  if (chance >= 1) return 1;
  double sum = 0;
  for (std::uint32_t hits = least; hits <= tries; ++hits) {
    const double ways = std::lgamma(tries + 1.0) - std::lgamma(hits + 1.0) - std::lgamma(tries - hits + 1.0);
    sum += std::exp(ways + hits * std::log(chance) + (tries - hits) * std::log1p(-chance));
  }
  return std::min(sum, 1.0);
}

double age_of(const board::Flight& flight, std::uint64_t now_ns) {
  const std::uint64_t until = flight.ended_ns != 0 ? flight.ended_ns : now_ns;
  if (flight.began_ns == 0 || until <= flight.began_ns) return 0;
  return static_cast<double>(until - flight.began_ns) / 1e9;
}

}  // namespace

void KillerHunt::traffic(const board::Sketch::Totals& traffic, std::uint64_t requests, base::TimePoint now) {
  if (!traffic_due(now)) return;
  if (newer_) older_ = std::move(newer_);
  (older_ ? newer_ : older_) = std::make_unique<Snapshot>(Snapshot{now, requests, traffic});
}

bool KillerHunt::traffic_due(base::TimePoint now) const {
  if (pool_->killer.deaths == 0) return false;
  const Snapshot* last = newer_ ? newer_.get() : older_.get();
  return last == nullptr || now - last->at >= std::max(pool_->killer.within, kLeastTraffic);
}

std::unique_ptr<KillerHunt::Recent> KillerHunt::recent(const board::Sketch::Totals& traffic, std::uint64_t requests, base::TimePoint now) const {
  auto out = std::make_unique<Recent>(Recent{requests, 0, traffic});
  // Totals that fell began anew: all that they say is recent.
  if (older_ && requests >= older_->requests) {
    out->requests -= older_->requests;
    out->seconds = std::chrono::duration<double>(now - older_->at).count();
    for (std::size_t row = 0; row < board::Sketch::kRows; ++row) {
      for (std::size_t i = 0; i < board::Sketch::kColumns; ++i) {
        auto& cell = out->traffic.cells[row][i];
        const std::uint64_t before = older_->traffic.cells[row][i];
        if (cell >= before) cell -= before;
      }
    }
  }
  // The sketch counts the requests of all pools. Were it to know of fewer, a share of the larger number would look rare.
  const auto& row = out->traffic.cells.front();
  out->requests = std::min(out->requests, std::accumulate(row.begin(), row.end(), std::uint64_t{0}));
  return out;
}

void KillerHunt::remember(std::span<const board::Flight> flights, const Recent& traffic, base::TimePoint now) {
  while (!deaths_.empty() && now - deaths_.front().at >= pool_->killer.within) deaths_.pop_front();
  if (deaths_.size() == kMaxDeaths) deaths_.pop_front();
  const auto now_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count());
  Death& death = deaths_.emplace_back(Death{now, static_cast<std::uint32_t>(flights.size()), {}});
  for (const board::Flight& flight : flights) {
    const auto found = std::ranges::find(death.inside, flight.fingerprint, &Inside::fingerprint);
    Inside& entry = found != death.inside.end() ? *found : death.inside.emplace_back(Inside{flight.fingerprint, 0, 0});
    ++entry.count;
    entry.age_seconds += age_of(flight, now_ns);
  }
  if (death.inside.size() <= kMaxFlights) return;
  std::ranges::stable_sort(death.inside, {}, [&](const Inside& entry) { return traffic.traffic.estimate(entry.fingerprint); });
  death.inside.resize(kMaxFlights);
}

std::size_t KillerHunt::fingerprints() const {
  std::vector<std::uint64_t> all;
  for (const Death& death : deaths_) {
    for (const Inside& entry : death.inside) all.push_back(entry.fingerprint);
  }
  std::ranges::sort(all);
  return static_cast<std::size_t>(std::unique(all.begin(), all.end()) - all.begin());
}

std::uint32_t KillerHunt::guilty(std::uint64_t fingerprint, const Recent& traffic, std::size_t known) const {
  std::uint32_t deaths = 0;
  std::uint32_t loaded = 0;  // deaths at which anything was inside
  double its = 0;
  double all = 0;
  double age = 0;
  for (const Death& death : deaths_) {
    loaded += death.flights > 0 ? 1 : 0;
    all += death.flights;
    const auto found = std::ranges::find(death.inside, fingerprint, &Inside::fingerprint);
    if (found == death.inside.end()) continue;
    ++deaths;
    its += found->count;
    age += found->age_seconds;
  }
  if (deaths < pool_->killer.deaths) return 0;

  // Its retries may be more than what was counted of it.
  const auto requests = static_cast<double>(std::max<std::uint64_t>({traffic.traffic.estimate(fingerprint), deaths, 1}));
  const double share = std::min(1.0, requests / std::max(1.0, static_cast<double>(traffic.requests)));
  if (its / all < kTimes * share) return 0;

  double slow = 0;
  if (traffic.seconds >= kLeastSeconds) {
    const double at_a_time = requests / traffic.seconds * kTimePerAge * (age / its) / std::max(1U, pool_->workers);
    slow = -std::expm1(-at_a_time);
  }
  double likely = 0;  // that an innocent one is inside at a death, on average
  for (const Death& death : deaths_) {
    if (death.flights > 0) likely += std::max(slow, -std::expm1(death.flights * std::log1p(-std::min(share, 1 - 1e-9)))) / loaded;
  }
  const double chance = at_least(deaths, loaded, likely) * static_cast<double>(known);
  return chance <= kChance ? deaths : 0;
}

std::vector<Killer> KillerHunt::died(std::span<const board::Flight> flights, const board::Sketch::Totals& traffic, std::uint64_t requests,
                                     base::TimePoint now) {
  std::vector<Killer> found;
  if (pool_->killer.deaths == 0) return found;
  const auto lately = recent(traffic, requests, now);
  remember(flights, *lately, now);
  const std::size_t known = fingerprints();
  for (const Inside& entry : deaths_.back().inside) {
    if (std::ranges::find(blocked_, entry.fingerprint, &Killer::fingerprint) != blocked_.end()) continue;
    const std::uint32_t deaths = blocked_.size() < kMaxBlocked ? guilty(entry.fingerprint, *lately, known) : 0;
    if (deaths == 0) continue;
    const auto flight = std::ranges::find(flights, entry.fingerprint, &board::Flight::fingerprint);
    found.push_back({entry.fingerprint, flight->method_name, flight->path, deaths, now + pool_->killer.within});
    blocked_.push_back(found.back());
  }
  return found;
}

std::vector<Killer> KillerHunt::released(base::TimePoint now) {
  std::vector<Killer> over;
  for (const Killer& each : blocked_) {
    if (each.until <= now) over.push_back(each);
  }
  std::erase_if(blocked_, [now](const Killer& each) { return each.until <= now; });
  return over;
}

}  // namespace drover::backends
