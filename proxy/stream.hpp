// Role: a byte stream to a peer: the seam at which TLS will stand in for a plain socket. Reads and writes never wait: they say
//       `blocked`, and the fiber waits for what watch() wants.
// Thread: one proxy thread. Ownership: owns its descriptor; registered with its loop while it lives.
#pragma once

#include "base/unique_fd.hpp"
#include "proxy/loop.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>

namespace drover::proxy {

enum class Io : unsigned char { ok, blocked, eof, failed };

struct IoResult {
  Io what = Io::ok;
  std::size_t bytes = 0;
  int error = 0;  ///< errno when failed
};

class Stream {
 public:
  virtual ~Stream() = default;
  virtual IoResult read(char* into, std::size_t most) = 0;
  virtual IoResult write(const iovec* parts, int count) = 0;
  /// No more will be sent; reading goes on.
  virtual void end_sending() = 0;
  /// Readiness and wants of the socket beneath.
  virtual Watch& watch() = 0;
};

class SocketStream final : public Stream {
 public:
  /// `readable`: is a first read worth trying before the loop has reported anything?
  SocketStream(Loop& loop, base::UniqueFd fd, bool readable);
  SocketStream(const SocketStream&) = delete;
  ~SocketStream() override;

  IoResult read(char* into, std::size_t most) override;
  IoResult write(const iovec* parts, int count) override;
  void end_sending() override;
  Watch& watch() override { return watch_; }

  /// Takes the descriptor off this loop, for another thread's.
  base::UniqueFd release();
  /// SO_ERROR, once a connect() in progress has become writable.
  int connect_error() const;
  /// Has the peer sent something, or ended, while nothing was asked of it? One system call.
  bool quiet() const;
  /// Bytes written that the peer's kernel has not taken yet, the end of sending counted as one (SIOCOUTQ, tcp(7)).
  std::size_t unacknowledged() const;

 private:
  Loop& loop_;
  base::UniqueFd fd_;
  Watch watch_;
};

}  // namespace drover::proxy
