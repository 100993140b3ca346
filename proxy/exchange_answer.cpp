// What drover answers itself: errors, and what a route says without a worker.
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/own_answer.hpp"
#include "proxy/proxy_thread.hpp"

namespace drover::proxy {

/// Whether the client's connection outlives an answer that is not a worker's.
void Exchange::settle_connection(unsigned status) {
  const bool whole_body = body_plan_ == BodyPlan::whole && body_is_here();
  if (!whole_body) unread_body_ = true;
  keep_client_ = keep_client_ && whole_body && status != 400 && status != 408 && !thread_.draining();
}

Task<bool> Exchange::answer_error(unsigned status, std::string_view reason, unsigned retry_after_s) {
  settle_connection(status);
  ErrorReply reply;
  reply.status = status;
  reply.reason = reason;
  reply.request_id = {request_id_.data(), request_id_.size()};
  reply.json = prefers_json(head_);
  reply.page = pool_config_ == nullptr ? nullptr : thread_.error_pages().find(pool_, status);
  reply.head_only = head_.method == http::verb::head;
  reply.keep_alive = keep_client_;
  reply.keep_alive_named = head_.version < 11;
  reply.retry_after_s = status == 503 || status == 429 ? retry_after_s : 0;
  reply.date = thread_.date();
  response_text_.clear();
  write_error(response_text_, reply);
  record(status);
  if (pool_config_ == nullptr) thread_.listener_tally(session_.listener_index()).refused[board::code_index(status)].add();
  if (status == 502 || status == 504) complain(status == 502 ? "502" : "504", reason);
  co_return co_await send_own();
}

/// What stands in response_text_. True: the client's connection may carry another request.
Task<bool> Exchange::send_own() {
  const std::size_t sent = co_await session_.send_all(response_text_.view());
  note_own_body(response_text_.view(), sent);
  const bool whole = sent == response_text_.size();
  if (!whole) seen_.end = AccessEnd::client_gone;
  keep_client_ = keep_client_ && whole;
  co_return keep_client_;
}

/// A redirect or a fixed response.
Task<bool> Exchange::answer_here() {
  const bool elsewhere = !route_->redirect.to.empty();
  std::string location;
  std::string body;
  if (elsewhere) {
    location = redirect_target(*route_, {head_.host.empty() ? local_name() : head_.host, head_.path(), head_.query()});
    body = "this is found at " + location + "\n";
  }
  OwnAnswer answer;
  answer.status = static_cast<unsigned>(elsewhere ? route_->redirect.status : route_->respond.status);
  settle_connection(answer.status);
  answer.type = elsewhere ? std::string_view("text/plain; charset=utf-8") : route_->respond.type;
  answer.body = elsewhere ? body : route_->respond.body;
  answer.location = location;
  answer.request_id = {request_id_.data(), request_id_.size()};
  answer.head_only = head_.method == http::verb::head;
  answer.keep_alive = keep_client_;
  answer.keep_alive_named = head_.version < 11;
  answer.date = thread_.date();
  answer.edits = {&route_->response, HeadEdits::Side::client};
  response_text_.clear();
  write_own(response_text_, answer);
  record(answer.status);
  thread_.listener_tally(session_.listener_index()).answered[board::code_index(answer.status)].add();
  co_return co_await send_own();
}

/// OPTIONS or TRACE that may go no further (RFC 9110 section 7.6.2).
Task<bool> Exchange::answer_as_last() {
  if (head_.framing != Framing::none) unread_body_ = true;
  keep_client_ = keep_client_ && head_.framing == Framing::none && !thread_.draining();
  response_text_.clear();
  write_as_last(response_text_, head_, {request_id_.data(), request_id_.size()}, keep_client_, thread_.date());
  record(200);
  thread_.listener_tally(session_.listener_index()).answered[board::code_index(200)].add();
  co_return co_await send_own();
}

}  // namespace drover::proxy
