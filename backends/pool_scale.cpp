// How many workers: by order, by signal, by load, and none while nobody asks.
#include "backends/pool_runner.hpp"
#include "base/log.hpp"

#include <algorithm>
#include <numeric>

namespace drover::backends {

void PoolRunner::take_traffic(const board::PoolTotals& totals, base::TimePoint now) {
  latency_.take(totals.duration, now);
  load_.queue_waits = 0;
  for (const std::uint64_t bucket : totals.queue_wait.buckets) load_.queue_waits += bucket;
  load_.requests = 0;
  for (const auto& codes : totals.requests) load_.requests = std::accumulate(codes.begin(), codes.end(), load_.requests);
}

void PoolRunner::autoscale(base::TimePoint now) {
  if (services_.stopping || !scales_by_itself()) return;
  load_.desired = control_.desired();
  load_.eligible = 0;
  load_.in_flight = 0;
  load_.queued = services_.boards.pool_figures(index_).queued;
  double busy = 0;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    const Holding* it = present(slot);
    if (it == nullptr || !it->row) continue;
    const std::uint32_t in_flight = services_.boards.in_flight(*it->row);
    load_.in_flight += in_flight;
    if (!eligible(control_.slot(slot))) continue;
    ++load_.eligible;
    busy += busy_share(in_flight, pool_.concurrency, it->cpu_percent);
  }
  load_.busy = load_.eligible == 0 ? 0 : busy / load_.eligible;
  if (asleep_) {
    if (load_.queued > 0) rung(now);
    return;
  }
  if (held_until_) return;  // its line says nothing of its workers
  if (const auto verdict = autoscale_.look(load_, now)) set_desired(verdict->desired, verdict->why);
}

/// The bell does not say which pool: one where somebody stands in line.
void PoolRunner::rung(base::TimePoint now) {
  if (!asleep_ || services_.stopping || services_.boards.pool_figures(index_).queued == 0) return;
  const ScaleVerdict verdict = autoscale_.demand(now);
  set_desired(with_enabled(verdict.desired), verdict.why);
}

/// A drained slot serves nobody: another one is wanted instead of it, as far as the pool may grow by itself.
std::uint32_t PoolRunner::with_enabled(std::uint32_t count) const {
  const std::uint32_t most = std::max(count, std::min(pool_.workers_max.value_or(0), control_.capacity()));
  std::uint32_t desired = 0;
  for (std::uint32_t enabled = 0; enabled < count && desired < most;) {
    ++desired;
    if (desired > control_.size() || control_.slot(desired).intent == Intent::enabled) ++enabled;
  }
  return desired;
}

void PoolRunner::scale(std::uint32_t desired, const char* why) {
  autoscale_.by_hand(desired);
  set_desired(desired, why);
}

/// A pool falls asleep before its last gate closes, and wakes when a worker is about to start: who comes between finds hope.
void PoolRunner::set_desired(std::uint32_t desired, const char* why) {
  const std::uint32_t before = control_.desired();
  if (desired == before) return;
  if (desired == 0) set_asleep(true);
  base::log::info(pool_.name, "{} worker{} wanted, not {} ({})", desired, desired == 1 ? "" : "s", before, why);
  emit("scaled", 0, 0, {{"from", before}, {"to", desired}, {"why", why}});
  decide([&](base::TimePoint now, std::vector<SlotEffect>& out) { control_.scale(desired, now, out); });
  run_pending();
  if (desired > 0 && asleep_) {
    services_.boards.write_waking(index_, true);  // first: nobody shall find it neither asleep nor waking
    set_asleep(false);
  }
}

/// For want of a worker, that is.
bool PoolRunner::requests_wait() const { return !held_until_ && services_.boards.pool_figures(index_).queued > 0; }

void PoolRunner::set_asleep(bool asleep) {
  if (asleep_ == asleep) return;
  asleep_ = asleep;
  services_.boards.write_asleep(index_, asleep);
  write_expected();
}

}  // namespace drover::backends
