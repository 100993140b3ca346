// Role: one NOTIFY_SOCKET (sd_notify(3), unix(7) SOCK_DGRAM) per incarnation: its path is the sender's identity. Datagrams are
//       drained fast (the kernel queues about 10), bounded per turn; passed descriptors are closed at once, so that a sender
//       that waits at a BARRIER=1 goes on.
// Thread: supervisor's loop. Ownership: owns the socket and its path in the runtime folder; both end with it.
#pragma once

#include "backends/report.hpp"
#include "base/result.hpp"

#include <boost/asio/io_context.hpp>

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace drover::backends {

class NotifySocket {
 public:
  static constexpr std::size_t kMaxDatagram = 4096;
  static constexpr int kPerTurn = 64;
  static constexpr int kPerSecond = 1000;  ///< beyond it the worker's own writes wait

  /// `owner`: who may write to it besides us (started as root); the folder of `path` must be ours alone to write. `heard` is called
  /// from the loop and may destroy the socket.
  static base::Result<std::unique_ptr<NotifySocket>> open(boost::asio::io_context& io, std::string path, std::optional<uid_t> owner,
                                                          std::function<void(const Report&)> heard);
  virtual ~NotifySocket() = default;
  virtual const std::string& path() const = 0;
};

}  // namespace drover::backends
