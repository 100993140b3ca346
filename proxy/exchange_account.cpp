// What an exchange writes down: its flight, its worker's counts, the one record in the tallies, the line about a failure.
#include "balancer/latency.hpp"
#include "base/text.hpp"
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace drover::proxy {

namespace {

constexpr std::size_t kSaidPath = 200;
constexpr std::size_t kSaidMethod = 16;

board::Method tally_method(http::verb method) {
  switch (method) {
    case http::verb::get: return board::Method::get;
    case http::verb::head: return board::Method::head;
    case http::verb::post: return board::Method::post;
    default: return board::Method::other;
  }
}

bool gateway_error(unsigned status) { return status == 502 || status == 503 || status == 504; }

}  // namespace

/// What kind of request it is; has its kind ended workers?
bool Exchange::note_kind(std::uint32_t route) {
  const board::Method method = tally_method(head_.method);
  // To the tallies PUT and DELETE are both "other", not to the hunt for what kills.
  if (method == board::Method::other) route = static_cast<std::uint32_t>(board::fingerprint(method, pool_, route, head_.method_text));
  kind_ = board::fingerprint(method, pool_, route, head_.path());
  thread_.sketch().add(kind_);
  const board::SupervisorBoard& facts = thread_.supervisor_board();
  if (!facts.any_blocked() || !facts.blocked(kind_, thread_.now_ns())) return false;
  thread_.tally(pool_).blocked.add();
  return true;
}

void Exchange::begin_flight() {
  if (flying_) return;
  flying_ = true;
  flight_ =
      thread_.flights().begin({lease_.row, lease_.incarnation, tally_method(head_.method), head_.method_text, head_.path(), kind_, thread_.now_ns()});
}

/// At give-back, while the gate still keeps the row for this incarnation.
void Exchange::end_flight() {
  if (std::exchange(client_bound_, false)) thread_.board().row(lease_.row).client_bound.fetch_sub(1, std::memory_order_relaxed);
  if (!std::exchange(flying_, false)) return;
  if (flight_broke_) {
    thread_.flights().broke(flight_, thread_.now_ns());
  } else {
    thread_.flights().end(flight_);
  }
}

/// How long the worker has had to answer. A streamed body's time is its client's.
std::uint64_t Exchange::waited_us() const {
  const auto since = body_plan_ == BodyPlan::streamed ? std::max(upload_moved_, try_began_) : try_began_;
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(thread_.loop().now() - since).count()));
}

/// The head of the answer proper has come.
void Exchange::note_answered() {
  if (!thread_.claimer(pool_).strategy().wants_latency) return;
  balancer::note_latency(thread_.board().latency(lease_.row), lease_.incarnation, waited_us(), thread_.now_ns());
}

/// This try is over.
void Exchange::note_unanswered(const Outcome& outcome, bool failed) {
  if (!thread_.claimer(pool_).strategy().wants_latency) return;
  board::LatencyCell& cell = thread_.board().latency(lease_.row);
  if (failed) {
    balancer::note_failure(cell, lease_.incarnation, download_ ? 0 : waited_us(), thread_.now_ns());
  } else if (outcome.kind == Outcome::Kind::client_gone && !response_) {
    balancer::note_latency(cell, lease_.incarnation, waited_us(), thread_.now_ns());
  }
}

/// How this try speaks for or against its worker.
void Exchange::judge(const Outcome& outcome) {
  board::ProxyRow& row = thread_.board().row(lease_.row);
  const bool refused = outcome.kind == Outcome::Kind::refused;
  const bool gateway = !outcome.worker_fault && response_ && gateway_error(response_->status);
  if (outcome.worker_fault) {
    row.errors.fetch_add(1, std::memory_order_relaxed);
    if (refused) row.refused.fetch_add(1, std::memory_order_relaxed);
    if (refused || worker_is_dying()) thread_.queue(pool_).pass_over(lease_, thread_.loop().now());
  }
  failed_here_ = outcome.worker_fault || gateway;
  if (gateway) row.gateway.fetch_add(1, std::memory_order_relaxed);
  if (outcome.worker_fault || gateway) {
    row.streak.fetch_add(1, std::memory_order_relaxed);
  } else if (response_ && row.streak.load(std::memory_order_relaxed) != 0) {
    row.streak.store(0, std::memory_order_relaxed);
  }
  note_unanswered(outcome, outcome.worker_fault || gateway);
  // An idle connection that was closed under a request may be the first news of a death, too.
  flight_broke_ = !refused && (outcome.worker_fault || outcome.kind == Outcome::Kind::unanswered);
}

void Exchange::worker_moved() {
  worker_moved_ = thread_.loop().now();
  thread_.board().row(lease_.row).moved_ns.store(thread_.now_ns(), std::memory_order_relaxed);
}

/// Nothing is owed by the worker now: its client must send or take first, or silence is the way of what was agreed on.
bool Exchange::waits_for_client() const {
  if (!leased_ || !connection_) return false;
  if (tunnel_agreed_ || !interim_unsent_.empty()) return true;
  if (!download_) return !upload_done_ && !upload_failed_ && upload_at_ == Moved::need_source;
  return event_stream_ || download_at_ == Moved::need_sink;
}

void Exchange::tick() {
  // An exchange that lasts wants to know when its client is gone; a short one is over before that pays.
  thread_.loop().want(session_.stream().watch(), 0);
  const bool bound = waits_for_client();
  if (bound == client_bound_) return;
  client_bound_ = bound;
  auto& gauge = thread_.board().row(lease_.row).client_bound;
  if (bound) {
    gauge.fetch_add(1, std::memory_order_relaxed);
  } else {
    gauge.fetch_sub(1, std::memory_order_relaxed);
  }
}

void Exchange::client_left(board::Stage stage) {
  seen_.end = AccessEnd::client_gone;
  thread_.tally(pool_).client_disconnects[static_cast<std::size_t>(stage)].add();
}

void Exchange::record(unsigned status) {
  seen_.status = status;
  if (answered_ || pool_config_ == nullptr) return;
  answered_ = true;
  board::PoolTally& tally = thread_.tally(pool_);
  tally.request(tally_method(head_.method), status);
  tally.duration.observe(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(thread_.loop().now() - began_).count()));
}

/// The client's id of a failed request, found again in the log.
void Exchange::complain(std::string_view status, std::string_view reason) {
  if (lease_.incarnation == 0 || !thread_.complaints().allowed(thread_.loop().now())) return;
  thread_.complaints().say(fmt::format("request {}: {} {}: {}: {} (worker {}.{})", std::string_view(request_id_.data(), request_id_.size()),
                                       base::printable(head_.method_text, kSaidMethod), base::printable(head_.path(), kSaidPath), status, reason,
                                       pool_config_->name, lease_.slot));
}

}  // namespace drover::proxy
