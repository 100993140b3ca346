#include "backends/pool_runner.hpp"

#include "backends/endpoint.hpp"
#include "backends/histogram.hpp"
#include "backends/oom.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace drover::backends {

namespace {

constexpr base::Millis kDrainPoll{10};
constexpr base::Millis kTreePoll{20};

double unix_now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? name : std::to_string(number);
}

std::string in_words(ExitStatus status, bool out_of_memory) {
  if (!status.signaled) return "status " + std::to_string(status.value);
  return "signal " + signal_name(status.value) + (status.core_dumped ? " (core dumped)" : "") + (out_of_memory ? " (out of memory)" : "");
}

base::Millis since(base::TimePoint then) { return std::chrono::duration_cast<base::Millis>(base::Clock::now() - then); }

}  // namespace

PoolRunner::PoolRunner(Services& services, const config::Pool& pool, std::uint32_t index, WorkerLaunch launch, std::uint64_t seed)
    : services_(services), pool_(pool), index_(index), launch_(std::move(launch)), control_(pool, seed), seats_(pool.workers) {}

void PoolRunner::start() {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) tell(slot, {EventType::start});
}

void PoolRunner::tell(std::uint32_t slot, Event event) {
  pending_.emplace_back(slot, event);
  run_pending();
}

/// Effects may bring events about at once (a start that fails, a probe that can't be made): they wait for their turn.
void PoolRunner::run_pending() {
  if (running_) return;
  running_ = true;
  for (std::size_t next = 0; next < pending_.size(); ++next) {
    const auto [slot, event] = pending_[next];
    std::vector<SlotEffect> effects = std::move(effects_);
    effects.clear();
    control_.handle(slot, event, base::Clock::now(), effects);
    carry_out(effects);
    effects_ = std::move(effects);
  }
  pending_.clear();
  running_ = false;
  services_.boards.write_expected(index_, control_.expected(base::Clock::now()));
  services_.changed();
}

/// A request that finds a gate closed must find the hope for the next worker already written, and lose it only after that worker's
/// gate is open: so what grows is written before the effects, what falls after them.
void PoolRunner::carry_out(const std::vector<SlotEffect>& effects) {
  const std::uint32_t expected = control_.expected(base::Clock::now());
  if (expected > services_.boards.supervisor_board().expected(index_)) services_.boards.write_expected(index_, expected);
  for (const SlotEffect& each : effects) carry_out(each.slot, each.effect);
}

void PoolRunner::tick(base::TimePoint now) {
  running_ = true;
  std::vector<SlotEffect> effects = std::move(effects_);
  effects.clear();
  control_.tick(now, effects);
  carry_out(effects);
  effects_ = std::move(effects);
  running_ = false;
  run_pending();
}

void PoolRunner::poll() {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    const SlotState& state = control_.slot(slot);
    if (state.lifecycle == Lifecycle::draining && seat(slot).row && services_.boards.in_flight(*seat(slot).row) == 0) {
      tell(slot, {EventType::emptied, state.incarnation});
    } else if (state.process == Process::main_gone && !services_.host.tree_alive(key_of(slot))) {
      tell(slot, {EventType::tree_gone, state.incarnation});
    }
  }
}

std::optional<base::Millis> PoolRunner::poll_every() const {
  std::optional<base::Millis> every;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    const SlotState& state = control_.slot(slot);
    if (state.lifecycle == Lifecycle::draining) return kDrainPoll;
    if (state.process == Process::main_gone) every = kTreePoll;
  }
  return every;
}

void PoolRunner::exited(const ChildKey& key, ExitStatus status) {
  const std::uint32_t slot = key.id.slot;
  Seat& it = seat(slot);
  if (it.incarnation != key.incarnation) return;
  const SlotState& state = control_.slot(slot);
  const bool asked_for = state.leaving != Leaving::no;
  if (it.row) {
    if (!asked_for) services_.boards.write_expected(index_, control_.expected(base::Clock::now()) + 1);  // until the policy has spoken
    services_.boards.close(*it.row);  // before anything is looked at: from here on nobody is sent to the dead
    services_.cut(*it.row, key.incarnation);
  }
  it.probe.reset();
  ++services_.died;
  ++it.exits[status.signaled ? signal_name(status.value) : std::to_string(status.value)];

  const bool out_of_memory = status.signaled && status.value == SIGKILL && new_oom_kill();
  Event event{EventType::exited, key.incarnation, cause_of(status.signaled, status.value, out_of_memory), services_.host.tree_alive(key)};
  if (!state.ready_since && !asked_for && port_lost(slot, key)) event.cause = Cause::port_taken;

  const std::string how = in_words(status, out_of_memory);
  it.note = "last exit: " + how;
  const auto lines = services_.host.last_lines(key);
  if (asked_for) {
    base::log::info(name_of(slot), "ended with {}", how);
  } else {
    base::log::error(name_of(slot), "ended unasked with {} after {}{}{}{}", how, base::to_text(since(it.started)),
                     state.ready_since ? "" : ", before it was ready", event.cause == Cause::port_taken ? "; its port is someone else's" : "",
                     lines.empty() ? "" : "; last words: " + lines.back());
  }
  tell(slot, event);
}

