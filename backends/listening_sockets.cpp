#include "backends/listening_sockets.hpp"

#include "base/unique_fd.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace drover::backends {

namespace {

constexpr int kMaxReads = 4096;        // of 32 KiB: far more listening sockets than a machine has
constexpr std::uint32_t kListen = 10;  // TCP_LISTEN as the kernel numbers states

Fit fit_of(int family, const std::uint32_t (&words)[4], std::uint32_t asked) {
  if (family == AF_INET) {
    const std::uint32_t host = ntohl(words[0]);
    return host == asked ? Fit::exact : host == INADDR_ANY ? Fit::any4 : Fit::none;
  }
  in6_addr address{};
  std::memcpy(&address, words, sizeof address);
  if (IN6_IS_ADDR_UNSPECIFIED(&address)) return Fit::any6;
  if (IN6_IS_ADDR_LOOPBACK(&address)) return Fit::other_loopback;
  return IN6_IS_ADDR_V4MAPPED(&address) ? fit_of(AF_INET, {words[3], 0, 0, 0}, asked) : Fit::none;
}

bool request_dump(int netlink, int family) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 body;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = static_cast<std::uint8_t>(family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << kListen;
  return send(netlink, &request, sizeof request, 0) == static_cast<ssize_t>(sizeof request);
}

/// false: not permitted or not there (sandbox, kernel without inet_diag).
bool ask_kernel(int family, std::uint16_t port, std::uint32_t host, std::vector<ListeningSocket>& out) {
  const base::UniqueFd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  const timeval patience{1, 0};
  if (!netlink || setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) return false;
  if (!request_dump(netlink.get(), family)) return false;
  alignas(nlmsghdr) std::array<char, 32 * 1024> buffer;
  for (int reads = 0; reads < kMaxReads; ++reads) {
    const ssize_t got = recv(netlink.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    auto left = static_cast<std::uint32_t>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) return true;
      if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY || message->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) return false;
      inet_diag_msg socket_info{};
      std::memcpy(&socket_info, NLMSG_DATA(message), sizeof socket_info);
      if (ntohs(socket_info.id.idiag_sport) != port) continue;
      out.push_back({fit_of(family, socket_info.id.idiag_src, host), socket_info.idiag_inode, socket_info.idiag_rqueue});
    }
  }
  return false;
}

/// The same from /proc/net/tcp or tcp6: "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 … inode", where the 2 waits.
bool read_proc_net(int family, std::uint16_t port, std::uint32_t host, std::vector<ListeningSocket>& out) {
  std::ifstream file(family == AF_INET ? "/proc/net/tcp" : "/proc/net/tcp6");
  std::string line;
  if (!std::getline(file, line)) return false;
  while (std::getline(file, line)) {
    std::array<char, 33> address{};
    unsigned local_port = 0;
    unsigned state = 0;
    unsigned waiting = 0;
    unsigned long inode = 0;
    if (std::sscanf(line.c_str(), " %*d: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%x %*x:%*x %*x %*u %*u %lu", address.data(), &local_port, &state,
                    &waiting, &inode) != 5) {
      continue;
    }
    if (state != kListen || local_port != port) continue;
    std::uint32_t words[4]{};
    const std::string_view hex = address.data();
    for (std::size_t i = 0; i < hex.size() / 8; ++i) std::from_chars(hex.data() + i * 8, hex.data() + i * 8 + 8, words[i], 16);
    out.push_back({fit_of(family, words, host), inode, waiting});
  }
  return true;
}

}  // namespace

std::optional<std::vector<ListeningSocket>> listening_sockets(std::uint16_t port, std::uint32_t host) {
  std::vector<ListeningSocket> sockets;
  for (const int family : {AF_INET, AF_INET6}) {
    const std::size_t before = sockets.size();
    if (ask_kernel(family, port, host, sockets)) continue;
    sockets.resize(before);
    // A machine without IPv6 has no tcp6: nobody listens there.
    if (!read_proc_net(family, port, host, sockets) && family == AF_INET) return std::nullopt;
  }
  return sockets;
}

}  // namespace drover::backends
