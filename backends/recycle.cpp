#include "backends/recycle.hpp"

#include "base/rng.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace drover::backends {

namespace {

using Seconds = std::chrono::duration<double>;
using Point = Recycling::Point;

constexpr std::size_t kMaxRecent = 128;  // twice as many as kFreshWindow holds at kQuickest
constexpr base::Millis kLeastLookBack{1000};
constexpr base::Millis kLeastSpan{400};  // of samples from which a growth can be told

double lowered(double limit, double jitter, base::Rng& rng) { return limit * (1.0 - jitter * rng.unit()); }

std::optional<std::uint64_t> lowered(const std::optional<base::Bytes>& limit, double jitter, base::Rng& rng) {
  const double factor = lowered(1.0, jitter, rng);  // drawn in any case: one limit's number doesn't hang on another's being set
  if (!limit) return std::nullopt;
  return static_cast<std::uint64_t>(static_cast<double>(limit->value) * factor);
}

double seconds(base::Clock::duration span) { return std::chrono::duration_cast<Seconds>(span).count(); }

}  // namespace

Recycling::Recycling(const config::Pool& pool, std::uint64_t seed, base::TimePoint started) : started_(started) {
  base::Rng rng(seed);
  const double jitter = pool.recycle.jitter;
  memory_ = lowered(pool.recycle.memory, jitter, rng);
  const double requests = lowered(static_cast<double>(pool.recycle.requests.value_or(0)), jitter, rng);
  if (pool.recycle.requests) requests_ = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(requests)));
  const double age = lowered(static_cast<double>(pool.recycle.age.value_or(base::Millis(0)).count()), jitter, rng);
  if (pool.recycle.age) age_ = base::Millis(static_cast<base::Millis::rep>(age));
  if (pool.recycle.hard_memory) hard_ = pool.recycle.hard_memory->value;
}

void Recycling::sample(std::uint64_t memory_bytes, base::TimePoint now) {
  if (!recent_.empty() && now < recent_.back().at) return;
  peak_ = std::max(peak_, memory_bytes);

  if (!recent_.empty() && now == recent_.back().at) recent_.pop_back();
  recent_.push_back({now, memory_bytes});
  // The two last ones stay, however long ago: a growth needs two.
  while (recent_.size() > kMaxRecent || (recent_.size() > 2 && now - recent_.front().at > kFreshWindow)) recent_.pop_front();

  const bool crowded = points_.size() > 1 && points_.back().at - points_[points_.size() - 2].at < kMemoryStep;
  if (crowded || (!points_.empty() && points_.back().at == now)) points_.pop_back();
  points_.push_back({now, memory_bytes});
  while (now - points_.front().at > kMemoryWindow) points_.pop_front();
}

std::optional<std::uint64_t> Recycling::nearest_limit() const {
  if (memory_ && hard_) return std::min(*memory_, *hard_);
  return memory_ ? memory_ : hard_;
}

std::optional<double> Recycling::steady_growth(base::Clock::duration window) const {
  const auto& source = window > kFreshWindow ? points_ : recent_;
  const base::TimePoint end = source.back().at;
  std::array<std::optional<std::uint64_t>, kQuarters> least;
  for (auto point = source.rbegin(); point != source.rend() && end - point->at <= window; ++point) {
    auto& quarter = least[kQuarters - 1 - std::min<std::size_t>(kQuarters - 1, static_cast<std::size_t>((end - point->at) * kQuarters / window))];
    quarter = std::min(quarter.value_or(point->bytes), point->bytes);
  }
  double growth = std::numeric_limits<double>::max();
  for (std::size_t i = 0; i < kQuarters; ++i) {
    if (!least[i]) return std::nullopt;
    if (i > 0) growth = std::min(growth, static_cast<double>(*least[i]) - static_cast<double>(*least[i - 1]));
  }
  return growth * kQuarters / seconds(window);
}

bool Recycling::foreseen(base::Millis start_takes, base::TimePoint now) const {
  const auto limit = nearest_limit();
  const Point& last = recent_.back();
  if (!limit || static_cast<double>(last.bytes) < kForecastFrom * static_cast<double>(*limit)) return false;
  const base::Clock::duration ahead = now - last.at + start_takes + start_takes / 4 + 2 * kQuickest;
  const auto window =
      std::min<base::Clock::duration>(std::clamp<base::Clock::duration>(2 * ahead, kLeastLookBack, kMemoryWindow), last.at - points_.front().at);
  if (window < kLeastLookBack) return false;
  const auto rate = steady_growth(window);
  return rate && *rate > 0 && static_cast<double>(last.bytes) + *rate * seconds(std::min(ahead, window / 2)) >= static_cast<double>(*limit);
}

Why Recycling::reached(std::uint64_t requests, base::Millis start_takes, base::TimePoint now) const {
  if (!recent_.empty()) {
    const std::uint64_t bytes = recent_.back().bytes;
    if (hard_ && bytes >= *hard_) return Why::hard_memory;
    if (memory_ && bytes >= *memory_) return Why::memory;
    if (foreseen(start_takes, now)) return Why::memory;
  }
  if (age_ && now - started_ >= *age_) return Why::age;
  if (requests_ && requests >= *requests_) return Why::requests;
  return Why::none;
}

std::optional<base::Millis> Recycling::forecast(base::TimePoint now) const {
  const auto limit = nearest_limit();
  if (!limit || recent_.empty()) return std::nullopt;
  const Point& last = recent_.back();
  if (last.bytes >= *limit) return base::Millis(0);
  const auto first = std::find_if(recent_.begin(), recent_.end(), [&](const Point& point) { return now - point.at <= kFreshWindow; });
  if (first == recent_.end() || last.at - first->at < kLeastSpan || last.bytes <= first->bytes) return std::nullopt;
  const double rate = static_cast<double>(last.bytes - first->bytes) / seconds(last.at - first->at);
  const double left = static_cast<double>(*limit - last.bytes) / rate - seconds(now - last.at);
  if (left > seconds(kFarthest)) return std::nullopt;
  return base::Millis(static_cast<base::Millis::rep>(std::max(0.0, left) * 1000.0));
}

base::Millis Recycling::sample_every(base::TimePoint now) const {
  const auto limit = nearest_limit();
  if (!limit) return kSlowest;
  const bool near = !recent_.empty() && recent_.back().bytes >= *limit - *limit / 10;
  const base::Millis slowest = near || recent_.size() < 3 ? kUnsure : kSlowest;
  const auto left = forecast(now);
  return left ? std::clamp(*left / kSamplesBeforeLimit, kQuickest, slowest) : slowest;
}

std::optional<base::TimePoint> Recycling::age_limit() const {
  if (!age_) return std::nullopt;
  return started_ + *age_;
}

}  // namespace drover::backends
