// Probes: whom they may reach, and what their answers mean.
#include "backends/pool_runner.hpp"

namespace drover::backends {

/// Whose the listening socket is, is asked before any probe connects: a squatter gets no request, nor a byte.
bool PoolRunner::may_connect(std::uint32_t slot, Holding& it) {
  const bool asks = config::node_mode(pool_) == config::NodeMode::cluster;
  if (it.line.private_socket || (asks && pool_.dispatch != config::Dispatch::proxy)) {
    if (!it.line.listening) it.note = "it has not said that its server listens";
    return it.line.listening;
  }
  if (it.endpoint.port == 0) return true;  // a path in a folder that is nobody else's
  // Without a tree first: as long as nobody listens, /proc need not be read.
  Listener who = who_listens(it.endpoint.port, {});
  if (who != Listener::nobody) who = who_listens(it.endpoint.port, services_.host.tree(key_of(slot, it.incarnation)));
  switch (who) {
    case Listener::ours: it.owner = Holding::Owner::known; return true;
    case Listener::unknowable: it.owner = Holding::Owner::unknowable; return true;
    case Listener::nobody: it.note = "nothing listens on port " + std::to_string(it.endpoint.port); return false;
    case Listener::stranger: it.note = "port " + std::to_string(it.endpoint.port) + " is listened on by another process"; return false;
  }
  return false;
}

void PoolRunner::probe(std::uint32_t slot, base::Incarnation incarnation) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr) return;
  const bool starting = state->lifecycle == Lifecycle::starting;
  const bool full = pool_.concurrency > 0 && it->row && services_.boards.connections(*it->row) >= pool_.concurrency;
  if (!starting && full) {
    pending_.emplace_back(slot, Event{EventType::probe_busy, incarnation});
    return;
  }
  ++services_.health_checks;
  if (probe_by_word(slot, *it, starting)) return;
  if (!may_connect(slot, *it)) {
    probed(slot, *it, false, it->note);
    pending_.emplace_back(slot, Event{EventType::probe_failed, incarnation});
    return;
  }
  ProbeSpec spec;
  spec.endpoint = it->endpoint.address;
  spec.http = starting ? pool_.ready.http : pool_.health.http;
  spec.status = starting ? pool_.ready.status : pool_.health.status;
  spec.host = starting ? pool_.ready.host : pool_.health.host;
  if (spec.host.empty()) spec.host = it->endpoint.port != 0 ? it->endpoint.text : "localhost";
  spec.timeout = pool_.health.timeout;
  base::UniqueFd connected;
  if (handoff_) {
    connected = probing_end(slot, incarnation);
    if (!connected) {
      pending_.emplace_back(slot, Event{EventType::probe_busy, incarnation});
      return;
    }
  }
  it->probe = start_probe(
      services_.io, std::move(spec), [this, slot, incarnation](ProbeAnswer answer) { answered(slot, incarnation, std::move(answer)); },
      std::move(connected));
}

void PoolRunner::answered(std::uint32_t slot, base::Incarnation incarnation, ProbeAnswer answer) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  it->note = answer.passed ? "" : answer.reason;
  probed(slot, *it, answer.passed, answer.reason);
  // The verdict first: what it says of itself may hold it back the very moment it is ready.
  tell(slot, {answer.passed ? EventType::probe_passed : EventType::probe_failed, incarnation});
  if (answer.report) heard(slot, incarnation, ReportSource::probe, *answer.report);
}

/// Kept for whoever asks why, and told when it is another one than before.
void PoolRunner::probed(std::uint32_t slot, Holding& it, bool passed, const std::string& reason) {
  const std::string why = passed ? "" : reason;
  const bool news = it.probes.empty() || it.probes.back().passed != passed || it.probes.back().reason != why;
  it.probes.push_back({base::Clock::now(), passed, why});
  if (it.probes.size() > Holding::kProbesKept) it.probes.pop_front();
  if (news) emit("healthCheck", slot, it.incarnation, {{"passed", passed}, {"reason", why}});
}

}  // namespace drover::backends
