#include "admin/server.hpp"

#include "admin/session.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <utility>

namespace drover::admin {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

/// Accepted per turn of the loop, so that a crowd at the door doesn't hold up the supervisor.
constexpr int kAcceptsPerTurn = 8;
constexpr auto kPauseWithoutDescriptors = std::chrono::milliseconds(200);

using Parser = http::request_parser<http::string_body>;

/// A TCP client that vanished is known after about a minute, by the unanswered heartbeats of its stream.
void detect_loss(int fd) {
  constexpr unsigned kUnansweredMs = 60'000;
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnansweredMs, sizeof kUnansweredMs);
}

bool allowed_peer(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == ::geteuid());
}

/// The client has gone, or nothing has come: there is nobody to answer.
bool is_gone(const boost::system::error_code& error) {
  return error.category() != http::make_error_code(http::error::bad_method).category() || error == http::error::end_of_stream ||
         error == http::error::partial_message;
}

Answer too_large(std::size_t limit) { return refusal(413, "the body is larger than " + base::to_text(base::Bytes{limit})); }

Answer refusal_of(const boost::system::error_code& error, std::size_t body_limit) {
  if (error == http::error::body_limit) return too_large(body_limit);
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return plain(431, "request head larger than 8 KiB");
  return plain(400, "not an HTTP request");
}

Question question_of(const Parser::value_type& request) {
  const bool reads = request.method() == http::verb::head || request.method() == http::verb::get;
  return {.method = reads                                  ? Method::read
                    : request.method() == http::verb::post ? Method::post
                                                           : Method::other,
          .target = request.target(),
          .host = request[http::field::host],
          .authorization = request[http::field::authorization],
          .body = request.body()};
}

template <class Body>
void add_headers(http::response<Body>& response, std::string_view type) {
  response.set(http::field::content_type, type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  response.keep_alive(false);
}

}  // namespace

/// Shared by the server and its coroutines, which may outlive it by one turn of the loop.
struct AdminServer::Core : std::enable_shared_from_this<AdminServer::Core> {
  Core(asio::io_context& io, int fd, Rights door_rights, ClusterDoor cluster_door, ServerTimes door_times)
      : executor(io.get_executor()),
        listening(executor, fd),
        pause(executor),
        ending(executor),
        rights(std::move(door_rights)),
        door(std::move(cluster_door)),
        times(door_times) {}

  Executor executor;
  asio::posix::basic_stream_descriptor<Executor> listening;
  Timer pause;
  Timer ending;  ///< runs from finish() on
  Rights rights;
  ClusterDoor door;
  ServerTimes times;
  std::list<std::shared_ptr<Session>> sessions;
  std::function<void()> ended;
  int family = AF_INET;
  bool closed = false;     ///< nothing is answered any more
  bool finishing = false;  ///< nobody new comes in

  Task<void> accept_loop();
  /// errno of the accept that ended the turn; 0: there may be more at the door.
  int accept_some();
  Task<void> serve(std::shared_ptr<Session> session);
  Task<void> exchange(std::shared_ptr<Session> session);
  /// Reads the body that `head` announces; what is to be said instead of an answer, or none.
  Task<std::optional<Answer>> read_body(Session& session, boost::beast::flat_buffer& buffer, Parser& parser);
  Task<void> reply(Session& session, const Answer& answer, bool head_only);
  Task<void> stream(std::shared_ptr<Session> session, std::unique_ptr<LineSource> source, unsigned version, bool head_only);
  std::size_t streaming() const;
  void stop_listening();
  void finish(std::function<void()> then);
  void close();
};

std::size_t AdminServer::Core::streaming() const {
  return static_cast<std::size_t>(std::count_if(sessions.begin(), sessions.end(), [](const auto& each) { return each->source != nullptr; }));
}

void AdminServer::Core::stop_listening() {
  boost::system::error_code ignored;
  listening.close(ignored);
  pause.cancel();
}

void AdminServer::Core::close() {
  if (closed) return;
  closed = true;
  ended = nullptr;
  ending.cancel();
  stop_listening();
  for (const auto& each : sessions) each->cut();
}

void AdminServer::Core::finish(std::function<void()> then) {
  if (closed || finishing) return;
  finishing = true;
  ended = std::move(then);
  stop_listening();
  for (const auto& each : sessions) {
    if (each->state == Session::State::asking) each->cut();
    if (each->source) each->source->wind_up();
    each->wake.cancel();
  }
  ending.expires_after(sessions.empty() ? std::chrono::milliseconds(0) : times.finish);
  ending.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    if (self->closed) return;
    const auto call = std::exchange(self->ended, nullptr);
    self->close();
    if (call) call();
  });
}

int AdminServer::Core::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    base::UniqueFd fd(::accept4(listening.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && (errno == ECONNABORTED || errno == EINTR)) continue;
    if (!fd) return errno;
    if (family == AF_UNIX && !allowed_peer(fd.get())) continue;
    if (sessions.size() >= kMaxConnections) {
      constexpr std::string_view kFull = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
      [[maybe_unused]] const auto sent = ::send(fd.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      continue;
    }
    if (family != AF_UNIX) detect_loss(fd.get());
    const auto session = std::make_shared<Session>(executor, family, std::move(fd));
    sessions.push_back(session);
    asio::co_spawn(
        executor, [self = shared_from_this(), session] { return self->serve(session); }, asio::detached);
  }
  return 0;
}

