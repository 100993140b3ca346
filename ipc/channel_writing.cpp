#include "ipc/channel_state.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace drover::ipc {

namespace {

namespace asio = boost::asio;

constexpr std::size_t kWritePerTurn = 256 * 1024;

}  // namespace

void Channel::State::added() {
  if (outbox.over()) return end_soon(ChannelEnd::overflow);
  if (writing == Writing::idle && outbox.ready()) flush_soon();
}

/// With the next turn: what the present one still adds goes out with it.
void Channel::State::flush_soon() {
  writing = Writing::due;
  asio::post(executor, [self = shared_from_this()] {
    if (self->takes()) self->flush_turn();
  });
}

void Channel::State::wait_writable() {
  writing = Writing::waits;
  socket.async_wait(Watch::wait_write, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && self->takes()) self->flush_turn();
  });
}

void Channel::State::flush_turn() {
  const auto began = base::Clock::now();
  writing = Writing::due;  // what is added from here on is seen below
  std::size_t written = 0;
  while (written < kWritePerTurn && outbox.ready()) {
    if (!write_batch(written)) break;
  }
  if (takes() && writing == Writing::due) {
    writing = Writing::idle;
    if (outbox.ready()) flush_soon();
  }
  if (handlers.turn && !over) handlers.turn(base::Clock::now() - began);
  go_on_reading();
}

/// False: no more for now.
bool Channel::State::write_batch(std::size_t& written) {
  Outbox::Batch batch;
  outbox.next(batch, handlers.sync_line);
  if (batch.count == 0) {
    outbox.written(batch, 0);
    return false;
  }
  msghdr message{};
  message.msg_iov = batch.parts.data();
  message.msg_iovlen = batch.count;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (batch.descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &batch.descriptor, sizeof(int));
  }
  const ssize_t taken = ::sendmsg(socket.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  const int failed = taken < 0 ? errno : 0;
  const std::size_t bytes = taken < 0 ? 0 : static_cast<std::size_t>(taken);
  counts.lines_out += outbox.written(batch, bytes);
  written += bytes;
  if (failed == EPIPE || failed == ECONNRESET) {
    go_deaf();
  } else if (failed != 0 && failed != EAGAIN && failed != EINTR) {
    end_soon(ChannelEnd::broken);
  } else if (bytes < batch.bytes) {
    wait_writable();
  } else {
    return true;
  }
  return false;
}

/// Nobody will read what waits, but what the worker said before may be unread.
void Channel::State::go_deaf() {
  sends = false;
  deaf = true;
  outbox.clear();
  boost::system::error_code ignored;
  socket.cancel(ignored);
  if (reading == Reading::waits || reading == Reading::unread) read_soon();
}

void Channel::State::finish() {
  if (!takes()) return;
  while (outbox.ready()) {
    std::size_t written = 0;
    if (!write_batch(written)) break;
  }
  if (!takes()) return;
  sends = false;
  outbox.clear();
  ::shutdown(socket.native_handle(), SHUT_WR);
  go_on_reading();
}

}  // namespace drover::ipc