/// It ended, and somebody who is not of its tree listens on the port that it was given.
bool PoolRunner::port_lost(std::uint32_t slot, const ChildKey& key) const {
  const std::uint16_t port = seats_[slot - 1].endpoint.port;
  return port != 0 && who_listens(port, services_.host.tree(key)) == Listener::stranger;
}

void PoolRunner::paused(const ChildKey& key, bool paused) { tell(key.id.slot, {paused ? EventType::paused : EventType::continued, key.incarnation}); }

void PoolRunner::stop() {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    tell(slot, {EventType::stop});
    tell(slot, {EventType::emptied, control_.slot(slot).incarnation});
  }
}

void PoolRunner::kill() {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) tell(slot, {EventType::kill});
}

void PoolRunner::carry_out(std::uint32_t slot, const Effect& effect) {
  Seat& it = seat(slot);
  switch (effect.type) {
    case EffectType::spawn: spawn(slot, effect.incarnation); break;
    case EffectType::open_gate:
      if (it.row) services_.boards.open(*it.row);
      break;
    case EffectType::close_gate:
      if (it.row) services_.boards.close(*it.row);
      break;
    case EffectType::probe: probe(slot, effect.incarnation); break;
    case EffectType::signal_main: services_.host.signal(key_of(slot), effect.signal); break;
    case EffectType::signal_tree: services_.host.signal_tree(key_of(slot), effect.signal); break;
    case EffectType::release: release(slot); break;
    case EffectType::tell: announce(slot, effect.notice); break;
  }
}

void PoolRunner::spawn(std::uint32_t slot, base::Incarnation incarnation) {
  Seat& it = seat(slot);
  it.incarnation = incarnation;
  it.started = base::Clock::now();
  it.start_time = unix_now();
  it.report.reset();
  it.usage.reset();
  it.cpu_percent = 0;
  it.owner = Owner::known;
  it.alerts = {};
  if (auto done = launch(slot, incarnation); !done) {
    it.note = done.error().message;
    base::log::error(name_of(slot), "not started: {}", done.error().message);
    pending_.emplace_back(slot, Event{EventType::spawn_failed, incarnation, Cause::spawn_failed});
    return;
  }
  ++services_.created;
}

base::Result<WorkerEndpoint> PoolRunner::make_endpoint(std::uint32_t slot, base::Incarnation incarnation) {
  WorkerEndpoint out;
  if (pool_.endpoint == config::Endpoint::unix_path) {
    out.socket_path = services_.runtime_dir->socket_path(pool_, slot, incarnation);
    auto address = unix_endpoint(out.socket_path);
    if (!address) return address.error();
    out.address = *address;
    out.text = "unix:" + out.socket_path;
    return out;
  }
  auto port = services_.ports.take(base::Clock::now());
  if (!port) return port.error();
  out.port = *port;
  out.address = tcp_endpoint(*port);
  out.text = "127.0.0.1:" + std::to_string(*port);
  return out;
}

base::Result<void> PoolRunner::launch(std::uint32_t slot, base::Incarnation incarnation) {
  Seat& it = seat(slot);
  auto endpoint = make_endpoint(slot, incarnation);
  if (!endpoint) return endpoint.error();
  it.endpoint = std::move(*endpoint);
  it.row = services_.boards.take_row({index_, slot}, incarnation, it.endpoint.address);
  if (!it.row) return base::Error{"no row of the board is free: earlier incarnations are still draining", 0};
  auto spec = launch_.spec(key_of(slot), it.endpoint);
  if (!spec) return spec.error();
  const auto pid = services_.host.start(*spec);
  if (!pid) return pid.error();
  base::log::info(name_of(slot), "started (pid {}, {}, incarnation {})", *pid, it.endpoint.text, incarnation);
  return {};
}

/// Whose the listening socket is, is asked before any probe connects: a squatter gets no request, nor a byte.
bool PoolRunner::may_connect(std::uint32_t slot, const ChildKey& key) {
  Seat& it = seat(slot);
  if (it.endpoint.port == 0) return true;  // a path in a folder that is nobody else's
  // Without a tree first: as long as nobody listens, /proc need not be read.
  Listener who = who_listens(it.endpoint.port, {});
  if (who != Listener::nobody) who = who_listens(it.endpoint.port, services_.host.tree(key));
  switch (who) {
    case Listener::ours: it.owner = Owner::known; return true;
    case Listener::unknowable: it.owner = Owner::unknowable; return true;
    case Listener::nobody: it.note = "nothing listens on port " + std::to_string(it.endpoint.port); return false;
    case Listener::stranger: it.note = "port " + std::to_string(it.endpoint.port) + " is listened on by another process"; return false;
  }
  return false;
}

