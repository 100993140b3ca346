#include "admin/metrics.hpp"

#include "admin/catalogue.hpp"
#include "base/text.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <limits>
#include <locale>
#include <sstream>

namespace drover::admin {

namespace {

using backends::Lifecycle;
using prometheus::ClientMetric;
using Labels = std::vector<ClientMetric::Label>;

#ifdef __clang__
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

constexpr std::array kLifecycles{Lifecycle::starting, Lifecycle::running, Lifecycle::draining, Lifecycle::stopping,
                                 Lifecycle::stopped,  Lifecycle::backoff, Lifecycle::failed};

prometheus::MetricType to_prometheus(MetricType type) {
  switch (type) {
    case MetricType::counter: return prometheus::MetricType::Counter;
    case MetricType::gauge: return prometheus::MetricType::Gauge;
    case MetricType::histogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

/// The families under construction, one per row of the catalogue.
class Families {
 public:
  Families() {
    for (const MetricInfo& each : catalogue()) {
      families_.push_back({std::string(each.name), std::string(each.help), to_prometheus(each.type), {}});
    }
  }

  void add(Metric metric, Labels labels, double value) {
    ClientMetric sample;
    sample.label = std::move(labels);
    if (info(metric).type == MetricType::counter) {
      sample.counter.value = value;
    } else {
      sample.gauge.value = value;
    }
    of(metric).metric.push_back(std::move(sample));
  }

  void add(Metric metric, Labels labels, const board::HistogramTotals& totals) {
    ClientMetric sample;
    sample.label = std::move(labels);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < totals.buckets.size(); ++i) {
      count += totals.buckets[i];
      const bool last = i == board::kBucketBounds.size();
      const double bound = last ? std::numeric_limits<double>::infinity() : static_cast<double>(board::kBucketBounds[i]) / 1e6;
      sample.histogram.bucket.push_back({count, bound});
    }
    sample.histogram.sample_count = count;
    sample.histogram.sample_sum = static_cast<double>(totals.sum_us) / 1e6;
    of(metric).metric.push_back(std::move(sample));
  }

  template <std::size_t N>
  void add_each(Metric metric, const std::string& pool, const char* label, const std::array<const char*, N>& names,
                const std::array<std::uint64_t, N>& values) {
    for (std::size_t i = 0; i < N; ++i) add(metric, {{"pool", pool}, {label, names[i]}}, static_cast<double>(values[i]));
  }

  std::vector<prometheus::MetricFamily> take() {
    std::erase_if(families_, [](const auto& family) { return family.metric.empty(); });
    return std::move(families_);
  }

 private:
  prometheus::MetricFamily& of(Metric metric) { return families_[static_cast<std::size_t>(metric)]; }

  std::vector<prometheus::MetricFamily> families_;
};

void add_traffic(Families& families, const std::string& pool, const board::PoolTotals& totals) {
  for (std::size_t method = 0; method < totals.requests.size(); ++method) {
    for (std::size_t code = 0; code < totals.requests[method].size(); ++code) {
      const std::uint64_t count = totals.requests[method][code];
      if (count == 0) continue;  // 2,000 combinations, of which a pool meets a dozen
      families.add(Metric::requests, {{"pool", pool}, {"method", board::kMethodNames[method]}, {"code", std::to_string(board::kFirstCode + code)}},
                   static_cast<double>(count));
    }
  }
  families.add(Metric::request_duration, {{"pool", pool}}, totals.duration);
  families.add(Metric::queue_wait, {{"pool", pool}}, totals.queue_wait);
  families.add_each(Metric::queue_rejected, pool, "reason", board::kQueueReasonNames, totals.queue_rejected);
  families.add_each(Metric::retries, pool, "reason", board::kRetryReasonNames, totals.retries);
  families.add_each(Metric::client_disconnects, pool, "stage", board::kStageNames, totals.client_disconnects);
  families.add(Metric::responses_truncated, {{"pool", pool}}, static_cast<double>(totals.truncated));
  families.add(Metric::requests_blocked, {{"pool", pool}}, static_cast<double>(totals.blocked));
  families.add(Metric::requests_spilled, {{"pool", pool}}, static_cast<double>(totals.spilled));
  families.add(Metric::deadline_exceeded, {{"pool", pool}}, static_cast<double>(totals.deadlines));
  families.add(Metric::retry_budget_exhausted, {{"pool", pool}}, static_cast<double>(totals.unpaid));
  families.add(Metric::breaker_opened, {{"pool", pool}}, static_cast<double>(totals.breaker_opened));
}

void add_worker(Families& families, const std::string& pool, const backends::WorkerStatus& worker) {
  const Labels labels{{"pool", pool}, {"worker", std::to_string(worker.slot)}};
  const auto with = [&labels](const char* name, std::string value) {
    Labels more = labels;
    more.push_back({name, std::move(value)});
    return more;
  };
  const bool up = worker.lifecycle == Lifecycle::running && worker.health != backends::Health::failing;
  families.add(Metric::worker_up, labels, up ? 1 : 0);
  for (const Lifecycle each : kLifecycles)
    families.add(Metric::worker_state, with("state", backends::to_text(each)), each == worker.lifecycle ? 1 : 0);
  families.add(Metric::worker_in_flight, labels, worker.in_flight);
  families.add(Metric::worker_requests, labels, static_cast<double>(worker.requests));
  families.add(Metric::worker_errors, labels, static_cast<double>(worker.errors));
  families.add(Metric::worker_cpu, labels, worker.cpu_seconds);
  families.add(Metric::worker_restarts, labels, static_cast<double>(worker.restarts));
  for (const auto& [reason, count] : worker.exits) families.add(Metric::worker_exits, with("reason", reason), static_cast<double>(count));
  families.add(Metric::worker_replacing, labels, worker.replacing.empty() ? 0 : 1);
  families.add(Metric::worker_leaving, labels, worker.leaving);
  for (const auto& [name, value] : worker.metrics) families.add(Metric::worker_reported, with("name", name), value);
  if (worker.pid == 0) return;
  families.add(Metric::worker_paused, labels, worker.paused ? 1 : 0);
  families.add(Metric::worker_suspect, labels, worker.suspect ? 1 : 0);
  families.add(Metric::worker_ejected, labels, worker.ejected ? 1 : 0);
  families.add(Metric::worker_declined, labels, worker.declined ? 1 : 0);
  families.add(Metric::worker_share, labels, worker.share / 100.0);
  if (worker.memory_limit > 0) families.add(Metric::worker_memory_limit, labels, static_cast<double>(worker.memory_limit));
  if (!worker.memory_source.empty()) families.add(Metric::worker_memory, labels, static_cast<double>(worker.memory_bytes));
  families.add(Metric::worker_open_fds, labels, worker.open_fds);
  if (worker.start_time > 0) families.add(Metric::worker_start_time, labels, worker.start_time);
}

void add_supervision(Families& families, const backends::PoolStatus& pool) {
  const Labels labels{{"pool", pool.name}};
  families.add(Metric::pool_workers_min, labels, pool.fewest);
  families.add(Metric::pool_workers_max, labels, pool.most);
  families.add(Metric::pool_asleep, labels, pool.asleep ? 1 : 0);
  families.add(Metric::pool_held, labels, pool.hold_seconds < 0 ? 0 : 1);
  families.add(Metric::pool_maintenance, labels, pool.maintenance ? 1 : 0);
  if (pool.breaker) families.add(Metric::breaker_state, labels, static_cast<double>(*pool.breaker));
  families.add(Metric::pool_rolling, labels, pool.roll.phase == "running" ? 1 : 0);
  for (const auto& [reason, count] : pool.replaced) {
    families.add(Metric::pool_replaced, {{"pool", pool.name}, {"reason", reason}}, static_cast<double>(count));
  }
  for (const auto& [result, count] : pool.rolls) {
    families.add(Metric::rolls, {{"pool", pool.name}, {"result", result}}, static_cast<double>(count));
  }
  families.add(Metric::ejections, labels, static_cast<double>(pool.ejections));
  families.add(Metric::suspicions, labels, static_cast<double>(pool.suspicions));
  families.add(Metric::killers_found, labels, static_cast<double>(pool.killers_found));
  families.add(Metric::killers_blocked, labels, static_cast<double>(pool.blocked.size()));
}

void add_channels(Families& families, const backends::PoolStatus& pool) {
  const auto add = [&](Metric metric, const char* label, const std::string& value, std::uint64_t count) {
    families.add(metric, {{"pool", pool.name}, {label, value}}, static_cast<double>(count));
  };
  add(Metric::channel_messages, "direction", "in", pool.messages_in);
  add(Metric::channel_messages, "direction", "out", pool.messages_out);
  for (const auto& [fault, count] : pool.channel_faults) add(Metric::channel_faults, "fault", fault, count);
  for (const auto& [why, count] : pool.channel_closed) add(Metric::channel_closed, "why", why, count);
  for (const auto& [reason, count] : pool.undeliverable) add(Metric::messages_undeliverable, "reason", reason, count);
  families.add(Metric::state_keys, {{"pool", pool.name}}, static_cast<double>(pool.state_keys));
  families.add(Metric::state_bytes, {{"pool", pool.name}}, static_cast<double>(pool.state_bytes));
}

void add_handoff(Families& families, const backends::PoolStatus& pool) {
  if (!pool.handoff) return;
  const auto add = [&](const char* result, std::uint64_t count) {
    families.add(Metric::handoff_connections, {{"pool", pool.name}, {"result", result}}, static_cast<double>(count));
  };
  add("accepted", pool.handoff->accepted);
  add("given", pool.handoff->given);
  add("taken", pool.handoff->taken);
  add("refused", pool.handoff->refused);
  add("rescued", pool.handoff->rescued);
  add("dropped", pool.handoff->dropped);
  families.add(Metric::handoff_waiting, {{"pool", pool.name}}, static_cast<double>(pool.handoff->waiting));
}

void add_pool(Families& families, const backends::PoolStatus& pool) {
  families.add(Metric::in_flight, {{"pool", pool.name}}, pool.in_flight);
  families.add(Metric::queue_length, {{"pool", pool.name}}, pool.queue_length);
  families.add(Metric::worker_start_duration, {{"pool", pool.name}}, pool.start_duration);
  families.add(Metric::pool_workers_desired, {{"pool", pool.name}}, pool.desired);
  add_supervision(families, pool);
  add_channels(families, pool);
  add_handoff(families, pool);
  for (const Lifecycle state : kLifecycles) {
    const auto count = std::count_if(pool.workers.begin(), pool.workers.end(), [state](const auto& worker) { return worker.lifecycle == state; });
    families.add(Metric::pool_workers, {{"pool", pool.name}, {"state", backends::to_text(state)}}, static_cast<double>(count));
  }
  for (const backends::WorkerStatus& worker : pool.workers) add_worker(families, pool.name, worker);
}

/// Of 500 statuses a listener meets a handful.
void add_codes(Families& families, Metric metric, const std::string& listener, const std::array<std::uint64_t, board::kCodes>& counts) {
  for (std::size_t code = 0; code < counts.size(); ++code) {
    if (counts[code] == 0) continue;
    families.add(metric, {{"listener", listener}, {"code", std::to_string(board::kFirstCode + code)}}, static_cast<double>(counts[code]));
  }
}

void add_listeners(Families& families, const backends::ClusterStatus& status) {
  for (std::size_t i = 0; i < status.listeners.size(); ++i) {
    const std::string& name = status.listeners[i].name;
    families.add(Metric::client_connections, {{"listener", name}}, static_cast<double>(status.listeners[i].connections));
    if (i >= status.traffic.listeners.size()) continue;
    const board::ListenerTotals& totals = status.traffic.listeners[i];
    for (std::size_t reason = 0; reason < totals.limited.size(); ++reason) {
      families.add(Metric::clients_limited, {{"listener", name}, {"reason", board::kLimitReasonNames[reason]}},
                   static_cast<double>(totals.limited[reason]));
    }
    families.add(Metric::clients_slow, {{"listener", name}}, static_cast<double>(totals.slow));
    add_codes(families, Metric::refused, name, totals.refused);
    add_codes(families, Metric::answered_here, name, totals.answered);
  }
}

void add_cluster(Families& families, const backends::ClusterStatus& status) {
  add_listeners(families, status);
  families.add(Metric::accept_pauses, {}, static_cast<double>(status.traffic.accept_pauses));
  families.add(Metric::access_lines, {}, static_cast<double>(status.traffic.access_lines));
  families.add(Metric::access_dropped, {}, static_cast<double>(status.traffic.access_dropped));
  families.add(Metric::workers_created, {}, static_cast<double>(status.created));
  families.add(Metric::workers_died, {}, static_cast<double>(status.died));
  families.add(Metric::workers_restarted, {}, static_cast<double>(status.restarted));
  families.add(Metric::health_checks, {}, static_cast<double>(status.health_checks));
  families.add(Metric::proxy_restarts, {}, static_cast<double>(status.proxy_restarts));
  families.add(Metric::exit_to_gate_closed, {}, status.exit_to_close);
  families.add(Metric::events, {}, static_cast<double>(status.events));
  families.add(Metric::claims_after_close, {}, static_cast<double>(status.traffic.claims_after_close));
  families.add(Metric::loop_turn, {{"role", "proxy"}}, status.traffic.loop_turn);
  families.add(Metric::loop_turn, {{"role", "supervisor"}}, status.supervisor_turn);
  families.add(Metric::supervisor_heartbeat_age, {}, status.supervisor_beat_age_seconds);
  families.add(Metric::config_last_reload_successful, {}, 1);  // the one read at start: a bad one would not have come this far
  families.add(Metric::build_info, {{"version", std::string(base::version())}, {"compiler", kCompiler}}, 1);
}

void add_process(Families& families, const ProcessUsage& usage) {
  const auto add = [&families](Metric metric, const auto& value) {
    if (value) families.add(metric, {}, static_cast<double>(*value));
  };
  families.add(Metric::process_cpu, {}, usage.cpu_seconds);
  add(Metric::process_resident_memory, usage.resident_bytes);
  add(Metric::process_virtual_memory, usage.virtual_bytes);
  add(Metric::process_open_fds, usage.open_fds);
  add(Metric::process_max_fds, usage.max_fds);
  add(Metric::process_start_time, usage.start_time);
}

}  // namespace

std::vector<prometheus::MetricFamily> ClusterMetrics::Collect() const {
  Families families;
  for (std::size_t i = 0; i < status_.pools.size(); ++i) {
    if (i < status_.traffic.pools.size()) add_traffic(families, status_.pools[i].name, status_.traffic.pools[i]);
    add_pool(families, status_.pools[i]);
  }
  add_cluster(families, status_);
  add_process(families, usage_);
  return families.take();
}

std::string metrics_text(const backends::ClusterStatus& status) {
  const ProcessUsage usage = process_usage();
  std::ostringstream out;
  out.imbue(std::locale::classic());
  prometheus::TextSerializer().Serialize(out, ClusterMetrics(status, usage).Collect());
  return std::move(out).str();
}

}  // namespace drover::admin
