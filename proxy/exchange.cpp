#include "proxy/exchange.hpp"

#include "proxy/chunk_line.hpp"
#include "proxy/client_session.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>

namespace drover::proxy {

Exchange::Exchange(ClientSession& session, RequestHead& head, MessageParser<true>& parser, std::size_t head_length)
    : session_(session),
      thread_(session.thread()),
      head_(head),
      request_parser_(parser),
      head_length_(head_length),
      began_(thread_.loop().now()),
      start_ms_(thread_.unix_ms()),
      keep_client_(head.wants_keep_alive()) {
  thread_.exchange_began(*this);
}

Exchange::~Exchange() {
  if (leased_) give_back_worker(false);
  tell_breaker_of_no_end();
  thread_.exchange_ended(*this);
}

void Exchange::cut(ipc::Cut why) {
  if (cut_ != ipc::Cut::hung) cut_ = why;  // the death that follows makes no retry of it
  cut_at_ = thread_.loop().now();
  thread_.loop().wake(session_.fiber());
}

std::optional<base::Millis> Exchange::drain_limit() const {
  if (pool_config_ == nullptr) return {};
  return tunnel_agreed_ ? pool_config_->drain.tunnel : pool_config_->drain.http;
}

void Exchange::expire() {
  expired_ = true;
  thread_.loop().wake(session_.fiber());
}

bool Exchange::client_may_send_more() const {
  const bool answered = seen_.end == AccessEnd::complete || seen_.end == AccessEnd::truncated;
  return answered && (unread_body_ || head_.wants_keep_alive());
}

Task<bool> Exchange::run() {
  thread_.make_request_id(request_id_);
  const bool kept = co_await serve();
  log_access();  // before the head's bytes are given up
  give_body_back();
  co_return kept;
}

Task<bool> Exchange::serve() {
  if (const unsigned wait = session_.seconds_over_rate(); wait > 0) co_return co_await answer_error(429, "too many requests from this address", wait);
  if (head_.max_forwards == 0U) co_return co_await answer_as_last();
  if (const auto refusal = choose_route()) co_return co_await answer_error(refusal->status, refusal->reason);
  if (route_->answered_here()) co_return co_await answer_here();
  pool_config_ = &thread_.config().pools[pool_];
  note_deadline();
  if (const auto refusal = admit()) co_return co_await answer_error(refusal->status, refusal->reason, refusal->retry_after_s);

  const auto& limit = session_.listener().limits.body;
  if (limit && head_.framing == Framing::length && head_.content_length > limit->value) {
    co_return co_await answer_error(413, "the request body is larger than this server takes");
  }
  const bool ready = co_await prepare_body();
  if (!ready) co_return false;
  note_affinity();
  put_request();
  co_return co_await exchange_with_workers();
}

/// The Host of a request that came without one; a path of this machine is no name.
std::string_view Exchange::local_name() const {
  const config::Bind& bind = session_.listener().bind;
  return bind.unix_path || bind.host.empty() ? std::string_view("localhost") : std::string_view(bind.text);
}

/// The request's text for the worker, as the route and the pool want it.
void Exchange::put_request() {
  ForwardedFacts facts;
  facts.client = session_.peer();
  facts.local = local_name();
  facts.request_id = {request_id_.data(), request_id_.size()};
  facts.start_ms = start_ms_;
  facts.time_left = time_left();
  facts.keepalive = pool_config_->keepalive;
  facts.route = route_;
  request_parser_.set_edits({&route_->request, HeadEdits::Side::worker});
  request_text_.clear();
  write_request(request_text_, head_, facts);
}

Task<bool> Exchange::exchange_with_workers() {
  Outcome outcome;
  for (;; ++attempt_) {
    if (!leased_) {
      const bool acquired = co_await acquire();
      if (!acquired) co_return keep_client_;
    }
    begin_flight();
    outcome = co_await try_worker();
    judge(outcome);
    const bool again = tries_left() && may_retry(outcome);
    if (again && retry_here()) continue;
    give_back_worker(outcome.kind == Outcome::Kind::complete);
    if (!again && !spill_refused(outcome)) break;
  }
  tell_breaker(outcome);
  switch (outcome.kind) {
    case Outcome::Kind::complete: co_return keep_client_;
    case Outcome::Kind::refused:
    case Outcome::Kind::unanswered:
    case Outcome::Kind::rejected: co_return co_await answer_error(outcome.status, outcome.reason);
    case Outcome::Kind::truncated:
      seen_.end = AccessEnd::truncated;
      complain("cut short", outcome.reason);
      thread_.tally(pool_).truncated.add();
      // Where the end of the connection is the end of the body, only a reset tells the one from the other.
      if (const RelayPlan plan = response_plan(); plan.out == OutFraming::raw && plan.in != Framing::length) session_.reset_at_end();
      break;
    case Outcome::Kind::client_gone:
    case Outcome::Kind::tunnel_over: break;
  }
  co_return false;
}

/// Nothing is added to the length: it may be anything that fits 64 bits.
bool Exchange::body_is_here() const {
  return head_.framing == Framing::none || (head_.framing == Framing::length && head_.content_length <= session_.in().size() - head_length_);
}

/// A small body is read whole before a worker is claimed: a slow client holds no worker, and the request can be sent again. Of a
/// chunked one at least the first chunk's line is seen, so that a malformed one reaches nobody.
Task<bool> Exchange::prepare_body() {
  Buffer& in = session_.in();
  if (body_is_here()) co_return true;
  // Heads are views into the session's buffer: it must not move.
  const bool small = head_.framing == Framing::length && head_.content_length <= in.size() + in.room() - head_length_;
  if (!small || head_.expect_continue) {
    body_plan_ = BodyPlan::streamed;
    take_body_from_session();
  }
  if (head_.expect_continue) co_return true;
  Buffer& body = small ? in : upload_;
  Watch& watch = session_.stream().watch();
  const auto enough = [&] {
    if (small) return body_is_here();
    return head_.framing == Framing::length ? !body.empty() : look_at_first_chunk(body.view()) != FirstChunk::incomplete;
  };
  while (!enough()) {
    if (!watch.readable) {
      thread_.loop().want(watch, kWantRead);
      const std::uint64_t arrived = small ? in.size() - head_length_ : body.size();
      const auto silence = thread_.loop().now() + session_.listener().timeouts.body;
      thread_.loop().set_deadline(session_.fiber(), std::min({silence, deadline_, body_due(arrived)}));
      client_wait_began_ = thread_.loop().now();
      co_await thread_.loop().wait(session_.fiber());
      watch.want = 0;
      const bool slow = slow_body(arrived);
      if (std::exchange(session_.fiber().timed_out, false)) {
        if (late()) {
          unread_body_ = true;
          thread_.tally(pool_).deadlines.add();
          co_await answer_error(504, deadline_reason());
          co_return false;
        }
        unread_body_ = true;
        if (slow) session_.note_slow();
        co_await answer_error(408, slow ? kSlowBody : "the request body did not come in time");
        co_return false;
      }
      continue;
    }
    if (body.room() == 0) body.reserve(Buffer::kSmall);
    const IoResult got = session_.stream().read(body.tail(), body.room());
    if (got.what == Io::blocked) continue;
    if (got.what != Io::ok) {
      client_left(board::Stage::request_body);
      co_return false;
    }
    body.commit(got.bytes);
  }
  co_return true;
}

void Exchange::take_body_from_session() { upload_.append(session_.in().view().substr(head_length_)); }

/// Leaves in the session's buffer what comes after this request.
void Exchange::give_body_back() {
  Buffer& in = session_.in();
  if (body_plan_ == BodyPlan::streamed) {
    in.clear();
    in.swap(upload_);
    return;
  }
  if (!body_is_here()) unread_body_ = true;
  const std::uint64_t body = head_.framing == Framing::length ? head_.content_length : 0;
  in.consume(head_length_ + std::min<std::uint64_t>(body, in.size() - head_length_));
}

/// May it be sent once more, elsewhere?
bool Exchange::repeatable(bool written, bool refused) const {
  // A chunked body's decoder can't be turned back once a try has begun.
  const bool untouched = !written && (refused || head_.framing != Framing::chunked);
  if (body_plan_ == BodyPlan::streamed && !untouched) return false;
  return !written || head_.idempotent();
}

/// Its worker is cut: does this try end? A stopped one may go on one day: who can't be served elsewhere waits for that, or for its death.
bool Exchange::must_leave(bool connecting) {
  if (*cut_ != ipc::Cut::stopped) return true;
  const bool answered = any_response_byte_ || interim_count_ > 0;
  const bool elsewhere = tries_left() && thread_.queue(pool_).any_open();
  if (!answered && elsewhere && repeatable(written_, connecting)) return true;
  cut_.reset();
  return false;
}

bool Exchange::may_retry(const Outcome& outcome) {
  using Kind = Outcome::Kind;
  if ((outcome.kind != Kind::refused && outcome.kind != Kind::unanswered) || late()) return false;
  if (cut_ == ipc::Cut::hung || !repeatable(outcome.written, outcome.kind == Kind::refused)) return false;
  // A death or a stop proves that the pool as such is not overloaded: such a retry makes no storm.
  const bool proven = cut_ == ipc::Cut::stopped || !thread_.claimer(pool_).transferable(lease_) || worker_is_dying();
  if (!proven && !thread_.retry_budget(pool_).take(thread_.loop().now())) {
    thread_.tally(pool_).unpaid.add();
    return false;
  }
  thread_.tally(pool_).retries[static_cast<std::size_t>(outcome.retry)].add();
  if (connection_ && connection_->reused && !cut_) {
    fresh_only_ = true;  // most likely only the idle connection was stale, not the worker
  } else if (tried_count_ < tried_.size()) {
    tried_[tried_count_++] = lease_;
  }
  return true;
}

}  // namespace drover::proxy
