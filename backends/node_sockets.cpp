#include "backends/node_sockets.hpp"

#include "backends/endpoint.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace drover::backends {

namespace {

constexpr int kBacklog = 511;                       // Node's own
constexpr int kDraws = 16;                          // of a loopback address
constexpr std::uint32_t kLoopbackNet = 0x7f4d0000;  // 127.77.0.0/16
constexpr std::uint32_t kScratch = 0x7f4e0001;      // 127.78.0.1
constexpr std::uint16_t kPrivileged = 1024;
constexpr std::uint32_t kIpv6Only = 1;  // libuv's flags
constexpr std::uint32_t kUdpReuse = 4;

struct Place {
  sockaddr_storage storage{};
  socklen_t length = 0;
  int family() const { return storage.ss_family; }
  const sockaddr* addr() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Place ipv4(std::uint32_t host, std::uint16_t port) {
  Place out;
  auto& in = reinterpret_cast<sockaddr_in&>(out.storage);
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(host);
  out.length = sizeof in;
  return out;
}

Place ipv6_any(std::uint16_t port) {
  Place out;
  auto& in = reinterpret_cast<sockaddr_in6&>(out.storage);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  out.length = sizeof in;
  return out;
}

/// Node has looked the name up: an address in digits, perhaps with its zone.
base::Result<Place> numeric(const ListenQuery& query) {
  addrinfo hints{};
  hints.ai_family = query.ipv6 ? AF_INET6 : AF_INET;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = query.what == ListenQuery::What::udp ? SOCK_DGRAM : SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(query.address.c_str(), std::to_string(query.port).c_str(), &hints, &list) != 0) {
    return base::Error{"\"" + query.address + "\" is no address in digits", EINVAL};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  Place out;
  std::memcpy(&out.storage, list->ai_addr, list->ai_addrlen);
  out.length = list->ai_addrlen;
  return out;
}

base::UniqueFd make_socket(int family, int type) { return base::UniqueFd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

void set(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

/// 0, or the errno.
int bind_to(int fd, const Place& place) { return ::bind(fd, place.addr(), place.length) == 0 ? 0 : errno; }

base::Error failed(const std::string& where, int code) { return base::system_error("can't listen on " + where, code); }

Place place_of(int fd) {
  Place out;
  out.length = sizeof out.storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&out.storage), &out.length);
  return out;
}

std::uint16_t port_of(const Place& place) {
  if (place.family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(place.storage).sin6_port);
  return place.family() == AF_INET ? ntohs(reinterpret_cast<const sockaddr_in&>(place.storage).sin_port) : 0;
}

bool on_all_addresses(const Place& place) {
  if (place.family() == AF_INET) return reinterpret_cast<const sockaddr_in&>(place.storage).sin_addr.s_addr == htonl(INADDR_ANY);
  return place.family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(place.storage).sin6_addr);
}

std::string text_of(const Place& place) {
  char host[INET_ADDRSTRLEN] = {};
  ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(place.storage).sin_addr, host, sizeof host);
  return std::string(host) + ":" + std::to_string(port_of(place));
}

/// Shares a port between our listener and sockets of ours, for as long as it lives.
class PortSharing {
 public:
  PortSharing(const std::vector<int>& listeners, std::uint16_t port) {
    for (const int fd : listeners) {
      const Place place = place_of(fd);
      if (port_of(place) == port && on_all_addresses(place)) shared_.push_back(fd);
    }
    for (const int fd : shared_) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  }
  ~PortSharing() {
    for (const int fd : shared_) set(fd, SOL_SOCKET, SO_REUSEPORT, 0);
  }
  PortSharing(const PortSharing&) = delete;
  bool any() const { return !shared_.empty(); }

 private:
  std::vector<int> shared_;
};

