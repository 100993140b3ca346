// Role: one thread of a proxy over real sockets, with the test as its supervisor, its workers and its clients.
// Thread: the test's own, beside the proxy's thread, which runs between construction and stop(). Ownership: owns everything; sockets
//         that a test holds are closed before the World ends.
#pragma once

#include "base/unique_fd.hpp"
#include "proxy/proxy_thread.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace drover::test {

constexpr int kPatienceMs = 10'000;

/// Waits for a condition, with a deadline.
inline bool eventually(const std::function<bool()>& condition) {
  const auto until = base::Clock::now() + base::Millis(kPatienceMs);
  while (!condition()) {
    if (base::Clock::now() > until) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

/// A stream socket whose reads have a deadline.
class Peer {
 public:
  explicit Peer(base::UniqueFd fd) : fd_(std::move(fd)) {}

  void send(std::string_view bytes) const {
    EXPECT_EQ(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  bool anything_within(int ms) const {
    pollfd waiting{fd_.get(), POLLIN, 0};
    return ::poll(&waiting, 1, ms) > 0;
  }
  /// Until `end` has been read, or the stream's end.
  std::string read_until(std::string_view end) {
    while (text_.find(end) == std::string::npos && read_some()) continue;
    return text_;
  }
  std::string read_head() { return read_until("\r\n\r\n"); }
  /// One message by its Content-Length; what follows stays.
  std::string read_message() {
    const std::string head = read_head();
    const std::size_t begin = head.find("\r\n\r\n");
    if (begin == std::string::npos) return std::exchange(text_, {});
    std::size_t length = 0;
    if (const std::size_t at = head.find("Content-Length: "); at != std::string::npos)
      std::from_chars(head.data() + at + 16, head.data() + begin, length);
    while (text_.size() < begin + 4 + length && read_some()) continue;
    std::string message = text_.substr(0, begin + 4 + length);
    text_.erase(0, begin + 4 + length);
    return message;
  }
  std::string read_to_the_end() {
    while (read_some()) continue;
    return text_;
  }
  void end_sending() const { EXPECT_EQ(::shutdown(fd_.get(), SHUT_WR), 0); }
  void reset() {
    const linger abort{1, 0};
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort), 0);
    fd_.reset();
  }
  void close() { fd_.reset(); }

 private:
  bool read_some() {
    std::array<char, 4096> buffer{};
    if (!anything_within(kPatienceMs)) {
      ADD_FAILURE() << "nothing came; so far: " << text_;
      return false;
    }
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got > 0) text_.append(buffer.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  base::UniqueFd fd_;
  std::string text_;
};

/// A listening socket on this machine, on any port.
struct Port {
  explicit Port(int flags = 0) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(fd.get(), 64), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  }
  bool anybody_within(int ms) const {
    pollfd waiting{fd.get(), POLLIN, 0};
    return ::poll(&waiting, 1, ms) > 0;
  }
  Peer accept() const {
    EXPECT_TRUE(anybody_within(kPatienceMs)) << "nobody connects";
    return Peer(base::UniqueFd(::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
  Peer connect() const {
    base::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return Peer(std::move(client));
  }

  base::UniqueFd fd;
  sockaddr_in address{};
};

/// A pool, "shop", whose workers are Ports of the test, perhaps others; one listener.
class World {
 public:
  /// `threads`: so many as the board has room for; only the first of them runs, the test plays the others.
  explicit World(const std::function<void(config::Pool&)>& change = {}, std::uint32_t threads = 1,
                 const std::function<void(config::Listener&)>& listen = {}, std::size_t pools = 1,
                 const std::function<void(config::Config&)>& whole = {}, proxy::AccessWriter* access = nullptr)
      : shape(board::make_shape(std::vector<std::uint32_t>(pools, 2), threads, 1)) {
    config.pools.resize(pools);
    for (std::size_t i = 0; i < pools; ++i) config.pools[i].name = i == 0 ? "shop" : "spare" + std::to_string(i);
    config.pools[0].retry.budget = 0;
    if (change) change(config.pools[0]);
    config.routes.emplace_back();
    config.listeners.resize(1);
    if (listen) listen(config.listeners[0]);
    if (whole) whole(config);
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    complaints.reset(ends[0]);
    complaints_in_.reset(ends[1]);
    shared_ = std::make_unique<proxy::Shared>(
        proxy::Shared{config, files, balancer::Routes(config), supervisor, board, {}, {listener.fd.get()}, doorbell.get(), complaints_in_.get()});
    shared_->access = access;
    shared_->at_the_door.emplace_back(0);
    shared_->furnish();
    thread_ = std::move(*proxy::ProxyThread::create(*shared_, 0, changed_.get()));
    running_ = std::thread([this] { thread_->run(); });
  }
  World(const World&) = delete;
  ~World() {
    workers.clear();
    EXPECT_TRUE(eventually([&] { return board.client_connections(0, 0).get() == 0; })) << "a session goes on";
    thread_->loop().post([this] { thread_->loop().stop(); });
    running_.join();
    EXPECT_EQ(board.thread(0).claims_after_close.get(), 0U);
    for (std::uint32_t row = 0; row < board.shape().rows; ++row) {
      EXPECT_EQ(board.gate(row).view().count, 0U);
      EXPECT_EQ(board.row(row).client_bound.load(), 0U);
    }
  }

  /// A worker in the pool's next row, eligible at once.
  Port& come(std::uint32_t pool = 0) {
    std::uint32_t row = shape.pools[pool].first;
    while (board.gate(row).view().incarnation != 0) ++row;
    workers.push_back(std::make_unique<Port>());
    board::WorkerInfo info;
    info.slot = row + 1;
    info.incarnation = incarnation(row);
    std::memcpy(&info.endpoint.storage, &workers.back()->address, sizeof workers.back()->address);
    info.endpoint.length = sizeof workers.back()->address;
    supervisor.write_row(row, info);
    EXPECT_TRUE(board.gate(row).open(info.incarnation));
    tell();
    return *workers.back();
  }
  static base::Incarnation incarnation(std::uint32_t row) { return row + 1; }
  void tell() { ::eventfd_write(changed_.get(), 1); }
  void cut(std::uint32_t row, ipc::Cut why) {
    board.gate(row).close();
    thread_->cut(row, incarnation(row), why);
  }

  Peer ask(std::string_view request) const {
    Peer client = listener.connect();
    client.send(request);
    return client;
  }
  std::vector<board::Flight> flights(std::uint32_t row) const {
    std::vector<board::Flight> found;
    board.flights(0).collect(row, incarnation(row), 0, found);
    return found;
  }
  std::string complaint() const {
    std::string out;
    EXPECT_TRUE(eventually([&] {
      std::array<char, 4096> buffer{};
      const ssize_t got = ::read(complaints.get(), buffer.data(), buffer.size());
      if (got > 0) out.append(buffer.data(), static_cast<std::size_t>(got));
      return out.ends_with('\n');
    }));
    return out;
  }

  config::Config config;
  board::Shape shape;
  board::SupervisorBoard supervisor = std::move(*board::SupervisorBoard::create(shape));
  board::ProxyBoard board = std::move(*board::ProxyBoard::create(shape));
  Port listener{SOCK_NONBLOCK};
  base::UniqueFd doorbell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  base::UniqueFd complaints;
  std::vector<std::unique_ptr<Port>> workers;

 private:
  base::UniqueFd complaints_in_;
  base::UniqueFd changed_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::map<std::string, std::string> files;
  std::unique_ptr<proxy::Shared> shared_;
  std::unique_ptr<proxy::ProxyThread> thread_;
  std::thread running_;
};

inline constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The next connection's first request is answered.
inline void serve(const Port& worker, std::string_view answer = kOk) {
  Peer server = worker.accept();
  server.read_head();
  server.send(answer);
}

}  // namespace drover::test
