// The worker for bench/compare: as cheap as a worker can be, so that the machine's time goes to the balancer under test.
// One process, one thread, epoll; answers are made once; the path names the size: /128, /2k, /10k, /1m. Usage: bench_backend PORT
// It trusts its peers: requests without body, heads up to 16 KiB. Nothing but a benchmark should talk to it.
#include "base/unique_fd.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

using drover::base::UniqueFd;

constexpr std::size_t kHeadLimit = 16 * 1024;
constexpr int kEvents = 256;

struct Page {
  std::string_view path;
  std::size_t size;
  std::string response;
};

std::array<Page, 4> make_pages() {
  std::array<Page, 4> pages{{{"/128", 128, {}}, {"/2k", 2048, {}}, {"/10k", 10 * 1024, {}}, {"/1m", 1024 * 1024, {}}}};
  for (Page& page : pages) {
    page.response = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/octet-stream\r\n";
    page.response += "Content-Length: " + std::to_string(page.size) + "\r\n\r\n" + std::string(page.size, 'x');
  }
  return pages;
}

const std::array<Page, 4> kPages = make_pages();
constexpr std::string_view kNotFound = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

std::string_view response_for(std::string_view head) {
  const std::size_t begin = head.find(' ') + 1;
  const std::string_view path = head.substr(begin, head.find_first_of(" ?", begin) - begin);
  for (const Page& page : kPages)
    if (page.path == path) return page.response;
  return kNotFound;
}

bool asks_to_close(std::string_view head) {
  return head.find("\r\nConnection: close") != head.npos || head.find("\r\nconnection: close") != head.npos;
}

struct Connection {
  UniqueFd fd;
  std::array<char, kHeadLimit> in;
  std::size_t have = 0;
  std::string_view out;  ///< what is left of the response under way
  bool last = false;

  /// Writes what is left; false: the connection is over.
  bool flush() {
    while (!out.empty()) {
      const ssize_t sent = ::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN;
      out.remove_prefix(static_cast<std::size_t>(sent));
    }
    return !last;
  }

  /// Answers each whole head in the buffer, as far as the socket takes it.
  bool answer() {
    while (out.empty()) {
      const std::string_view bytes(in.data(), have);
      const std::size_t end = bytes.find("\r\n\r\n");
      if (end == bytes.npos) return have < kHeadLimit;
      const std::string_view head = bytes.substr(0, end + 4);
      out = response_for(head);
      last = asks_to_close(head);
      const std::size_t rest = have - head.size();
      std::char_traits<char>::move(in.data(), in.data() + head.size(), rest);
      have = rest;
      if (!flush()) return false;
    }
    return true;
  }

  /// Serves what an edge announced: writes and reads until the socket has no more.
  bool serve() {
    if (!flush() || !answer()) return false;
    while (out.empty()) {
      const std::size_t room = kHeadLimit - have;
      const ssize_t count = ::recv(fd.get(), in.data() + have, room, 0);
      if (count <= 0) return count < 0 && errno == EAGAIN;
      have += static_cast<std::size_t>(count);
      if (!answer()) return false;
      if (static_cast<std::size_t>(count) < room) return true;
    }
    return true;
  }
};

UniqueFd listen_on(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&place), sizeof place) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    std::perror("bench_backend: listen");
    std::exit(1);
  }
  return fd;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: bench_backend PORT\n", stderr);
    return 2;
  }
  const UniqueFd listener = listen_on(static_cast<std::uint16_t>(std::atoi(arguments[1])));
  const UniqueFd poll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted{EPOLLIN, {.fd = listener.get()}};
  ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, listener.get(), &wanted);

  std::unordered_map<int, std::unique_ptr<Connection>> connections;
  std::array<epoll_event, kEvents> events;
  for (;;) {
    const int ready = ::epoll_wait(poll.get(), events.data(), kEvents, -1);
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd != listener.get()) {
        const auto found = connections.find(event.data.fd);
        if (found != connections.end() && !found->second->serve()) connections.erase(found);
        continue;
      }
      const int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) continue;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto connection = std::make_unique<Connection>();
      connection->fd.reset(fd);
      connections[fd] = std::move(connection);
      epoll_event both{EPOLLIN | EPOLLOUT | EPOLLET, {.fd = fd}};  // edges: no second system call to ask for room
      ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &both);
    }
  }
}