/// Among sockets that share a port the kernel lets one more pass unseen if its address is that of the last one: after this that is
/// an address which no worker has.
void forget_last_address(std::uint16_t port) {
  const base::UniqueFd scratch = make_socket(AF_INET, SOCK_STREAM);
  set(scratch.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  set(scratch.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  bind_to(scratch.get(), ipv4(kScratch, port));
}

base::Result<base::UniqueFd> try_tcp(const Place& place, int backlog, bool share) {
  base::UniqueFd fd = make_socket(place.family(), SOCK_STREAM);
  if (!fd) return base::Error{{}, errno};
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  set(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (share) set(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (const int code = bind_to(fd.get(), place); code != 0) return base::Error{{}, code};
  if (::listen(fd.get(), backlog > 0 ? backlog : kBacklog) != 0) return base::Error{{}, errno};
  if (share) set(fd.get(), SOL_SOCKET, SO_REUSEPORT, 0);
  return fd;
}

base::Result<PrivateSocket> private_path(const ListenQuery& query, const WorkerEndpoint& own) {
  PrivateSocket out;
  const auto at = unix_endpoint(own.socket_path);
  if (!at) return at.error();
  out.socket = make_socket(AF_UNIX, SOCK_STREAM);
  if (!out.socket) return failed(own.text, errno);
  if (::bind(out.socket.get(), at->addr(), at->length) != 0) return failed(own.text, errno);
  if (::listen(out.socket.get(), query.backlog > 0 ? query.backlog : kBacklog) != 0) return failed(own.text, errno);
  out.address = *at;
  out.text = own.text;
  return out;
}

base::Result<PrivateSocket> listening_at(base::UniqueFd socket) {
  PrivateSocket out;
  const Place real = place_of(socket.get());
  std::memcpy(&out.address.storage, &real.storage, real.length);
  out.address.length = real.length;
  out.text = text_of(real);
  out.socket = std::move(socket);
  return out;
}

/// A stale one (nobody answers) is replaced, as Node does not but its users do by hand.
bool stale(const std::string& path, const board::EndpointAddress& at) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
  const base::UniqueFd probe = make_socket(AF_UNIX, SOCK_STREAM);
  return probe && ::connect(probe.get(), at.addr(), at.length) != 0 && errno == ECONNREFUSED;
}

base::Result<base::UniqueFd> listen_path(const ListenQuery& query) {
  const auto at = unix_endpoint(query.address);
  if (!at) return at.error();
  base::UniqueFd fd = make_socket(AF_UNIX, SOCK_STREAM);
  if (!fd) return failed(query.address, errno);
  if (stale(query.address, *at)) ::unlink(query.address.c_str());
  if (::bind(fd.get(), at->addr(), at->length) != 0) return failed(query.address, errno);
  const mode_t mode = 0755U | (query.readable_all ? 0444U : 0U) | (query.writable_all ? 0222U : 0U);
  if ((query.readable_all || query.writable_all) && ::chmod(query.address.c_str(), mode) != 0) return failed(query.address, errno);
  if (::listen(fd.get(), query.backlog > 0 ? query.backlog : kBacklog) != 0) return failed(query.address, errno);
  return fd;
}

/// Where the query wants to be: without an address all of them, of both families where the machine has IPv6.
base::Result<std::vector<Place>> places(const ListenQuery& query) {
  const bool udp = query.what == ListenQuery::What::udp;
  if (!query.address.empty()) {
    const auto place = numeric(query);
    if (!place) return place.error();
    return std::vector<Place>{*place};
  }
  if (udp) return std::vector<Place>{query.ipv6 ? ipv6_any(query.port) : ipv4(INADDR_ANY, query.port)};
  return std::vector<Place>{ipv6_any(query.port), ipv4(INADDR_ANY, query.port)};
}

base::Result<base::UniqueFd> open_ip(const ListenQuery& query) {
  const auto where = places(query);
  if (!where) return where.error();
  const bool udp = query.what == ListenQuery::What::udp;
  int code = EINVAL;
  for (const Place& place : *where) {
    base::UniqueFd fd = make_socket(place.family(), udp ? SOCK_DGRAM : SOCK_STREAM);
    if (!fd) {
      code = errno;
      continue;
    }
    if (!udp || (query.flags & kUdpReuse) != 0) set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (place.family() == AF_INET6) set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, (query.flags & kIpv6Only) != 0 ? 1 : 0);
    code = bind_to(fd.get(), place);
    if (code == 0 && !udp && ::listen(fd.get(), query.backlog > 0 ? query.backlog : kBacklog) != 0) code = errno;
    if (code == 0) return fd;
    if (code != EAFNOSUPPORT && code != EADDRNOTAVAIL) break;
  }
  return failed((query.address.empty() ? "port " : query.address + " port ") + std::to_string(query.port), code);
}

}  // namespace

base::Result<PrivateSocket> private_socket(const ListenQuery& query, const WorkerEndpoint& own, const std::vector<int>& wildcards, base::Rng& rng) {
  if (query.fd >= 0) return base::Error{"listen({fd}) can't be served: the descriptor is the worker's own", EINVAL};
  if (query.what == ListenQuery::What::udp) return base::Error{"a datagram socket has no connections", EINVAL};
  if (query.what == ListenQuery::What::unix_path) {
    if (own.socket_path.empty()) return base::Error{"listens on " + query.address + ", but the pool's endpoint is tcp", EINVAL};
    return private_path(query, own);
  }
  if (own.port != 0 && (query.port == 0 || query.port == own.port)) {
    auto fd = try_tcp(ipv4(INADDR_LOOPBACK, own.port), query.backlog, false);
    if (!fd) return failed(own.text, fd.error().code);
    return listening_at(std::move(*fd));
  }
  int code = EADDRINUSE;
  for (int draws = 0; draws < kDraws && code == EADDRINUSE; ++draws) {
    // Neither the net's own address nor its last one: some programs take them for what they would be elsewhere.
    const Place place = ipv4(kLoopbackNet | static_cast<std::uint32_t>(1 + rng.below(0xfffe)), query.port);
    auto fd = try_tcp(place, query.backlog, false);
    if (!fd && fd.error().code == EADDRINUSE) {
      const PortSharing sharing(wildcards, query.port);
      if (sharing.any()) {
        forget_last_address(query.port);
        fd = try_tcp(place, query.backlog, true);
      }
    }
    if (fd) return listening_at(std::move(*fd));
    code = fd.error().code;
  }
  const std::string where = "port " + std::to_string(query.port) + " of any address in 127.77.0.0/16";
  if (code != EADDRINUSE) return failed(where, code);
  return base::Error{"can't listen on " + where + ": another process has that port on all addresses; end it, or give the program another port", code};
}

SharedSockets::~SharedSockets() {
  while (!sockets_.empty()) remove(sockets_.begin());
}

base::Result<base::UniqueFd> SharedSockets::open(const ListenQuery& query) {
  if (query.fd >= 0) return base::Error{"listen({fd}) can't be served: the descriptor is the worker's own", EINVAL};
  const bool path = query.what == ListenQuery::What::unix_path;
  const std::string key = query.key();
  auto found = sockets_.find(key);
  if (found == sockets_.end()) {
    if (rights_ && (path || (query.port != 0 && query.port < kPrivileged))) {
      return base::Error{"needs rights that the pool's `user` may not have: drover, as root, does not open it in its place", EACCES};
    }
    if (sockets_.size() >= kMost) {
      const auto unused = std::ranges::find_if(sockets_, [](const auto& each) { return each.second.users == 0; });
      if (unused == sockets_.end()) return base::Error{"the pool has " + std::to_string(kMost) + " shared sockets already", EMFILE};
      remove(unused);
    }
    auto opened = path ? listen_path(query) : open_ip(query);
    if (!opened) return opened.error();
    found = sockets_.emplace(key, Shared{std::move(*opened), 0, path ? query.address : ""}).first;
  }
  base::UniqueFd own(::fcntl(found->second.socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!own) return base::system_error("can't duplicate a shared socket", errno);
  ++found->second.users;
  return own;
}

void SharedSockets::closed(const ListenQuery& query) {
  const auto found = sockets_.find(query.key());
  if (found == sockets_.end() || found->second.users == 0) return;
  if (--found->second.users == 0) remove(found);
}

void SharedSockets::abandoned(const ListenQuery& query) {
  const auto found = sockets_.find(query.key());
  if (found != sockets_.end() && found->second.users > 0) --found->second.users;
}

void SharedSockets::remove(Sockets::iterator which) {
  if (!which->second.unlink.empty()) ::unlink(which->second.unlink.c_str());
  sockets_.erase(which);
}

}  // namespace drover::backends
