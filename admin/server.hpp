// Role: the admin HTTP server: /metrics /livez /readyz /status. GET and HEAD only, one request per connection, all bounded.
// Thread: the supervisor's, on its io_context; never blocks. Ownership: owns the listening socket and every connection; they end
//         with close() or the destructor, and `status` is not called after.
#pragma once

#include "admin/answers.hpp"
#include "base/unique_fd.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace drover::admin {

class AdminServer {
 public:
  static constexpr std::size_t kMaxHead = 8 * 1024;
  static constexpr std::size_t kMaxConnections = 32;
  static constexpr std::chrono::seconds kTimeLimit{10};  ///< from accept to the answer's last byte
  static constexpr std::size_t kMaxIgnored = 64 * 1024;  ///< of a body nobody asked for, read so that the answer isn't reset away

  /// `listening`: bound and listening, TCP or Unix. `listen_host`: the host part of `admin.listen`.
  AdminServer(boost::asio::io_context& io, base::UniqueFd listening, std::string listen_host, StatusFn status,
              std::chrono::milliseconds time_limit = kTimeLimit);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  /// Stops listening and cuts what is open.
  void close();
  std::size_t connections() const;

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace drover::admin
