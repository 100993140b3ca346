// A worker's end: its gate first, then why it died, what was inside it, and what follows.
#include "backends/exit_words.hpp"
#include "backends/histogram.hpp"
#include "backends/oom.hpp"
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <boost/json/array.hpp>

#include <algorithm>
#include <csignal>

namespace drover::backends {

namespace {

constexpr base::Millis kBrokenShortlyBefore{2000};  // a proxy often learns of a death before the supervisor does
constexpr std::size_t kLoggedRequests = 3;

double seconds(base::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

std::string in_words(ExitStatus status, bool out_of_memory) {
  if (!status.signaled) return in_words(status);
  return in_words(status) + (status.core_dumped ? " (core dumped)" : "") + (out_of_memory ? " (out of memory)" : "");
}

std::string exit_text(ExitStatus status) { return status.signaled ? in_words(status, false) : "code " + std::to_string(status.value); }

/// "; 5 requests inside: GET /a (0.2s), …"
std::string inside_text(const Obituary& record) {
  if (record.in_flight_total == 0) return {};
  std::string out = fmt::format("; {} request{} inside:", record.in_flight_total, record.in_flight_total == 1 ? "" : "s");
  for (std::size_t i = 0; i < std::min(record.in_flight.size(), kLoggedRequests); ++i) {
    const Obituary::Request& each = record.in_flight[i];
    out += fmt::format("{} {} {} ({:.1f}s)", i == 0 ? "" : ",", each.method, each.path, each.age_seconds);
  }
  return out + (record.in_flight_total > kLoggedRequests ? ", …" : "");
}

}  // namespace

void PoolRunner::dying(const ChildKey& key, base::TimePoint known) {
  Holding* it = find(key.id.slot, key.incarnation);
  if (it == nullptr || !it->row) return;
  const SlotState* state = control_.find(key.id.slot, key.incarnation);
  it->dying = state != nullptr && state->leaving == Leaving::no;
  if (it->dying) ++dying_;
  if (expected() > services_.boards.supervisor_board().expected(index_)) write_expected();
  if (handoff_) handoff_->close({key.id.slot, key.incarnation});
  services_.boards.close(*it->row);  // before anything is looked at: from here on nobody is sent to the dead
  observe(services_.exit_to_close, base::Clock::now() - known);
  services_.cut(*it->row, key.incarnation, ipc::Cut::gone);
}

void PoolRunner::exited(const ChildKey& key, ExitStatus status) {
  const std::uint32_t slot = key.id.slot;
  read_last_words(slot, key.incarnation);
  Holding* it = find(slot, key.incarnation);
  const SlotState* state = control_.find(slot, key.incarnation);
  if (it == nullptr || state == nullptr) return;
  if (std::exchange(it->dying, false)) --dying_;
  it->probe.reset();
  handed_gone(slot, key.incarnation);

  Ending ending;
  ending.status = status;
  ending.asked_for = state->leaving != Leaving::no;
  ending.was_ready = state->ready_since.has_value();
  const bool killed = status.signaled && status.value == SIGKILL;
  const std::string memory = killed ? oom_evidence(services_.cgroups, pool_.name, slot, key.incarnation, base::Clock::now()) : "";
  Cause cause = cause_of(status.signaled, status.value, !memory.empty());
  if (!ending.was_ready && !ending.asked_for && port_lost(key, *it)) cause = Cause::port_taken;
  if (state->leaving == Leaving::never_ready) cause = Cause::never_ready;
  if (!ending.asked_for) ++services_.died;
  ++seat(slot).exits[status.signaled ? signal_name(status.value) : std::to_string(status.value)];
  if (it->row) ending.flights = services_.boards.flights(*it->row, key.incarnation, base::Clock::now() - kBrokenShortlyBefore);
  ending.record = write_obituary(slot, *it, *state, ending, cause);
  ending.record.out_of_memory = memory;
  seat(slot).note = "last exit: " + in_words(status, !memory.empty());
  if (!ending.asked_for && (!ending.was_ready || state->successor)) {
    const auto& words = ending.record.last_lines;
    failed_start(slot, key.incarnation,
                 "ended with " + in_words(status, !memory.empty()) + (ending.was_ready ? "" : " before it was ready") +
                     (words.empty() ? "" : "; last words: " + words.back()));
  }
  ending_ = std::move(ending);
  tell(slot, {EventType::exited, key.incarnation, cause, services_.host.tree_alive(key)});
  say_end(slot);  // unless the control side had it told already
}

/// It ended, and somebody who is not of its tree listens on the port that it was given.
bool PoolRunner::port_lost(const ChildKey& key, const Holding& it) const {
  return it.endpoint.port != 0 && who_listens(it.endpoint.port, services_.host.tree(key)) == Listener::stranger;
}

Obituary PoolRunner::write_obituary(std::uint32_t slot, const Holding& it, const SlotState& state, const Ending& ending, Cause cause) {
  const base::TimePoint now = base::Clock::now();
  Seat& own = seat(slot);
  Obituary out;
  out.pool = pool_.name;
  out.slot = slot;
  out.incarnation = it.incarnation;
  out.time = unix_now();
  out.uptime_seconds = seconds(now - it.started);
  out.was_ready = ending.was_ready;
  out.young = ending.was_ready && !ending.asked_for && now - *state.ready_since < pool_.restart.young;
  out.asked_for = ending.asked_for;
  if (ending.asked_for) out.asked_why = it.leaving_why.empty() ? why_it_leaves(slot, state) : it.leaving_why;
  out.cause = cause;
  out.exit = exit_text(ending.status);
  out.peak_memory = it.recycling->peak();
  for (const auto& point : it.recycling->minute()) out.memory.push_back({seconds(now - point.at), point.bytes});
  out.last_lines = services_.host.last_lines(key_of(slot, it.incarnation));
  std::vector<const board::Flight*> oldest_first;
  for (const board::Flight& each : ending.flights) oldest_first.push_back(&each);
  std::ranges::sort(oldest_first, {}, &board::Flight::began_ns);
  const auto now_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count());
  for (const board::Flight* each : oldest_first) {
    if (out.in_flight.size() == Obituary::kMaxRequests) break;
    const std::uint64_t until = each->ended_ns != 0 ? each->ended_ns : now_ns;
    out.in_flight.push_back({base::printable(each->method_name), base::printable(each->path),
                             until > each->began_ns ? static_cast<double>(until - each->began_ns) / 1e9 : 0});
  }
  out.in_flight_total = static_cast<std::uint32_t>(ending.flights.size());
  if (!ending.was_ready && (!ending.asked_for || cause == Cause::never_ready)) ++own.never_ready_in_row;
  if (ending.was_ready && !ending.asked_for) own.young_in_row = out.young ? own.young_in_row + 1 : 0;
  out.never_ready_in_row = own.never_ready_in_row;
  out.young_in_row = own.young_in_row;
  for (const ProbeResult& probe : it.probes) {
    if (!probe.passed) out.last_probe = probe.reason;
  }
  return out;
}

/// What the control side has made of it.
std::string PoolRunner::what_follows(std::uint32_t slot, base::Incarnation incarnation) const {
  const SlotState& state = control_.slot(slot);
  if (state.incarnation != incarnation) return "incarnation " + std::to_string(state.incarnation) + " is in its place";
  switch (state.lifecycle) {
    case Lifecycle::backoff:
    case Lifecycle::failed: {
      const bool failed = state.lifecycle == Lifecycle::failed;
      if (!state.due) return "failed";
      const auto wait = std::chrono::duration_cast<base::Millis>(*state.due - base::Clock::now());
      return (failed ? "failed, tried again in " : "restart in ") + base::to_text(std::max(wait, base::Millis(0)));
    }
    case Lifecycle::stopping: return "what it left behind is ended first";
    case Lifecycle::stopped: return "nothing";
    case Lifecycle::starting:
    case Lifecycle::running:
    case Lifecycle::draining: return "it is started again";
  }
  return "";
}

/// One record, one log line, one event: when the control side has spoken, so that they say what follows.
void PoolRunner::say_end(std::uint32_t slot) {
  if (!ending_) return;
  const Ending ending = *std::exchange(ending_, std::nullopt);
  Obituary record = ending.record;
  record.then = what_follows(slot, record.incarnation);
  const std::string how = in_words(ending.status, !record.out_of_memory.empty());
  if (ending.asked_for) {
    base::log::info(name_of(slot), "ended with {}", how);
  } else {
    base::log::error(name_of(slot), "ended unasked with {} after {}{}{}{}{}", how,
                     base::to_text(base::Millis(static_cast<base::Millis::rep>(record.uptime_seconds * 1000))),
                     ending.was_ready ? "" : ", before it was ready", record.cause == Cause::port_taken ? "; its port is someone else's" : "",
                     inside_text(record), record.last_lines.empty() ? "" : "; last words: " + record.last_lines.back());
  }
  boost::json::object data{{"asked", ending.asked_for}, {"uptime", record.uptime_seconds}};
  if (ending.status.signaled) {
    data["signal"] = signal_name(ending.status.value);
  } else {
    data["code"] = ending.status.value;
  }
  if (!ending.asked_for) data["obituary"] = to_json(record);
  emit("workerExit", slot, record.incarnation, std::move(data));
  const bool suspicious = !ending.asked_for && self_inflicted(record.cause);
  services_.obituaries.add(std::move(record));
  if (suspicious && pool_.killer.deaths > 0) hunt(ending.flights);
}

void PoolRunner::hunt(const std::vector<board::Flight>& flights) {
  const auto found = hunt_.died(flights, services_.boards.sketch(), services_.boards.requests(index_), base::Clock::now());
  if (found.empty()) return;
  services_.blocked_changed();
  for (const Killer& each : found) {
    ++killers_found_;
    base::log::error(pool_.name, "{} {} was inside at {} deaths: answered 503 for {}", each.method, each.path, each.deaths,
                     base::to_text(pool_.killer.within));
    emit("killerFound", 0, 0, {{"method", each.method}, {"path", each.path}, {"deaths", each.deaths}});
  }
}

void PoolRunner::release_killers(base::TimePoint now) {
  if (hunt_.traffic_due(now)) hunt_.traffic(services_.boards.sketch(), services_.boards.requests(index_), now);
  const auto over = hunt_.released(now);
  if (over.empty()) return;
  services_.blocked_changed();
  for (const Killer& each : over) {
    base::log::info(pool_.name, "{} {} is let through again", each.method, each.path);
    emit("killerReleased", 0, 0, {{"method", each.method}, {"path", each.path}});
  }
}

}  // namespace drover::backends
