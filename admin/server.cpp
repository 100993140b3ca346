#include "admin/server.hpp"

#include "base/log.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <utility>

namespace drover::admin {

namespace asio = boost::asio;
namespace http = boost::beast::http;

using Executor = asio::io_context::executor_type;
template <class T>
using Task = asio::awaitable<T, Executor>;
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

namespace {

/// Accepted per turn of the loop, so that a crowd at the door doesn't hold up the supervisor.
constexpr int kAcceptsPerTurn = 8;
constexpr auto kPauseWithoutDescriptors = std::chrono::milliseconds(200);

struct Session {
  Session(Executor executor, int family, int fd) : socket(executor, asio::generic::stream_protocol(family, 0), fd), deadline(executor) {}
  Socket socket;
  Timer deadline;

  void cut() {
    boost::system::error_code ignored;
    socket.close(ignored);
    deadline.cancel();
  }
};

}  // namespace

/// Shared by the server and its coroutines, which may outlive it by one turn of the loop.
struct AdminServer::Core : std::enable_shared_from_this<AdminServer::Core> {
  Core(asio::io_context& io, int fd, std::string host, StatusFn fn, std::chrono::milliseconds limit)
      : executor(io.get_executor()), door(executor, fd), pause(executor), listen_host(std::move(host)), status(std::move(fn)), time_limit(limit) {}

  Executor executor;
  asio::posix::basic_stream_descriptor<Executor> door;
  Timer pause;
  std::string listen_host;
  StatusFn status;
  std::chrono::milliseconds time_limit;
  std::list<std::shared_ptr<Session>> sessions;
  int family = AF_INET;
  bool closed = false;

  Task<void> accept_loop();
  /// errno of the accept that ended the turn; 0: there may be more at the door.
  int accept_some();
  Task<void> serve(std::shared_ptr<Session> session);
  Task<void> exchange(Session& session);
  Task<void> reply(Session& session, const Answer& answer, bool head_only);
  Task<void> linger(Session& session);
  void close();
};

void AdminServer::Core::close() {
  if (closed) return;
  closed = true;
  boost::system::error_code ignored;
  door.close(ignored);
  pause.cancel();
  for (const auto& each : sessions) each->cut();
}

int AdminServer::Core::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    base::UniqueFd fd(::accept4(door.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && (errno == ECONNABORTED || errno == EINTR)) continue;
    if (!fd) return errno;
    if (sessions.size() >= kMaxConnections) {
      constexpr std::string_view kFull = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
      [[maybe_unused]] const auto sent = ::send(fd.get(), kFull.data(), kFull.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      continue;
    }
    const auto session = std::make_shared<Session>(executor, family, fd.release());
    sessions.push_back(session);
    asio::co_spawn(
        executor, [self = shared_from_this(), session] { return self->serve(session); }, asio::detached);
  }
  return 0;
}

Task<void> AdminServer::Core::accept_loop() {
  while (!closed) {
    const auto [error] = co_await door.async_wait(asio::posix::descriptor_base::wait_read, kAwait);
    if (closed) co_return;
    const int code = error ? error.value() : accept_some();
    if (code == 0 || code == EAGAIN) continue;
    // Without a free descriptor the door stays readable: don't spin on it.
    base::log::warn("admin", "can't accept: {}", std::strerror(code));
    pause.expires_after(kPauseWithoutDescriptors);
    co_await pause.async_wait(kAwait);
  }
}

Task<void> AdminServer::Core::serve(std::shared_ptr<Session> session) {
  session->deadline.expires_after(time_limit);
  // Weak: an expired timer's handler may already be queued when the session ends.
  session->deadline.async_wait([weak = std::weak_ptr(session)](const boost::system::error_code& error) {
    const auto late = weak.lock();
    if (late && !error) late->cut();
  });
  if (!closed) co_await exchange(*session);
  session->cut();
  sessions.remove(session);
}

Task<void> AdminServer::Core::exchange(Session& session) {
  boost::beast::flat_buffer buffer(kMaxHead + 1024);
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHead);
  const auto [error, size] = co_await http::async_read_header(session.socket, buffer, parser, kAwait);
  const bool gone = error && (error.category() != http::make_error_code(http::error::bad_method).category() || error == http::error::end_of_stream ||
                              error == http::error::partial_message);
  if (closed || gone) co_return;
  if (error) {
    const bool large = error == http::error::header_limit || error == http::error::buffer_overflow;
    const Answer refusal{.status = large ? 431U : 400U, .body = large ? "request head larger than 8 KiB\n" : "not an HTTP request\n"};
    co_await reply(session, refusal, false);
    co_return co_await linger(session);
  }
  const auto& request = parser.get();
  const bool head_only = request.method() == http::verb::head;
  const std::string_view host = request[http::field::host];
  const Question question{.reads = head_only || request.method() == http::verb::get, .target = request.target(), .host = host};
  const Answer said = host.empty() && request.version() >= 11 ? Answer{.status = 400, .body = "no Host\n"} : answer(question, listen_host, status);
  co_await reply(session, said, head_only);
  co_await linger(session);
}

Task<void> AdminServer::Core::reply(Session& session, const Answer& said, bool head_only) {
  http::response<http::span_body<const char>> response{static_cast<http::status>(said.status), 11};
  response.set(http::field::content_type, said.type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  if (said.status == 405) response.set(http::field::allow, "GET, HEAD");
  response.keep_alive(false);
  response.content_length(said.body.size());
  if (!head_only) response.body() = {said.body.data(), said.body.size()};
  http::response_serializer<http::span_body<const char>> serializer(response);
  if (head_only) {
    co_await http::async_write_header(session.socket, serializer, kAwait);
  } else {
    co_await http::async_write(session.socket, serializer, kAwait);
  }
}

/// Closing with unread bytes resets the connection, and the client may lose the answer: read on for a while.
Task<void> AdminServer::Core::linger(Session& session) {
  boost::system::error_code ignored;
  session.socket.shutdown(Socket::shutdown_send, ignored);
  std::array<char, 4096> bytes{};
  for (std::size_t total = 0; total < kMaxIgnored;) {
    const auto [error, size] = co_await session.socket.async_read_some(asio::buffer(bytes), kAwait);
    if (error) co_return;
    total += size;
  }
}

AdminServer::AdminServer(asio::io_context& io, base::UniqueFd listening, std::string listen_host, StatusFn status,
                         std::chrono::milliseconds time_limit)
    : core_(std::make_shared<Core>(io, listening.release(), std::move(listen_host), std::move(status), time_limit)) {
  int family = 0;
  socklen_t length = sizeof family;
  if (::getsockopt(core_->door.native_handle(), SOL_SOCKET, SO_DOMAIN, &family, &length) == 0) core_->family = family;
  core_->door.non_blocking(true);
  asio::co_spawn(
      core_->executor, [core = core_] { return core->accept_loop(); }, asio::detached);
}

AdminServer::~AdminServer() { close(); }

void AdminServer::close() { core_->close(); }

std::size_t AdminServer::connections() const { return core_->sessions.size(); }

}  // namespace drover::admin
