// Role: one door of the admin side, TCP or Unix: HTTP/1.1, one request per connection, bodies as long as their path takes, answers at once or line
//       by line; all bounded. What is answered is api.hpp's business.
// Thread: the supervisor's, on its io_context; never blocks. Ownership: owns the listening socket, every connection and every line
//         source; they end with close() or the destructor, and nothing of `door` is called after.
#pragma once

#include "admin/api.hpp"
#include "base/unique_fd.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace drover::admin {

struct ServerTimes {
  std::chrono::milliseconds limit{10'000};      ///< from accept to the answer's last byte; not of streams
  std::chrono::milliseconds heartbeat{15'000};  ///< of silence in a stream: then an empty line
  std::chrono::milliseconds finish{1'000};      ///< for the last lines of streams when the cluster has ended
};

class AdminServer {
 public:
  static constexpr std::size_t kMaxHead = 8 * 1024;
  static constexpr std::size_t kMaxConnections = 32;
  static constexpr std::size_t kMaxStreams = 16;                ///< of the connections: the rest is left for those who only ask
  static constexpr std::size_t kMaxIgnored = 16 * 1024 * 1024;  ///< of what nobody asked for, read so that the answer isn't reset away

  /// `listening`: bound and listening, TCP or Unix. On a Unix socket only root and this process's own user are served.
  AdminServer(boost::asio::io_context& io, base::UniqueFd listening, Rights rights, ClusterDoor door, ServerTimes times = {});
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  /// The cluster has ended: listens no more, gives what is left in the streams, at most for ServerTimes::finish. `ended` is called once,
  /// never from within this call; not at all when close() comes before.
  void finish(std::function<void()> ended);
  /// Stops listening and cuts what is open.
  void close();
  std::size_t connections() const;
  std::size_t streaming() const;

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace drover::admin
