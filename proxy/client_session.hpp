// Role: one client connection: reads a head, has it exchanged, and loops, until either side is done. One coroutine, one buffer, one deadline.
// Thread: one proxy thread. Ownership: owns the client's socket and unread bytes; deletes itself when its coroutine ends.
#pragma once

#include "base/unique_fd.hpp"
#include "config/model.hpp"
#include "proxy/buffer.hpp"
#include "proxy/client_limits.hpp"
#include "proxy/head_scan.hpp"
#include "proxy/message.hpp"
#include "proxy/stream.hpp"
#include "proxy/task.hpp"

#include <array>
#include <string>
#include <string_view>

namespace drover::proxy {

class ProxyThread;

class ClientSession {
 public:
  /// Who has connected.
  struct Client {
    std::string text;  ///< address without port
    ClientAddress address{};
    ClientLimits::Open open = ClientLimits::Open::uncounted;
  };
  /// Starts the session; it lives on its own.
  static void start(ProxyThread& thread, std::uint32_t listener, base::UniqueFd fd, Client client);

  // For the exchange that runs on it.
  ProxyThread& thread() { return thread_; }
  Stream& stream() { return stream_; }
  Fiber& fiber() { return fiber_; }
  Buffer& in() { return in_; }
  Buffer& out() { return out_; }
  const config::Listener& listener() const { return listener_; }
  std::uint32_t listener_index() const { return listener_index_; }
  std::string_view peer() const { return client_.text; }
  /// A request has come. 0: take it; else this address has had too many: seconds until the next one will be taken.
  unsigned seconds_over_rate();
  /// Counts a client that is sent away because it sends too slowly.
  void note_slow();
  std::size_t index = 0;  ///< place in the thread's list

  /// Sends all of `bytes`, waiting as needed; returns how many went. Fewer: the client is gone or takes nothing.
  Task<std::size_t> send_all(std::string_view bytes);
  /// The connection will be reset, so that the client can't take what it has for the whole.
  void reset_at_end() { reset_at_end_ = true; }
  /// The proxy drains: an idle session ends at its next look.
  void nudge();

 private:
  enum class Wait : std::uint8_t { head, closed };

  ClientSession(ProxyThread& thread, std::uint32_t listener, base::UniqueFd fd, Client client);
  ~ClientSession();
  Detached run();
  Task<Wait> read_head();
  Task<bool> serve();
  base::TimePoint head_due(base::TimePoint began) const;
  Task<bool> refuse(unsigned status, std::string_view reason, bool json, unsigned retry_after_s = 0);
  void log_refusal(unsigned status, std::string_view id, std::size_t sent);
  /// Reads and drops what the client still sends, so that the reply is not lost in a reset (RFC 9112 section 9.6).
  Task<bool> linger();
  unsigned oversize() const;

  ProxyThread& thread_;
  std::uint32_t listener_index_;
  const config::Listener& listener_;
  SocketStream stream_;
  Fiber fiber_;
  Buffer in_;
  Buffer out_;
  Client client_;
  HeadScan scan_;
  base::TimePoint head_began_{};  ///< its first byte was there
  bool lingering_close_ = false;
  bool reset_at_end_ = false;
};

}  // namespace drover::proxy
