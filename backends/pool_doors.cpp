// What keeps a pool's clients waiting or sends them away: the operator's hold and maintenance, and the proxy's circuit breaker.
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <utility>

namespace drover::backends {

namespace {

/// A proxy thread that had looked at the board just before has entered a gate by then, or stands in line.
constexpr base::Millis kOnTheWay{100};

double seconds(base::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

/// The proxies go by the time on the board, too: a supervisor that hangs holds nobody for longer.
void PoolRunner::hold(base::Millis most) {
  const base::TimePoint now = base::Clock::now();
  if (!held_until_) held_since_ = now;
  held_at_ = now;
  held_until_ = now + most;
  services_.boards.write_hold(index_, held_until_);
  base::log::info(pool_.name, "held by the operator: its requests wait, for {} at most", base::to_text(most));
  emit("poolHeld", 0, 0, {{"seconds", seconds(most)}});
}

bool PoolRunner::held() const { return held_until_ && base::Clock::now() - held_at_ >= kOnTheWay; }

std::uint32_t PoolRunner::in_flight() const {
  std::uint32_t sum = 0;
  for (const Seat& own : seats_) {
    for (const auto& [incarnation, it] : own.lives) sum += it.row ? services_.boards.in_flight(*it.row) : 0;
  }
  return sum;
}

void PoolRunner::let_through(const char* why) {
  if (!held_until_) return;
  held_until_.reset();
  const std::uint32_t waiting = services_.boards.pool_figures(index_).queued;
  services_.boards.write_hold(index_, std::nullopt);
  const double held = seconds(base::Clock::now() - held_since_);
  base::log::info(pool_.name, "no longer held, after {:.1f}s ({}): {} request{} waited", held, why, waiting, waiting == 1 ? "" : "s");
  emit("poolReleased", 0, 0, {{"why", why}, {"seconds", held}, {"waiting", waiting}});
}

void PoolRunner::set_maintenance(std::optional<std::string> message) {
  if (message == maintenance_) return;
  maintenance_ = std::move(message);
  services_.boards.write_maintenance(index_, maintenance_);
  if (maintenance_) {
    base::log::info(pool_.name, "in maintenance by the operator: its requests are answered 503{}",
                    maintenance_->empty() ? "" : " (" + base::printable(*maintenance_, board::SupervisorBoard::kMaxMessage) + ")");
  } else {
    base::log::info(pool_.name, "no longer in maintenance");
  }
  emit("poolMaintenance", 0, 0, {{"on", maintenance_.has_value()}, {"message", maintenance_.value_or("")}});
}

/// The proxy opens and closes it; here it is told. One that failed its try and is open again has not been closed.
void PoolRunner::watch_breaker() {
  if (pool_.breaker.errors <= 0) return;
  const auto figures = services_.boards.pool_figures(index_);
  const bool open = figures.breaker != balancer::BreakerState::closed;
  const bool opened = std::exchange(breaker_opened_, figures.breaker_opened) < figures.breaker_opened;
  if ((open || opened) && !breaker_open_) {
    base::log::warn(pool_.name, "circuit breaker open: {}% or more of its exchanges failed; answered 503, tried again each {}", pool_.breaker.errors,
                    base::to_text(pool_.breaker.open));
    emit("breakerOpened", 0, 0, {{"opened", figures.breaker_opened}});
    breaker_open_ = true;
  }
  if (!open && breaker_open_) {
    base::log::info(pool_.name, "circuit breaker closed");
    emit("breakerClosed", 0, 0);
    breaker_open_ = false;
  }
}

void PoolRunner::add_doors(PoolStatus& out, base::TimePoint now) const {
  if (held_until_) out.hold_seconds = std::max(0.0, seconds(*held_until_ - now));
  out.maintenance = maintenance_.has_value();
  out.maintenance_message = maintenance_.value_or("");
  if (pool_.breaker.errors > 0) out.breaker = services_.boards.pool_figures(index_).breaker;
}

}  // namespace drover::backends
