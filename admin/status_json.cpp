#include "admin/status_json.hpp"

#include "admin/json_text.hpp"
#include "base/text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <cmath>

namespace drover::admin {

namespace {

namespace json = boost::json;

/// Thousandths are enough, and a figure that is none becomes 0: JSON has no word for it.
double rounded(double value) { return std::isfinite(value) ? std::round(value * 1000) / 1000 : 0; }

/// Text that may come from a worker or a file's name.
json::string text(const std::string& value) { return json::string(base::printable(value)); }

/// Negative: there is none.
json::value seconds_or_null(double seconds) { return seconds < 0 ? json::value() : json::value(rounded(seconds)); }

/// What the worker says of itself; null: it has said nothing.
json::value report_json(const backends::WorkerStatus& worker) {
  if (worker.reported_by.empty()) return nullptr;
  return json::object{{"by", text(worker.reported_by)}, {"age", rounded(worker.report_age_seconds)}, {"status", text(worker.reported_status)}};
}

json::object channel_json(const backends::WorkerStatus& worker) {
  json::object metrics;
  for (const auto& [name, value] : worker.metrics) metrics[name] = value;
  return {{"state", text(worker.channel)},        {"messages_in", worker.messages_in}, {"messages_out", worker.messages_out},
          {"requests", worker.reported_requests}, {"errors", worker.reported_errors},  {"last_error", text(worker.last_error)},
          {"metrics", std::move(metrics)}};
}

json::object worker_json(const std::string& pool, const backends::WorkerStatus& worker) {
  json::object exits;
  for (const auto& [reason, count] : worker.exits) exits[reason] = count;
  return {{"slot", worker.slot},
          {"name", pool + "." + std::to_string(worker.slot)},
          {"incarnation", worker.incarnation},
          {"pid", worker.pid},
          {"lifecycle", backends::to_text(worker.lifecycle)},
          {"health", backends::to_text(worker.health)},
          {"intent", backends::to_text(worker.intent)},
          {"eligible", worker.eligible},
          {"endpoint", text(worker.endpoint)},
          {"uptime", rounded(worker.uptime_seconds)},
          {"start_time", rounded(worker.start_time)},
          {"requests", worker.requests},
          {"errors", worker.errors},
          {"in_flight", worker.in_flight},
          {"restarts", worker.restarts},
          {"exits", std::move(exits)},
          {"memory", json::object{{"bytes", worker.memory_bytes}, {"source", text(worker.memory_source)}}},
          {"cpu", rounded(worker.cpu_percent)},
          {"cpu_seconds", rounded(worker.cpu_seconds)},
          {"open_fds", worker.open_fds},
          {"paused", worker.paused},
          {"suspect", worker.suspect},
          {"ejected", worker.ejected},
          {"declined", worker.declined},
          {"share", worker.share},
          {"warming", seconds_or_null(worker.warming_seconds)},
          {"stalled", rounded(worker.stalled_seconds)},
          {"health_reason", text(worker.health_reason)},
          {"report", report_json(worker)},
          {"channel", channel_json(worker)},
          {"memory_limit", worker.memory_limit == 0 ? json::value() : json::value(worker.memory_limit)},
          {"memory_forecast", seconds_or_null(worker.memory_forecast_seconds)},
          {"replacing", text(worker.replacing)},
          {"successor", worker.successor},
          {"leaving", worker.leaving},
          {"restart_in", seconds_or_null(worker.restart_in_seconds)},
          {"note", text(worker.note)}};
}

json::object counts_json(const std::map<std::string, std::uint64_t>& counts) {
  json::object object;
  for (const auto& [name, count] : counts) object[name] = count;
  return object;
}

json::object channels_json(const backends::PoolStatus& pool) {
  return {{"messages_in", pool.messages_in},
          {"messages_out", pool.messages_out},
          {"faults", counts_json(pool.channel_faults)},
          {"closed", counts_json(pool.channel_closed)},
          {"undeliverable", counts_json(pool.undeliverable)}};
}

/// Null but for dispatch = "handoff".
json::value handoff_json(const backends::PoolStatus& pool) {
  if (!pool.handoff) return nullptr;
  const auto& it = *pool.handoff;
  return json::object{{"accepted", it.accepted}, {"given", it.given},     {"taken", it.taken},    {"refused", it.refused},
                      {"rescued", it.rescued},   {"dropped", it.dropped}, {"waiting", it.waiting}};
}

/// Null: the pool has none.
json::value breaker_json(const std::optional<balancer::BreakerState>& breaker) {
  if (!breaker) return nullptr;
  switch (*breaker) {
    case balancer::BreakerState::closed: return "closed";
    case balancer::BreakerState::open: return "open";
    case balancer::BreakerState::half_open: return "half_open";
  }
  return nullptr;
}

json::object pool_json(const backends::PoolStatus& pool) {
  json::array workers;
  for (const backends::WorkerStatus& each : pool.workers) workers.push_back(worker_json(pool.name, each));
  json::array blocked;
  for (const auto& each : pool.blocked) {
    blocked.push_back(json::object{
        {"method", text(each.method)}, {"path", text(each.path)}, {"deaths", each.deaths}, {"seconds_left", rounded(each.seconds_left)}});
  }
  const auto& roll = pool.roll;
  return {
      {"name", pool.name},
      {"strategy", pool.strategy},
      {"position", pool.position},
      {"desired", pool.desired},
      {"min", pool.fewest},
      {"max", pool.most},
      {"capacity", pool.capacity},
      {"asleep", pool.asleep},
      {"held", seconds_or_null(pool.hold_seconds)},
      {"maintenance", pool.maintenance ? json::value(json::object{{"message", text(pool.maintenance_message)}}) : json::value()},
      {"breaker", breaker_json(pool.breaker)},
      {"in_flight", pool.in_flight},
      {"queue_length", pool.queue_length},
      {"p99", rounded(pool.p99_seconds)},
      {"roll",
       json::object{{"phase", roll.phase.empty() ? "none" : roll.phase}, {"done", roll.done}, {"total", roll.total}, {"reason", text(roll.reason)}}},
      {"rolls", counts_json(pool.rolls)},
      {"replaced", counts_json(pool.replaced)},
      {"ejections", pool.ejections},
      {"suspicions", pool.suspicions},
      {"killers_found", pool.killers_found},
      {"blocked", std::move(blocked)},
      {"requests_reported", pool.requests_reported},
      {"channel", channels_json(pool)},
      {"handoff", handoff_json(pool)},
      {"state", json::object{{"keys", pool.state_keys}, {"bytes", pool.state_bytes}}},
      {"workers", std::move(workers)}};
}

/// `errors`: exchanges answered with 5xx, and answers that were cut.
json::object totals_json(const backends::ClusterStatus& status) {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::uint64_t blocked = 0;
  for (const board::PoolTotals& pool : status.traffic.pools) {
    errors += pool.truncated;
    blocked += pool.blocked;
    for (const auto& by_code : pool.requests) {
      for (std::size_t i = 0; i < by_code.size(); ++i) {
        requests += by_code[i];
        errors += board::kFirstCode + i >= 500 ? by_code[i] : 0;
      }
    }
  }
  return {{"requests", requests},
          {"errors", errors},
          {"created", status.created},
          {"died", status.died},
          {"restarted", status.restarted},
          {"health_checks", status.health_checks},
          {"proxy_restarts", status.proxy_restarts},
          {"blocked", blocked},
          {"events", status.events}};
}

}  // namespace

std::string status_json(const backends::ClusterStatus& status) {
  json::array proxies;
  for (const backends::ProxyStatus& each : status.proxies) {
    proxies.push_back(json::object{{"pid", each.pid}, {"threads", each.threads}, {"ready", each.ready}});
  }
  json::array listeners;
  for (const backends::ListenerStatus& each : status.listeners) {
    listeners.push_back(json::object{{"name", each.name}, {"address", text(each.address)}, {"connections", each.connections}});
  }
  json::array pools;
  for (const backends::PoolStatus& each : status.pools) pools.push_back(pool_json(each));
  json::array degraded;
  for (const std::string& each : status.degraded) degraded.push_back(text(each));
  const json::object all{{"pid", status.pid},
                         {"supervisor", status.supervisor},
                         {"version", base::version()},
                         {"uptime", rounded(status.uptime_seconds)},
                         {"start_time", rounded(status.start_time)},
                         {"stopping", status.stopping},
                         {"ready", status.ready},
                         {"admin_address", text(status.admin_address)},
                         {"totals", totals_json(status)},
                         {"proxies", std::move(proxies)},
                         {"listeners", std::move(listeners)},
                         {"pools", std::move(pools)},
                         {"degraded", std::move(degraded)}};
  return json_text(all) + "\n";
}

}  // namespace drover::admin
