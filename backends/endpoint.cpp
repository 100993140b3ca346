#include "backends/endpoint.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace drover::backends {

namespace {

constexpr int kBacklog = 4096;

base::Error bind_error(const std::string& name, const std::string& where, int code) {
  std::string what = name + ": can't listen on " + where + ": ";
  switch (code) {
    case EADDRINUSE: return {what + "the address is in use by another process; end it or choose another address", code};
    case EACCES: return {what + "no permission; ports below 1024 need CAP_NET_BIND_SERVICE or root", code};
    case EADDRNOTAVAIL: return {what + "no interface of this machine has that address", code};
    default: return base::system_error(name + ": can't listen on " + where, code);
  }
}

/// A socket file that nobody answers on is what an earlier process left.
bool is_stale(const board::EndpointAddress& at) {
  base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return false;
  return ::connect(probe.get(), at.addr(), at.length) != 0 && errno == ECONNREFUSED;
}

std::string text_of(const sockaddr_storage& address) {
  char host[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(in6.sin6_port));
  }
  const auto& in = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
  return std::string(host) + ":" + std::to_string(ntohs(in.sin_port));
}

struct Resolved {
  sockaddr_storage address{};
  socklen_t length = 0;
};

base::Result<Resolved> resolve(const config::Bind& bind, const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int code = ::getaddrinfo(bind.host.c_str(), std::to_string(bind.port).c_str(), &hints, &list);
  if (code != 0) return base::Error{name + ": can't find the address of \"" + bind.host + "\": " + ::gai_strerror(code), 0};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  Resolved out;
  std::memcpy(&out.address, list->ai_addr, list->ai_addrlen);
  out.length = list->ai_addrlen;
  return out;
}

/// Without a host: all addresses, of both families where the machine has IPv6.
Resolved any_address(std::uint16_t port, bool v6) {
  Resolved out;
  if (v6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(out.address);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    out.length = sizeof in6;
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(out.address);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    out.length = sizeof in;
  }
  return out;
}

int type_of(Listening::Accepts accepts) { return SOCK_STREAM | SOCK_CLOEXEC | (accepts == Listening::Accepts::here ? SOCK_NONBLOCK : 0); }

base::Result<base::UniqueFd> listen_tcp(const Resolved& at, bool both_families, int type, const std::string& name, const std::string& where) {
  base::UniqueFd fd(::socket(at.address.ss_family, type, 0));
  if (!fd) return bind_error(name, where, errno);
  const int on = 1;
  const int only_v6 = both_families ? 0 : 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // connections of an earlier run in TIME_WAIT are no obstacle
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it: one call less for each
  if (at.address.ss_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.address), at.length) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return bind_error(name, where, errno);
  }
  return fd;
}

}  // namespace

board::EndpointAddress tcp_endpoint(std::uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  board::EndpointAddress out;
  std::memcpy(&out.storage, &in, sizeof in);
  out.length = sizeof in;
  return out;
}

base::Result<board::EndpointAddress> unix_endpoint(const std::string& path) {
  board::EndpointAddress out;
  if (path.size() >= sizeof out.storage.sun_path) {
    return base::Error{"the socket path \"" + path + "\" is longer than the " + std::to_string(sizeof out.storage.sun_path - 1) +
                           " bytes that the system allows; use a shorter folder",
                       ENAMETOOLONG};
  }
  out.storage.sun_family = AF_UNIX;
  std::memcpy(out.storage.sun_path, path.data(), path.size());
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

base::Result<Listening> Listening::open(const config::Bind& bind, const std::string& name, Accepts accepts) {
  const int type = type_of(accepts);
  if (bind.unix_path) {
    const auto at = unix_endpoint(bind.path);
    if (!at) return base::Error{name + ": " + at.error().message, at.error().code};
    base::UniqueFd fd(::socket(AF_UNIX, type, 0));
    if (!fd) return bind_error(name, "unix:" + bind.path, errno);
    struct stat found {};
    if (::lstat(bind.path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode) && is_stale(*at)) ::unlink(bind.path.c_str());
    if (::bind(fd.get(), at->addr(), at->length) != 0 || ::listen(fd.get(), kBacklog) != 0) return bind_error(name, "unix:" + bind.path, errno);
    return Listening(std::move(fd), "unix:" + bind.path, bind.path, accepts);
  }
  const std::string where = bind.text.empty() ? bind.host + ":" + std::to_string(bind.port) : bind.text;
  base::Result<base::UniqueFd> fd = base::Error{};
  if (bind.host.empty()) {
    fd = listen_tcp(any_address(bind.port, true), true, type, name, where);
    if (!fd && (fd.error().code == EAFNOSUPPORT || fd.error().code == EADDRNOTAVAIL))
      fd = listen_tcp(any_address(bind.port, false), false, type, name, where);
  } else {
    const auto at = resolve(bind, name);
    if (!at) return at.error();
    fd = listen_tcp(*at, false, type, name, where);
  }
  if (!fd) return fd.error();
  sockaddr_storage real{};
  socklen_t length = sizeof real;
  if (::getsockname(fd->get(), reinterpret_cast<sockaddr*>(&real), &length) != 0) return bind_error(name, where, errno);
  return Listening(std::move(*fd), text_of(real), {}, accepts);
}

void Listening::close() {
  if (!fd_) return;
  // Closing our descriptor alone would leave the socket listening for as long as a proxy holds its copy. Where workers accept, it is they who
  // end it: a socket that refuses to accept is an error to them.
  if (accepts_ == Accepts::here) ::shutdown(fd_.get(), SHUT_RDWR);
  if (!path_.empty()) ::unlink(path_.c_str());
  fd_.reset();
}

}  // namespace drover::backends
