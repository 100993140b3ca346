// What a pool shows.
#include "backends/pool_runner.hpp"

#include <algorithm>

namespace drover::backends {

namespace {

double seconds(base::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

const char* to_text(Roll::Phase phase) {
  switch (phase) {
    case Roll::Phase::none: return "none";
    case Roll::Phase::running: return "running";
    case Roll::Phase::done: return "done";
    case Roll::Phase::failed: return "failed";
  }
  return "none";
}

}  // namespace

std::uint64_t PoolRunner::restarted() const {
  std::uint64_t sum = 0;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) sum += control_.slot(slot).restarts;
  return sum;
}

void PoolRunner::add_degraded(std::vector<std::string>& out) const {
  bool owner = false;
  bool pss = false;
  for (const Seat& own : seats_) {
    for (const auto& [incarnation, it] : own.lives) {
      owner = owner || it.owner == Holding::Owner::unknowable;
      pss = pss || it.memory.pss_unreadable;
    }
  }
  if (owner) {
    out.push_back("pool " + pool_.name +
                  ": the owner of a worker's listening socket can't be read (/proc/PID/fd); "
                  "a stranger on its port would not be noticed");
  }
  if (pss) {
    out.push_back("pool " + pool_.name +
                  ": proportional memory can't be read (/proc/PID/smaps_rollup); memory is its cgroup's or RSS, which counts "
                  "shared pages for each process");
  }
  if (pool_.limits.memory && !services_.cgroups.available()) {
    out.push_back("pool " + pool_.name +
                  ": limits.memory is held by RLIMIT_AS (address space of each process), not by a cgroup: " + services_.cgroups.why_not());
  }
}

WorkerStatus PoolRunner::worker_status(std::uint32_t slot) const {
  const Seat& own = seats_[slot - 1];
  const SlotState& state = control_.slot(slot);
  const base::TimePoint now = base::Clock::now();
  WorkerStatus out;
  out.slot = slot;
  out.incarnation = state.incarnation;
  out.lifecycle = state.lifecycle;
  out.health = state.health;
  out.intent = state.intent;
  out.eligible = eligible(state);
  out.paused = state.paused;
  out.suspect = state.suspect;
  out.ejected = state.ejected;
  out.declined = state.declined;
  const auto totals = services_.boards.slot_totals({index_, slot});
  out.requests = totals.requests;
  out.errors = totals.errors;
  out.restarts = state.restarts;
  out.exits = own.exits;
  out.cpu_seconds = own.cpu_before;
  out.note = own.note;
  if (const Why why = control_.asked(slot); why != Why::none) out.replacing = backends::to_text(why);
  if (const auto& successor = control_.successor(slot)) out.successor = successor->incarnation;
  out.leaving = static_cast<std::uint32_t>(control_.leavers(slot).size());
  const bool waits = state.lifecycle == Lifecycle::backoff || state.lifecycle == Lifecycle::failed;
  if (waits && state.due) out.restart_in_seconds = std::max(0.0, seconds(*state.due - now));
  for (const auto& [incarnation, it] : own.lives) {
    if (it.row) out.in_flight += services_.boards.in_flight(*it.row);
    if (it.usage) out.cpu_seconds += it.usage->cpu_seconds;
  }
  if (const Holding* it = present(slot)) add_life(out, slot, *it);
  add_channel(out, slot);
  return out;
}

/// What is known of the incarnation that serves, or should.
void PoolRunner::add_life(WorkerStatus& out, std::uint32_t slot, const Holding& it) const {
  const SlotState& state = control_.slot(slot);
  const base::TimePoint now = base::Clock::now();
  out.endpoint = it.endpoint.text;
  if (!it.note.empty() || state.lifecycle == Lifecycle::running) out.note = it.note;
  if (state.health != Health::passing || it.word.silent) out.health_reason = it.note;
  if (state.process == Process::none) return;
  out.pid = services_.host.pid(key_of(slot, it.incarnation)).value_or(0);
  if (out.pid != 0) {
    out.uptime_seconds = seconds(now - it.started);
    out.start_time = it.start_time;
  }
  if (it.usage) {
    out.memory_bytes = it.memory.bytes;
    out.memory_source = it.memory.source;
    out.cpu_percent = it.cpu_percent;
    out.open_fds = it.usage->open_fds;
  }
  if (const auto* said = fresh(it.word.memory_bytes, now)) {
    out.memory_bytes = said->value;
    out.memory_source = "report";
  }
  if (const auto* said = fresh(it.word.cpu_percent, now)) out.cpu_percent = said->value;
  out.share = share_of(slot, it);
  if (const SlotState* life = control_.find(slot, it.incarnation); life != nullptr && out.eligible) {
    if (const auto warm = warm_at(*life, now, pool_)) out.warming_seconds = seconds(*warm - now);
  }
  out.reported_status = it.word.status;
  if (it.word.source) {
    out.reported_by = backends::to_text(*it.word.source);
    out.report_age_seconds = seconds(now - it.word.at);
  }
  if (const auto stalled = livelock_.stalled(slot, it.incarnation, now)) out.stalled_seconds = seconds(*stalled);
  out.memory_limit = it.recycling->memory_limit().value_or(0);
  if (const auto forecast = it.recycling->forecast(now)) out.memory_forecast_seconds = seconds(*forecast);
}

void PoolRunner::add_channel(WorkerStatus& out, std::uint32_t slot) const {
  const Seat& own = seats_[slot - 1];
  out.reported_requests = own.requests_before;
  out.reported_errors = own.errors_before;
  for (const auto& [incarnation, it] : own.lives) {
    out.reported_requests += it.line.requests;
    out.reported_errors += it.line.errors;
  }
  const Holding* it = present(slot);
  if (it == nullptr) return;
  const WorkerLine& line = it->line;
  if (line.channel || line.was_open) out.channel = line.channel ? "open" : "closed";
  const ipc::Channel::Counts counts = line.channel ? line.channel->counts() : line.counts;
  out.messages_in = counts.lines_in;
  out.messages_out = counts.lines_out;
  out.last_error = line.last_error;
  out.metrics = line.metrics;
}

/// Those of channels that are closed, and those of the live ones.
void PoolRunner::add_channels(PoolStatus& out) const {
  ChannelTotals all = channels_;
  for (const Seat& own : seats_) {
    for (const auto& [incarnation, it] : own.lives) {
      if (it.line.channel) all.add(it.line.channel->counts());
    }
  }
  out.messages_in = all.lines_in;
  out.messages_out = all.lines_out;
  for (std::size_t i = 0; i < all.faults.size(); ++i) out.channel_faults[ipc::to_text(static_cast<ipc::ChannelFault>(i))] = all.faults[i];
  out.channel_faults["metric"] = all.metrics_passed_over;
  out.channel_closed = all.closed;
  const Switchboard::Undelivered undelivered = services_.switchboard.undelivered(index_);
  out.undeliverable = {{"unknown_target", undelivered.unknown_target},
                       {"no_channel", undelivered.no_channel},
                       {"too_many", undelivered.too_many},
                       {"late_response", undelivered.late_response}};
  out.state_keys = state_.store().keys();
  out.state_bytes = state_.store().bytes();
  out.requests_reported = pool_.dispatch != config::Dispatch::proxy;
}

PoolStatus PoolRunner::status() const {
  const base::TimePoint now = base::Clock::now();
  PoolStatus out;
  out.name = pool_.name;
  out.strategy = pool_.strategy;
  out.desired = control_.desired();
  out.fewest = pool_.workers;
  out.most = pool_.workers_max.value_or(pool_.workers);
  out.capacity = control_.capacity();
  out.asleep = asleep_;
  add_doors(out, now);
  const auto figures = services_.boards.pool_figures(index_);
  out.position = figures.position >> 32U;  // of a row's key the slot: Candidate::key()
  out.queue_length = figures.queued;
  out.start_duration = start_duration_;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    WorkerStatus worker = worker_status(slot);
    out.in_flight += worker.in_flight;
    // A slot beyond those wanted, in which nothing lives any more, is history.
    if (!control_.wanted(slot) && worker.lifecycle == Lifecycle::stopped && seats_[slot - 1].lives.empty()) continue;
    out.workers.push_back(std::move(worker));
  }
  const Roll& roll = control_.last_roll();
  out.roll = {to_text(roll.phase), roll.done, roll.total, roll.phase == Roll::Phase::failed ? roll_failure_ : ""};
  for (const Killer& each : hunt_.blocked()) {
    out.blocked.push_back({each.method, each.path, each.deaths, std::max(0.0, seconds(each.until - now))});
  }
  out.replaced = replaced_;
  out.rolls = rolls_;
  out.ejections = ejections_;
  out.suspicions = suspicions_;
  out.killers_found = killers_found_;
  out.p99_seconds = seconds(latency_.p99());
  add_channels(out);
  if (handoff_) {
    const Handoff::Counts& counts = handoff_->counts();
    out.handoff = {counts.accepted, counts.given, counts.taken, counts.refused, counts.rescued, counts.dropped, handoff_->waiting()};
  }
  return out;
}

}  // namespace drover::backends
