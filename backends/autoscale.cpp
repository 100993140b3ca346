#include "backends/autoscale.hpp"

#include <algorithm>

namespace drover::backends {

double busy_share(std::uint32_t in_flight, std::uint32_t concurrency, double cpu_percent) {
  if (concurrency > 0) return std::min(1.0, static_cast<double>(in_flight) / concurrency);
  return std::max(std::clamp(cpu_percent / 100.0, 0.0, 1.0), in_flight > 0 ? 1.0 : 0.0);
}

bool Autoscale::active(const LoadFigures& figures) const { return figures.in_flight > 0 || figures.queued > 0 || figures.requests > requests_; }

ScaleVerdict Autoscale::changed(std::uint32_t desired, const char* why, base::TimePoint now) {
  changed_ = now;
  pressed_since_.reset();
  relaxed_since_.reset();
  return {desired, why};
}

std::optional<ScaleVerdict> Autoscale::look(const LoadFigures& figures, base::TimePoint now) {
  const bool first = !looked_;
  if (first || active(figures)) asked_ = now;
  const bool asked_now = !first && figures.requests > requests_;
  const bool waiting = figures.queued > 0 || (!first && figures.queue_waits > queue_waits_);
  if (!first && now - *looked_ > kMaxGap) {
    pressed_since_.reset();
    relaxed_since_.reset();
  }
  looked_ = now;
  requests_ = figures.requests;
  queue_waits_ = figures.queue_waits;

  if (figures.desired == 0) {
    if (figures.queued == 0 && !asked_now) return std::nullopt;
    const ScaleVerdict verdict = demand(now);
    return verdict.desired == 0 ? std::nullopt : std::optional(verdict);
  }
  if (pool_->idle_stop && now - asked_ >= *pool_->idle_stop) return changed(0, "idle", now);
  if (manual_ || !pool_->workers_max) return std::nullopt;
  return by_load(figures, waiting, now);
}

std::optional<ScaleVerdict> Autoscale::by_load(const LoadFigures& figures, bool waiting, base::TimePoint now) {
  const std::uint32_t fewest = std::max(1U, pool_->workers);
  const std::uint32_t desired = figures.desired;
  const bool pressed = waiting || figures.busy > kBusy;
  const double load = figures.busy * figures.eligible;
  const bool relaxed = !waiting && desired > fewest && figures.eligible >= desired && load <= kRelaxed * (desired - 1);
  if (!pressed) pressed_since_.reset();
  if (pressed && !pressed_since_) pressed_since_ = now;
  if (!relaxed) relaxed_since_.reset();
  if (relaxed && !relaxed_since_) relaxed_since_ = now;

  const base::Millis pause = figures.eligible < desired ? kStartPatience : kUpPause;
  const bool rested = !changed_ || now - *changed_ >= pause;
  if (pressed && now - *pressed_since_ >= kUpAfter && rested && desired < *pool_->workers_max) {
    return changed(std::min(desired + std::max(1U, desired / 4), *pool_->workers_max), "load", now);
  }
  if (relaxed && now - *relaxed_since_ >= kDownAfter) return changed(desired - 1, "load", now);
  return std::nullopt;
}

ScaleVerdict Autoscale::demand(base::TimePoint now) {
  asked_ = now;
  const std::uint32_t desired = manual_.value_or(std::max(1U, pool_->workers));
  return desired == 0 ? ScaleVerdict{0, "demand"} : changed(desired, "demand", now);
}

void Autoscale::by_hand(std::uint32_t desired) {
  const bool within = pool_->workers_max && desired >= pool_->workers && desired <= *pool_->workers_max;
  manual_ = within ? std::nullopt : std::optional(desired);
  pressed_since_.reset();
  relaxed_since_.reset();
  looked_.reset();  // an order is a sign of life: idle_stop counts from the next look
}

}  // namespace drover::backends
