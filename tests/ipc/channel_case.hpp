// Role: what tests of a channel share: our end on a loop, the worker's as a raw socket, and everything that the handlers said.
// Thread: the test's. Ownership: owns both ends.
#pragma once

#include "ipc/channel.hpp"

#include <boost/asio/io_context.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace drover::ipc {

class ChannelCase : public ::testing::Test {
 protected:
  void SetUp() override { open(); }

  void open() {
    auto pair = Channel::pair();
    ASSERT_TRUE(pair) << pair.error().message;
    worker = std::move(pair->second);
    ChannelHandlers handlers;
    handlers.line = [this](std::string_view line) {
      if (lines_are_kept) lines.emplace_back(line);
      if (on_line) on_line(line);
    };
    handlers.fault = [this](ChannelFault fault, std::uint64_t count) { faults[fault] += count; };
    handlers.ended = [this](ChannelEnd end) {
      ended.push_back(end);
      if (on_ended) on_ended();
    };
    handlers.sync_line = [this](const std::string& key) { return sync_line(key); };
    channel = std::make_unique<Channel>(io, std::move(pair->first), std::move(handlers));
  }

  /// Runs the loop until that holds.
  ::testing::AssertionResult runs_until(const std::function<bool()>& holds, std::chrono::seconds most = std::chrono::seconds(20)) {
    const auto until = std::chrono::steady_clock::now() + most;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return ::testing::AssertionFailure() << "did not come about";
      if (io.stopped()) io.restart();
      io.run_one_for(std::chrono::milliseconds(20));
    }
    return ::testing::AssertionSuccess();
  }
  /// All that is ready now, and what follows from it at once.
  void turn() {
    io.restart();
    io.poll();
  }

  void worker_writes(std::string_view bytes) { ASSERT_EQ(::send(worker.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), ssize_t(bytes.size())); }
  /// As sendmsg(2): bytes sent, or -1.
  ssize_t pass(std::string_view bytes, int descriptor) const {
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    return ::sendmsg(worker.get(), &message, MSG_NOSIGNAL);
  }
  void worker_passes(std::string_view bytes, int descriptor) { ASSERT_EQ(pass(bytes, descriptor), ssize_t(bytes.size())); }
  /// What is there now, at most `most` bytes; descriptors go to `passed`. none: end of the stream.
  std::optional<std::string> worker_reads(std::size_t most = 1024 * 1024) {
    std::string out(most, '\0');
    iovec into{out.data(), out.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(worker.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == 0) return std::nullopt;
    out.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
      passed.emplace_back(descriptor);
    }
    return out;
  }

  boost::asio::io_context io;
  base::UniqueFd worker;
  std::vector<std::string> lines;
  std::map<ChannelFault, std::uint64_t> faults;
  std::vector<ChannelEnd> ended;
  std::vector<base::UniqueFd> passed;
  bool lines_are_kept = true;
  std::function<void(std::string_view)> on_line;
  std::function<void()> on_ended;
  std::function<std::string(const std::string&)> sync_line = [](const std::string& key) { return "sync " + key; };
  std::unique_ptr<Channel> channel;
};

}  // namespace drover::ipc
