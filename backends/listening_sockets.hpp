// Role: the kernel's listening TCP sockets of one port: which addresses they have, how many connections wait in their queues
//       (sock_diag(7): some 30 µs; /proc/net/tcp: milliseconds).
// Thread: supervisor's deciding thread. Ownership: values.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace drover::backends {

inline constexpr std::uint32_t kLoopback = 0x7f000001;  ///< 127.0.0.1

/// How closely a listening socket's address fits a connection to the IPv4 address asked about: the kernel gives it to the closest.
enum class Fit : std::uint8_t { none, other_loopback, any6, any4, exact };

struct ListeningSocket {
  Fit fit = Fit::none;
  std::uint64_t inode = 0;
  std::uint32_t waiting = 0;  ///< connections that nobody has accepted yet
};

/// IPv4 and IPv6. None: the machine doesn't tell (sandbox, no /proc/net).
std::optional<std::vector<ListeningSocket>> listening_sockets(std::uint16_t port, std::uint32_t host = kLoopback);

}  // namespace drover::backends
