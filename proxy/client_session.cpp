#include "proxy/client_session.hpp"

#include "proxy/access_sink.hpp"
#include "proxy/exchange.hpp"
#include "proxy/head_write.hpp"
#include "proxy/proxy_thread.hpp"

#include <sys/socket.h>

#include <algorithm>

namespace drover::proxy {

namespace {

constexpr base::Millis kLingerTime{1000};
constexpr std::size_t kLingerBytes = std::size_t{4} * 1024 * 1024;
constexpr base::Millis kHeadGrace{3'000};
constexpr unsigned kMostEmptyLines = 16;      // before a request
constexpr std::size_t kRequestsPerTurn = 16;  // pipelined ones, before others get a turn

}  // namespace

void ClientSession::start(ProxyThread& thread, std::uint32_t listener, base::UniqueFd fd, Client client) {
  auto* session = new ClientSession(thread, listener, std::move(fd), std::move(client));
  session->run();
}

ClientSession::ClientSession(ProxyThread& thread, std::uint32_t listener, base::UniqueFd fd, Client client)
    : thread_(thread),
      listener_index_(listener),
      listener_(thread.config().listeners[listener]),
      stream_(thread.loop(), std::move(fd), true),
      client_(std::move(client)) {
  stream_.watch().fiber = &fiber_;
  thread_.session_started(*this);
}

ClientSession::~ClientSession() {
  if (reset_at_end_) {
    const struct ::linger abort { 1, 0 };
    ::setsockopt(stream_.watch().fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  }
  thread_.loop().remove(fiber_);
  if (client_.open == ClientLimits::Open::counted) thread_.client_limits(listener_index_)->closed(client_.address);
  thread_.session_ended(*this);
}

void ClientSession::nudge() { thread_.loop().wake(fiber_); }

Detached ClientSession::run() {
  std::size_t served = 0;
  const bool too_many = client_.open == ClientLimits::Open::over;
  if (too_many) co_await refuse(429, "too many connections from this address", false, 1);
  while (!too_many) {
    const Wait got = co_await read_head();
    if (got == Wait::closed) break;
    const bool keep = co_await serve();
    if (!keep) {
      lingering_close_ = lingering_close_ || !in_.empty();  // requests that it sent ahead would turn the close into a reset
      break;
    }
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

unsigned ClientSession::seconds_over_rate() {
  ClientLimits* limits = thread_.client_limits(listener_index_);
  if (limits == nullptr) return 0;
  const unsigned seconds = limits->request(client_.address, thread_.loop().now());
  if (seconds > 0) thread_.listener_tally(listener_index_).limited[static_cast<std::size_t>(board::LimitReason::requests)].add();
  return seconds;
}

void ClientSession::note_slow() { thread_.listener_tally(listener_index_).slow.add(); }

/// Until when a head that has come so far may go on coming; max: as long as it takes.
base::TimePoint ClientSession::head_due(base::TimePoint began) const {
  const auto& rate = listener_.rates.head;
  if (!rate || rate->value == 0) return base::TimePoint::max();
  return began + std::max(listener_.rates.grace.value_or(kHeadGrace), base::Millis(static_cast<std::int64_t>(in_.size() * 1000 / rate->value)));
}

Task<ClientSession::Wait> ClientSession::read_head() {
  scan_.reset();
  head_began_ = {};
  bool begun = false;
  unsigned empty_lines = 0;
  Watch& watch = stream_.watch();
  fiber_.timed_out = false;
  thread_.loop().set_deadline(fiber_, thread_.loop().now() + listener_.timeouts.idle);
  for (;;) {
    for (; scan_.length() == 0 && in_.view().starts_with("\r\n"); ++empty_lines) in_.consume(2);  // RFC 9112 section 2.2
    if (empty_lines > kMostEmptyLines) {
      co_await refuse(400, "too many empty lines stand before the request", false);
      co_return Wait::closed;
    }
    if (!in_.empty()) {
      if (!begun) {
        begun = true;
        head_began_ = thread_.loop().now();
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
      if (begun) {
        in_.shrink();
        thread_.loop().set_deadline(fiber_, std::min(head_began_ + listener_.timeouts.head, head_due(head_began_)));
      }
      thread_.loop().want(watch, kWantRead);
      co_await thread_.loop().wait(fiber_);
      watch.want = 0;
      if (std::exchange(fiber_.timed_out, false)) {
        const bool slow = begun && thread_.loop().now() < head_began_ + listener_.timeouts.head;
        if (slow) note_slow();
        if (begun) co_await refuse(408, slow ? "the request head comes too slowly" : "the request head did not come in time", false);
        co_return Wait::closed;
      }
      continue;
    }
    if (in_.capacity() < Buffer::kSmall) in_.reserve(Buffer::kSmall - in_.size());
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
  if (length > listener_.limits.head.value) co_return co_await refuse(431, "the request head is too large", false);
  if (reason.empty() && head.method == http::verb::connect) co_return co_await refuse(501, "CONNECT is not served here", prefers_json(head));
  if (reason.empty()) reason = check_request(head);
  if (!reason.empty()) co_return co_await refuse(refusal_status(reason), reason, prefers_json(head));

  Exchange exchange(*this, head, parser, length);
  const bool keep = co_await exchange.run();
  if (!keep) lingering_close_ = exchange.client_may_send_more();
  co_return keep;
}

Task<bool> ClientSession::refuse(unsigned status, std::string_view reason, bool json, unsigned retry_after_s) {
  thread_.listener_tally(listener_index_).refused[board::code_index(status)].add();
  std::array<char, 32> id{};
  thread_.make_request_id(id);
  ErrorReply reply;
  reply.status = status;
  reply.reason = reason;
  reply.request_id = {id.data(), id.size()};
  reply.json = json;
  reply.head_only = in_.view().starts_with("HEAD ");
  reply.retry_after_s = retry_after_s;
  reply.date = thread_.date();
  out_.clear();
  write_error(out_, reply);
  const std::size_t sent = co_await send_all(out_.view());
  lingering_close_ = sent == out_.size();
  if (thread_.access() != nullptr) log_refusal(status, reply.request_id, sent);
  out_.free();
  co_return false;
}

/// No exchange has begun: all that is known is a line that may be anything.
void ClientSession::log_refusal(unsigned status, std::string_view id, std::size_t sent) {
  AccessSink& sink = *thread_.access();
  const auto now = thread_.loop().now();
  const auto began = head_began_ == base::TimePoint{} ? now : head_began_;  // sent away before it said a word
  const RequestLine line = split_request_line(in_.view());
  AccessRecord record;
  record.unix_us = sink.unix_us(began);
  record.id = id;
  record.client = peer();
  record.listener = listener_.name;
  record.method = line.method;
  record.target = line.target;
  record.protocol = line.protocol;
  record.status = status;
  record.end = sent == out_.size() ? AccessEnd::complete : AccessEnd::client_gone;
  record.sent = sent - std::min(out_.view().find("\r\n\r\n") + 4, sent);
  record.total_us = static_cast<std::uint64_t>(std::max<std::int64_t>(AccessSink::us(now - began), 0));
  sink.write(record);
}

Task<std::size_t> ClientSession::send_all(std::string_view bytes) {
  Watch& watch = stream_.watch();
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const iovec part{const_cast<char*>(bytes.data()) + sent, bytes.size() - sent};
    const IoResult wrote = stream_.write(&part, 1);
    if (wrote.what == Io::ok) {
      sent += wrote.bytes;
      continue;
    }
    if (wrote.what != Io::blocked) co_return sent;
    thread_.loop().want(watch, kWantWrite);
    thread_.loop().set_deadline(fiber_, thread_.loop().now() + listener_.timeouts.send);
    while (!watch.writable && !fiber_.timed_out) co_await thread_.loop().wait(fiber_);
    watch.want = 0;
    if (std::exchange(fiber_.timed_out, false)) co_return sent;
  }
  co_return sent;
}

/// Closing while something unread has come makes the kernel reset the connection, and forget what it has not sent yet: so long as it
/// has, and the client takes some of it now and then, the end waits.
Task<bool> ClientSession::linger() {
  stream_.end_sending();
  fiber_.timed_out = false;
  Watch& watch = stream_.watch();
  std::size_t may_drop = kLingerBytes;
  std::size_t held = stream_.unacknowledged();
  base::TimePoint progress = thread_.loop().now();
  thread_.loop().set_deadline(fiber_, progress + kLingerTime);
  in_.clear();
  in_.reserve(Buffer::kSmall);
  for (;;) {
    if (watch.readable && may_drop > 0) {
      const IoResult got = stream_.read(in_.tail(), in_.room());
      if (got.what == Io::eof || got.what == Io::failed) break;
      may_drop -= std::min(may_drop, got.bytes);
      continue;
    }
    if (may_drop > 0) thread_.loop().want(watch, kWantRead);
    co_await thread_.loop().wait(fiber_);
    watch.want = 0;
    if (!std::exchange(fiber_.timed_out, false)) continue;
    const base::TimePoint now = thread_.loop().now();
    const std::size_t left = stream_.unacknowledged();
    if (left < held) progress = now;
    held = left;
    if (left == 0 || now - progress >= listener_.timeouts.send) break;
    thread_.loop().set_deadline(fiber_, now + kLingerTime);
  }
  co_return true;
}

}  // namespace drover::proxy
