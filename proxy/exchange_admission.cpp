// What is decided before a worker is asked: the route and its pool, and whether the pool takes the request now.
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>
#include <chrono>

namespace drover::proxy {

namespace {

/// With the answer to a request whose kind has ended workers: soon again would be no better.
constexpr unsigned kBlockedRetryAfterSeconds = 60;
constexpr unsigned kMaintenanceRetryAfterSeconds = 30;

/// Does a field of that name satisfy a route's condition?
bool has_field(const void* request, std::string_view name, balancer::RouteAsk::Seen seen, const void* wanted) {
  for (const Field& field : static_cast<const RequestHead*>(request)->fields()) {
    if (equal_ignoring_case(field.name, name) && seen(wanted, field.value)) return true;
  }
  return false;
}

}  // namespace

/// None: the request has its route, and with it its pool.
std::optional<Exchange::Refusal> Exchange::choose_route() {
  using Kind = balancer::Routes::Choice::Kind;
  const balancer::RouteAsk ask{.host = head_.host, .path = head_.path(), .method = head_.method_text, .fields = has_field, .request = &head_};
  const auto choice = thread_.routes().choose(ask, thread_.scratch());
  if (choice.kind == Kind::none) return Refusal{404, "no route leads from this host and path to a pool", 0};
  if (choice.kind == Kind::doubtful) return Refusal{400, "the path leads elsewhere once its dots, slashes or escapes are resolved", 0};
  route_index_ = choice.route;
  route_ = &thread_.config().routes[route_index_];
  pool_ = route_->split.empty() ? route_->pool : balancer::pool_of(*route_, thread_.lot());
  return {};
}

/// Does the pool take it? None: yes.
std::optional<Exchange::Refusal> Exchange::admit() {
  if (auto refusal = in_maintenance()) {
    thread_.tally(pool_).queue_rejected[static_cast<std::size_t>(board::QueueReason::maintenance)].add();
    return refusal;
  }
  if (note_kind(route_index_)) {
    return Refusal{503, "requests like this have ended workers of this server; it is answered here for a while", kBlockedRetryAfterSeconds};
  }
  thread_.retry_budget(pool_).request();
  return {};
}

std::optional<Exchange::Refusal> Exchange::in_maintenance() const {
  const board::SupervisorBoard& facts = thread_.supervisor_board();
  if (!facts.maintenance(pool_)) return {};
  std::string message = facts.maintenance_message(pool_);
  if (message.empty()) message = "the service is in maintenance";
  return Refusal{503, std::move(message), kMaintenanceRetryAfterSeconds, board::QueueReason::maintenance};
}

std::optional<Exchange::Refusal> Exchange::pass_breaker() {
  PoolBreaker& breaker = thread_.breaker(pool_);
  if (!breaker.enabled() || pass_) return {};
  const auto now = thread_.loop().now();
  pass_ = breaker.admit(now);
  if (pass_) return {};
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(breaker.wait(now)).count();
  return Refusal{503, "too many requests have failed here; it is tried again in a moment", static_cast<unsigned>(std::max<std::int64_t>(seconds, 1)),
                 board::QueueReason::breaker};
}

/// What the worker broke, and its own 502, 503 and 504, speak against the pool; any other answer speaks for it; what a client or drover
/// itself ended says nothing.
void Exchange::tell_breaker(const Outcome& outcome) {
  using End = balancer::Breaker::End;
  if (!pass_) return;
  const bool gateway = response_ && (response_->status == 502 || response_->status == 503 || response_->status == 504);
  const bool final = response_ && (response_->status >= 200 || tunnel_agreed_);
  const bool answered =
      final && (outcome.kind == Outcome::Kind::complete || outcome.kind == Outcome::Kind::client_gone || outcome.kind == Outcome::Kind::tunnel_over);
  tell_breaker(outcome.worker_fault || gateway ? End::failed : answered ? End::good : End::told_nothing);
}

void Exchange::tell_breaker(balancer::Breaker::End end) {
  if (!pass_) return;
  thread_.breaker(pool_).ended(*pass_, end, thread_.loop().now());
  pass_.reset();
}

/// It leaves its pool, for the client, a line or another pool: its last try there, if there was one, is what it has to say.
void Exchange::tell_breaker_of_no_end() { tell_breaker(failed_here_ ? balancer::Breaker::End::failed : balancer::Breaker::End::told_nothing); }

/// No worker of its pool takes a connection: it is down, whatever the supervisor has found so far.
bool Exchange::spill_refused(const Outcome& outcome) {
  if (outcome.kind != Outcome::Kind::refused || !repeatable(false, true) || late()) return false;
  if (!spill(board::QueueReason::nobody)) return false;
  attempts_before_ = attempt_;
  fresh_only_ = false;
  tried_count_ = 0;
  return true;
}

/// On to the pool that takes what this one can't. Who was held, is in maintenance or out of time would be no better off there.
bool Exchange::spill(board::QueueReason why) {
  const auto next = pool_config_->spill_to;
  if (!next || why == board::QueueReason::maintenance) return false;
  if (spills_ >= thread_.config().pools.size()) return false;  // the configuration has no rings: this only makes sure
  ++spills_;
  thread_.tally(pool_).spilled.add();
  tell_breaker_of_no_end();
  lease_ = {};
  failed_here_ = false;
  pool_ = *next;
  pool_config_ = &thread_.config().pools[pool_];
  thread_.retry_budget(pool_).request();
  ask_ = {};
  note_affinity();
  put_request();
  return true;
}

}  // namespace drover::proxy
