#include "admin/session.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/chunk_encode.hpp>

#include <array>
#include <string>

namespace drover::admin {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMostFromReader = 64 * 1024;  ///< what a client may send while it is being told lines

/// A client that leaves is seen although there is nothing to tell it.
Task<void> watch(std::shared_ptr<Session> session) {
  co_await drop_input(*session, kMostFromReader);
  session->cut();
}

Task<bool> send_lines(Session& session, const std::string& lines, bool chunked) {
  boost::system::error_code error;
  std::size_t sent = 0;
  if (chunked) {
    std::tie(error, sent) = co_await asio::async_write(session.socket, boost::beast::http::make_chunk(asio::buffer(lines)), kAwait);
  } else {
    std::tie(error, sent) = co_await asio::async_write(session.socket, asio::buffer(lines), kAwait);
  }
  co_return !error;
}

}  // namespace

Task<void> drop_input(Session& session, std::size_t most) {
  std::array<char, 16 * 1024> bytes{};
  for (std::size_t total = 0; total < most;) {
    const auto [error, size] = co_await session.socket.async_read_some(asio::buffer(bytes), kAwait);
    if (error) co_return;
    total += size;
  }
}

Task<void> tell(std::shared_ptr<Session> session, bool chunked, std::chrono::milliseconds heartbeat, std::chrono::milliseconds limit) {
  session->source->listen([weak = std::weak_ptr(session)] {
    if (const auto told = weak.lock()) told->wake.cancel();
  });
  asio::co_spawn(session->socket.get_executor(), watch(session), asio::detached);
  std::string lines;
  while (session->open()) {
    lines.clear();
    const Pulled pulled = session->source->pull(lines);
    if (lines.empty() && pulled == Pulled::end) break;
    if (lines.empty() && pulled == Pulled::wait) {
      session->wake.expires_after(heartbeat);
      const auto [rung] = co_await session->wake.async_wait(kAwait);
      if (rung) continue;
      lines = "\n";  // so that a client that is gone without a word is found out
    }
    if (lines.empty()) {  // looked at much that was not asked for: others have their turn first
      session->wake.expires_after(std::chrono::milliseconds(0));
      co_await session->wake.async_wait(kAwait);
      continue;
    }
    if (!co_await send_lines(*session, lines, chunked)) break;
  }
  if (session->open()) {
    session->source.reset();
    limit_time(session, limit);
    if (chunked) co_await asio::async_write(session->socket, boost::beast::http::make_chunk_last(), kAwait);
    boost::system::error_code ignored;
    session->socket.shutdown(Socket::shutdown_send, ignored);
    session->wake.expires_after(limit);
    if (session->open()) co_await session->wake.async_wait(kAwait);  // until watch() sees the client leave
  }
  session->cut();
}

}  // namespace drover::admin
