// Role: the cluster's state as plain structs, for whoever shows it (/status, /metrics). A copy: showing it changes nothing.
// Thread: made and read on the supervisor's thread. Ownership: values.
#pragma once

#include "balancer/breaker.hpp"
#include "base/units.hpp"
#include "board/proxy_board.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

enum class Lifecycle : std::uint8_t { starting, running, draining, stopping, stopped, backoff, failed };
enum class Health : std::uint8_t { unknown, passing, failing };
enum class Intent : std::uint8_t { enabled, drained };

const char* to_text(Lifecycle value);
const char* to_text(Health value);
const char* to_text(Intent value);

struct WorkerStatus {
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  pid_t pid = 0;  ///< 0: no process now
  Lifecycle lifecycle = Lifecycle::stopped;
  Health health = Health::unknown;
  Intent intent = Intent::enabled;
  bool eligible = false;
  std::string endpoint;        ///< "127.0.0.1:20001" or "unix:/path"
  double uptime_seconds = 0;   ///< of this incarnation; 0 without a process
  double start_time = 0;       ///< Unix time of this incarnation's start; 0 without a process
  std::uint64_t requests = 0;  ///< by the slot, all its incarnations
  std::uint64_t errors = 0;    ///< exchanges the worker broke, likewise
  std::uint32_t in_flight = 0;
  std::uint64_t restarts = 0;
  std::map<std::string, std::uint64_t> exits;  ///< by reason: "0", "1", "KILL", "SEGV" …
  std::uint64_t memory_bytes = 0;
  std::string memory_source;  ///< "rss", "report", "" when unknown
  double cpu_percent = 0;     ///< of one core over the last interval
  double cpu_seconds = 0;     ///< of the slot, all its incarnations: never falls
  std::uint32_t open_fds = 0;
  bool paused = false;          ///< stopped by a signal
  bool suspect = false;         ///< no byte for too long while siblings move
  bool ejected = false;         ///< its answers fail
  bool declined = false;        ///< by its own word it wants no work
  std::uint32_t share = 100;    ///< percent of its even part, by its own word or as far as it is warm
  double warming_seconds = -1;  ///< until it is (slow_start); < 0: it is
  double stalled_seconds = 0;   ///< requests inside and no byte for so long; 0: it moves
  std::string health_reason;    ///< of the last failed probe, the silence, …; "" while passing
  std::string reported_status;  ///< STATUS=, {"status": …}
  std::string reported_by;      ///< "probe", "notify", "channel"; "" = it never reported
  double report_age_seconds = 0;
  std::uint64_t memory_limit = 0;       ///< recycle.memory as it holds for this incarnation; 0: none
  double memory_forecast_seconds = -1;  ///< until the nearest memory limit; < 0: it does not grow
  std::string replacing;                ///< why it is to be or is being replaced: "rolling restart" …; "" = it is not
  base::Incarnation successor = 0;      ///< being started beside it; 0: none
  std::uint32_t leaving = 0;            ///< old incarnations that still drain or stop
  double restart_in_seconds = -1;       ///< backoff, failed: until the next start; < 0: none
  std::string note;                     ///< why it is as it is: last probe's reason, "listener's owner can't be read", last exit

  std::string channel = "none";           ///< "open"; "closed"; "none": it never had one
  std::uint64_t messages_in = 0;          ///< from this incarnation
  std::uint64_t messages_out = 0;         ///< to it
  std::uint64_t reported_requests = 0;    ///< messages {type: "request"} of the slot, all its incarnations
  std::uint64_t reported_errors = 0;      ///< likewise {type: "error"}
  std::string last_error;                 ///< what the last of them said
  std::map<std::string, double> metrics;  ///< its own figures
};

struct PoolStatus {
  std::string name;
  std::string strategy;
  std::uint64_t position = 0;  ///< slot whose turn it was last; 0: nobody's yet, or the strategy has no turns
  std::uint32_t desired = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t queue_length = 0;
  std::vector<WorkerStatus> workers;
  board::HistogramTotals start_duration;  ///< spawn to ready

  std::uint32_t fewest = 0;  ///< workers: { min, max }; both are `desired` at start where it is fixed
  std::uint32_t most = 0;
  std::uint32_t capacity = 0;  ///< to which it can be scaled while running
  bool asleep = false;         ///< idle_stop: no worker until somebody asks
  double hold_seconds = -1;    ///< `drover hold`: until its requests are let through; < 0: it is not held
  bool maintenance = false;    ///< `drover maintenance`: its requests are answered 503
  std::string maintenance_message;
  std::optional<balancer::BreakerState> breaker;  ///< of the live proxy; none: the pool has no breaker
  struct Roll {
    std::string phase;  ///< "none", "running", "done", "failed"
    std::uint32_t done = 0;
    std::uint32_t total = 0;
    std::string reason;  ///< failed: why
  };
  Roll roll;
  struct Blocked {
    std::string method;
    std::string path;
    std::uint32_t deaths = 0;
    double seconds_left = 0;
  };
  std::vector<Blocked> blocked;                   ///< requests that kill workers
  std::map<std::string, std::uint64_t> replaced;  ///< by reason: "memory", "rolling" … since start
  std::map<std::string, std::uint64_t> rolls;     ///< "done", "failed"
  std::uint64_t ejections = 0;
  std::uint64_t suspicions = 0;
  std::uint64_t killers_found = 0;
  double p99_seconds = 0;  ///< of the last minute's exchanges

  bool requests_reported = false;  ///< drover does not see its requests: what workers report stands for them
  std::uint64_t messages_in = 0;
  std::uint64_t messages_out = 0;
  std::map<std::string, std::uint64_t> channel_faults;  ///< by fault
  std::map<std::string, std::uint64_t> channel_closed;  ///< by why
  std::map<std::string, std::uint64_t> undeliverable;   ///< messages from its workers, by reason
  std::size_t state_keys = 0;
  std::size_t state_bytes = 0;
  /// dispatch = "handoff": connections. Members as Handoff::Counts.
  struct Handed {
    std::uint64_t accepted = 0;
    std::uint64_t given = 0;
    std::uint64_t taken = 0;
    std::uint64_t refused = 0;
    std::uint64_t rescued = 0;
    std::uint64_t dropped = 0;
    std::size_t waiting = 0;  ///< now
  };
  std::optional<Handed> handoff;
};

struct ProxyStatus {
  pid_t pid = 0;
  std::uint32_t threads = 0;
  bool ready = false;
};

struct ListenerStatus {
  std::string name;
  std::string address;  ///< with the real port
  std::uint64_t connections = 0;
};

struct ClusterStatus {
  pid_t pid = 0;  ///< init's: the documented one
  pid_t supervisor = 0;
  double uptime_seconds = 0;
  double start_time = 0;  ///< Unix time
  bool stopping = false;
  bool ready = false;  ///< proxy ready and every pool has an eligible worker
  std::uint64_t created = 0;
  std::uint64_t died = 0;
  std::uint64_t restarted = 0;
  std::uint64_t health_checks = 0;
  std::uint64_t proxy_restarts = 0;
  double supervisor_beat_age_seconds = 0;
  std::string admin_address;
  std::uint64_t events = 0;              ///< number of the last one
  board::HistogramTotals exit_to_close;  ///< from the loop's knowing of a worker's end to its gate being closed
  std::vector<ProxyStatus> proxies;
  std::vector<ListenerStatus> listeners;
  std::vector<PoolStatus> pools;
  board::Totals traffic;  ///< dead and live proxies together
  board::HistogramTotals supervisor_turn;
  std::vector<std::string> degraded;  ///< what does not hold here and why
};

}  // namespace drover::backends
