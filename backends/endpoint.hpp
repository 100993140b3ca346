// Role: addresses: where a worker listens, and the sockets on which clients are met.
// Thread: supervisor. Ownership: values; a Listening owns its socket and, for a Unix one, the path it made.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "board/supervisor_board.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <string>

namespace drover::backends {

board::EndpointAddress tcp_endpoint(std::uint16_t port);  ///< on 127.0.0.1
/// Error: the path is too long for a socket's address.
base::Result<board::EndpointAddress> unix_endpoint(const std::string& path);

/// A socket that listens, close-on-exec and non-blocking.
class Listening {
 public:
  /// `name` is for messages: "listener web", "admin". A stale Unix socket (nobody answers on it) is replaced.
  static base::Result<Listening> open(const config::Bind& bind, const std::string& name);

  Listening(Listening&&) = default;
  Listening& operator=(Listening&&) = default;
  ~Listening() { close(); }

  int fd() const { return fd_.get(); }
  /// "127.0.0.1:3000" with the real port, or "unix:/path".
  const std::string& address() const { return address_; }
  /// Hands the socket over; a Unix path stays the caller's to remove.
  base::UniqueFd take() { return std::move(fd_); }
  /// No client is accepted from here on; a Unix path is removed.
  void close();

 private:
  Listening(base::UniqueFd fd, std::string address, std::string path) : fd_(std::move(fd)), address_(std::move(address)), path_(std::move(path)) {}

  base::UniqueFd fd_;
  std::string address_;
  std::string path_;
};

}  // namespace drover::backends
