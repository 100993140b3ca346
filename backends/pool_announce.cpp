// What the control side wants told: one log line and one event for each happening.
#include "backends/histogram.hpp"
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace drover::backends {

namespace {

base::Millis since(base::TimePoint then) { return std::chrono::duration_cast<base::Millis>(base::Clock::now() - then); }
/// As a metric's label.
const char* label(Why why) {
  switch (why) {
    case Why::none: return "other";
    case Why::requests: return "requests";
    case Why::age: return "age";
    case Why::memory: return "memory";
    case Why::rolling: return "rolling";
    case Why::by_operator: return "operator";
    case Why::failing: return "failing";
    case Why::silent: return "silent";
    case Why::hard_memory: return "hard_memory";
    case Why::hung: return "hung";
  }
  return "other";
}
double seconds(base::Millis time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

void PoolRunner::announce(std::uint32_t slot, base::Incarnation incarnation, Notice notice) {
  const std::string name = name_of(slot);
  const Holding* it = find(slot, incarnation);
  const std::string note = it != nullptr ? it->note : "";
  switch (notice) {
    case Notice::none: break;
    case Notice::exited: say_end(slot); break;
    case Notice::ready: became_ready(slot, incarnation); break;
    case Notice::never_ready:
      base::log::error(name, "not ready after {}: {}; stopped", base::to_text(pool_.ready.timeout), note);
      failed_start(slot, incarnation, "not ready after " + base::to_text(pool_.ready.timeout) + ": " + note);
      emit("workerNeverReady", slot, incarnation, {{"reason", note}});
      break;
    case Notice::failing:
      base::log::warn(name, "failing: {} probes in a row: {}; it gets no new work", pool_.health.fall, note);
      emit("workerHealth", slot, incarnation, {{"health", "failing"}, {"reason", note}});
      break;
    case Notice::recovered:
      base::log::info(name, "passing again");
      emit("workerHealth", slot, incarnation, {{"health", "passing"}, {"reason", ""}});
      break;
    case Notice::paused:
      base::log::warn(name, "stopped by a signal; it gets no new work until it is continued");
      emit("workerStopped", slot, incarnation, {{"stopped", true}});
      break;
    case Notice::continued:
      base::log::info(name, "continued");
      emit("workerStopped", slot, incarnation, {{"stopped", false}});
      break;
    case Notice::suspect:
    case Notice::cleared:
    case Notice::ejected:
    case Notice::admitted:
    case Notice::declined:
    case Notice::accepted:
    case Notice::hung: announce_evidence(slot, incarnation, notice); break;
    case Notice::superseding:
    case Notice::promoted:
    case Notice::successor_failed: announce_replacement(slot, incarnation, notice); break;
    case Notice::failed:
    case Notice::given_up:
    case Notice::killed:
    case Notice::forced:
    case Notice::stopped: announce_end(slot, incarnation, notice); break;
    case Notice::draining: began_draining(slot, incarnation); break;
  }
}

void PoolRunner::announce_evidence(std::uint32_t slot, base::Incarnation incarnation, Notice notice) {
  const std::string name = name_of(slot);
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  const bool begins = notice == Notice::suspect || notice == Notice::ejected || notice == Notice::declined;
  if (notice == Notice::suspect || notice == Notice::cleared) {
    const auto stalled = livelock_.stalled(slot, incarnation, base::Clock::now()).value_or(base::Millis(0));
    if (begins) {
      ++suspicions_;
      base::log::warn(name, "suspect: no byte for {} while its siblings move; no new work until it moves", base::to_text(stalled));
    } else {
      base::log::info(name, "moves again");
    }
    emit("workerSuspect", slot, incarnation, {{"suspect", begins}, {"stalled", seconds(stalled)}});
  } else if (notice == Notice::ejected || notice == Notice::admitted) {
    if (begins) {
      ++ejections_;
      base::log::warn(name, "ejected for {}: {}", base::to_text(it->ejected_for), it->ejected_why);
    } else {
      base::log::info(name, "admitted again after its ejection");
    }
    emit("workerEjected", slot, incarnation,
         {{"ejected", begins}, {"reason", begins ? it->ejected_why : ""}, {"seconds", begins ? seconds(it->ejected_for) : 0}});
  } else if (notice == Notice::declined || notice == Notice::accepted) {
    base::log::info(name, "wants {}, by its own word", begins ? "no new work" : "work again");
    emit("workerHealth", slot, incarnation,
         {{"health", to_text(control_.slot(slot).health)}, {"declined", begins}, {"reason", begins ? "by its own word: " + it->word.status : ""}});
  } else {
    it->leaving_why = to_text(Why::hung);
    ++replaced_[label(Why::hung)];
    base::log::error(name, "hung: {}; it is replaced", it->diagnosis);
    emit("workerHung", slot, incarnation, {{"diagnosis", it->diagnosis}});
  }
}

void PoolRunner::announce_replacement(std::uint32_t slot, base::Incarnation incarnation, Notice notice) {
  const std::string name = name_of(slot);
  Seat& own = seat(slot);
  switch (notice) {
    case Notice::superseding:
      own.replacing = control_.asked(slot);
      base::log::info(name, "a successor is started beside incarnation {} ({})", incarnation, to_text(own.replacing));
      break;
    case Notice::promoted:
      ++replaced_[label(own.replacing)];
      base::log::info(name, "incarnation {} has taken its place ({})", incarnation, to_text(own.replacing));
      break;
    case Notice::successor_failed: {
      const Holding* it = find(slot, incarnation);
      failed_start(slot, incarnation, "it did not stay ready" + (it == nullptr || it->note.empty() ? "" : ": " + it->note));
      base::log::error(name, "its successor (incarnation {}) failed: {}; the old one stays", incarnation, own.failure.reason);
      break;
    }
    default: break;
  }
}

void PoolRunner::announce_end(std::uint32_t slot, base::Incarnation incarnation, Notice notice) {
  const std::string name = name_of(slot);
  switch (notice) {
    case Notice::failed:
      base::log::error(name, "failed: more than {} deaths within {}; retried each {}", pool_.restart.max, base::to_text(pool_.restart.within),
                       base::to_text(pool_.restart.max_delay));
      emit("workerMaxRestarts", slot, incarnation, {{"gaveUp", false}});
      break;
    case Notice::given_up:
      base::log::error(name, "failed: more than {} deaths within {}; given up", pool_.restart.max, base::to_text(pool_.restart.within));
      emit("workerMaxRestarts", slot, incarnation, {{"gaveUp", true}});
      break;
    case Notice::killed:
      base::log::warn(name, "killed: it did not end within {}", base::to_text(pool_.stop.grace));
      emit("workerKilled", slot, incarnation, {{"grace", seconds(pool_.stop.grace)}});
      if (services_.stopping) services_.killed = true;
      break;
    case Notice::forced:
      base::log::warn(name, "killed at once");
      emit("workerKilled", slot, incarnation, {{"grace", 0}});
      services_.killed = true;
      break;
    case Notice::stopped: base::log::info(name, "stopped"); break;
    default: break;
  }
}

void PoolRunner::became_ready(std::uint32_t slot, base::Incarnation incarnation) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  observe(start_duration_, base::Clock::now() - it->started);
  seat(slot).never_ready_in_row = 0;
  if (it->owner == Holding::Owner::unknowable) it->note = "the owner of its listening socket can't be read";
  if (!it->endpoint.socket_path.empty()) {
    if (auto done = services_.runtime_dir.share_socket(it->endpoint.socket_path); !done) {
      base::log::error(name_of(slot), "{}", done.error().message);
      emit("error", slot, incarnation, {{"reason", done.error().message}});
    }
  }
  base::log::info(name_of(slot), "ready after {} on {}", base::to_text(since(it->started)), it->endpoint.text);
  emit("workerListening", slot, incarnation, {{"after", seconds(since(it->started))}, {"endpoint", it->endpoint.text}});
}

void PoolRunner::began_draining(std::uint32_t slot, base::Incarnation incarnation) {
  const SlotState* state = control_.find(slot, incarnation);
  const std::string why = state != nullptr ? why_it_leaves(slot, *state) : "";
  if (Holding* it = find(slot, incarnation)) it->leaving_why = why;
  if (state != nullptr && state->leaving == Leaving::replaced && !state->left) ++replaced_[label(control_.asked(slot))];
  base::log::info(name_of(slot), "draining");
  emit("workerDisconnect", slot, incarnation, {{"why", why}});
}

std::string PoolRunner::why_it_leaves(std::uint32_t slot, const SlotState& state) const {
  if (state.left) return "of its own will";
  switch (state.leaving) {
    case Leaving::no:
    case Leaving::crashed: return "";
    case Leaving::never_ready: return "not ready in time";
    case Leaving::replaced: return control_.asked(slot) == Why::none ? "replaced" : to_text(control_.asked(slot));
    case Leaving::superseded: {
      const bool was_successor = state.incarnation > control_.slot(slot).incarnation;
      return was_successor ? "not wanted any more" : to_text(seats_[slot - 1].replacing);
    }
    case Leaving::drained: return "drained by the operator";
    case Leaving::retired: return control_.wanted(slot) ? "the cluster stops" : "fewer workers are wanted";
  }
  return "";
}

/// Kept for the order or the roll that it stops.
void PoolRunner::failed_start(std::uint32_t slot, base::Incarnation incarnation, std::string reason) {
  StartFailure& failure = seat(slot).failure;
  if (failure.incarnation == incarnation) return;  // what went wrong first says most
  failure = {incarnation, base::Clock::now(), std::move(reason), services_.host.last_lines(key_of(slot, incarnation)), {}};
  const Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  for (const ProbeResult& probe : it->probes) {
    const std::string text = probe.passed ? "passed" : probe.reason;
    if (failure.probes.empty() || failure.probes.back() != text) failure.probes.push_back(text);
  }
}

}  // namespace drover::backends
