// The access log's record of an exchange, written once, when all is over.
#include "proxy/access_sink.hpp"
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"
#include "proxy/trace_context.hpp"

#include <algorithm>
#include <optional>

namespace drover::proxy {

namespace {

constexpr std::string_view kTraceParent = "traceparent";

std::uint64_t microseconds(base::Clock::duration duration) { return static_cast<std::uint64_t>(std::max<std::int64_t>(AccessSink::us(duration), 0)); }

/// What of the head stands in a line of the log.
void take_fields(const RequestHead& head, AccessRecord& record) {
  unsigned traces = 0;
  std::string_view trace;
  for (const Field& field : head.fields()) {
    if (field.id == http::field::user_agent) {
      record.user_agent = field.value;
    } else if (field.id == http::field::referer) {
      record.referer = field.value;
    } else if (field.id == http::field::unknown && field.name.size() == kTraceParent.size() && equal_ignoring_case(field.name, kTraceParent)) {
      ++traces;
      trace = field.value;
    }
  }
  if (traces != 1) return;  // of several nobody knows which is right
  if (const auto parent = read_traceparent(trace)) {
    record.trace_id = parent->trace_id;
    record.parent_id = parent->parent_id;
  }
}

}  // namespace

/// drover's own answer: what of the `sent` bytes of `text` is no head.
void Exchange::note_own_body(std::string_view text, std::size_t sent) {
  if (thread_.access() == nullptr) return;
  seen_.sent = sent - std::min(sent, text.find("\r\n\r\n") + 4);
}

/// Of the body, without chunk framing. What a request that was never tried has brought stands where its first try would have taken it from.
std::uint64_t Exchange::body_received() const {
  const bool streamed = body_plan_ == BodyPlan::streamed;
  if (head_.framing != Framing::length || (streamed && seen_.asked != base::TimePoint{})) return seen_.received;
  return std::min<std::uint64_t>(streamed ? upload_.size() : session_.in().size() - head_length_, head_.content_length);
}

void Exchange::log_access() {
  AccessSink* sink = thread_.access();
  if (sink == nullptr) return;
  AccessRecord record;
  record.unix_us = sink->unix_us(began_);
  record.id = {request_id_.data(), request_id_.size()};
  record.client = session_.peer();
  record.listener = session_.listener().name;
  record.method = head_.method_text;
  record.target = head_.target;
  record.origin = head_.origin;
  record.host = head_.host;
  record.protocol = head_.version >= 11 ? "HTTP/1.1" : "HTTP/1.0";
  record.status = seen_.status != 0 ? seen_.status : AccessRecord::kNoAnswer;
  record.end = seen_.end;
  record.sent = seen_.sent;
  record.received = body_received();
  record.queue_us = microseconds(seen_.queue);
  record.connect_us = microseconds(seen_.connect);
  if (seen_.answered != base::TimePoint{}) record.worker_us = microseconds(seen_.answered - seen_.asked);
  record.total_us = microseconds(thread_.loop().now() - began_);
  if (pool_config_ != nullptr) record.pool = pool_config_->name;
  if (lease_.incarnation != 0) {
    record.slot = lease_.slot;
    record.incarnation = lease_.incarnation;
  }
  record.retries = attempt_ - 1;
  take_fields(head_, record);
  sink->write(record);
}

}  // namespace drover::proxy
