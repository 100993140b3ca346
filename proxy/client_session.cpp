#include "proxy/client_session.hpp"

#include "proxy/exchange.hpp"
#include "proxy/head_write.hpp"
#include "proxy/proxy_thread.hpp"

#include <sys/socket.h>

namespace drover::proxy {

namespace {

constexpr base::Millis kLingerTime{1000};
constexpr std::size_t kLingerBytes = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kRequestsPerTurn = 16;  // pipelined ones, before others get a turn

}  // namespace

void ClientSession::start(ProxyThread& thread, std::uint32_t listener, base::UniqueFd fd, std::string peer) {
  auto* session = new ClientSession(thread, listener, std::move(fd), std::move(peer));
  session->run();
}

ClientSession::ClientSession(ProxyThread& thread, std::uint32_t listener, base::UniqueFd fd, std::string peer)
    : thread_(thread),
      listener_index_(listener),
      listener_(thread.config().listeners[listener]),
      stream_(thread.loop(), std::move(fd), true),
      peer_(std::move(peer)) {
  stream_.watch().fiber = &fiber_;
  thread_.loop().add(fiber_);
  thread_.session_started(*this);
}

ClientSession::~ClientSession() {
  if (reset_at_end_) {
    const struct ::linger abort { 1, 0 };
    ::setsockopt(stream_.watch().fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  }
  thread_.loop().remove(fiber_);
  thread_.session_ended(*this);
}

void ClientSession::nudge() { thread_.loop().wake(fiber_); }

Detached ClientSession::run() {
  std::size_t served = 0;
  for (;;) {
    const Wait got = co_await read_head();
    if (got == Wait::closed) break;
    const bool keep = co_await serve();
    if (!keep) break;
    if (++served % kRequestsPerTurn == 0 && !in_.empty()) co_await thread_.loop().yield(fiber_);
  }
  if (lingering_close_ && !reset_at_end_) co_await linger();
  delete this;
}

/// 0, or the status for a head that is too large already.
unsigned ClientSession::oversize() const {
  constexpr std::size_t kMethodAndVersion = 40;
  if (!scan_.first_line_done() && in_.size() > listener_.limits.target.value + kMethodAndVersion) return 414;
  if (in_.size() > listener_.limits.head.value && scan_.length() >= listener_.limits.head.value) return 431;
  return 0;
}

Task<ClientSession::Wait> ClientSession::read_head() {
  scan_.reset();
  bool begun = false;
  Watch& watch = stream_.watch();
  fiber_.timed_out = false;
  thread_.loop().set_deadline(fiber_, thread_.loop().now() + listener_.timeouts.idle);
  for (;;) {
    while (scan_.length() == 0 && in_.view().starts_with("\r\n")) in_.consume(2);  // RFC 9112 section 2.2
    if (!in_.empty()) {
      if (!begun) {
        begun = true;
        thread_.loop().set_deadline(fiber_, thread_.loop().now() + listener_.timeouts.head);
      }
      const HeadScan::State state = scan_.feed(in_.view());
      if (state == HeadScan::State::complete) co_return Wait::head;
      if (state == HeadScan::State::bad_byte) {
        co_await refuse(400, "the head has a control character, or a line that does not end in CR LF", false);
        co_return Wait::closed;
      }
      if (const unsigned status = oversize(); status != 0) {
        co_await refuse(status, status == 414 ? "the request target is too long" : "the request head is too large", false);
        co_return Wait::closed;
      }
    } else if (thread_.draining() && !watch.readable) {
      co_return Wait::closed;
    }
    if (!watch.readable) {
      if (in_.empty()) in_.free();
      thread_.loop().want(watch, kWantRead);
      co_await thread_.loop().wait(fiber_);
      watch.want = 0;
      if (std::exchange(fiber_.timed_out, false)) {
        if (begun) co_await refuse(408, "the request head did not come in time", false);
        co_return Wait::closed;
      }
      continue;
    }
    if (in_.room() == 0) in_.reserve(Buffer::kSmall);
    const IoResult got = stream_.read(in_.tail(), in_.room());
    if (got.what == Io::eof || got.what == Io::failed) co_return Wait::closed;
    in_.commit(got.bytes);
  }
}

Task<bool> ClientSession::serve() {
  fiber_.deadline = base::TimePoint::max();
  const std::size_t length = scan_.length();
  RequestHead head;
  MessageParser<true> parser(head);
  std::string_view reason = parser.parse_head(in_.view().substr(0, length));
  if (reason.empty() && head.target.size() > listener_.limits.target.value) co_return co_await refuse(414, "the request target is too long", false);
  if (length > listener_.limits.head.value || reason == kTooManyFields) co_return co_await refuse(431, "the request head is too large", false);
  if (reason.empty() && head.method == http::verb::connect) co_return co_await refuse(501, "CONNECT is not served here", prefers_json(head));
  if (reason.empty()) reason = check_request(head);
  if (!reason.empty()) co_return co_await refuse(400, reason, prefers_json(head));

  Exchange exchange(*this, head, parser, length);
  const bool keep = co_await exchange.run();
  if (exchange.unread_body()) lingering_close_ = true;
  co_return keep;
}

Task<bool> ClientSession::refuse(unsigned status, std::string_view reason, bool json) {
  std::array<char, 32> id{};
  thread_.make_request_id(id);
  ErrorReply reply;
  reply.status = status;
  reply.reason = reason;
  reply.request_id = {id.data(), id.size()};
  reply.json = json;
  reply.date = thread_.date();
  out_.clear();
  write_error(out_, reply);
  lingering_close_ = co_await send_all(out_.view());
  out_.free();
  co_return false;
}

Task<bool> ClientSession::send_all(std::string_view bytes) {
  Watch& watch = stream_.watch();
  while (!bytes.empty()) {
    const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    const IoResult wrote = stream_.write(&part, 1);
    if (wrote.what == Io::ok) {
      bytes.remove_prefix(wrote.bytes);
      continue;
    }
    if (wrote.what != Io::blocked) co_return false;
    thread_.loop().want(watch, kWantWrite);
    thread_.loop().set_deadline(fiber_, thread_.loop().now() + listener_.timeouts.send);
    while (!watch.writable && !fiber_.timed_out) co_await thread_.loop().wait(fiber_);
    watch.want = 0;
    if (std::exchange(fiber_.timed_out, false)) co_return false;
  }
  co_return true;
}

Task<bool> ClientSession::linger() {
  stream_.end_sending();
  fiber_.timed_out = false;
  Watch& watch = stream_.watch();
  thread_.loop().set_deadline(fiber_, thread_.loop().now() + kLingerTime);
  std::size_t dropped = 0;
  in_.clear();
  in_.reserve(Buffer::kSmall);
  while (dropped < kLingerBytes && !fiber_.timed_out) {
    if (!watch.readable) {
      thread_.loop().want(watch, kWantRead);
      co_await thread_.loop().wait(fiber_);
      continue;
    }
    const IoResult got = stream_.read(in_.tail(), in_.room());
    if (got.what == Io::eof || got.what == Io::failed) break;
    dropped += got.bytes;
  }
  co_return true;
}

}  // namespace drover::proxy
