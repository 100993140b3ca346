// Role: an admin server on a real TCP socket before a fake cluster, and a client that turns its loop.
// Thread: the test's. Ownership: the test's.
#pragma once

#include "admin/server.hpp"
#include "fake_cluster.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>

namespace drover::admin {

class ServerCase : public testing::Test {
 protected:
  void SetUp() override { start({.everything = false, .listen_host = "127.0.0.1", .token = {}}); }

  void start(Rights rights, ServerTimes times = {}) {
    server_.reset();
    base::UniqueFd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listening.get(), 64), 0);
    socklen_t length = sizeof address_;
    ASSERT_EQ(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address_), &length), 0);
    server_.emplace(io_, std::move(listening), std::move(rights), cluster_.door(), times);
  }

  base::UniqueFd connect() const {
    base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0) << std::strerror(errno);
    return fd;
  }

  /// Turns the loop while the server has to read first; ends early when it has closed.
  void send_all(const base::UniqueFd& fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN) return;
      if (sent < 0) io_.poll();
      io_.restart();
      bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }
  }

  /// Turns the loop until the server has closed this connection, or no progress for five seconds.
  std::string read_to_end(const base::UniqueFd& fd) {
    std::string all;
    std::array<char, 65536> bytes{};
    for (;;) {
      io_.poll();
      io_.restart();
      pollfd wait{fd.get(), POLLIN, 0};
      if (::poll(&wait, 1, 1) == 0) {
        if (++idle_ > 5000) {
          ADD_FAILURE() << "no end";
          return all;
        }
        continue;
      }
      const ssize_t got = ::recv(fd.get(), bytes.data(), bytes.size(), 0);
      if (got <= 0) return all;
      all.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }

  /// Turns the loop until `wanted` has come; returns all that came.
  std::string read_until(const base::UniqueFd& fd, std::string_view wanted) {
    std::string all;
    std::array<char, 65536> bytes{};
    const bool found = turn_until([&] {
      const ssize_t got = ::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got > 0) all.append(bytes.data(), static_cast<std::size_t>(got));
      return all.find(wanted) != std::string::npos;
    });
    EXPECT_TRUE(found) << "no " << wanted << " in " << all;
    return all;
  }

  std::string ask(std::string_view request) {
    const base::UniqueFd fd = connect();
    send_all(fd, request);
    return read_to_end(fd);
  }

  std::string get(const std::string& target, const std::string& headers = "") {
    return ask("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  }
  static std::string post_text(const std::string& target, const std::string& body, const std::string& headers = "") {
    return "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
  }
  std::string post(const std::string& target, const std::string& body, const std::string& headers = "") {
    return ask(post_text(target, body, headers));
  }

  template <class Condition>
  bool turn_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!condition() && std::chrono::steady_clock::now() < end) {
      io_.run_for(std::chrono::milliseconds(1));
      io_.restart();
    }
    return condition();
  }

  boost::asio::io_context io_{1};
  sockaddr_in address_{};
  FakeCluster cluster_;
  int idle_ = 0;
  std::optional<AdminServer> server_;
};

}  // namespace drover::admin
