#include "ipc/control.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace drover::ipc {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

class ControlPipe : public ::testing::Test {
 protected:
  void SetUp() override {
    auto pair = control_pair();
    ASSERT_TRUE(pair) << pair.error().message;
    supervisor = std::move(pair->first);
    proxy = std::move(pair->second);
  }
  /// Sends bytes and descriptors as they are.
  void send_raw(const void* bytes, std::size_t size, int descriptors) {
    iovec part{const_cast<void*>(bytes), size};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptors > 0) {
      const std::size_t length = static_cast<std::size_t>(descriptors) * sizeof(int);
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(length);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(length);
      for (int i = 0; i < descriptors; ++i) std::memcpy(CMSG_DATA(header) + static_cast<std::size_t>(i) * sizeof(int), &standard_in, sizeof(int));
    }
    ASSERT_EQ(::sendmsg(supervisor.get(), &message, MSG_NOSIGNAL), static_cast<ssize_t>(size));
  }
  base::UniqueFd supervisor;
  base::UniqueFd proxy;
  int standard_in = 0;
};

TEST_F(ControlPipe, EndsAreNonBlockingAndDieWithExec) {
  for (const int fd : {supervisor.get(), proxy.get()}) {
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(ControlPipe, NothingToRead_NoneAtOnce) {
  const auto received = receive(proxy.get());
  ASSERT_TRUE(received);
  EXPECT_FALSE(*received);
}

TEST_F(ControlPipe, RoundTripKeepsOrderAndNumbers) {
  ASSERT_TRUE(send(supervisor.get(), ControlType::drain, 5000));
  ASSERT_TRUE(send(supervisor.get(), ControlType::cut, 7, 0x7fffffff));
  ASSERT_TRUE(send(proxy.get(), ControlType::ready));
  auto first = receive(proxy.get());
  auto second = receive(proxy.get());
  auto up = receive(supervisor.get());
  ASSERT_TRUE(first && *first && second && *second && up && *up);
  EXPECT_EQ((*first)->type, ControlType::drain);
  EXPECT_EQ((*first)->a, 5000U);
  EXPECT_EQ((*second)->type, ControlType::cut);
  EXPECT_EQ((*second)->a, 7U);
  EXPECT_EQ((*second)->b, 0x7fffffffU);
  EXPECT_EQ((*up)->type, ControlType::ready);
}

TEST_F(ControlPipe, DescriptorsArriveOpenAndDieWithExec) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  base::UniqueFd reader(pipe[0]);
  base::UniqueFd writer(pipe[1]);
  ASSERT_TRUE(send(supervisor.get(), ControlType::start, 2, 1, {writer.get(), reader.get()}, 7));
  auto received = receive(proxy.get());
  ASSERT_TRUE(received && *received);
  EXPECT_EQ((*received)->a, 2U);
  EXPECT_EQ((*received)->b, 1U);
  EXPECT_EQ((*received)->c, 7U);
  ASSERT_EQ((*received)->descriptors.size(), 2U);
  const int theirs = (*received)->descriptors[0].get();
  EXPECT_NE(theirs, writer.get());
  EXPECT_NE(::fcntl(theirs, F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(::write(theirs, "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST_F(ControlPipe, AsManyDescriptorsAsPromised_NotOneMore) {
  std::vector<int> lent(kMaxDescriptors, supervisor.get());
  ASSERT_TRUE(send(supervisor.get(), ControlType::start, 0, 0, lent));
  auto received = receive(proxy.get());
  ASSERT_TRUE(received && *received) << received.error().message;
  EXPECT_EQ((*received)->descriptors.size(), kMaxDescriptors);
  lent.push_back(0);
  const auto refused = send(supervisor.get(), ControlType::start, 0, 0, lent);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EINVAL);
}

TEST_F(ControlPipe, PeerGone_BothDirectionsSaySo) {
  proxy.reset();
  const auto received = receive(supervisor.get());
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, 0);
  const auto sent = send(supervisor.get(), ControlType::drain);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, EPIPE);
}

TEST_F(ControlPipe, WhatWasSentBeforeTheEnd_IsStillRead) {
  ASSERT_TRUE(send(proxy.get(), ControlType::drained));
  proxy.reset();
  auto last = receive(supervisor.get());
  ASSERT_TRUE(last && *last);
  EXPECT_EQ((*last)->type, ControlType::drained);
  EXPECT_FALSE(receive(supervisor.get()));
}

TEST_F(ControlPipe, PeerThatDoesNotRead_FailsInsteadOfBlocking) {
  base::Result<void> sent;
  int messages = 0;
  while (sent && messages < 1'000'000) {
    sent = send(supervisor.get(), ControlType::cut, 1, 1);
    ++messages;
  }
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, EAGAIN);
}

TEST_F(ControlPipe, WrongForm_IsAnErrorAndLeaksNoDescriptor) {
  const std::array<std::uint32_t, 6> words{2, 0, 0, 0, 0, 0};
  const std::array<std::uint32_t, 5> promises_two{1, 0, 0, 0, 2};
  constexpr std::size_t kWhole = sizeof promises_two;
  const std::size_t before = open_descriptors();
  send_raw(words.data(), 3, 0);              // too short
  send_raw(words.data(), sizeof words, 0);   // too long
  send_raw(words.data(), kWhole, 1);         // one descriptor nobody announced
  send_raw(promises_two.data(), kWhole, 0);  // announced and not there
  send_raw(promises_two.data(), kWhole, 1);  // one of two
  send_raw(words.data(), 3, 3);              // too short, with descriptors
  for (int i = 0; i < 6; ++i) {
    const auto received = receive(proxy.get());
    ASSERT_FALSE(received) << "message " << i;
    EXPECT_EQ(received.error().code, EPROTO);
  }
  EXPECT_EQ(open_descriptors(), before);
  ASSERT_TRUE(send(supervisor.get(), ControlType::drain));
  EXPECT_TRUE(*receive(proxy.get())) << "a bad message does not spoil the next";
}

}  // namespace
}  // namespace drover::ipc
