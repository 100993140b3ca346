// Role: what drover holds for one incarnation of a worker, and what its slot keeps over all of them.
// Thread: supervisor's deciding thread. Ownership: a Seat owns its Holdings; a Holding owns its running probe and its NOTIFY_SOCKET.
#pragma once

#include "backends/lifecycle.hpp"
#include "backends/notify_socket.hpp"
#include "backends/pool_control.hpp"
#include "backends/prober.hpp"
#include "backends/process_host.hpp"
#include "backends/recycle.hpp"
#include "backends/report.hpp"
#include "backends/worker_launch.hpp"
#include "backends/worker_line.hpp"
#include "base/units.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// What a worker has said of itself, whichever way it came.
struct OwnWord {
  template <class T>
  struct Said {
    T value{};
    base::TimePoint at{};
  };
  std::optional<Said<std::uint64_t>> memory_bytes;
  std::optional<Said<double>> cpu_percent;
  std::string status;
  std::optional<ReportSource> source;  ///< of the last report; none: it has said nothing
  base::TimePoint at{};                ///< of the last report
  std::uint32_t share = kWholeShare;
  /// When it last reported by itself as one does again and again (WATCHDOG=1, figures): its silence would say something.
  std::optional<base::TimePoint> regular_at;
  bool ready = false;   ///< it has said so
  bool silent = false;  ///< that it has fallen silent was said
  /// READY=1 was said before its socket listened: when that was last looked at.
  std::optional<base::TimePoint> ready_too_early;
};

/// Memory of a worker's process tree, by the best source there is.
struct MemoryFigure {
  std::uint64_t bytes = 0;
  const char* source = "";
  std::uint64_t rss = 0;
  // The last proportional figure, and what RSS was then.
  std::uint64_t pss = 0;
  std::uint64_t rss_at_pss = 0;
  bool pss_asked = false;
  bool pss_unreadable = false;
};

struct ProbeResult {
  base::TimePoint at{};
  bool passed = false;
  std::string reason;
};

/// CPU time of a worker that has stood still, a point now and then: did it compute over the last `hang.after`?
struct Standstill {
  struct Point {
    base::TimePoint at{};
    double cpu_seconds = 0;
  };
  static constexpr std::size_t kPoints = 24;
  std::deque<Point> points;
  base::TimePoint diagnosed{};
  bool said_busy = false;
};

struct Holding {
  static constexpr std::size_t kProbesKept = 8;
  enum class Owner : std::uint8_t { known, unknowable };

  base::Incarnation incarnation = 0;
  Owner owner = Owner::known;
  bool dying = false;             ///< its end is known, and not yet told to the control side
  bool cut_while_paused = false;  ///< Cut::stopped was sent
  bool high_memory = false;       ///< alerts
  bool high_cpu = false;
  Why recycle_asked = Why::none;
  std::optional<std::uint32_t> row;
  WorkerEndpoint endpoint;
  base::TimePoint started{};
  double start_time = 0;    ///< Unix time
  std::string note;         ///< why it is as it is: the last probe's failure
  std::string leaving_why;  ///< why it drains or stops, in words

  std::unique_ptr<Probe> probe;
  std::deque<ProbeResult> probes;  ///< the last ones, oldest first
  std::unique_ptr<NotifySocket> notify;
  WorkerLine line;
  OwnWord word;

  std::optional<Usage> usage;
  base::TimePoint sampled_at{};  ///< usage
  base::TimePoint weighed_at{};  ///< memory
  base::Millis weigh_every = Recycling::kSlowest;
  double cpu_percent = 0;
  MemoryFigure memory;
  std::optional<Recycling> recycling;
  base::TimePoint recycle_asked_at{};

  std::optional<base::TimePoint> paused_since;
  std::string ejected_why;
  base::Millis ejected_for{0};
  std::string diagnosis;
  Standstill standstill;
};

/// How an incarnation failed before it was ready: what an operator wants to read when a restart or a roll stops there.
struct StartFailure {
  base::Incarnation incarnation = 0;
  base::TimePoint at{};
  std::string reason;
  std::vector<std::string> last_lines;
  std::vector<std::string> probes;
};

/// One slot.
struct Seat {
  std::map<base::Incarnation, Holding> lives;  ///< its present one, its successor, those that leave: never more than a few
  std::string note;                            ///< last exit, why it was not started
  double cpu_before = 0;                       ///< of incarnations that are gone
  std::uint64_t requests_before = 0;           ///< likewise, by their own word
  std::uint64_t errors_before = 0;
  std::map<std::string, std::uint64_t> exits;
  std::uint32_t never_ready_in_row = 0;
  std::uint32_t young_in_row = 0;
  StartFailure failure;                 ///< the last one
  Why replacing = Why::none;            ///< why the last successor was started
  Lifecycle seen = Lifecycle::stopped;  ///< last told in an event
};

}  // namespace drover::backends
