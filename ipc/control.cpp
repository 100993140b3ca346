#include "ipc/control.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace drover::ipc {

namespace {

struct Wire {
  std::uint32_t type;
  std::uint32_t a;
  std::uint32_t b;
  std::uint32_t c;
  std::uint32_t descriptors;
};

constexpr std::size_t kControlBytes = CMSG_SPACE(kMaxDescriptors * sizeof(int));

}  // namespace

base::Result<std::pair<base::UniqueFd, base::UniqueFd>> control_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return base::system_error("socketpair for the control pipe", errno);
  }
  return std::pair{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

base::Result<void> send(int fd, ControlType type, std::uint32_t a, std::uint32_t b, const std::vector<int>& lent, std::uint32_t c) {
  if (lent.size() > kMaxDescriptors) return base::Error{"control pipe: too many descriptors for one message", EINVAL};
  Wire wire{static_cast<std::uint32_t>(type), a, b, c, static_cast<std::uint32_t>(lent.size())};
  iovec part{&wire, sizeof wire};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!lent.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(lent.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(lent.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), lent.data(), lent.size() * sizeof(int));
  }
  if (::sendmsg(fd, &message, MSG_NOSIGNAL) < 0) return base::system_error("send on the control pipe", errno);
  return {};
}

base::Result<std::optional<ControlMessage>> receive(int fd) {
  Wire wire{};
  iovec part{&wire, sizeof wire};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::optional<ControlMessage>{};
    return base::system_error("receive on the control pipe", errno);
  }
  if (got == 0) return base::Error{"the control pipe was closed by the other side", 0};

  ControlMessage out;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      out.descriptors.emplace_back(received);
    }
  }
  if (got != sizeof wire || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || out.descriptors.size() != wire.descriptors) {
    return base::Error{"the control pipe brought a message of wrong form", EPROTO};
  }
  out.type = static_cast<ControlType>(wire.type);
  out.a = wire.a;
  out.b = wire.b;
  out.c = wire.c;
  return std::optional<ControlMessage>(std::move(out));
}

}  // namespace drover::ipc
