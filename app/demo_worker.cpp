#include "app/demo_worker.hpp"

#include "app/demo_answers.hpp"
#include "base/result.hpp"
#include "base/text.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <optional>
#include <string_view>

namespace drover::app {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Task = asio::awaitable<void, Executor>;
using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol, Executor>;
using Stream = boost::beast::basic_stream<Protocol, Executor>;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

constexpr std::uint64_t kBodyLimit = 1024 * 1024;
constexpr std::uint32_t kHeadLimit = 32 * 1024;
constexpr std::size_t kReadSize = 16 * 1024;
constexpr std::size_t kConnections = 1024;
constexpr auto kSilence = std::chrono::seconds(60);
constexpr auto kLinger = std::chrono::seconds(2);              ///< for the client to read a refusal
constexpr auto kAcceptPause = std::chrono::milliseconds(100);  ///< after a failed accept (no descriptors left)

struct Session {
  explicit Session(Stream::socket_type socket) : stream(std::move(socket)) {}
  Stream stream;
  bool idle = true;  ///< between two requests: may be closed at once when stopping
};

struct Server {
  explicit Server(asio::io_context& io) : acceptor(io), pause(io), signals(io, SIGTERM, SIGINT) {}
  Acceptor acceptor;
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor> pause;
  asio::basic_signal_set<Executor> signals;
  std::list<Session> sessions;
  DemoAnswers answers;
  bool stopping = false;
};

/// The refusal for a request that could not be read; none where the client is gone and nobody is left to tell.
std::optional<DemoResponse> refusal_for(error_code error) {
  if (error == http::error::body_limit) return DemoAnswers::refusal(http::status::payload_too_large, "the body is larger than 1 MiB");
  if (error == http::error::header_limit)
    return DemoAnswers::refusal(http::status::request_header_fields_too_large, "the head is larger than 32 KiB");
  const bool gone = error == http::error::end_of_stream || error == http::error::partial_message;
  if (gone || error.category() != http::make_error_code(http::error::bad_method).category()) return std::nullopt;
  return DemoAnswers::refusal(http::status::bad_request, "not an HTTP/1.1 request");
}

/// Closes so that the last response arrives: a close on unread bytes would reset the connection under it.
Task finish(Stream& stream, boost::beast::flat_buffer& buffer) {
  error_code ended;
  stream.socket().shutdown(Protocol::socket::shutdown_send, ended);
  stream.expires_after(kLinger);
  for (std::uint64_t left = 16 * kBodyLimit; !ended && left > kReadSize;) {
    buffer.clear();
    std::size_t count = 0;
    std::tie(ended, count) = co_await stream.async_read_some(buffer.prepare(kReadSize), kAwait);
    left -= count;
  }
}

Task serve(Server& server, std::list<Session>::iterator self) {
  Stream& stream = self->stream;
  boost::beast::flat_buffer buffer(kHeadLimit + kReadSize);
  for (bool more = true; more && !(server.stopping && buffer.size() == 0);) {
    stream.expires_after(kSilence);
    if (buffer.size() == 0) {  // wait apart from reading the head, to know an idle connection from a begun request
      self->idle = true;
      const auto [failed, count] = co_await stream.async_read_some(buffer.prepare(kReadSize), kAwait);
      if (failed) break;
      buffer.commit(count);
      self->idle = false;
    }
    http::request_parser<http::string_body> parser;
    parser.header_limit(kHeadLimit);
    parser.body_limit(kBodyLimit);
    auto [error, head] = co_await http::async_read_header(stream, buffer, parser, kAwait);
    if (!error && boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      std::tie(error, head) = co_await asio::async_write(stream, asio::buffer(go_on), kAwait);
    }
    if (!error) {
      stream.expires_after(kSilence);
      std::tie(error, head) = co_await http::async_read(stream, buffer, parser, kAwait);
    }
    auto response = error ? refusal_for(error) : server.answers.answer(parser.get());
    if (!response) break;
    more = !error && parser.get().keep_alive() && !server.stopping;
    response->keep_alive(more);
    response->content_length(response->body().size());
    if (!error && parser.get().method() == http::verb::head) response->body().clear();
    stream.expires_after(kSilence);
    const auto [failed, written] = co_await http::async_write(stream, *response, kAwait);
    if (failed) break;
    if (error) co_await finish(stream, buffer);
  }
  server.sessions.erase(self);
}

Task accept(Server& server, asio::io_context& io) {
  while (!server.stopping) {
    Stream::socket_type socket(io);
    const auto [failed] = co_await server.acceptor.async_accept(socket, kAwait);
    if (server.stopping) break;
    if (failed) {
      server.pause.expires_after(kAcceptPause);
      co_await server.pause.async_wait(kAwait);
    } else if (server.sessions.size() < kConnections) {
      const auto session = server.sessions.emplace(server.sessions.end(), std::move(socket));
      asio::co_spawn(io.get_executor(), serve(server, session), asio::detached);
    }
  }
}

Task stop_on_signal(Server& server) {
  co_await server.signals.async_wait(kAwait);
  server.stopping = true;
  error_code ignored;
  server.acceptor.close(ignored);
  server.pause.cancel();
  for (Session& session : server.sessions)
    if (session.idle) session.stream.cancel();
}

/// Where to listen, and its name for messages.
struct Place {
  std::string text;
  Protocol::endpoint endpoint;
};

base::Result<Place> place(const DemoWorkerOptions& options) {
  const auto from_environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  std::string path = options.socket;
  std::uint16_t port = options.port.value_or(0);
  if (path.empty() && !options.port) path = from_environment("SOCKET");
  if (path.empty() && !options.port) {
    const std::string text = from_environment("PORT");
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failed != std::errc{} || end != text.data() + text.size())
      return base::Error{"no --port given, and PORT is \"" + base::printable(text) + "\""};
  }
  if (!path.empty()) {
    if (path.size() > 107) return base::Error{"a Unix path has at most 107 bytes: " + path};
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) ::unlink(path.c_str());  // of a former life in this slot
    return Place{"unix:" + path, asio::local::stream_protocol::endpoint(path)};
  }
  error_code failed;
  const auto address = asio::ip::make_address(options.host, failed);
  if (failed) return base::Error{"host is not an IP address: " + options.host};
  return Place{options.host, asio::ip::tcp::endpoint(address, port)};
}

}  // namespace

int run_demo_worker(const DemoWorkerOptions& options) {
  const auto where = place(options);
  if (!where) {
    std::fprintf(stderr, "demo-worker: %s\n", where.error().message.c_str());
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);
  asio::io_context io(1);
  Server server(io);
  error_code failed;
  server.acceptor.open(where->endpoint.protocol(), failed);
  if (!failed) server.acceptor.set_option(asio::socket_base::reuse_address(true), failed);
  if (!failed) server.acceptor.bind(where->endpoint, failed);
  if (!failed) server.acceptor.listen(asio::socket_base::max_listen_connections, failed);
  if (failed) {
    std::fprintf(stderr, "demo-worker: can't listen on %s: %s\n", where->text.c_str(), failed.message().c_str());
    return 1;
  }
  asio::co_spawn(io.get_executor(), accept(server, io), asio::detached);
  asio::co_spawn(io.get_executor(), stop_on_signal(server), asio::detached);
  io.run();
  return 0;
}

}  // namespace drover::app
