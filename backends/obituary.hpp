// Role: why did it die: one record for each death, as `drover why`, the event stream and one log line show it.
// Thread: supervisor's deciding thread. Ownership: values; the last ones are kept by slot (Obituaries).
#pragma once

#include "backends/restart_policy.hpp"
#include "base/units.hpp"
#include "board/flights.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace drover::backends {

struct MemoryPoint {
  double seconds_before = 0;  ///< before the death
  std::uint64_t bytes = 0;
};

struct Obituary {
  std::string pool;
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  double time = 0;  ///< Unix seconds: when its gate was closed
  double uptime_seconds = 0;
  bool was_ready = false;
  bool young = false;      ///< within restart.young of ready
  bool asked_for = false;  ///< by drover: stop, roll, recycle …
  std::string asked_why;   ///< "rolling restart", "recycled: memory", "hung" …; "" when unasked
  Cause cause = Cause::exit_zero;
  std::string exit;           ///< "code 3", "signal SEGV (core dumped)"
  std::string out_of_memory;  ///< the evidence: "the kernel's count of OOM kills in cgroup … rose"; "" = none
  std::uint64_t peak_memory = 0;
  std::vector<MemoryPoint> memory;      ///< its last minute, oldest first
  std::vector<std::string> last_lines;  ///< at most kMaxLines, newest last
  struct Request {
    std::string method;
    std::string path;  ///< without query
    double age_seconds = 0;
  };
  std::vector<Request> in_flight;  ///< at most kMaxRequests
  std::uint32_t in_flight_total = 0;
  std::uint32_t never_ready_in_row = 0;  ///< lives of this slot that ended before ready, this one included
  std::uint32_t young_in_row = 0;        ///< likewise within restart.young
  std::string last_probe;                ///< reason of its last failed probe
  std::string then;                      ///< what follows: "restart in 1.1s", "failed", "nothing"

  static constexpr std::size_t kMaxRequests = 32;
  static constexpr std::size_t kMaxLines = 20;
};

const char* to_text(Cause cause);

/// "shop.3 (incarnation 7) died after 2m: signal SEGV …; 3 requests inside: GET /a (0.2s) …; last words: …". One line whatever it holds.
std::string in_one_line(const Obituary& record);
/// {"worker": "shop.3", "pool", "slot", "incarnation", "time", "uptime", "was_ready", "young", "asked_for", "asked_why", "cause",
/// "self_inflicted", "exit", "out_of_memory", "peak_memory", "memory": [{"before", "bytes"}], "last_lines": [text],
/// "in_flight": [{"method", "path", "age"}], "in_flight_total", "never_ready_in_row", "young_in_row", "last_probe", "then"};
/// times in seconds, sizes in bytes; always valid UTF-8.
boost::json::object to_json(const Obituary& record);

/// The last ones of each slot.
class Obituaries {
 public:
  static constexpr std::size_t kPerSlot = 10;
  void add(Obituary record);
  /// Newest first. `slot` 0: of the whole pool.
  std::vector<const Obituary*> of(const std::string& pool, std::uint32_t slot) const;

 private:
  std::map<std::pair<std::string, std::uint32_t>, std::deque<Obituary>> kept_;
};

}  // namespace drover::backends
