// Role: what drover holds for the channel of one incarnation of a worker: the channel itself, Node's protocol on it, and what was said.
// Thread: supervisor's loop. Ownership: owns both; lives in the worker's Holding and may end while its own handlers run.
#pragma once

#include "backends/node_worker.hpp"
#include "base/units.hpp"
#include "ipc/channel.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace drover::backends {

struct WorkerLine {
  static constexpr std::size_t kMetricsMost = 64;     ///< names of a worker's own figures
  static constexpr std::size_t kMetricNameMost = 64;  ///< bytes of one

  std::unique_ptr<ipc::Channel> channel;  ///< none: closed, or never made
  std::unique_ptr<NodeWorker> node;       ///< none: not a Node program

  std::map<std::string, double> metrics;  ///< of its last metrics messages
  std::uint64_t requests = 0;             ///< messages {type: "request"}
  std::uint64_t errors = 0;               ///< messages {type: "error"}
  std::string last_error;
  ipc::Channel::Counts counts;  ///< once it is closed
  bool was_open = false;
  bool over = false;  ///< its worker is dead: what it said before is heard, but no longer believed to be so

  std::array<std::uint64_t, ipc::kChannelFaults> unsaid{};  ///< faults that the log has not told of
  std::string bad_line;                                     ///< how the last one began
  std::optional<base::TimePoint> said_faults;

  // Node, cluster.
  std::optional<ListenQuery> main;  ///< the server that clients are given
  bool listening = false;           ///< it said so of `main`
  bool private_socket = false;      ///< `main` has a listening socket that drover made; the row's endpoint is its address
  bool main_closed = false;         ///< it had one, closed it while running, and may listen again
  bool told_passed = false;         ///< that it sends handles was said
  std::uint32_t refusals_said = 0;  ///< since refusals_from
  std::optional<base::TimePoint> refusals_from;
  std::uint32_t taken = 0;  ///< connections that it has taken since its descriptors were last counted
  base::TimePoint counted_at{};
};

/// What a pool keeps of channels that are closed.
struct ChannelTotals {
  std::uint64_t lines_in = 0;
  std::uint64_t lines_out = 0;
  std::array<std::uint64_t, ipc::kChannelFaults> faults{};
  std::uint64_t metrics_passed_over = 0;  ///< figures: too many, or names that are none
  std::map<std::string, std::uint64_t> closed;

  void add(const ipc::Channel::Counts& counts) {
    lines_in += counts.lines_in;
    lines_out += counts.lines_out;
    for (std::size_t i = 0; i < faults.size(); ++i) faults[i] += counts.faults[i];
  }
};

}  // namespace drover::backends
