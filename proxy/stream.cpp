#include "proxy/stream.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace drover::proxy {

SocketStream::SocketStream(Loop& loop, base::UniqueFd fd, bool readable) : loop_(loop), fd_(std::move(fd)) {
  watch_.readable = readable;
  watch_.fd = fd_.get();
}

// Closing the last descriptor takes it out of epoll by itself: one system call less.
SocketStream::~SocketStream() = default;

IoResult SocketStream::read(char* into, std::size_t most) {
  const ssize_t got = ::recv(watch_.fd, into, most, 0);
  if (got > 0) {
    // A short read has emptied the socket; only the end of stream may still stand behind it (epoll(7), question 9).
    if (static_cast<std::size_t>(got) < most && !watch_.hangup) watch_.readable = false;
    return {Io::ok, static_cast<std::size_t>(got), 0};
  }
  if (got == 0) return {Io::eof, 0, 0};
  if (errno == EAGAIN || errno == EINTR) {
    watch_.readable = errno == EINTR;
    return {Io::blocked, 0, 0};
  }
  return {Io::failed, 0, errno};
}

IoResult SocketStream::write(const iovec* parts, int count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<std::size_t>(count);
  const ssize_t sent = ::sendmsg(watch_.fd, &message, MSG_NOSIGNAL);
  if (sent >= 0) return {Io::ok, static_cast<std::size_t>(sent), 0};
  if (errno == EAGAIN || errno == EINTR) {
    watch_.writable = errno == EINTR;
    return {Io::blocked, 0, 0};
  }
  return {Io::failed, 0, errno};
}

void SocketStream::end_sending() { ::shutdown(watch_.fd, SHUT_WR); }

base::UniqueFd SocketStream::release() {
  loop_.unwatch(watch_);
  return std::move(fd_);
}

int SocketStream::connect_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(watch_.fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

bool SocketStream::quiet() const {
  char byte = 0;
  return ::recv(watch_.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

std::size_t SocketStream::unacknowledged() const {
  int bytes = 0;
  return ::ioctl(watch_.fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

}  // namespace drover::proxy
