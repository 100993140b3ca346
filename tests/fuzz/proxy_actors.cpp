#include "proxy_actors.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

namespace drover::fuzz {

namespace {

constexpr std::size_t kMostTries = 3;  // retry.attempts

}  // namespace

std::string Wire::hear(std::size_t most) {
  std::string out(most, '\0');
  const ssize_t got = fd_ ? ::recv(fd_.get(), out.data(), most, MSG_DONTWAIT) : -1;
  if (got == 0) end_ = broken_ ? End::reset : End::ended;  // a send that failed has taken the news of the reset
  if (got < 0 && fd_ && errno != EAGAIN && errno != EINTR) end_ = End::reset;
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

std::size_t Wire::say(std::string_view bytes) {
  if (!fd_ || bytes.empty()) return 0;
  const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    broken_ = true;
    return bytes.size();
  }
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

void Wire::end_sending() {
  if (fd_) ::shutdown(fd_.get(), SHUT_WR);
}

void Wire::close(bool reset) {
  if (!fd_) return;
  const struct ::linger abort { 1, 0 };
  if (reset) ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  fd_.reset();
}

// --- a worker's connection ---

std::string WorkerSide::state() const {
  return "a worker's connection, request " + (request_ == nullptr ? std::string("none") : request_->token) + ", reply " +
         (reply_ ? reply_->id + " of sort " + std::to_string(static_cast<int>(reply_->sort)) : std::string("none")) + (doubtful_ ? ", in doubt" : "");
}

void WorkerSide::step(base::Rng& rng) {
  if (over()) return;
  listen(rng);
  if (over()) return;
  if (reply_ && reply_->sort == Reply::Sort::tunnel) read_tunnel();
  if (reply_ && !answered_ && (body_done_ || reply_->early)) answer();
  if (!over() && wire_.heard_end() != Wire::End::open && (!reply_ || answered_ || !body_done_)) wire_.close(false);
}

void WorkerSide::listen(base::Rng& rng) {
  in_ += wire_.hear(1 + rng.below(rng.below(3) == 0 ? 200 : 60'000));
  if (reply_ && reply_->sort == Reply::Sort::tunnel && body_done_) return;
  if (request_ == nullptr && !in_.empty()) read_request();
  if (request_ != nullptr && !body_done_) read_body();
  if (answered_ && body_done_ && !doubtful_) {
    request_ = nullptr;
    reply_.reset();
    said_ = 0;
    body_done_ = answered_ = false;
  }
  if (body_done_ && !in_.empty() && !(reply_ && reply_->sort == Reply::Sort::tunnel))
    court_.blame((doubtful_ ? "more came on a connection in doubt: " : "a request came before the answer to the one before: ") + state());
}

void WorkerSide::read_request() {
  auto head = naive_head(in_);
  if (!head) {
    if (in_.find("\r\n\r\n") != std::string::npos) court_.blame("a worker was sent something that is no head: " + in_.substr(0, 200));
    return;
  }
  const auto parts = head->parts();
  const std::string token = parts.size() == 3 && parts[1].starts_with("/x/") ? parts[1].substr(3) : "";
  request_ = court_.story.find(token);
  framing_ = naive_request_framing(*head);
  in_.erase(0, head->length);
  if (request_ == nullptr || request_->sort == Request::Sort::broken_head || !framing_) {
    court_.blame("a worker was sent what must not be forwarded: " + head->first_line);
    request_ = nullptr;
    wire_.close(false);
    return;
  }
  auto& tries = court_.tries[token];
  if (!tries.empty() && !request_->idempotent()) court_.blame("sent twice though it may not be: " + token);
  if (tries.size() >= kMostTries) court_.blame("sent more often than retry.attempts: " + token);
  reply_ = court_.story.reply(*request_, static_cast<unsigned>(tries.size()));
  tries.push_back(*reply_);
}

void WorkerSide::body_is(std::string_view payload, bool whole) {
  // A tunnel's payload follows its head, without framing.
  std::string expected = request_->upgrade ? std::string() : request_->payload;
  if (request_->sort == Request::Sort::broken_body) expected += "hello";  // what of the broken chunk may have been sent before it was known as such
  if (!expected.starts_with(payload))
    court_.blame("other bytes in a request's body: " + state() + ": " + std::string(payload.substr(0, 60)) + ", of " +
                 std::to_string(expected.size()));
  if (!whole) return;
  if (request_->sort != Request::Sort::fine && (request_->sort == Request::Sort::broken_body || payload != expected))
    court_.blame("a request that has no end looks whole: " + state());
  if (payload != expected) court_.blame("a request's body lost bytes: " + state());
  body_done_ = true;
}

void WorkerSide::read_body() {
  if (framing_->kind == NaiveFraming::Kind::chunked) {
    const NaiveBody body = naive_chunked(in_);
    if (body.state == NaiveBody::State::broken) return court_.blame("broken chunks were sent to a worker: " + state());
    body_is(body.payload, body.state == NaiveBody::State::whole);
    if (body_done_) in_.erase(0, body.consumed);
    return;
  }
  const std::size_t size = std::min<std::size_t>(in_.size(), framing_->length);
  body_is(std::string_view(in_).substr(0, size), size == framing_->length);
  if (body_done_) in_.erase(0, size);
}

void WorkerSide::answer() {
  if (reply_->pause > 0) {
    --reply_->pause;
    return;
  }
  const bool rests = reply_->rest > 0;
  if (rests && said_ >= reply_->rest_at) {
    --reply_->rest;
    return;
  }
  said_ += wire_.say(std::string_view(reply_->wire).substr(said_, rests ? reply_->rest_at - said_ : std::string_view::npos));
  if (said_ < reply_->wire.size()) return;
  answered_ = true;
  doubtful_ = reply_->doubtful || reply_->sort == Reply::Sort::tunnel;
  if (reply_->sort == Reply::Sort::tunnel) {
    wire_.end_sending();
  } else if (reply_->closes) {
    wire_.close(reply_->resets);
  }
}

void WorkerSide::read_tunnel() {
  const bool ended = wire_.heard_end() == Wire::End::ended;
  if (!request_->payload.starts_with(in_)) court_.blame("other bytes in a tunnel to a worker: " + state());
  if (ended && answered_ && wire_.heard_end() == Wire::End::ended) wire_.close(false);
}

// --- a client ---

std::string ClientSide::state() const {
  const Request* request = now();
  return "at request " + (request == nullptr ? std::string("none") : request->token + " of sort " + std::to_string(static_cast<int>(request->sort))) +
         ", said " + std::to_string(said_) + " of " + std::to_string(plan_.wire.size()) + ", heard " + std::to_string(heard_) +
         (head_ ? ", in " + head_->first_line + " framed " + std::to_string(static_cast<int>(framing_.kind)) + " end " +
                      std::to_string(static_cast<int>(wire_.heard_end()))
                : std::string()) +
         ", unread: " + in_.substr(0, 120);
}

void ClientSide::leave(bool reset) {
  left_ = true;
  wire_.close(reset);
}

void ClientSide::step(base::Rng& rng) {
  if (over()) return;
  speak(rng);
  if (over()) return;
  const std::string more = wire_.hear(1 + rng.below(rng.below(3) == 0 ? 100 : 60'000));
  heard_ += more.size();
  in_ += more;
  if (plan_.leave == Leave::after_hearing && heard_ >= plan_.leave_at && heard_ > 0) return leave(plan_.resets);
  read_responses();
  if (over()) return;
  if (wire_.heard_end() != Wire::End::open && more.empty()) return the_end();
  // Its turn to end a connection that both could go on with.
  if (at_ == plan_.requests.size() && !last_ && !tunnel_ && !sent_end_) {
    if (!in_.empty()) blame("more came than was asked for");
    leave(false);
  }
}

void ClientSide::speak(base::Rng& rng) {
  if (said_ < plan_.wire.size()) {
    std::size_t piece = std::min<std::size_t>(plan_.wire.size() - said_, 1 + rng.below(plan_.piece));
    if (plan_.leave == Leave::after_sending) piece = std::min(piece, plan_.leave_at - std::min(said_, plan_.leave_at));
    said_ += wire_.say(std::string_view(plan_.wire).substr(said_, piece));
    if (plan_.leave == Leave::after_sending && said_ >= plan_.leave_at) return leave(plan_.resets);
  }
  if (said_ == plan_.wire.size() && plan_.leave == Leave::ends_sending && !sent_end_) {
    sent_end_ = true;
    wire_.end_sending();
  }
}

void ClientSide::read_responses() {
  while (!over() && !tunnel_ && (head_ ? read_body() : read_head())) continue;
  if (tunnel_ && reply_ != nullptr && !reply_->body.starts_with(in_)) {
    blame("other bytes in a tunnel");
    in_.clear();
  }
}

/// True: there is more to do.
bool ClientSide::read_head() {
  if (in_.empty()) return false;
  if (last_ || now() == nullptr) {
    blame("more came than was asked for");
    leave(false);
    return false;
  }
  auto head = naive_head(in_);
  if (!head) {
    if (in_.find("\r\n\r\n") != std::string::npos) {
      blame("what came is no head");
      leave(false);
    }
    return false;
  }
  in_.erase(0, head->length);
  begin_response(std::move(*head));
  return true;
}

void ClientSide::begin_response(NaiveHead head) {
  const unsigned status = naive_status(head);
  const Request& request = *now();
  const auto framing = naive_response_framing(head, request.method == "HEAD");
  const auto ids = head.values("x-reply");
  reply_ = nullptr;
  if (status == 0 || !framing) blame("a response whose end nobody can tell: " + head.first_line);
  for (const Reply& each : court_.tries[request.token]) {
    if (ids.size() == 1 && ids[0] == each.id) reply_ = &each;
  }
  if (!ids.empty() && reply_ == nullptr) blame("a response that is another's: " + ids[0]);
  if (reply_ != nullptr && !reply_->heard) blame("a broken response came through: " + reply_->id);
  if (status >= 100 && status < 200 && status != 101) {
    if (request.http10) blame("an interim response to HTTP/1.0");
    return;
  }
  if (reply_ != nullptr && reply_->status != status) blame("another status: " + head.first_line);
  if (request.http10 && framing && framing->kind == NaiveFraming::Kind::chunked) blame("chunks to HTTP/1.0");
  if (ids.empty()) own_answer(status);
  framing_ = framing.value_or(NaiveFraming{});
  const auto connection = head.values("connection");
  last_ = framing_.kind == NaiveFraming::Kind::until_close || (connection.size() == 1 && lowered(connection[0]) == "close") ||
          (request.http10 && (connection.size() != 1 || lowered(connection[0]) != "keep-alive"));
  if (status == 101) {
    tunnel_ = true;
    last_ = true;
    // What it has to say, and its end.
    said_ = plan_.wire.size();
    if (wire_.say(request.payload) == request.payload.size()) wire_.end_sending(), sent_end_ = true;
    if (!sent_end_) leave(false);
    return;
  }
  head_ = std::move(head);
}

/// Is there a reason for drover to answer this itself?
void ClientSide::own_answer(unsigned status) {
  const Request& request = *now();
  const auto& tries = court_.tries[request.token];
  const bool broken_worker =
      court_.story.workers_close || std::any_of(tries.begin(), tries.end(), [](const Reply& each) { return !each.heard || !each.whole; });
  bool reason = false;
  switch (request.sort) {
    case Request::Sort::fine: reason = status == 502 && broken_worker; break;
    case Request::Sort::broken_head: reason = status == 400 || status == 421 || status == 501 || status == 505; break;
    case Request::Sort::broken_body: reason = status == 400 || (status == 502 && broken_worker); break;
    case Request::Sort::cut: reason = status == 400 || status == 502; break;
  }
  if (!reason) blame("drover's own " + std::to_string(status) + " without a reason");
}

bool ClientSide::read_body() {
  std::string payload;
  bool whole = false;
  std::size_t consumed = 0;
  if (framing_.kind == NaiveFraming::Kind::chunked) {
    NaiveBody body = naive_chunked(in_);
    if (body.state == NaiveBody::State::broken) blame("broken chunks came");
    whole = body.state == NaiveBody::State::whole;
    consumed = body.consumed;
    payload = std::move(body.payload);
  } else if (framing_.kind == NaiveFraming::Kind::until_close) {
    payload = in_;
    whole = wire_.heard_end() == Wire::End::ended;
    consumed = in_.size();
  } else {
    consumed = std::min<std::size_t>(in_.size(), framing_.length);
    payload = in_.substr(0, consumed);
    whole = consumed == framing_.length;
  }
  const bool bodiless = now()->method == "HEAD" || naive_status(*head_) == 204 || naive_status(*head_) == 304;
  if (reply_ != nullptr) {
    const std::string_view expected = bodiless ? std::string_view() : std::string_view(reply_->body);
    if (!expected.starts_with(payload)) blame("other bytes in the body of " + reply_->id);
    if (whole && payload != expected) blame("a body that lost bytes looks whole: " + reply_->id);
    if (whole && !reply_->whole)
      blame("a response that was cut looks whole: " + reply_->id + " of sort " + std::to_string(static_cast<int>(reply_->sort)));
  }
  if (!whole) return false;
  in_.erase(0, consumed);
  response_over();
  return true;
}

void ClientSide::response_over() {
  const Request::Sort sort = now()->sort;
  head_.reset();
  reply_ = nullptr;
  ++at_;
  if (!last_ && sort != Request::Sort::fine) blame("a connection in doubt was to be used again");
}

/// Bytes of the first so many requests.
std::size_t ClientSide::said_by(std::size_t requests) const {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < requests && i < plan_.requests.size(); ++i) bytes += plan_.requests[i].wire.size();
  return bytes;
}

/// drover has ended the connection.
void ClientSide::the_end() {
  const Request* request = now();
  // Who said that it has nothing more to send and sends on may be reset, whatever of the answer is still under way.
  const bool disturbed = request != nullptr && request->names_its_end && said_ > said_by(at_ + 1);
  if (tunnel_) {
    if (reply_ != nullptr && wire_.heard_end() == Wire::End::ended && in_ != reply_->body) blame("a tunnel lost bytes");
  } else if (disturbed) {
  } else if (head_) {
    if (reply_ == nullptr || reply_->whole) blame("a response was cut that nobody cut");
  } else if (!in_.empty()) {
    blame("half a head came");
  } else if (request != nullptr && !last_ && !sent_end_ && (request->sort == Request::Sort::fine || request->sort == Request::Sort::broken_head)) {
    blame("the end came without an answer");
  }  // who has ended its sending counts as gone where it has to stand in line, if only for another try
  leave(false);
}

}  // namespace drover::fuzz
