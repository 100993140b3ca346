#include "ipc/channel_state.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

namespace drover::ipc {

namespace asio = boost::asio;

const char* to_text(ChannelFault fault) {
  switch (fault) {
    case ChannelFault::too_long: return "too_long";
    case ChannelFault::not_json: return "not_json";
    case ChannelFault::descriptor: return "descriptor";
    case ChannelFault::paused: return "paused";
    case ChannelFault::dropped: return "dropped";
  }
  return "unknown";
}

const char* to_text(ChannelEnd end) {
  switch (end) {
    case ChannelEnd::peer: return "peer";
    case ChannelEnd::overflow: return "overflow";
    case ChannelEnd::broken: return "broken";
  }
  return "unknown";
}

// ---- its life

void Channel::State::start(base::UniqueFd fd) {
  boost::system::error_code error;
  socket.assign(fd.get(), error);
  if (!error) {
    fd.release();
    socket.non_blocking(true, error);
  }
  if (error) return end_soon(ChannelEnd::broken);
  wait_readable();
}

void Channel::State::stop() {
  over = true;
  boost::system::error_code ignored;
  socket.close(ignored);
  pause.cancel();
  outbox.clear();
}

void Channel::State::end(ChannelEnd how) {
  if (over) return;
  stop();
  if (handlers.ended) handlers.ended(how);
}

/// For where the owner is in the middle of something. What the worker has said so far still is heard.
void Channel::State::end_soon(ChannelEnd how) {
  if (ending) return;
  ending = true;
  asio::post(executor, [self = shared_from_this(), how] {
    if (self->over) return;
    if (self->socket.is_open()) self->read_rest();
    self->end(how);
  });
}

void Channel::State::tell(ChannelFault fault, std::uint64_t count) {
  counts.faults[static_cast<std::size_t>(fault)] += count;
  if (handlers.fault) handlers.fault(fault, count);
}

// ---- what the owner calls

base::Result<std::pair<base::UniqueFd, base::UniqueFd>> Channel::pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return base::system_error("socketpair for a channel", errno);
  return std::pair{base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

Channel::Channel(asio::io_context& io, base::UniqueFd socket, ChannelHandlers handlers) : state_(std::make_shared<State>(io, std::move(handlers))) {
  state_->start(std::move(socket));
}

Channel::~Channel() { close(); }

void Channel::send(std::string line) {
  if (!state_->takes()) return;
  state_->outbox.add(std::move(line));
  state_->added();
}

void Channel::send(std::string line, base::UniqueFd descriptor) {
  if (!state_->takes()) return;
  state_->outbox.add(std::move(line), std::move(descriptor));
  state_->added();
}

void Channel::send_message(std::string line) {
  if (!state_->takes()) return;
  const std::size_t dropped = state_->outbox.add_message(std::move(line));
  if (dropped > 0) state_->tell(ChannelFault::dropped, dropped);
  state_->added();
}

void Channel::send_sync(const std::string& key) {
  if (!state_->takes()) return;
  state_->outbox.add_sync(key);
  state_->added();
}

void Channel::descriptor_settled() {
  if (!state_->takes()) return;
  state_->outbox.descriptor_settled();
  state_->added();
}

bool Channel::descriptor_under_way() const { return state_->outbox.descriptor_under_way(); }

void Channel::found_bad() {
  if (state_->over) return;
  state_->bad = true;
  state_->tell(ChannelFault::not_json, 1);
}

void Channel::read_rest() {
  const auto held = state_;  // `line` may destroy us
  held->read_rest();
}

void Channel::finish() { state_->finish(); }

void Channel::close() { state_->stop(); }

bool Channel::open() const { return !state_->over && !state_->ending; }
bool Channel::takes() const { return state_->takes(); }
std::size_t Channel::waiting_bytes() const { return state_->outbox.bytes(); }
const Channel::Counts& Channel::counts() const { return state_->counts; }

}  // namespace drover::ipc
