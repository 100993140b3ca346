// Role: one probe at a time per worker: connect, or a GET whose status counts. Reads at most a small answer, never blocks.
// Thread: supervisor's loop. Ownership: a running probe owns its socket and ends within its timeout.
#pragma once

#include "base/units.hpp"
#include "board/supervisor_board.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// A worker's own word in a probe's JSON answer: {"memory": bytes, "cpu": percent of one core, "ready": bool}.
struct Report {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<double> cpu_percent;
  std::optional<bool> ready;
};

struct ProbeSpec {
  board::EndpointAddress endpoint;
  std::string http;         ///< path; "" = connect only
  std::string host;         ///< Host header
  std::vector<int> status;  ///< expected
  base::Millis timeout{2000};
};

struct ProbeAnswer {
  bool passed = false;
  std::string reason;  ///< "connect refused", "503", "timeout after 2s", "not ready by its own report"
  std::optional<Report> report;
};

/// Starts a probe; `done` is called once, from the loop. Destroying the returned handle cancels it and `done` is not called.
class Probe {
 public:
  virtual ~Probe() = default;
};
std::unique_ptr<Probe> start_probe(boost::asio::io_context& io, ProbeSpec spec, std::function<void(ProbeAnswer)> done);

}  // namespace drover::backends
