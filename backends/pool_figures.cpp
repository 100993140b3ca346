// What a pool measures and shows: samples, alerts, status.
#include "backends/pool_runner.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace drover::backends {

namespace {

constexpr double kAlertEnds = 0.9;  // of the limit: a figure that trembles around it is one alert
constexpr double kPercent = 100.0;

/// True once, when `value` rises above `limit`.
bool rises(bool& alert, double value, double limit) {
  if (alert && value < limit * kAlertEnds) alert = false;
  if (alert || value <= limit) return false;
  alert = true;
  return true;
}

}  // namespace

void PoolRunner::sample(base::TimePoint now) {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    if (control_.slot(slot).process != Process::none && seat(slot).incarnation != 0) sample_one(slot, now);
  }
  services_.boards.write_expected(index_, control_.expected(now));  // a back-off comes near by itself, without an event
}

void PoolRunner::sample_one(std::uint32_t slot, base::TimePoint now) {
  Seat& it = seat(slot);
  const auto usage = services_.host.sample(key_of(slot));
  if (!usage) return;
  const double seconds = std::chrono::duration<double>(now - (it.usage ? it.sampled_at : it.started)).count();
  const double spent = usage->cpu_seconds - (it.usage ? it.usage->cpu_seconds : 0);
  if (seconds > 0) it.cpu_percent = std::max(0.0, spent / seconds * kPercent);
  it.usage = usage;
  it.sampled_at = now;
  const bool reported = report_is_fresh(it, now) && it.report->memory_bytes;
  if (it.row && !reported) services_.boards.write_load(*it.row, usage->memory_bytes);
  watch_alerts(slot);
}

/// A worker's own word counts for two intervals; then the sample is the better guess.
bool PoolRunner::report_is_fresh(const Seat& seat, base::TimePoint now) const {
  return seat.report && now - seat.reported_at <= pool_.health.interval * 2;
}

void PoolRunner::watch_alerts(std::uint32_t slot) {
  Seat& it = seat(slot);
  const auto bytes = it.usage->memory_bytes;
  if (rises(it.alerts.memory, static_cast<double>(bytes), static_cast<double>(pool_.alert.memory.value))) {
    base::log::warn(name_of(slot), "high memory: {}, above alert.memory = {}", base::to_text(base::Bytes{bytes}), base::to_text(pool_.alert.memory));
  }
  if (rises(it.alerts.cpu, it.cpu_percent, pool_.alert.cpu)) {
    base::log::warn(name_of(slot), "high CPU: {:.0f}% of one core over the last interval, above alert.cpu = {:.0f}%", it.cpu_percent,
                    pool_.alert.cpu);
  }
}

std::uint64_t PoolRunner::restarted() const {
  std::uint64_t sum = 0;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) sum += control_.slot(slot).restarts;
  return sum;
}

bool PoolRunner::owner_unknowable() const {
  return std::ranges::any_of(seats_, [](const Seat& seat) { return seat.owner == Owner::unknowable; });
}

WorkerStatus PoolRunner::worker_status(std::uint32_t slot) const {
  const Seat& it = seats_[slot - 1];
  const SlotState& state = control_.slot(slot);
  const base::TimePoint now = base::Clock::now();
  WorkerStatus out;
  out.slot = slot;
  out.incarnation = state.incarnation;
  out.lifecycle = state.lifecycle;
  out.health = state.health;
  out.intent = state.intent;
  out.eligible = eligible(state);
  out.endpoint = it.endpoint.text;
  const auto totals = services_.boards.slot_totals({index_, slot});
  out.requests = totals.requests;
  out.errors = totals.errors;
  if (it.row) out.in_flight = services_.boards.in_flight(*it.row);
  out.restarts = state.restarts;
  out.exits = it.exits;
  out.cpu_seconds = it.cpu_before;
  out.note = it.note;
  if (state.process == Process::none || it.incarnation == 0) return out;
  out.pid = services_.host.pid(key_of(slot)).value_or(0);
  if (out.pid != 0) {
    out.uptime_seconds = std::chrono::duration<double>(now - it.started).count();
    out.start_time = it.start_time;
  }
  if (it.usage) {
    out.memory_bytes = it.usage->memory_bytes;
    out.memory_source = it.usage->memory_source;
    out.cpu_percent = it.cpu_percent;
    out.cpu_seconds += it.usage->cpu_seconds;
    out.open_fds = it.usage->open_fds;
  }
  if (report_is_fresh(it, now)) {
    if (it.report->memory_bytes) {
      out.memory_bytes = *it.report->memory_bytes;
      out.memory_source = "report";
    }
    if (it.report->cpu_percent) out.cpu_percent = *it.report->cpu_percent;
  }
  return out;
}

PoolStatus PoolRunner::status() const {
  PoolStatus out;
  out.name = pool_.name;
  out.strategy = pool_.strategy;
  out.desired = pool_.workers;
  const auto figures = services_.boards.pool_figures(index_);
  out.position = figures.position;
  out.queue_length = figures.queued;
  out.start_duration = start_duration_;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    out.workers.push_back(worker_status(slot));
    out.in_flight += out.workers.back().in_flight;
  }
  return out;
}

}  // namespace drover::backends
