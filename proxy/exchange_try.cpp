// One try of an exchange on one worker: connect, both directions at once, the response's head in between.
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace drover::proxy {

namespace {

constexpr std::size_t kMaxResponseHead = std::size_t{64} * 1024;
constexpr unsigned kMaxInterim = 32;
constexpr std::uint64_t kUpgraded = 101;
constexpr base::Millis kRedial{50};  ///< a server that accepts at all has made room by then
constexpr std::string_view kHung = "the worker stopped answering and is being replaced";
constexpr std::string_view kGone = "the worker is gone";
constexpr std::string_view kStopped = "the worker is stopped";

Outcome ended(Outcome::Kind kind) {
  Outcome outcome;
  outcome.kind = kind;
  return outcome;
}

Outcome rejected(unsigned status, std::string_view reason, bool worker_fault) {
  Outcome outcome;
  outcome.kind = Outcome::Kind::rejected;
  outcome.status = status;
  outcome.reason = reason;
  outcome.worker_fault = worker_fault;
  return outcome;
}

Outcome not_connected(unsigned status, std::string_view reason, board::RetryReason why) {
  Outcome outcome = rejected(status, reason, true);
  outcome.kind = Outcome::Kind::refused;
  outcome.retry = why;
  return outcome;
}

/// Does it switch to nothing but what was offered (RFC 9110 section 7.8)?
bool agrees(const ResponseHead& response, std::string_view offer) {
  const Field* upgrade = response.find(http::field::upgrade);
  if (upgrade == nullptr || upgrade->value.empty()) return false;
  bool all = true;
  for_each_token(upgrade->value, [&](std::string_view taken) {
    bool offered = false;
    for_each_token(offer, [&](std::string_view each) { offered = offered || equal_ignoring_case(each, taken); });
    all = all && offered;
  });
  return all;
}

}  // namespace

Task<Outcome> Exchange::try_worker() {
  written_ = any_response_byte_ = false;
  try_began_ = thread_.loop().now();
  if (late()) co_return deadline_over();
  if (deadline_ != base::TimePoint::max()) put_request();  // it says how much of the time is left
  if (cut_ && must_leave(true)) co_return left_worker(true);
  if (!connection_ && !fresh_only_ && pool_config_->keepalive && !thread_.queue(pool_).bounded()) {
    connection_ = thread_.idle().take(lease_, thread_.loop().now(), !head_.idempotent());
  }
  if (!connection_) {
    const auto since = thread_.loop().now();
    Outcome connected = co_await connect();
    seen_.connect += thread_.loop().now() - since;
    if (connected.kind != Outcome::Kind::complete) co_return connected;
  }
  co_return co_await pump();
}

Task<Outcome> Exchange::connect() {
  board::WorkerInfo info;
  // The endpoint is read after entering: while we are inside, the row can't be given to another incarnation.
  const bool read = thread_.supervisor_board().read_row(lease_.row, info);
  if (!read || info.incarnation != lease_.incarnation) {
    if (read) thread_.thread_tally().claims_after_close.add();
    co_return not_connected(502, kGone, board::RetryReason::connect);
  }
  const auto give_up = std::min(thread_.loop().now() + pool_config_->timeouts.connect, deadline_);
  int error = EAGAIN;
  while (error == EAGAIN) error = co_await dial(info, give_up);
  if (error == 0) co_return ended(Outcome::Kind::complete);
  if (cut_) co_return left_worker(true);
  if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
    co_return rejected(503, "the proxy has no descriptor left for a connection to a worker", false);
  }
  if (error == ETIMEDOUT && late()) co_return deadline_over();
  if (error == ETIMEDOUT) co_return not_connected(504, "the worker did not accept the connection in time", board::RetryReason::timeout);
  thread_.pass_over(lease_);
  co_return not_connected(502, "the worker refused the connection", board::RetryReason::connect);
}

