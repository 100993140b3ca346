// An upgraded connection: bytes both ways until both sides have ended.
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>
#include <utility>

namespace drover::proxy {

/// After 101: bytes both ways until both sides have ended, each end passed on (RFC 9110 section 7.8).
Task<Outcome> Exchange::tunnel() {
  Fiber& fiber = session_.fiber();
  Watch& client = session_.stream().watch();
  Watch& worker = connection_->stream.watch();
  record(response_->status);
  keep_client_ = false;
  take_body_from_session();
  body_plan_ = BodyPlan::streamed;
  const RelayPlan plan{Framing::until_close, 0, OutFraming::raw, {}};
  Relay<true> up(session_.stream(), upload_, nullptr, connection_->stream, plan);
  Relay<false> down(connection_->stream, connection_->in, nullptr, session_.stream(), plan);
  down.put_first(response_text_.view());
  bool uploads = true;
  base::TimePoint moved_at = thread_.loop().now();
  for (;;) {
    const bool down_was_done = down.done();
    const Moved up_at = uploads ? up.step() : Moved::done;
    const Moved down_at = down_was_done ? Moved::done : down.step();
    const bool from_worker = !down_was_done && down.moved();
    if (from_worker) worker_moved_ = thread_.loop().now();
    if (from_worker || (uploads && up.moved())) moved_at = thread_.loop().now();
    if (uploads && up.done()) connection_->stream.end_sending();
    if (!down_was_done && down.done()) session_.stream().end_sending();
    const bool dead = cut_ && cut_ != ipc::Cut::stopped;
    // Who takes no more may still have sent something, above all by dying.
    uploads = uploads && !up.done() && up_at != Moved::sink_failed && !dead;
    // Who takes nothing any more has been read to its end: what it sent before has gone, or is on its way.
    if (!uploads && (down.done() || client.broken)) break;
    if (down.done() && worker.broken) break;
    if (up_at == Moved::source_failed || down_at > Moved::done || expired_ || cut_ == ipc::Cut::hung) break;
    if (up_at == Moved::busy || down_at == Moved::busy) {
      co_await thread_.loop().yield(fiber);
      continue;
    }
    const bool one_has_ended = !uploads || down.done() || client.broken;
    const auto until = !dead                         ? moved_at + pool_config_->timeouts.stall
                       : down_at == Moved::need_sink ? worker_moved_ + session_.listener().timeouts.send
                                                     : last_bytes_until();
    if (std::exchange(fiber.timed_out, false) && thread_.loop().now() >= until) break;
    // Two that both may still speak have all the time they want. Behind one's end the other's silence would hold its worker for ever.
    if (dead || one_has_ended) thread_.loop().set_deadline(fiber, until);
    thread_.loop().want(client, (uploads && up_at == Moved::need_source ? kWantRead : 0) | (down_at == Moved::need_sink ? kWantWrite : 0));
    thread_.loop().want(worker, (down_at == Moved::need_source ? kWantRead : 0) | (uploads && up_at == Moved::need_sink ? kWantWrite : 0));
    co_await thread_.loop().wait(fiber);
    client.want = worker.want = 0;
  }
  fiber.deadline = base::TimePoint::max();
  fiber.timed_out = false;
  seen_.end = AccessEnd::tunnel;
  seen_.sent = down.payload_sent();
  seen_.received = up.payload();
  Outcome over;
  over.kind = Outcome::Kind::tunnel_over;
  co_return over;
}

}  // namespace drover::proxy
