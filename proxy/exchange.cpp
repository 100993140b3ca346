#include "proxy/exchange.hpp"

#include "proxy/client_session.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>

namespace drover::proxy {

namespace {

/// With the answer to a request whose kind has ended workers: soon again would be no better.
constexpr unsigned kBlockedRetryAfterSeconds = 60;

/// The Host of a request that came without one; a path of this machine is no name.
std::string_view local_name(const config::Bind& bind) {
  return bind.unix_path || bind.host.empty() ? std::string_view("localhost") : std::string_view(bind.text);
}

}  // namespace

Exchange::Exchange(ClientSession& session, RequestHead& head, MessageParser<true>& parser, std::size_t head_length)
    : session_(session),
      thread_(session.thread()),
      head_(head),
      request_parser_(parser),
      head_length_(head_length),
      began_(thread_.loop().now()),
      keep_client_(head.wants_keep_alive()) {
  thread_.exchange_began(*this);
}

Exchange::~Exchange() {
  if (leased_) give_back_worker(false);
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

Task<bool> Exchange::run() {
  thread_.make_request_id(request_id_);
  const bool kept = co_await serve();
  give_body_back();
  co_return kept;
}

Task<bool> Exchange::serve() {
  const auto match = thread_.routes().match(head_.host, head_.path());
  if (!match) co_return co_await answer_error(404, "no route leads from this host and path to a pool");
  pool_ = match->pool;
  pool_config_ = &thread_.config().pools[pool_];
  if (note_kind(match->route)) {
    co_return co_await answer_error(503, "requests like this have ended workers of this server; it is answered here for a while",
                                    kBlockedRetryAfterSeconds);
  }
  thread_.retry_budget(pool_).request();

  const auto& limit = session_.listener().limits.body;
  if (limit && head_.framing == Framing::length && head_.content_length > limit->value) {
    co_return co_await answer_error(413, "the request body is larger than this server takes");
  }
  const bool ready = co_await prepare_body();
  if (!ready) co_return false;

  const ForwardedFacts facts{
      session_.peer(), local_name(session_.listener().bind), {request_id_.data(), request_id_.size()}, thread_.unix_ms(), pool_config_->keepalive};
  write_request(request_text_, head_, facts);

  Outcome outcome;
  for (;; ++attempt_) {
    if (!leased_) {
      const bool acquired = co_await acquire();
      if (!acquired) co_return keep_client_;
    }
    begin_flight();
    outcome = co_await try_worker();
    judge(outcome);
    const bool again = attempt_ < pool_config_->retry.attempts && may_retry(outcome);
    if (again && retry_here()) continue;
    give_back_worker(outcome.kind == Outcome::Kind::complete);
    if (!again) break;
  }
  switch (outcome.kind) {
    case Outcome::Kind::complete: co_return keep_client_;
    case Outcome::Kind::refused:
    case Outcome::Kind::unanswered:
    case Outcome::Kind::rejected: co_return co_await answer_error(outcome.status, outcome.reason);
    case Outcome::Kind::truncated:
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
/// chunked one at least the first chunk's head is seen, so that a malformed one reaches nobody.
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
    return head_.framing == Framing::length ? !body.empty() : body.view().find('\n') != std::string_view::npos || body.size() >= 1024;
  };
  while (!enough()) {
    if (!watch.readable) {
      thread_.loop().want(watch, kWantRead);
      thread_.loop().set_deadline(session_.fiber(), thread_.loop().now() + session_.listener().timeouts.body);
      co_await thread_.loop().wait(session_.fiber());
      watch.want = 0;
      if (std::exchange(session_.fiber().timed_out, false)) {
        unread_body_ = true;
        co_await answer_error(408, "the request body did not come in time");
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

/// A lease, at once or from the line. False: the client has been answered, or is gone.
Task<bool> Exchange::acquire() {
  std::array<balancer::Lease, 16> avoided;
  std::size_t count = 0;
  for (std::size_t i = 0; i < tried_count_; ++i) avoided[count++] = tried_[i];
  for (const auto& lease : thread_.passed_over()) {
    if (count < avoided.size()) avoided[count++] = lease;
  }
  const balancer::Avoid avoid{{avoided.data(), count}};
  if (!thread_.queue(pool_).bounded()) {
    const auto result = thread_.claimer(pool_).claim(avoid);
    if (result.lease) {
      lease_ = *result.lease;
      leased_ = true;
      co_return true;
    }
  }
  co_return co_await stand_in_line(avoid);
}

Task<bool> Exchange::stand_in_line(const balancer::Avoid& avoid) {
  PoolQueue& queue = thread_.queue(pool_);
  board::PoolTally& tally = thread_.tally(pool_);
  Fiber& fiber = session_.fiber();
  const auto entry = queue.enter(waiter_, thread_.claimer(pool_), avoid, thread_.loop(), fiber);
  // Also for one that finds no place in the line: its next try shall find a worker.
  if (entry != PoolQueue::Entry::granted && thread_.supervisor_board().asleep(pool_)) thread_.ring_doorbell();
  if (entry == PoolQueue::Entry::full || entry == PoolQueue::Entry::nobody) {
    const bool full = entry == PoolQueue::Entry::full;
    tally.queue_rejected[static_cast<std::size_t>(full ? board::QueueReason::full : board::QueueReason::nobody)].add();
    co_await answer_error(503, full ? "too many requests are waiting" : "no worker can take the request now");
    co_return false;
  }
  const auto since = thread_.loop().now();
  Watch& watch = session_.stream().watch();
  bool left = false;
  if (entry == PoolQueue::Entry::queued) {
    thread_.loop().want(watch, kWantHangup);
    thread_.loop().set_deadline(fiber, line_ends(since));
    while (queue.state(waiter_) == Waiter::State::waiting && !left && !expired_) {
      if (std::exchange(fiber.timed_out, false)) {
        if (thread_.loop().now() >= line_ends(since)) break;
        thread_.loop().set_deadline(fiber, line_ends(since));  // the pool fell asleep meanwhile
      }
      left = watch.hangup;  // in the line a client that ends its sending has left
      if (!left) co_await thread_.loop().wait(fiber);
    }
    watch.want = 0;
    fiber.deadline = base::TimePoint::max();
    fiber.timed_out = false;
    queue.leave(waiter_);
    tally.queue_wait.observe(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(thread_.loop().now() - since).count()));
  }
  const auto state = std::exchange(waiter_.state, Waiter::State::outside);
  if (state == Waiter::State::granted) {
    take_grant();
    co_return true;
  }
  if (left) {
    client_left(board::Stage::queue);
    keep_client_ = false;
    co_return false;
  }
  const bool expired = state == Waiter::State::outside;
  tally.queue_rejected[static_cast<std::size_t>(expired ? board::QueueReason::expired : board::QueueReason::nobody)].add();
  co_await answer_error(503, expired ? "no worker became free in time" : "no worker can take the request now");
  co_return false;
}

/// Where a worker must be started first, its start is waited for.
base::TimePoint Exchange::line_ends(base::TimePoint since) const {
  const base::Millis wait = pool_config_->queue.wait;
  const board::SupervisorBoard& facts = thread_.supervisor_board();
  const bool start = facts.asleep(pool_) || facts.waking(pool_);
  return since + (start ? std::max(wait, pool_config_->ready.timeout) : wait);
}

/// Once at the moment of use, wherever the connection comes from: has its worker ended it meanwhile?
void Exchange::take_grant() {
  Grant grant = std::exchange(waiter_.grant, {});
  lease_ = grant.lease;
  leased_ = true;
  permit_ = std::move(grant.permit);
  // Closed since it was handed over: the worker may have been stopped, and its cut has come before this fiber had the lease.
  if (!thread_.claimer(pool_).transferable(lease_)) cut_ = ipc::Cut::stopped;
  if (!grant.connection.fd) return;
  connection_ = std::make_unique<WorkerConnection>(thread_.loop(), std::move(grant.connection.fd), lease_, std::move(grant.connection.permit));
  connection_->reused = true;
  if (connection_->stream.quiet()) return;
  permit_ = std::move(connection_->permit);
  connection_.reset();
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
  const bool elsewhere = attempt_ < pool_config_->retry.attempts && thread_.queue(pool_).any_open();
  if (!answered && elsewhere && repeatable(written_, connecting)) return true;
  cut_.reset();
  return false;
}

bool Exchange::may_retry(const Outcome& outcome) {
  using Kind = Outcome::Kind;
  if (outcome.kind != Kind::refused && outcome.kind != Kind::unanswered) return false;
  if (cut_ == ipc::Cut::hung || !repeatable(outcome.written, outcome.kind == Kind::refused)) return false;
  // What the supervisor has seen, a death or a stop, proves that the request is not to blame for a retry storm.
  const bool proven = cut_ == ipc::Cut::stopped || !thread_.claimer(pool_).transferable(lease_);
  if (!proven && !thread_.retry_budget(pool_).take(thread_.loop().now())) return false;
  thread_.tally(pool_).retries[static_cast<std::size_t>(outcome.retry)].add();
  if (connection_ && connection_->reused && !cut_) {
    fresh_only_ = true;  // most likely only the idle connection was stale, not the worker
  } else if (tried_count_ < tried_.size()) {
    tried_[tried_count_++] = lease_;
  }
  return true;
}

/// Where an idle connection of a bounded pool was stale, the next try takes its place, instead of standing in line once more. The
/// worker has ended its side already.
bool Exchange::retry_here() {
  if (!thread_.queue(pool_).bounded() || !connection_ || !connection_->reused || cut_ || !thread_.claimer(pool_).transferable(lease_)) {
    return false;
  }
  permit_ = std::move(connection_->permit);
  connection_.reset();
  return true;
}

/// Gives the lease back and keeps, hands on or closes the connection.
void Exchange::give_back_worker(bool reusable) {
  if (!leased_) return;
  leased_ = false;
  cut_.reset();
  end_flight();
  balancer::Claimer& claimer = thread_.claimer(pool_);
  PoolQueue& queue = thread_.queue(pool_);
  WorkerConnectionPtr connection = std::move(connection_);
  // One whose gate has closed may wait for this connection's end before it ends itself.
  const bool keep = reusable && connection && response_ && response_->reusable() && response_->framing != Framing::until_close &&
                    pool_config_->keepalive && upload_done_ && connection->in.empty() && !connection->stream.watch().hangup &&
                    claimer.transferable(lease_);
  Grant grant;
  grant.lease = lease_;
  if (!queue.bounded()) {
    if (keep) thread_.idle().put(std::move(connection), thread_.loop().now());
    permit_ = {};  // that of a connection which did not come about
    claimer.release(lease_);
    return;
  }
  if (!connection) {
    grant.permit = std::move(permit_);
    queue.give_back(claimer, std::move(grant));
    return;
  }
  if (!keep) {
    thread_.close_gently(pool_, std::move(grant), std::move(connection));
    return;
  }
  const auto until = thread_.loop().now() + connection->idle_most;
  grant.connection = ParkedConnection{connection->stream.release(), lease_.incarnation, std::move(connection->permit), until};
  queue.give_back(claimer, std::move(grant));
}

Task<bool> Exchange::answer_error(unsigned status, std::string_view reason, unsigned retry_after_s) {
  const bool whole_body = body_plan_ == BodyPlan::whole && body_is_here();
  if (!whole_body) unread_body_ = true;
  keep_client_ = keep_client_ && whole_body && status != 400 && status != 408 && !thread_.draining();
  ErrorReply reply;
  reply.status = status;
  reply.reason = reason;
  reply.request_id = {request_id_.data(), request_id_.size()};
  reply.json = prefers_json(head_);
  reply.head_only = head_.method == http::verb::head;
  reply.keep_alive = keep_client_;
  reply.keep_alive_named = head_.version < 11;
  reply.retry_after_s = status == 503 ? retry_after_s : 0;
  reply.date = thread_.date();
  response_text_.clear();
  write_error(response_text_, reply);
  record(status);
  if (status == 502 || status == 504) complain(status == 502 ? "502" : "504", reason);
  const bool sent = co_await session_.send_all(response_text_.view());
  keep_client_ = keep_client_ && sent;
  co_return keep_client_;
}

}  // namespace drover::proxy