void PoolRunner::probe(std::uint32_t slot, base::Incarnation incarnation) {
  Seat& it = seat(slot);
  const bool starting = control_.slot(slot).lifecycle == Lifecycle::starting;
  const bool full = pool_.concurrency > 0 && it.row && services_.boards.connections(*it.row) >= pool_.concurrency;
  if (!starting && full) {
    pending_.emplace_back(slot, Event{EventType::probe_busy, incarnation});
    return;
  }
  ++services_.health_checks;
  if (!may_connect(slot, key_of(slot))) {
    pending_.emplace_back(slot, Event{EventType::probe_failed, incarnation});
    return;
  }
  ProbeSpec spec;
  spec.endpoint = it.endpoint.address;
  spec.http = starting ? pool_.ready.http : pool_.health.http;
  spec.status = starting ? pool_.ready.status : pool_.health.status;
  spec.host = it.endpoint.port != 0 ? it.endpoint.text : "localhost";
  spec.timeout = pool_.health.timeout;
  it.probe =
      start_probe(services_.io, std::move(spec), [this, slot, incarnation](ProbeAnswer answer) { answered(slot, incarnation, std::move(answer)); });
}

void PoolRunner::answered(std::uint32_t slot, base::Incarnation incarnation, ProbeAnswer answer) {
  Seat& it = seat(slot);
  if (it.incarnation != incarnation) return;
  if (answer.report) {
    it.report = answer.report;
    it.reported_at = base::Clock::now();
    if (answer.report->memory_bytes && it.row) services_.boards.write_load(*it.row, *answer.report->memory_bytes);
  }
  it.note = answer.passed ? "" : answer.reason;
  tell(slot, {answer.passed ? EventType::probe_passed : EventType::probe_failed, incarnation});
}

void PoolRunner::release(std::uint32_t slot) {
  Seat& it = seat(slot);
  const ChildKey key = key_of(slot);
  it.probe.reset();
  if (it.row) services_.boards.release(*it.row);
  it.row.reset();
  if (it.endpoint.port != 0) services_.ports.give_back(it.endpoint.port, base::Clock::now());
  if (!it.endpoint.socket_path.empty()) ::unlink(it.endpoint.socket_path.c_str());
  it.endpoint = {};
  if (it.usage) it.cpu_before += it.usage->cpu_seconds;
  it.usage.reset();
  services_.host.forget(key);
  it.incarnation = 0;
}

void PoolRunner::became_ready(std::uint32_t slot) {
  Seat& it = seat(slot);
  observe(start_duration_, base::Clock::now() - it.started);
  if (it.owner == Owner::unknowable) it.note = "the owner of its listening socket can't be read";
  if (!it.endpoint.socket_path.empty() && services_.runtime_dir != nullptr) {
    if (auto done = services_.runtime_dir->share_socket(it.endpoint.socket_path); !done) base::log::error(name_of(slot), "{}", done.error().message);
  }
  base::log::info(name_of(slot), "ready after {} on {}", base::to_text(since(it.started)), it.endpoint.text);
}

void PoolRunner::announce(std::uint32_t slot, Notice notice) {
  const std::string name = name_of(slot);
  const Seat& it = seat(slot);
  const SlotState& state = control_.slot(slot);
  switch (notice) {
    case Notice::none:
    case Notice::exited: break;  // told with what is known of the exit
    case Notice::ready: became_ready(slot); break;
    case Notice::never_ready: base::log::error(name, "not ready after {}: {}; stopped", base::to_text(pool_.ready.timeout), it.note); break;
    case Notice::failing: base::log::warn(name, "failing: {} probes in a row: {}; it gets no new work", pool_.health.fall, it.note); break;
    case Notice::recovered: base::log::info(name, "passing again"); break;
    case Notice::paused: base::log::warn(name, "stopped by a signal; it gets no new work until it is continued"); break;
    case Notice::continued: base::log::info(name, "continued"); break;
    case Notice::failed:
      base::log::error(name, "failed: more than {} deaths within {}; retried each {}", pool_.restart.max, base::to_text(pool_.restart.within),
                       base::to_text(pool_.restart.max_delay));
      break;
    case Notice::given_up:
      base::log::error(name, "failed: more than {} deaths within {}; given up", pool_.restart.max, base::to_text(pool_.restart.within));
      break;
    case Notice::killed:
      base::log::warn(name, "killed: it did not end within {}", base::to_text(pool_.stop.grace));
      if (state.leaving == Leaving::retired) services_.killed = true;
      break;
    case Notice::forced:
      base::log::warn(name, "killed at once");
      services_.killed = true;
      break;
    case Notice::draining: base::log::info(name, "draining"); break;
    case Notice::stopped: base::log::info(name, "stopped"); break;
  }
}

}  // namespace drover::backends
