// How an exchange comes by a worker, at once or from the line, and gives it back.
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>

namespace drover::proxy {

namespace {

/// Between a death and its successor, and while a worker is replaced, nobody is sent elsewhere.
constexpr base::Millis kSpillPause{250};

}  // namespace

/// A lease, at once or from the line, of its pool or of one that takes what that can't. False: the client has been answered, or is gone.
Task<bool> Exchange::acquire() {
  std::optional<Refusal> refusal;
  do {
    refusal = spills_ > 0 ? in_maintenance() : std::nullopt;
    if (!refusal) refusal = pass_breaker();
    if (!refusal && !claim_at_once()) refusal = co_await stand_in_line();
    if (!refusal) co_return leased_;
  } while (refusal->why && spill(*refusal->why));
  board::PoolTally& tally = thread_.tally(pool_);
  if (refusal->why) {
    tally.queue_rejected[static_cast<std::size_t>(*refusal->why)].add();
  } else {
    tally.deadlines.add();
  }
  co_await answer_error(refusal->status, refusal->reason, refusal->retry_after_s);
  co_return false;
}

/// Where no line is to be minded.
bool Exchange::claim_at_once() {
  std::size_t count = 0;
  for (std::size_t i = 0; i < tried_count_; ++i) avoided_[count++] = tried_[i];
  for (const auto& lease : thread_.passed_over()) {
    if (count < avoided_.size()) avoided_[count++] = lease;
  }
  ask_.avoid = {{avoided_.data(), count}};
  PoolQueue& queue = thread_.queue(pool_);
  if (queue.bounded() || queue.held(thread_.loop().now())) return false;
  const auto result = thread_.claimer(pool_).claim(ask_);
  if (!result.lease) return false;
  lease_ = *result.lease;
  leased_ = true;
  return true;
}

/// None: it has a lease, or the client is gone.
Task<std::optional<Exchange::Refusal>> Exchange::stand_in_line() {
  PoolQueue& queue = thread_.queue(pool_);
  Fiber& fiber = session_.fiber();
  waiter_.priority = route_->priority;
  const auto entry = queue.enter(waiter_, thread_.claimer(pool_), ask_, thread_.loop(), fiber);
  // Also for one that finds no place in the line: its next try shall find a worker.
  if (entry != PoolQueue::Entry::granted && thread_.supervisor_board().asleep(pool_)) thread_.ring_doorbell();
  if (entry == PoolQueue::Entry::full) co_return Refusal{503, "too many requests are waiting", seconds_of_hold(), board::QueueReason::full};
  if (entry == PoolQueue::Entry::nobody) co_return left_line(Waiter::State::hopeless);
  const auto since = thread_.loop().now();
  Watch& watch = session_.stream().watch();
  bool left = false;
  std::optional<base::TimePoint> down_since;  // its pool, as seen from here
  if (entry == PoolQueue::Entry::queued) {
    thread_.loop().want(watch, kWantHangup);
    while (queue.state(waiter_) == Waiter::State::waiting && !left && !expired_) {
      // Each time anew: the pool may have fallen asleep, or a hold may have come or gone.
      const auto now = thread_.loop().now();
      const bool rung = std::exchange(fiber.timed_out, false);
      if (rung) queue.retry(thread_.claimer(pool_), now);  // a hold may have ended by its own time, of which nobody tells
      if (!spills_when_down() || queue.held(now) || queue.any_open()) {
        down_since.reset();
      } else if (!down_since) {
        down_since = now;
      }
      auto ends = std::min(line_ends(since), deadline_);
      if (down_since) ends = std::min(ends, *down_since + kSpillPause);
      if (rung && (now >= ends || queue.state(waiter_) != Waiter::State::waiting)) break;
      auto look = queue.held(now) ? std::min(ends, queue.hold_ends(now)) : ends;
      if (spills_when_down()) look = std::min(look, now + kSpillPause);
      thread_.loop().set_deadline(fiber, look);
      left = watch.hangup;  // in the line a client that ends its sending has left
      if (!left) co_await thread_.loop().wait(fiber);
    }
    watch.want = 0;
    fiber.deadline = base::TimePoint::max();
    fiber.timed_out = false;
    queue.leave(waiter_);
    const auto waited = thread_.loop().now() - since;
    seen_.queue += waited;
    thread_.tally(pool_).queue_wait.observe(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(waited).count()));
  }
  const auto state = std::exchange(waiter_.state, Waiter::State::outside);
  if (state == Waiter::State::granted) {
    take_grant();
    co_return std::nullopt;
  }
  if (left) {
    client_left(board::Stage::queue);
    keep_client_ = false;
    co_return std::nullopt;
  }
  co_return left_line(state);
}

/// For Retry-After: before the hold is over nobody is served.
unsigned Exchange::seconds_of_hold() const {
  const auto now = thread_.loop().now();
  const auto left = std::chrono::ceil<std::chrono::seconds>(thread_.queue(pool_).hold_ends(now) - now).count();
  return std::max(static_cast<unsigned>(std::max<std::int64_t>(left, 0)), kRetryAfterSeconds);
}

/// Why it leaves without a worker.
std::optional<Exchange::Refusal> Exchange::left_line(Waiter::State state) {
  if (state == Waiter::State::hopeless) return Refusal{503, "no worker can take the request now", kRetryAfterSeconds, board::QueueReason::nobody};
  if (state == Waiter::State::shed) return Refusal{503, "more urgent requests are waiting", kRetryAfterSeconds, board::QueueReason::shed};
  if (late()) return Refusal{504, std::string(deadline_reason())};
  return Refusal{503, "no worker became free in time", kRetryAfterSeconds, board::QueueReason::expired};
}

/// Where a worker must be started first, its start is waited for; the time of a hold does not count.
base::TimePoint Exchange::line_ends(base::TimePoint since) {
  const base::Millis wait = pool_config_->queue.wait;
  const board::SupervisorBoard& facts = thread_.supervisor_board();
  const bool start = facts.asleep(pool_) || facts.waking(pool_);
  const auto from = thread_.queue(pool_).wait_counts_from(since, thread_.loop().now());
  return from + (start ? std::max(wait, pool_config_->ready.timeout) : wait);
}

/// A pool that is being started, from its sleep or by this very request, is not down.
bool Exchange::spills_when_down() const {
  const board::SupervisorBoard& facts = thread_.supervisor_board();
  return pool_config_->spill_to && !facts.asleep(pool_) && !facts.waking(pool_);
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

}  // namespace drover::proxy
