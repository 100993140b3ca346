// Role: one connection to the admin side: its socket, its two clocks, and the lines it is being told.
// Thread: supervisor. Ownership: shared by the coroutines that serve it; cut() ends them all.
#pragma once

#include "admin/line_source.hpp"
#include "base/unique_fd.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

namespace drover::admin {

using Executor = boost::asio::io_context::executor_type;
template <class T>
using Task = boost::asio::awaitable<T, Executor>;
using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor>;
using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;
constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable_t<Executor>{});

struct Session {
  enum class State : std::uint8_t { asking, answering };

  Session(const Executor& executor, int family, base::UniqueFd fd)
      : socket(executor, boost::asio::generic::stream_protocol(family, 0), fd.release()), deadline(executor), wake(executor) {}

  Socket socket;
  Timer deadline;  ///< of a request and its answer; not of a stream
  Timer wake;      ///< a stream that has nothing to tell waits for its cancellation
  State state = State::asking;
  std::unique_ptr<LineSource> source;  ///< of a stream

  bool open() const { return socket.is_open(); }
  void cut() {
    source.reset();  // at once: what it refers to may not outlive this turn of the loop
    boost::system::error_code ignored;
    socket.close(ignored);
    deadline.cancel();
    wake.cancel();
  }
};

/// Cuts the session when `limit` is over.
inline void limit_time(const std::shared_ptr<Session>& session, std::chrono::milliseconds limit) {
  session->deadline.expires_after(limit);
  // Weak: an expired timer's handler may already be queued when the session ends.
  session->deadline.async_wait([weak = std::weak_ptr(session)](const boost::system::error_code& error) {
    const auto late = weak.lock();
    if (late && !error) late->cut();
  });
}

/// Tells the session what its source gives until it ends or the client has gone; then the session is cut. `chunked`: else the end of
/// the connection is the end of the answer.
Task<void> tell(std::shared_ptr<Session> session, bool chunked, std::chrono::milliseconds heartbeat, std::chrono::milliseconds limit);

/// Reads and drops at most `most` bytes, until the client closes: a close on unread bytes would reset the answer away.
Task<void> drop_input(Session& session, std::size_t most);

}  // namespace drover::admin
