// Role: proportional memory (PSS, smaps_rollup: proc(5)) of process trees, read by one helper thread, so that its 1.5-2 ms per 100 MiB
//       never hold up the deciding thread, and within kShare of one core.
// Thread: asked and answered on the supervisor's loop; read in its own thread, which spawns nothing. Ownership: owns that thread.
#pragma once

#include <boost/asio/io_context.hpp>

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace drover::backends {

class PssReader {
 public:
  static constexpr double kShare = 0.005;
  static constexpr std::size_t kMaxWaiting = 64;  ///< requests; further ones are refused, the caller asks again at its next sample

  explicit PssReader(boost::asio::io_context& io);
  ~PssReader();
  PssReader(const PssReader&) = delete;

  /// `answer`: the sum over `pids` in bytes; none: not readable (another user's, no smaps_rollup). Called from the loop unless the
  /// reader is destroyed first. `urgent`: a limit is near: goes first and beyond kShare, at the cost of later ones. False: too many
  /// are waiting. The first request starts the thread; every signal is blocked in it.
  bool ask(std::vector<pid_t> pids, bool urgent, std::function<void(std::optional<std::uint64_t>)> answer);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace drover::backends
