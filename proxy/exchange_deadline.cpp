// How long it may take: one deadline for the whole exchange, from its head to the last byte of its response (the route's timeout, or less by
// the client's word), and the slowest pace of a request's body.
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>
#include <charconv>

namespace drover::proxy {

namespace {

constexpr base::Millis kBodyGrace{10'000};
constexpr double kLongestSeconds = 86'400;  ///< what is longer is as good as none

/// "2.5", "2.5s" or "500ms"; none: something else.
std::optional<base::Millis> parse_timeout(std::string_view text) {
  double factor = 1000;
  if (text.ends_with("ms")) {
    factor = 1;
    text.remove_suffix(2);
  } else if (text.ends_with('s')) {
    text.remove_suffix(1);
  }
  const bool framed = !text.empty() && text.front() >= '0' && text.front() <= '9' && text.back() >= '0' && text.back() <= '9';
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (!framed || error != std::errc{} || end != text.data() + text.size()) return {};
  return base::Millis(static_cast<std::int64_t>(std::min(number * factor, kLongestSeconds * 1000)));
}

/// Of several none is believed.
std::optional<base::Millis> asked_timeout(const RequestHead& head) {
  std::optional<base::Millis> asked;
  bool seen = false;
  for (const Field& field : head.fields()) {
    if (!is_request_timeout(field)) continue;
    if (std::exchange(seen, true)) return {};
    asked = parse_timeout(field.value);
  }
  return asked;
}

}  // namespace

void Exchange::note_deadline() {
  auto most = base::Millis::max();
  if (route_->timeout) most = *route_->timeout;
  if (auto asked = asked_timeout(head_)) {
    *asked = std::max(*asked, pool_config_->timeouts.floor);
    by_client_ = *asked < most;
    most = std::min(most, *asked);
  }
  if (most != base::Millis::max()) deadline_ = began_ + most;
}

bool Exchange::late() const { return deadline_ != base::TimePoint::max() && thread_.loop().now() >= deadline_; }

base::Millis Exchange::time_left() const {
  if (deadline_ == base::TimePoint::max()) return base::Millis::max();
  return std::max(std::chrono::floor<base::Millis>(deadline_ - thread_.loop().now()), base::Millis(1));
}

/// The end of a try at its deadline. What a client finds too long says nothing about the worker; what the route's own timeout ends does,
/// if the worker was what was waited for.
Outcome Exchange::deadline_over() {
  Outcome outcome;
  outcome.kind = Outcome::Kind::rejected;
  outcome.status = 504;
  outcome.reason = deadline_reason();
  const bool waits_for_client = !upload_done_ && !upload_failed_ && upload_at_ == Moved::need_source;
  outcome.worker_fault = !by_client_ && !waits_for_client && (!download_ || download_at_ == Moved::need_source);
  thread_.tally(pool_).deadlines.add();
  return or_truncated(outcome);
}

std::string_view Exchange::deadline_reason() const {
  return by_client_ ? "the exchange took longer than the client's X-Request-Timeout" : "the exchange took longer than its route allows";
}

/// Is it the client that is waited for? Not before it may send, and no more once there is a response: both may then talk as they like.
bool Exchange::owes_body() const {
  return !upload_done_ && !upload_failed_ && upload_at_ == Moved::need_source && !download_ &&
         (!head_.expect_continue || interim_count_ > 0 || upload_arrived_ > 0);
}

/// Until when it may be waited for more of a body of which so much has come; max: as long as it takes.
base::TimePoint Exchange::body_due(std::uint64_t arrived) const {
  const auto& rates = session_.listener().rates;
  if (!rates.body || rates.body->value == 0) return base::TimePoint::max();
  const auto earned = std::min<std::uint64_t>(arrived / rates.body->value, 86'400) * 1000 + arrived % rates.body->value * 1000 / rates.body->value;
  const base::Millis grace = rates.grace.value_or(std::max(kBodyGrace, session_.listener().timeouts.body));
  return thread_.loop().now() + std::max(grace, base::Millis(static_cast<std::int64_t>(earned))) - client_waited_;
}

/// After a wait for the client: is it slower than it may be?
bool Exchange::slow_body(std::uint64_t arrived) {
  const auto now = thread_.loop().now();
  client_waited_ += now - std::exchange(client_wait_began_, now);
  return body_due(arrived) <= now;
}

}  // namespace drover::proxy
