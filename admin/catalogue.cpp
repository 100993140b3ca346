#include "admin/catalogue.hpp"

#include <array>
#include <cstddef>

namespace drover::admin {

namespace {

using enum MetricType;

// clang-format off
constexpr std::array kCatalogue{
  MetricInfo{Metric::requests, "drover_requests_total", counter, "", "pool,method,code",
      "Exchanges answered to clients, by pool, method class and status code."},
  MetricInfo{Metric::request_duration, "drover_request_duration_seconds", histogram, "seconds", "pool",
      "From a request's whole head to its answer's last byte."},
  MetricInfo{Metric::in_flight, "drover_in_flight", gauge, "", "pool", "Exchanges that hold a worker now."},
  MetricInfo{Metric::queue_length, "drover_queue_length", gauge, "", "pool", "Requests that wait for a worker now."},
  MetricInfo{Metric::queue_wait, "drover_queue_wait_seconds", histogram, "seconds", "pool", "How long requests waited for a worker."},
  MetricInfo{Metric::queue_rejected, "drover_queue_rejected_total", counter, "", "pool,reason",
      "Requests answered 503 without a worker: queue full, wait expired, nobody to hope for, shed for a more important route, breaker open, maintenance."},
  MetricInfo{Metric::retries, "drover_retries_total", counter, "", "pool,reason",
      "Further tries of a request on another connection or worker, by what ended the one before."},
  MetricInfo{Metric::client_connections, "drover_client_connections", gauge, "", "listener", "Open connections from clients."},
  MetricInfo{Metric::client_disconnects, "drover_client_disconnects_total", counter, "", "pool,stage",
      "Clients that left before they had their whole answer, by stage."},
  MetricInfo{Metric::responses_truncated, "drover_responses_truncated_total", counter, "", "pool",
      "Answers begun and then cut, so that the client sees it."},
  MetricInfo{Metric::requests_blocked, "drover_requests_blocked_total", counter, "", "pool",
      "Requests answered 503 because such ones have killed workers."},
  MetricInfo{Metric::requests_spilled, "drover_requests_spilled_total", counter, "", "pool",
      "Requests of the pool that another one took (spill_to)."},
  MetricInfo{Metric::deadline_exceeded, "drover_deadline_exceeded_total", counter, "", "pool",
      "Exchanges ended by their route's timeout or their own X-Request-Timeout."},
  MetricInfo{Metric::retry_budget_exhausted, "drover_retry_budget_exhausted_total", counter, "", "pool",
      "Retries that were allowed and not made, because retry.budget was used up."},
  MetricInfo{Metric::breaker_state, "drover_breaker_state", gauge, "", "pool",
      "The pool's circuit breaker, where it has one: 0 closed, 1 open, 2 half open (one exchange is tried)."},
  MetricInfo{Metric::breaker_opened, "drover_breaker_opened_total", counter, "", "pool", "Times that the pool's circuit breaker has opened."},
  MetricInfo{Metric::clients_limited, "drover_clients_limited_total", counter, "", "listener,reason",
      "Clients answered 429: too many connections or requests from one address (per_client)."},
  MetricInfo{Metric::clients_slow, "drover_clients_slow_total", counter, "", "listener", "Clients sent away for sending slower than rates allow."},
  MetricInfo{Metric::refused, "drover_refused_total", counter, "", "listener,code",
      "Requests that drover refused before a pool was found for them: 400, 404, 408, 414, 417, 421, 429, 431, 501, 505."},
  MetricInfo{Metric::answered_here, "drover_answered_here_total", counter, "", "listener,code",
      "Requests that drover answered in a pool's place: redirects, fixed responses, OPTIONS and TRACE that go no further."},
  MetricInfo{Metric::accept_pauses, "drover_accept_pauses_total", counter, "", "",
      "Times that a proxy thread stopped accepting clients for want of descriptors."},
  MetricInfo{Metric::access_lines, "drover_access_log_lines_total", counter, "", "", "Lines handed to the access log."},
  MetricInfo{Metric::access_dropped, "drover_access_log_dropped_total", counter, "", "",
      "Lines of the access log that were lost because what takes them could not keep up."},
  MetricInfo{Metric::worker_up, "drover_worker_up", gauge, "", "pool,worker", "1: runs, is ready and does not fail its probes."},
  MetricInfo{Metric::worker_state, "drover_worker_state", gauge, "", "pool,worker,state",
      "1 for the lifecycle state that the worker is in, 0 for the others."},
  MetricInfo{Metric::worker_in_flight, "drover_worker_in_flight", gauge, "", "pool,worker", "Exchanges that hold this worker now."},
  MetricInfo{Metric::worker_requests, "drover_worker_requests_total", counter, "", "pool,worker",
      "Exchanges given to this slot, all its incarnations."},
  MetricInfo{Metric::worker_errors, "drover_worker_errors_total", counter, "", "pool,worker",
      "Exchanges that the worker broke: refused, reset, bad framing, timeout."},
  MetricInfo{Metric::worker_memory, "drover_worker_memory_bytes", gauge, "bytes", "pool,worker",
      "Memory of the worker and its descendants, by its own report if it makes one, else sampled."},
  MetricInfo{Metric::worker_cpu, "drover_worker_cpu_seconds_total", counter, "seconds", "pool,worker",
      "CPU time of the slot's processes and their descendants."},
  MetricInfo{Metric::worker_open_fds, "drover_worker_open_fds", gauge, "", "pool,worker", "Open file descriptors of the worker and its descendants."},
  MetricInfo{Metric::worker_restarts, "drover_worker_restarts_total", counter, "", "pool,worker", "Starts of the slot after the first."},
  MetricInfo{Metric::worker_exits, "drover_worker_exits_total", counter, "", "pool,worker,reason",
      "Ends of the slot's processes, by exit code or signal."},
  MetricInfo{Metric::worker_start_time, "drover_worker_start_time_seconds", gauge, "seconds", "pool,worker",
      "Start of the present incarnation, Unix time."},
  MetricInfo{Metric::worker_start_duration, "drover_worker_start_duration_seconds", histogram, "seconds", "pool",
      "From a worker's start to its being ready."},
  MetricInfo{Metric::worker_paused, "drover_worker_paused", gauge, "", "pool,worker", "1: stopped by a signal."},
  MetricInfo{Metric::worker_suspect, "drover_worker_suspect", gauge, "", "pool,worker",
      "1: holds requests and has sent no byte for too long, while its siblings have."},
  MetricInfo{Metric::worker_ejected, "drover_worker_ejected", gauge, "", "pool,worker", "1: gets no new work for a while, since its answers failed."},
  MetricInfo{Metric::worker_declined, "drover_worker_declined", gauge, "", "pool,worker", "1: by its own word it wants no work."},
  MetricInfo{Metric::worker_share, "drover_worker_share_ratio", gauge, "", "pool,worker", "Part of its even share of the work that the worker takes: by its own word, or while it warms up (slow_start)."},
  MetricInfo{Metric::worker_memory_limit, "drover_worker_memory_limit_bytes", gauge, "bytes", "pool,worker",
      "Memory at which the present incarnation is replaced."},
  MetricInfo{Metric::worker_replacing, "drover_worker_replacing", gauge, "", "pool,worker", "1: is to be replaced, or is being replaced."},
  MetricInfo{Metric::worker_leaving, "drover_worker_leaving", gauge, "", "pool,worker", "Earlier incarnations that still drain or stop."},
  MetricInfo{Metric::worker_reported, "drover_worker_reported", gauge, "", "pool,worker,name",
      "The worker's own figures: numbers of the metrics messages on its channel."},
  MetricInfo{Metric::pool_workers, "drover_pool_workers", gauge, "", "pool,state", "Workers of the pool by lifecycle state."},
  MetricInfo{Metric::pool_workers_desired, "drover_pool_workers_desired", gauge, "", "pool", "Workers that the pool should have."},
  MetricInfo{Metric::pool_workers_min, "drover_pool_workers_min", gauge, "", "pool", "Fewest workers that the pool keeps while it is awake."},
  MetricInfo{Metric::pool_workers_max, "drover_pool_workers_max", gauge, "", "pool", "Most workers to which the pool grows by itself."},
  MetricInfo{Metric::pool_asleep, "drover_pool_asleep", gauge, "", "pool", "1: no worker runs until somebody asks (idle_stop)."},
  MetricInfo{Metric::pool_held, "drover_pool_held", gauge, "", "pool", "1: all its requests wait in line, by the operator's order (drover hold)."},
  MetricInfo{Metric::pool_maintenance, "drover_pool_maintenance", gauge, "", "pool",
      "1: all its requests are answered 503, by the operator's order (drover maintenance)."},
  MetricInfo{Metric::pool_rolling, "drover_pool_rolling", gauge, "", "pool", "1: a rolling restart goes on."},
  MetricInfo{Metric::pool_replaced, "drover_pool_replaced_total", counter, "", "pool,reason", "Workers replaced by another one, by why."},
  MetricInfo{Metric::rolls, "drover_rolls_total", counter, "", "pool,result", "Rolling restarts that have ended."},
  MetricInfo{Metric::ejections, "drover_ejections_total", counter, "", "pool", "Times that a worker got no new work because its answers failed."},
  MetricInfo{Metric::suspicions, "drover_suspicions_total", counter, "", "pool", "Times that a worker was suspected of a livelock."},
  MetricInfo{Metric::killers_found, "drover_killers_found_total", counter, "", "pool", "Kinds of request found to kill workers."},
  MetricInfo{Metric::killers_blocked, "drover_killers_blocked", gauge, "", "pool", "Kinds of request answered 503 now because they kill workers."},
  MetricInfo{Metric::channel_messages, "drover_channel_messages_total", counter, "", "pool,direction",
      "Lines on the channels of the pool's workers: in (from them), out (to them)."},
  MetricInfo{Metric::channel_faults, "drover_channel_faults_total", counter, "", "pool,fault",
      "What was wrong on channels: lines too long or not JSON, descriptors passed, pauses, messages dropped for workers that do not read, figures without room."},
  MetricInfo{Metric::channel_closed, "drover_channel_closed_total", counter, "", "pool,why",
      "Channels that have ended: closed by the worker or its end, overflow (it does not read), broken."},
  MetricInfo{Metric::messages_undeliverable, "drover_messages_undeliverable_total", counter, "", "pool,reason",
      "Messages from workers that reached nobody: unknown target, target without a channel, response that nobody waits for, too many requests at once."},
  MetricInfo{Metric::handoff_connections, "drover_handoff_connections_total", counter, "", "pool,result",
      "dispatch = \"handoff\": connections accepted, given to a worker, taken by it, refused by it (given to another), rescued from a dead one, dropped (nobody took them in time)."},
  MetricInfo{Metric::handoff_waiting, "drover_handoff_waiting", gauge, "", "pool", "dispatch = \"handoff\": accepted connections that wait for a worker."},
  MetricInfo{Metric::state_keys, "drover_state_keys", gauge, "", "pool", "Keys of the pool's shared state."},
  MetricInfo{Metric::state_bytes, "drover_state_bytes", gauge, "bytes", "pool", "Names and values of the pool's shared state, as JSON text."},
  MetricInfo{Metric::workers_created, "drover_workers_created_total", counter, "", "", "Workers started."},
  MetricInfo{Metric::workers_died, "drover_workers_died_total", counter, "", "", "Workers that ended without being told to."},
  MetricInfo{Metric::workers_restarted, "drover_workers_restarted_total", counter, "", "", "Workers started in the place of one that ended."},
  MetricInfo{Metric::health_checks, "drover_health_checks_total", counter, "", "", "Probes of running workers."},
  MetricInfo{Metric::proxy_restarts, "drover_proxy_restarts_total", counter, "", "", "Proxies started in the place of one that died or hung."},
  MetricInfo{Metric::exit_to_gate_closed, "drover_exit_to_gate_closed_seconds", histogram, "seconds", "",
      "From the supervisor's knowing of a worker's end to its gate being closed."},
  MetricInfo{Metric::events, "drover_events_total", counter, "", "", "Events of the stream that drover events shows."},
  MetricInfo{Metric::claims_after_close, "drover_claims_after_close_total", counter, "", "",
      "Claims or lease transfers that succeeded on a closed gate. Anything but 0 is a bug in drover."},
  MetricInfo{Metric::loop_turn, "drover_loop_turn_seconds", histogram, "seconds", "role",
      "Time that one turn of an event loop takes, by role (proxy, supervisor)."},
  MetricInfo{Metric::supervisor_heartbeat_age, "drover_supervisor_heartbeat_age_seconds", gauge, "seconds", "",
      "Time since the supervisor's last sign of life."},
  MetricInfo{Metric::config_last_reload_successful, "drover_config_last_reload_successful", gauge, "", "",
      "1: the configuration read last is the one in use."},
  MetricInfo{Metric::build_info, "drover_build_info", gauge, "", "version,compiler", "Always 1; its labels name this build."},
  MetricInfo{Metric::process_cpu, "process_cpu_seconds_total", counter, "seconds", "", "User and system CPU time of the supervisor."},
  MetricInfo{Metric::process_resident_memory, "process_resident_memory_bytes", gauge, "bytes", "", "Resident memory of the supervisor."},
  MetricInfo{Metric::process_virtual_memory, "process_virtual_memory_bytes", gauge, "bytes", "", "Virtual memory of the supervisor."},
  MetricInfo{Metric::process_open_fds, "process_open_fds", gauge, "", "", "Open file descriptors of the supervisor."},
  MetricInfo{Metric::process_max_fds, "process_max_fds", gauge, "", "", "Most file descriptors that the supervisor may open."},
  MetricInfo{Metric::process_start_time, "process_start_time_seconds", gauge, "seconds", "", "Start of the supervisor, Unix time."},
};
// clang-format on

constexpr bool in_order() {
  for (std::size_t i = 0; i < kCatalogue.size(); ++i) {
    if (static_cast<std::size_t>(kCatalogue[i].metric) != i) return false;
  }
  return kCatalogue.size() == static_cast<std::size_t>(Metric::process_start_time) + 1;
}
static_assert(in_order());

}  // namespace

std::span<const MetricInfo> catalogue() { return kCatalogue; }
const MetricInfo& info(Metric metric) { return kCatalogue[static_cast<std::size_t>(metric)]; }

std::string catalogue_table() {
  constexpr std::array kTypes{"counter", "gauge", "histogram"};
  std::string out = "| name | type | labels | meaning |\n|---|---|---|---|\n";
  for (const MetricInfo& each : kCatalogue) {
    out += "| `" + std::string(each.name) + "` | " + kTypes[static_cast<std::size_t>(each.type)] + " | " + std::string(each.labels) + " | " +
           std::string(each.help) + " |\n";
  }
  return out;
}

}  // namespace drover::admin