Task<void> AdminServer::Core::accept_loop() {
  while (!closed && !finishing) {
    const auto [error] = co_await listening.async_wait(asio::posix::descriptor_base::wait_read, kAwait);
    if (closed || finishing) co_return;
    const int code = error ? error.value() : accept_some();
    if (code == 0 || code == EAGAIN) continue;
    // Without a free descriptor the door stays readable: don't spin on it.
    base::log::warn("admin", "can't accept: {}", std::strerror(code));
    pause.expires_after(kPauseWithoutDescriptors);
    co_await pause.async_wait(kAwait);
  }
}

Task<void> AdminServer::Core::serve(std::shared_ptr<Session> session) {
  limit_time(session, times.limit);
  if (!closed) co_await exchange(session);
  session->cut();
  sessions.remove(session);
  if (finishing && sessions.empty()) ending.cancel();
}

Task<std::optional<Answer>> AdminServer::Core::read_body(Session& session, boost::beast::flat_buffer& buffer, Parser& parser) {
  const std::size_t limit = body_limit(question_of(parser.get()));
  if (parser.content_length() && *parser.content_length() > limit) co_return too_large(limit);
  parser.body_limit(limit);
  const std::string_view expected = parser.get()[http::field::expect];
  if (!expected.empty()) {
    if (!boost::beast::iequals(expected, "100-continue")) co_return refusal(417, "no other expectation than 100-continue is met here");
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(session.socket, asio::buffer(kContinue), kAwait);
  }
  const auto [error, size] = co_await http::async_read(session.socket, buffer, parser, kAwait);
  if (error && is_gone(error)) session.cut();
  if (error) co_return refusal_of(error, limit);
  co_return std::nullopt;
}

Task<void> AdminServer::Core::exchange(std::shared_ptr<Session> session) {
  boost::beast::flat_buffer buffer(kMaxHead + 1024);
  Parser parser;
  parser.header_limit(kMaxHead);
  parser.body_limit(kMaxMessageBody);  // the path, once it is known, may allow less
  const auto [error, size] = co_await http::async_read_header(session->socket, buffer, parser, kAwait);
  if (closed || (error && is_gone(error))) co_return;
  const Question head = question_of(parser.get());
  const bool head_only = parser.get().method() == http::verb::head;
  const unsigned version = parser.get().version();
  std::optional<Answer> said;
  if (error) {
    said = refusal_of(error, body_limit(head));
  } else if (head.host.empty() && version >= 11) {
    said = plain(400, "no Host");
  } else {
    said = refuse(head, rights);
  }
  if (!said && streams(head) && streaming() >= kMaxStreams) said = refusal(503, "too many streams are open; end one of them");
  if (!said && head.method == Method::post) {
    said = co_await read_body(*session, buffer, parser);
    if (closed || !session->open()) co_return;
  }
  session->state = Session::State::answering;
  if (!said) {
    Reply made = answer(question_of(parser.get()), door);
    if (auto* source = std::get_if<std::unique_ptr<LineSource>>(&made)) {
      co_return co_await stream(session, std::move(*source), version, head_only);
    }
    said = std::move(std::get<Answer>(made));
  }
  co_await reply(*session, *said, head_only);
  boost::system::error_code ignored;
  session->socket.shutdown(Socket::shutdown_send, ignored);
  co_await drop_input(*session, kMaxIgnored);
}

Task<void> AdminServer::Core::reply(Session& session, const Answer& said, bool head_only) {
  http::response<http::span_body<const char>> response{static_cast<http::status>(said.status), 11};
  add_headers(response, said.type);
  if (!said.allow.empty()) response.set(http::field::allow, said.allow);
  if (said.status == 401) response.set(http::field::www_authenticate, "Bearer");
  response.content_length(said.body.size());
  if (!head_only) response.body() = {said.body.data(), said.body.size()};
  http::response_serializer<http::span_body<const char>> serializer(response);
  if (head_only) {
    co_await http::async_write_header(session.socket, serializer, kAwait);
  } else {
    co_await http::async_write(session.socket, serializer, kAwait);
  }
}

Task<void> AdminServer::Core::stream(std::shared_ptr<Session> session, std::unique_ptr<LineSource> source, unsigned version, bool head_only) {
  const bool chunked = version >= 11;
  http::response<http::empty_body> response{http::status::ok, 11};
  add_headers(response, "application/x-ndjson");
  response.chunked(chunked);
  http::response_serializer<http::empty_body> serializer(response);
  session->source = std::move(source);  // counted as a stream from here on, and given up with the session
  const auto [error, sent] = co_await http::async_write_header(session->socket, serializer, kAwait);
  if (error || head_only || !session->source) co_return;
  session->deadline.cancel();
  co_await tell(session, chunked, times.heartbeat, times.limit);
}

AdminServer::AdminServer(asio::io_context& io, base::UniqueFd listening, Rights rights, ClusterDoor door, ServerTimes times)
    : core_(std::make_shared<Core>(io, listening.release(), std::move(rights), std::move(door), times)) {
  int family = 0;
  socklen_t length = sizeof family;
  if (::getsockopt(core_->listening.native_handle(), SOL_SOCKET, SO_DOMAIN, &family, &length) == 0) core_->family = family;
  core_->listening.non_blocking(true);
  asio::co_spawn(
      core_->executor, [core = core_] { return core->accept_loop(); }, asio::detached);
}

AdminServer::~AdminServer() { close(); }

void AdminServer::finish(std::function<void()> ended) { core_->finish(std::move(ended)); }

void AdminServer::close() { core_->close(); }

std::size_t AdminServer::connections() const { return core_->sessions.size(); }

std::size_t AdminServer::streaming() const { return core_->streaming(); }

}  // namespace drover::admin
