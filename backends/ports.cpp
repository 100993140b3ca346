#include "backends/ports.hpp"

#include "base/unique_fd.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace drover::backends {

namespace {

/// 0, or the errno of a bind to 127.0.0.1. Nothing listens there for a moment: a probe of drover's own can't be answered by it.
int test_bind(std::uint16_t port, bool reuse_address) {
  const base::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const int on = 1;
  if (reuse_address) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

}  // namespace

Ports::Ports(config::PortRange range, std::uint64_t seed) : range_(range), rng_(seed) {}

base::Result<std::uint16_t> Ports::take(base::TimePoint now) {
  std::erase_if(taken_, [now](const auto& entry) { return entry.second && *entry.second <= now; });
  const std::uint32_t count = static_cast<std::uint32_t>(range_.last) - range_.first + 1;
  const auto start = static_cast<std::uint32_t>(rng_.below(count));
  int code = EADDRINUSE;
  // First without SO_REUSEADDR: such a port suits every worker. Where a small range is full of connections in TIME_WAIT (drover was
  // restarted a moment ago), with it: those ports suit any worker that sets it, as nearly all do; a port on which somebody listens
  // fails either way.
  for (const bool reuse_address : {false, true}) {
    for (std::uint32_t step = 0; step < count; ++step) {
      const auto port = static_cast<std::uint16_t>(range_.first + (start + step) % count);
      if (taken_.contains(port)) continue;
      code = test_bind(port, reuse_address);
      if (code == 0) {
        taken_[port] = std::nullopt;
        return port;
      }
      if (code == EMFILE || code == ENFILE) return base::system_error("can't look for a free port (raise the limit of open files: ulimit -n)", code);
    }
  }
  return base::Error{"no port of " + std::to_string(range_.first) + "-" + std::to_string(range_.last) + " is free (" + std::to_string(taken_.size()) +
                         " in use or resting): widen [cluster] ports",
                     code};
}

void Ports::give_back(std::uint16_t port, base::TimePoint now) {
  const auto found = taken_.find(port);
  if (found != taken_.end()) found->second = now + kRest;
}

}  // namespace drover::backends
