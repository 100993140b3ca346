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

/// A socket that listens, close-on-exec.
class Listening {
 public:
  enum class Accepts : std::uint8_t {
    here,       ///< non-blocking: drover's own loops accept
    by_others,  ///< blocking, and left so: workers that accept on it share its flags, and many know only a blocking one. No loop may touch it
  };
  /// `name` is for messages: "listener web", "admin". A stale Unix socket (nobody answers on it) is replaced.
  static base::Result<Listening> open(const config::Bind& bind, const std::string& name, Accepts accepts = Accepts::here);

  Listening(Listening&&) = default;
  Listening& operator=(Listening&&) = default;
  ~Listening() { close(); }

  int fd() const { return fd_.get(); }
  /// "127.0.0.1:3000" with the real port, or "unix:/path".
  const std::string& address() const { return address_; }
  /// Hands the socket over; a Unix path stays the caller's to remove.
  base::UniqueFd take() { return std::move(fd_); }
  /// No client is accepted here from here on; a Unix path is removed. Others that accept on the socket go on until they close it, too.
  void close();

 private:
  Listening(base::UniqueFd fd, std::string address, std::string path, Accepts accepts)
      : fd_(std::move(fd)), address_(std::move(address)), path_(std::move(path)), accepts_(accepts) {}

  base::UniqueFd fd_;
  std::string address_;
  std::string path_;
  Accepts accepts_;
};

}  // namespace drover::backends
