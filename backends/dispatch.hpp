// Role: what a pool whose clients do not come through the proxy knows of its public listeners.
// Thread: supervisor's deciding thread. Ownership: values; the sockets are the supervisor's.
#pragma once

#include <cstdint>
#include <string>

namespace drover::backends {

struct PublicListener {
  int fd = -1;
  std::string name;
  std::string host;  ///< "" of a Unix one
  std::uint16_t port = 0;
  std::string path;  ///< of a Unix one
};

/// `address` as Listening::address() says it: "127.0.0.1:3000", "[::]:3000", "unix:/path".
PublicListener public_listener(int fd, const std::string& name, const std::string& address);

}  // namespace drover::backends
