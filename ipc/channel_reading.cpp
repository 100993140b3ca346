#include "ipc/channel_state.hpp"

#include <boost/asio/post.hpp>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace drover::ipc {

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr auto kWindow = 1s;
constexpr int kReadsPerTurn = 16;  // a read ends at each descriptor that was passed: bytes alone do not bound their number

}  // namespace

void Channel::State::wait_readable() {
  reading = Reading::waits;
  socket.async_wait(Watch::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->over && self->reading == Reading::waits) self->read_turn();
  });
}

void Channel::State::read_soon() {
  reading = Reading::due;
  asio::post(executor, [self = shared_from_this()] {
    if (!self->over && self->reading == Reading::due) self->read_turn();
  });
}

void Channel::State::read_turn() {
  if (ending) return;
  const auto began = base::Clock::now();
  const Stop stopped = pump(kPerTurn, kReadsPerTurn, true);
  if (handlers.turn && !over) handlers.turn(base::Clock::now() - began);
  switch (stopped) {
    case Stop::turn_over: return read_soon();
    case Stop::rest: read_rest(); return over ? void() : read_soon();
    case Stop::eof: return end(ChannelEnd::peer);
    case Stop::broken: return end(ChannelEnd::broken);
    case Stop::over: return;
    case Stop::braked: return reader.rest();
    case Stop::nothing: break;
  }
  if (deaf) return end(ChannelEnd::peer);
  reader.rest();
  wait_readable();
}

/// Reads and gives out until something stops it.
Channel::State::Stop Channel::State::pump(std::size_t most, int reads, bool brakes) {
  turn_began = mark = base::Clock::now();
  if (mark - window >= kWindow) {
    window = mark;
    fault_time = {};
  }
  lines_left = kLinesPerTurn;
  drained = false;
  std::size_t bytes = 0;
  for (;; --reads) {
    Stop stop = give_out(brakes);
    if (stop != Stop::nothing) return stop;
    if (drained && brakes && !deaf) return stop;  // should something be left after all, the next wait says so at once
    if (bytes >= most || reads == 0) return Stop::turn_over;
    const std::size_t before = reader.kept();
    stop = read_some(most - bytes);
    if (stop != Stop::turn_over) return stop;
    bytes += reader.kept() - before;
  }
}

/// nothing: no whole line is left.
Channel::State::Stop Channel::State::give_out(bool brakes) {
  while (!brakes || !braked()) {
    if (brakes && (lines_left-- == 0 || mark - turn_began >= kTurnTime)) return Stop::turn_over;
    const LineReader::Next next = reader.next();
    if (next.what == LineReader::What::more) {
      look_at_clock();  // the time that went into a line's beginning is judged with the line; what is thrown away, at once
      bad = bad || reader.throwing_away();
      if (reader.throwing_away()) book();
      return Stop::nothing;
    }
    bad = bad || next.what == LineReader::What::too_long;
    if (next.what == LineReader::What::too_long) {
      tell(ChannelFault::too_long, 1);
    } else {
      ++counts.lines_in;
      in_turn = true;
      handlers.line(next.line);
      in_turn = false;
      if (over) return Stop::over;
    }
    book();
    if (std::exchange(rest_wanted, false) && brakes) return Stop::rest;
  }
  return Stop::braked;
}

/// turn_over: something was read.
Channel::State::Stop Channel::State::read_some(std::size_t most) {
  const std::span<char> room = reader.room();
  iovec into{room.data(), std::min(room.size(), most)};
  msghdr message{};
  message.msg_iov = &into;
  message.msg_iovlen = 1;
  const ssize_t got = ::recvmsg(socket.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return Stop::nothing;
    return errno == ECONNRESET ? Stop::eof : Stop::broken;  // closed with something unread
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    bad = true;
    tell(ChannelFault::descriptor, 1);
  }
  if (got == 0) return Stop::eof;
  reader.filled(static_cast<std::size_t>(got));
  drained = static_cast<std::size_t>(got) < into.iov_len;
  return Stop::turn_over;
}

void Channel::State::look_at_clock() {
  const auto now = base::Clock::now();
  spent += now - mark;
  mark = now;
}

/// The present line is dealt with.
void Channel::State::book() {
  look_at_clock();
  if (bad) fault_time += spent;
  spent = {};
  bad = false;
}

bool Channel::State::braked() {
  if (takes() && outbox.must_bytes() > kUnreadMost) {
    reading = Reading::unread;
    return true;
  }
  if (fault_time < kFaultTime) return false;
  reading = Reading::paused;
  pause.expires_at(window + kWindow);
  pause.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->over && self->reading == Reading::paused) self->read_soon();
  });
  tell(ChannelFault::paused, 1);
  return true;
}

void Channel::State::read_rest() {
  if (over || !socket.is_open()) return;
  if (in_turn) {
    rest_wanted = true;
    return;
  }
  int held = 0;
  if (::ioctl(socket.native_handle(), FIONREAD, &held) != 0) held = 0;
  // One byte more finds the end, if that is what follows; whoever else writes still does not keep us here.
  switch (pump(static_cast<std::size_t>(std::max(held, 0)) + 1, std::numeric_limits<int>::max(), false)) {
    case Stop::eof: return ending ? void() : end(ChannelEnd::peer);
    case Stop::broken: return ending ? void() : end(ChannelEnd::broken);
    default: break;
  }
}

void Channel::State::go_on_reading() {
  if (reading == Reading::unread && outbox.must_bytes() <= kUnreadMost) read_soon();
}

}  // namespace drover::ipc
