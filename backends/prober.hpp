// Role: one probe at a time per worker: connect, or a GET whose status counts. Reads at most a small answer, never blocks.
// Thread: supervisor's loop. Ownership: a running probe owns its socket and ends within its timeout.
#pragma once

#include "backends/report.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"
#include "board/supervisor_board.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

struct ProbeSpec {
  board::EndpointAddress endpoint;
  std::string http;         ///< path; "" = connect only
  std::string host;         ///< Host header
  std::vector<int> status;  ///< expected
  base::Millis timeout{2000};
};

struct ProbeAnswer {
  bool passed = false;
  std::string reason;            ///< "connect refused", "503", "timeout after 2s", "not ready by its own report", "down by its own report: disk full"
  std::optional<Report> report;  ///< what its answer says beyond the status, also of a probe that failed
};

/// Starts a probe; `done` is called once, from the loop. Destroying the returned handle cancels it and `done` is not called.
class Probe {
 public:
  virtual ~Probe() = default;
};
/// `connected`: ask there, on a connection that was made already, instead of at spec.endpoint.
std::unique_ptr<Probe> start_probe(boost::asio::io_context& io, ProbeSpec spec, std::function<void(ProbeAnswer)> done, base::UniqueFd connected = {});

}  // namespace drover::backends