/// One attempt; 0 or errno. EAGAIN: its queue of new connections is full, which passes: try again. The kernel would be silent for one second,
/// then two, before its own next attempt, and many a server's queue holds five.
Task<int> Exchange::dial(const board::WorkerInfo& worker, base::TimePoint give_up) {
  Loop& loop = thread_.loop();
  Fiber& fiber = session_.fiber();
  const auto open = [&] { return base::UniqueFd(::socket(worker.endpoint.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); };
  base::UniqueFd fd = open();
  // A connection that waits for a request of another worker's is worth less than the request that is here.
  if (!fd && (errno == EMFILE || errno == ENFILE) && thread_.idle().close_oldest()) fd = open();
  if (!fd) co_return errno;
  if (worker.endpoint.family() != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  const int begun = ::connect(fd.get(), worker.endpoint.addr(), worker.endpoint.length) == 0 ? 0 : errno;
  if (!permit_) permit_ = Permit::take(thread_.board().row(lease_.row), UINT32_MAX);
  if (begun != 0 && begun != EINPROGRESS && begun != EAGAIN) co_return begun;
  connection_ = std::make_unique<WorkerConnection>(loop, std::move(fd), lease_, std::move(permit_));
  if (begun == 0) co_return 0;

  Watch& watch = connection_->stream.watch();
  watch.fiber = &fiber;
  if (begun == EINPROGRESS) loop.want(watch, kWantWrite);
  watch.writable = false;
  loop.set_deadline(fiber, std::min(give_up, loop.now() + kRedial));
  while (!watch.writable && !watch.broken && !fiber.timed_out && !(cut_ && must_leave(true))) co_await loop.wait(fiber);
  watch.want = 0;
  const bool late = std::exchange(fiber.timed_out, false);
  int error = late || (cut_ && !watch.writable) ? ETIMEDOUT : connection_->stream.connect_error();
  if (error == 0) co_return 0;
  if (late && loop.now() < give_up) error = EAGAIN;
  permit_ = std::move(connection_->permit);  // the place goes on with the lease
  connection_.reset();
  co_return error;
}

Task<Outcome> Exchange::pump() {
  Fiber& fiber = session_.fiber();
  Watch& client = session_.stream().watch();
  Watch& worker = connection_->stream.watch();
  worker.fiber = &fiber;
  response_scan_.reset();
  response_text_.clear();
  upload_done_ = upload_failed_ = false;
  upload_at_ = Moved::busy;
  download_at_ = Moved::need_source;
  upload_moved_ = worker_moved_ = seen_.asked = thread_.loop().now();
  seen_.answered = {};
  connection_->idle_most = pool_config_->timeouts.idle;

  RelayPlan plan;
  if (body_plan_ == BodyPlan::streamed) {
    plan = RelayPlan{head_.framing, head_.content_length, head_.framing == Framing::chunked ? OutFraming::chunked : OutFraming::raw, {}};
    if (const auto& limit = session_.listener().limits.body) plan.limit = limit->value;
  }
  Relay<true> up(session_.stream(), upload_, &request_parser_, connection_->stream, plan);
  up.put_first(request_text_.view());
  if (body_plan_ == BodyPlan::whole) up.put_first(session_.in().view().substr(head_length_, head_.content_length));

  std::optional<Outcome> over;
  for (;;) {
    bool moved = false;
    over = step_upload(up, moved);
    if (!over) over = send_interim(moved);
    if (!over && !download_ && !tunnel_agreed_) over = read_response(moved);
    if (!over && tunnel_agreed_) break;
    if (!over && download_) over = step_download(moved);
    if (over) break;
    if (moved) {
      if (late()) {
        over = deadline_over();
        break;
      }
      if (upload_at_ == Moved::busy || download_at_ == Moved::busy) co_await thread_.loop().yield(fiber);
      continue;
    }
    if (expired_) {
      over = or_truncated(rejected(503, "the server is stopping", false));
      break;
    }
    if (client.broken) {
      client_left(download_ ? board::Stage::response_body : upload_done_ ? board::Stage::waiting : board::Stage::request_body);
      over = ended(Outcome::Kind::client_gone);
      break;
    }
    // What the dead worker sent is still delivered, however slow the client: last_bytes_until().
    const bool cut_off = cut_ && !worker.readable && (!download_ || (download_at_ == Moved::need_source && cut_ != ipc::Cut::gone));
    if (cut_off && must_leave(false)) {
      over = left_worker(false);
      break;
    }
    want_and_set_clock();
    client_wait_began_ = thread_.loop().now();
    co_await thread_.loop().wait(fiber);
    client.want = worker.want = 0;
    if (owes_body()) slow_ = slow_body(upload_arrived_);
    over = check_clocks();
    if (over) break;
  }
  client.want = worker.want = 0;
  fiber.deadline = base::TimePoint::max();
  fiber.timed_out = false;
  if (!over) co_return co_await tunnel();
  if (!upload_done_) unread_body_ = body_plan_ == BodyPlan::streamed;
  seen_.received = up.payload();
  if (download_) seen_.sent = download_->payload_sent();
  over->written = written_;
  if (download_ && download_->sent_any()) record(response_->status);
  download_.reset();
  co_return *over;
}

std::optional<Outcome> Exchange::step_upload(Relay<true>& up, bool& moved) {
  if (upload_done_ || upload_failed_) return {};
  const bool was_full = upload_at_ == Moved::need_sink;
  upload_at_ = up.step();
  written_ = up.sent_any();
  upload_arrived_ = up.payload();
  if (up.moved()) {
    moved = true;
    upload_moved_ = worker_moved_ = thread_.loop().now();
    // That the kernel takes bytes says nothing of the worker; that it takes them again after it was full does.
    if (was_full) worker_moved();
  }
  switch (upload_at_) {
    case Moved::busy:
    case Moved::need_source:
    case Moved::need_sink:
    case Moved::at_end: return {};
    case Moved::done:
      upload_done_ = true;
      if (!download_) seen_.asked = thread_.loop().now();
      return {};
    case Moved::source_ended:
    case Moved::source_failed: client_left(board::Stage::request_body); return ended(Outcome::Kind::client_gone);
    case Moved::bad_body: return or_truncated(rejected(400, up.reason(), false));
    case Moved::too_large: return or_truncated(rejected(413, "the request body is larger than this server takes", false));
    case Moved::sink_failed:
      upload_failed_ = true;
      connection_->stream.watch().readable = true;  // an answer may stand there, or the reason
      return {};
  }
  return {};
}

/// Before the response's head is whole.
std::optional<Outcome> Exchange::read_response(bool& moved) {
  Watch& worker = connection_->stream.watch();
  if (!interim_unsent_.empty()) return {};
  Buffer& in = connection_->in;
  for (;;) {
    if (!in.empty()) {
      const auto state = response_scan_.feed(in.view());
      if (state == HeadScan::State::bad_byte) return response_broken("the worker's response head is malformed");
      if (state == HeadScan::State::complete) {
        moved = true;
        return take_response_head(response_scan_.length());
      }
      if (in.size() >= kMaxResponseHead) return response_broken("the worker's response head is too large");
    }
    if (!worker.readable) return {};
    if (in.room() == 0) in.reserve(Buffer::kSmall);
    const IoResult got = connection_->stream.read(in.tail(), in.room());
    if (got.what == Io::blocked) return {};
    if (got.what != Io::ok) return worker_ended(got.what == Io::eof ? board::RetryReason::closed : board::RetryReason::reset);
    in.commit(got.bytes);
    any_response_byte_ = moved = true;
    worker_moved();
  }
}

/// 1xx heads go to the client before anything else is read from the worker.
std::optional<Outcome> Exchange::send_interim(bool& moved) {
  if (interim_unsent_.empty()) return {};
  const iovec part{const_cast<char*>(interim_unsent_.data()), interim_unsent_.size()};
  const IoResult wrote = session_.stream().write(&part, 1);
  if (wrote.what == Io::blocked) return {};
  if (wrote.what != Io::ok) {
    client_left(board::Stage::waiting);
    return ended(Outcome::Kind::client_gone);
  }
  moved = true;
  interim_unsent_.remove_prefix(wrote.bytes);
  if (interim_unsent_.empty()) response_text_.clear();
  return {};
}

std::optional<Outcome> Exchange::take_response_head(std::size_t length) {
  Buffer& in = connection_->in;
  response_.emplace();
  response_parser_.emplace(*response_);
  if (head_.method == http::verb::head) response_parser_->skip(true);
  std::string_view reason = response_parser_->parse_head(in.view().substr(0, length));
  if (reason.empty()) reason = check_response(*response_, head_.method);
  if (!reason.empty()) return response_broken("the worker's response head is malformed");
  response_scan_.reset();
  if (response_->status == kUpgraded) {
    if (!response_->connection_upgrade || !agrees(*response_, head_.upgrade)) return response_broken("the worker changed the protocol unasked");
    tunnel_agreed_ = true;
    seen_.answered = thread_.loop().now();
    tell_breaker(balancer::Breaker::End::good);
  } else if (response_->status < 200) {
    if (++interim_count_ > kMaxInterim) return response_broken("the worker sent too many interim responses");
    if (head_.version >= 11) write_interim(response_text_, *response_);
    interim_unsent_ = response_text_.view();
    in.consume(length);
    return {};
  }
  if (tunnel_agreed_) {
    note_answered();
    ReplyFacts facts{head_.version, true, false, true, thread_.date(), &route_->response};
    add_cookie(facts);
    write_response(response_text_, *response_, facts);
    in.consume(length);
    return {};
  }
  take_final_response();
  in.consume(length);
  Relay<false>& down = download_.emplace(connection_->stream, in, &*response_parser_, session_.stream(), response_plan());
  down.put_first(response_text_.view());
  return {};
}

RelayPlan Exchange::response_plan() const {
  const bool chunks = response_->framing == Framing::chunked || response_->framing == Framing::until_close;
  const OutFraming out = chunks && head_.version >= 11 ? OutFraming::chunked : OutFraming::raw;
  return RelayPlan{response_->framing, response_->content_length, out, {}, response_->framing == Framing::until_close};
}

/// The head of the answer proper: what it means for both connections, and its text for the client.
void Exchange::take_final_response() {
  seen_.answered = thread_.loop().now();
  const RelayPlan plan = response_plan();
  const bool delimited = plan.in == Framing::none || plan.in == Framing::length || plan.out == OutFraming::chunked;
  // An answer that comes before the request's end: the rest of the body will not be read.
  keep_client_ = keep_client_ && delimited && upload_done_ && !thread_.draining();
  note_keep_alive_hint();
  // Its head decides a trial: nobody shall wait for the end of a long download.
  if (pass_ && pass_->trial) tell_breaker(ended(Outcome::Kind::complete));
  if (plan.in == Framing::chunked || plan.in == Framing::until_close) {
    const Field* type = response_->find(http::field::content_type);
    event_stream_ = type != nullptr && type->value.starts_with("text/event-stream");
  }
  response_parser_->set_edits({&route_->response, HeadEdits::Side::client});
  note_answered();
  ReplyFacts facts{head_.version, keep_client_, plan.out == OutFraming::chunked, false, thread_.date(), &route_->response};
  add_cookie(facts);
  write_response(response_text_, *response_, facts);
}

/// The worker's own "Keep-Alive: timeout=N": closing half a second before it does.
void Exchange::note_keep_alive_hint() {
  const Field* hint = response_->find(http::field::keep_alive);
  if (hint == nullptr) return;
  for_each_token(hint->value, [&](std::string_view token) {
    constexpr std::string_view kName = "timeout=";
    if (token.size() <= kName.size() || !equal_ignoring_case(token.substr(0, kName.size()), kName)) return;
    unsigned seconds = 0;
    std::from_chars(token.data() + kName.size(), token.data() + token.size(), seconds);
    const base::Millis bound(std::int64_t{seconds} * 1000 - 500);
    connection_->idle_most = std::clamp(bound, base::Millis(0), pool_config_->timeouts.idle);
  });
}

std::optional<Outcome> Exchange::step_download(bool& moved) {
  Relay<false>& down = *download_;
  download_at_ = down.step();
  if (down.moved()) {
    moved = true;
    worker_moved();
  }
  switch (download_at_) {
    case Moved::busy:
    case Moved::need_source:
    case Moved::need_sink: return {};
    case Moved::at_end: return judge_end(moved);
    case Moved::done: return ended(Outcome::Kind::complete);
    case Moved::source_ended:
    case Moved::source_failed: return response_broken("the worker closed the connection inside its response");
    case Moved::bad_body:
    case Moved::too_large: return response_broken("the worker's response body is malformed");
    case Moved::sink_failed: client_left(board::Stage::response_body); return ended(Outcome::Kind::client_gone);
  }
  return {};
}

/// What the supervisor's word about its worker means for this try.
Outcome Exchange::left_worker(bool connecting) const {
  if (cut_ == ipc::Cut::hung) return or_truncated(rejected(504, kHung, true));
  if (cut_ != ipc::Cut::stopped)
    return connecting ? not_connected(502, kGone, board::RetryReason::connect) : worker_ended(board::RetryReason::closed);
  Outcome outcome = rejected(504, kStopped, false);
  outcome.kind = connecting ? Outcome::Kind::refused : Outcome::Kind::unanswered;
  outcome.retry = board::RetryReason::timeout;
  return outcome;
}

/// The worker ended the connection before its response was whole.
Outcome Exchange::worker_ended(board::RetryReason how) const {
  if (cut_ == ipc::Cut::hung) return left_worker(false);
  if (any_response_byte_ || interim_count_ > 0) return response_broken("the worker closed the connection inside its response");
  Outcome outcome = rejected(502, "the worker closed the connection without an answer", true);
  outcome.kind = Outcome::Kind::unanswered;
  outcome.retry = how;
  // An idle connection that the worker closed is its right, not its fault.
  if (connection_->reused) outcome.worker_fault = false;
  return outcome;
}

Outcome Exchange::response_broken(std::string_view reason) const { return or_truncated(rejected(502, reason, true)); }

/// Once the client has a byte of the response, the end of the connection is all that can still be said.
Outcome Exchange::or_truncated(Outcome rejection) const {
  const bool inside_interim = !interim_unsent_.empty() && interim_unsent_.size() < response_text_.size();
  if (inside_interim || (download_ && download_->sent_any())) rejection.kind = Outcome::Kind::truncated;
  return rejection;
}

void Exchange::want_and_set_clock() {
  Watch& client = session_.stream().watch();
  Watch& worker = connection_->stream.watch();
  const auto& listener = session_.listener().timeouts;
  const auto& pool = pool_config_->timeouts;
  auto until = base::TimePoint::max();
  if (!upload_done_ && !upload_failed_) {
    const bool waits_for_client = upload_at_ == Moved::need_source;
    thread_.loop().want(waits_for_client ? client : worker, waits_for_client ? kWantRead : kWantWrite);
    // While the response flows its client may rest, or its worker not care for the request's end (RFC 9112 section 9.5).
    until = (download_ ? std::max(upload_moved_, worker_moved_) : upload_moved_) + (waits_for_client ? listener.body : pool.stall);
    if (owes_body()) until = std::min(until, body_due(upload_arrived_));
  }
  if (!interim_unsent_.empty()) {
    thread_.loop().want(client, kWantWrite);
    until = std::min(until, worker_moved_ + listener.send);
  } else if (!download_) {
    thread_.loop().want(worker, kWantRead);
    if (upload_done_ || upload_failed_) until = std::min(until, worker_moved_ + pool.response);
  } else if (download_at_ == Moved::need_sink) {
    thread_.loop().want(client, kWantWrite);
    until = std::min(until, worker_moved_ + listener.send);
  } else {
    thread_.loop().want(worker, kWantRead);
    until = std::min(until, cut_ == ipc::Cut::gone ? last_bytes_until() : worker_moved_ + pool.stall);
  }
  thread_.loop().set_deadline(session_.fiber(), std::min(until, deadline_));
  session_.fiber().timed_out = false;  // an older deadline may have passed while this fiber was moving bytes
}

std::optional<Outcome> Exchange::check_clocks() {
  if (!std::exchange(session_.fiber().timed_out, false)) return {};
  if (late()) return deadline_over();
  const bool upload_waits = !upload_done_ && !upload_failed_;
  if (!interim_unsent_.empty() || (download_ && download_at_ == Moved::need_sink)) {
    client_left(download_ ? board::Stage::response_body : board::Stage::waiting);
    return ended(Outcome::Kind::client_gone);
  }
  if (upload_waits && upload_at_ == Moved::need_source) {
    if (slow_) session_.note_slow();
    return or_truncated(rejected(408, slow_ ? kSlowBody : "the request body did not come in time", false));
  }
  if (download_ && cut_) return left_worker(false);
  if (download_) return response_broken("the worker fell silent inside its response");
  if (upload_waits) return rejected(504, "the worker stopped taking the request", true);
  return rejected(504, "the worker did not answer in time", true);
}

}  // namespace drover::proxy
