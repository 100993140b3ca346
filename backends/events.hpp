// Role: the event stream: everything that happens to workers, pools, the proxy and the cluster, as `drover events` shows it.
// Thread: supervisor's deciding thread. Ownership: the Supervisor owns the one journal; readers keep numbers (journal.hpp).
#pragma once

#include "backends/journal.hpp"
#include "base/units.hpp"

#include <boost/json/object.hpp>

#include <cstddef>
#include <string>

namespace drover::backends {

/// One event. As a JSON line: {"number", "time", "event", "worker", "pool", "slot", "incarnation", …data}.
struct ClusterEvent {
  double time = 0;         ///< Unix seconds
  std::string name;        ///< see kEventNames
  std::string pool;        ///< "" = of the cluster
  std::uint32_t slot = 0;  ///< 0 = of the pool
  base::Incarnation incarnation = 0;
  boost::json::object data;  ///< small, flat
  std::string message;       ///< workerMessage: what it sent, as JSON text on one line; shown as member "message"; "" = none

  std::size_t bytes() const {
    std::size_t sum = 320 + message.size();
    for (const auto& each : data) {
      const auto& value = each.value();
      sum += 96 + (value.is_string() ? value.get_string().size() : 0) + (value.is_object() ? value.get_object().size() * 128 : 0);
    }
    return sum;
  }
  /// What a worker says of its own accord, as often as it likes.
  bool chatter() const { return name == "workerMessage" || name == "workerMetrics"; }
};

using EventJournal = Journal<ClusterEvent>;
inline constexpr std::size_t kEventsKept = 10'000;
inline constexpr std::size_t kEventBytesKept = 8 * 1024 * 1024;
inline constexpr EventJournal::Room kChatterKept{kEventsKept / 2, 2 * 1024 * 1024};

/// Every name that there is, with what it says: `drover events --names` and docs/operations.md show this table. Those of CLUSTER's
/// managed cluster carry its names.
struct EventName {
  const char* name;
  const char* help;
};
inline constexpr EventName kEventNames[] = {
    {"workerOnline", "a worker's process was started: pid, endpoint"},
    {"workerListening", "it is ready and gets work: after (seconds)"},
    {"workerExit", "its process has ended: code or signal, asked, uptime; an obituary when it was not asked to"},
    {"workerDisconnect", "it gets no new work and is drained: why"},
    {"workerMaxRestarts", "too many deaths within restart.within: the slot is failed; gaveUp"},
    {"workerRestart", "it will be started again: delay (seconds), restarts"},
    {"workerNeverReady", "it was not ready within ready.timeout: reason"},
    {"workerHighMemory", "above alert.memory: bytes, limit, source"},
    {"workerHighCPU", "above alert.cpu: percent, limit"},
    {"workerHealth", "its health has changed: health, reason"},
    {"workerSuspect", "requests inside and no byte for too long while its siblings move; or it moves again: suspect, stalled (seconds)"},
    {"workerEjected", "its answers fail: no new work for a while, or back again: ejected, reason, seconds"},
    {"workerHung", "none of its requests moved for hang.after and it did nothing: diagnosis; it is replaced"},
    {"workerStopped", "stopped by a signal (SIGSTOP), or continued: stopped"},
    {"workerSilent", "it used to report and has been silent for two intervals: it is replaced"},
    {"workerKilled", "it did not end in time and was killed"},
    {"workerRecycle", "it is replaced for its memory, requests or age: why, figure, limit"},
    {"workerMetrics", "its own figures: metrics"},
    {"workerMessage", "a message from it: message, type, target; of one beyond 64KiB only bytes, cut"},
    {"workerIntent", "drained or resumed by the operator: intent"},
    {"healthCheck", "a probe whose result differs from the last one: passed, reason"},
    {"rollStarted", "a rolling restart of a pool has begun: workers, why"},
    {"rollProgress", "one more worker is replaced: done, total"},
    {"rollDone", "all are replaced: seconds"},
    {"rollFailed", "a new incarnation failed its gate, the old ones stay: slot, reason, lastLines, probes"},
    {"scaled", "another number of workers is wanted: from, to, why (operator, load, idle, demand, signal)"},
    {"poolHeld", "drover hold: its requests wait: for seconds at most"},
    {"poolReleased", "they are let through: why (operator, time, stopping), after seconds, waiting (how many)"},
    {"poolMaintenance", "drover maintenance: its requests are answered 503, or no longer: on, message"},
    {"breakerOpened", "too many exchanges of a pool failed: answered 503 but for a try now and then: opened (times since start)"},
    {"breakerClosed", "a try has succeeded: the pool serves again"},
    {"killerFound", "a kind of request kills workers: method, path, deaths; answered 503 for a while"},
    {"killerReleased", "it is let through again"},
    {"proxyReady", "the proxy accepts clients: pid"},
    {"proxyExit", "the proxy has ended: code or signal"},
    {"descriptorsExhausted", "the proxy has no descriptor left and accepts nobody for a while: times (since the last such event), limit"},
    {"clusterReady", "every pool has a worker, for the first time"},
    {"clusterStopping", "the cluster stops: why"},
    {"error", "something of drover's own went wrong: reason"},
};

/// One line of a worker's output.
struct OutputLine {
  double time = 0;  ///< Unix seconds
  std::string pool;
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  std::string text;  ///< control characters escaped

  std::size_t bytes() const { return 128 + text.size(); }
  static constexpr bool chatter() { return false; }
};
using OutputJournal = Journal<OutputLine>;
inline constexpr std::size_t kLinesKept = 20'000;
inline constexpr std::size_t kLineBytesKept = 4 * 1024 * 1024;

}  // namespace drover::backends
