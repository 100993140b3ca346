// Role: the metric catalogue: every metric declared once, with type, unit, labels and help. Exposition uses it; reference
//       documentation is made from it.
// Thread: any; constant. Ownership: static data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace drover::admin {

enum class Metric : std::uint8_t {
  requests,
  request_duration,
  in_flight,
  queue_length,
  queue_wait,
  queue_rejected,
  retries,
  client_connections,
  client_disconnects,
  responses_truncated,
  requests_blocked,
  requests_spilled,
  deadline_exceeded,
  retry_budget_exhausted,
  breaker_state,
  breaker_opened,
  clients_limited,
  clients_slow,
  refused,
  answered_here,
  accept_pauses,
  access_lines,
  access_dropped,
  worker_up,
  worker_state,
  worker_in_flight,
  worker_requests,
  worker_errors,
  worker_memory,
  worker_cpu,
  worker_open_fds,
  worker_restarts,
  worker_exits,
  worker_start_time,
  worker_start_duration,
  worker_paused,
  worker_suspect,
  worker_ejected,
  worker_declined,
  worker_share,
  worker_memory_limit,
  worker_replacing,
  worker_leaving,
  worker_reported,
  pool_workers,
  pool_workers_desired,
  pool_workers_min,
  pool_workers_max,
  pool_asleep,
  pool_held,
  pool_maintenance,
  pool_rolling,
  pool_replaced,
  rolls,
  ejections,
  suspicions,
  killers_found,
  killers_blocked,
  channel_messages,
  channel_faults,
  channel_closed,
  messages_undeliverable,
  handoff_connections,
  handoff_waiting,
  state_keys,
  state_bytes,
  workers_created,
  workers_died,
  workers_restarted,
  health_checks,
  proxy_restarts,
  exit_to_gate_closed,
  events,
  claims_after_close,
  loop_turn,
  supervisor_heartbeat_age,
  config_last_reload_successful,
  build_info,
  process_cpu,
  process_resident_memory,
  process_virtual_memory,
  process_open_fds,
  process_max_fds,
  process_start_time,
};

enum class MetricType : std::uint8_t { counter, gauge, histogram };

struct MetricInfo {
  Metric metric;
  std::string_view name;
  MetricType type;
  std::string_view unit;    ///< "seconds", "bytes", "" = pieces
  std::string_view labels;  ///< comma-separated
  std::string_view help;
};

/// In the order of the enumeration.
std::span<const MetricInfo> catalogue();
const MetricInfo& info(Metric metric);
/// The whole catalogue as a table of docs/operations.md: what `drover check --metrics` prints.
std::string catalogue_table();

}  // namespace drover::admin
