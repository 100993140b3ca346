#include "backends/prober.hpp"

#include "base/text.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace drover::backends {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr std::uint32_t kMaxHead = 16 * 1024;
constexpr std::size_t kMaxBody = 64 * 1024;
constexpr int kMaxInterim = 4;  // 1xx answers before the real one

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
using Timer = asio::basic_waitable_timer<base::Clock, asio::wait_traits<base::Clock>, Executor>;
template <class T>
using Awaitable = asio::awaitable<T, Executor>;
using Parser = http::response_parser<http::string_body>;
using Code = boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

struct State {
  State(asio::io_context& io, ProbeSpec what, std::function<void(ProbeAnswer)> callback)
      : socket(io.get_executor()), deadline(io.get_executor()), spec(std::move(what)), done(std::move(callback)) {}

  Socket socket;
  Timer deadline;
  ProbeSpec spec;
  std::function<void(ProbeAnswer)> done;
  bool timed_out = false;

  void end() {
    Code ignored;
    socket.close(ignored);
    deadline.cancel();
  }
};

ProbeAnswer failed(std::string reason) { return {false, std::move(reason), std::nullopt}; }

std::string in_words(const State& state, const Code& error, const char* doing) {
  if (state.timed_out) return "timeout after " + base::to_text(state.spec.timeout);
  if (error == asio::error::connection_refused) return "connect refused";
  if (error == asio::error::connection_reset || error == asio::error::broken_pipe) return "connection reset";
  if (error == asio::error::try_again) return "its queue of new connections is full";
  if (error == boost::system::errc::no_such_file_or_directory) return "its socket does not exist";
  if (error == http::error::end_of_stream || error == asio::error::eof) return "connection closed without an answer";
  if (error == http::error::partial_message) return "connection closed within the answer";
  if (error == http::error::header_limit) return "answer's head is larger than " + base::to_text(base::Bytes{kMaxHead});
  if (error.category() == http::make_error_code(http::error::bad_version).category()) return "answer is not HTTP";
  return std::string(doing) + ": " + error.message();
}

/// A connect to a port of the ephemeral range where nobody listens can meet itself: both ends are then the same.
bool connected_to_itself(Socket& socket) {
  std::array<char, sizeof(sockaddr_storage)> own{};
  std::array<char, sizeof(sockaddr_storage)> peer{};
  socklen_t own_size = own.size();
  socklen_t peer_size = peer.size();
  if (getsockname(socket.native_handle(), reinterpret_cast<sockaddr*>(own.data()), &own_size) != 0) return false;
  if (getpeername(socket.native_handle(), reinterpret_cast<sockaddr*>(peer.data()), &peer_size) != 0) return false;
  const auto family = reinterpret_cast<const sockaddr*>(own.data())->sa_family;
  return family != AF_UNIX && own_size == peer_size && std::memcmp(own.data(), peer.data(), own_size) == 0;
}

ProbeAnswer judge(const ProbeSpec& spec, const Parser& parser) {
  const auto& answer = parser.get();
  const int status = static_cast<int>(answer.result_int());
  const auto type = answer[http::field::content_type];
  ProbeAnswer out;
  // A body that was cut off is no report.
  if (parser.is_done()) out.report = report_of_answer({type.data(), type.size()}, answer.body());
  out.passed = std::find(spec.status.begin(), spec.status.end(), status) != spec.status.end();
  if (!out.passed) out.reason = std::to_string(status);
  if (!out.report || (out.report->healthy != false && out.report->ready != false)) return out;
  out.reason += (out.passed ? "" : ", ") + std::string(out.report->healthy == false ? "down" : "not ready") + " by its own report";
  if (out.report->status && !out.report->status->empty()) out.reason += ": " + *out.report->status;
  out.passed = false;
  return out;
}

Awaitable<ProbeAnswer> ask(State& state) {
  const std::string request = "GET " + state.spec.http + " HTTP/1.1\r\nHost: " + state.spec.host +
                              "\r\nUser-Agent: drover-probe\r\nAccept: application/json, */*\r\nConnection: close\r\n\r\n";
  // A worker may answer and close before it has read all: what it said counts, so a failed write alone decides nothing.
  co_await asio::async_write(state.socket, asio::buffer(request), kAwait);
  boost::beast::flat_buffer buffer(kMaxHead + kMaxBody);
  std::optional<Parser> parser;
  Code error;
  for (int answers = 0; answers <= kMaxInterim; ++answers) {
    parser.emplace();
    parser->header_limit(kMaxHead);
    parser->body_limit(kMaxBody);
    auto [head_error, head_size] = co_await http::async_read_header(state.socket, buffer, *parser, kAwait);
    error = head_error;
    if (error || parser->get().result_int() / 100 != 1) break;
  }
  // A Content-Length beyond the limit: the status is known, a report that large is none.
  if (error == http::error::body_limit) co_return judge(state.spec, *parser);
  if (error) co_return failed(in_words(state, error, "read"));
  // The body only for a report. It is read up to the limit all the same, since a small server whose answer is cut off complains.
  while (!parser->is_done()) {
    auto [body_error, body_size] = co_await http::async_read_some(state.socket, buffer, *parser, kAwait);
    if (body_error) break;
  }
  co_return judge(state.spec, *parser);
}

Awaitable<ProbeAnswer> probe(State& state) {
  co_await asio::post(state.socket.get_executor(), asio::use_awaitable_t<Executor>{});  // `done` never comes before start_probe returns
  const auto& address = state.spec.endpoint;
  if (!state.done) co_return ProbeAnswer{};
  if (state.socket.is_open()) co_return co_await ask(state);
  const asio::generic::stream_protocol::endpoint endpoint(address.addr(), address.length);
  auto [error] = co_await state.socket.async_connect(endpoint, kAwait);
  if (error) co_return failed(in_words(state, error, "connect"));
  if (connected_to_itself(state.socket)) co_return failed("connect refused");
  if (state.spec.http.empty()) co_return ProbeAnswer{true, {}, std::nullopt};
  co_return co_await ask(state);
}

class RunningProbe : public Probe {
 public:
  explicit RunningProbe(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~RunningProbe() override {
    state_->done = nullptr;
    state_->end();
  }
  RunningProbe(const RunningProbe&) = delete;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<Probe> start_probe(asio::io_context& io, ProbeSpec spec, std::function<void(ProbeAnswer)> done, base::UniqueFd connected) {
  auto state = std::make_shared<State>(io, std::move(spec), std::move(done));
  if (connected) {
    Code failed;  // then it connects where nobody is, and says so
    state->socket.assign(asio::generic::stream_protocol(AF_UNIX, 0), connected.get(), failed);
    if (!failed) connected.release();
  }
  state->deadline.expires_after(state->spec.timeout);
  state->deadline.async_wait([state](const Code& error) {
    if (error || !state->done) return;
    state->timed_out = true;
    Code ignored;
    state->socket.close(ignored);
  });
  asio::co_spawn(
      io.get_executor(),
      [state]() -> Awaitable<void> {
        ProbeAnswer answer = co_await probe(*state);
        state->end();
        // Moved out first: the callee may destroy the handle, which clears it.
        if (const auto tell = std::exchange(state->done, nullptr)) tell(std::move(answer));
      },
      asio::detached);
  return std::make_unique<RunningProbe>(std::move(state));
}

}  // namespace drover::backends
