// Role: connections to workers: one open connection, and this thread's idle ones, newest first.
// Thread: one proxy thread (the connection count of a row is shared by all). Ownership: a connection owns its socket, its unread
//         bytes and its place in the row's connection count.
#pragma once

#include "balancer/claim.hpp"
#include "board/proxy_board.hpp"
#include "proxy/buffer.hpp"
#include "proxy/stream.hpp"

#include <memory>
#include <vector>

namespace drover::proxy {

/// A connection's place in its row's count of open connections; gives it back at its end.
class Permit {
 public:
  Permit() = default;
  explicit Permit(board::ProxyRow& row) : row_(&row) {}
  Permit(Permit&& other) noexcept : row_(std::exchange(other.row_, nullptr)) {}
  Permit& operator=(Permit&& other) noexcept {
    std::swap(row_, other.row_);
    return *this;
  }
  ~Permit() {
    if (row_ != nullptr) row_->connections.fetch_sub(1, std::memory_order_acq_rel);
  }
  explicit operator bool() const { return row_ != nullptr; }

  /// Counts one more if that stays within `most`.
  static Permit take(board::ProxyRow& row, std::uint32_t most);

 private:
  board::ProxyRow* row_ = nullptr;
};

struct WorkerConnection {
  WorkerConnection(Loop& loop, base::UniqueFd fd, const balancer::Lease& lease, Permit held)
      : stream(loop, std::move(fd), false), row(lease.row), incarnation(lease.incarnation), permit(std::move(held)) {}

  SocketStream stream;
  Buffer in;
  std::uint32_t row;
  base::Incarnation incarnation;
  Permit permit;
  base::Millis idle_most{0};  ///< how long it may stay idle: the pool's timeout, or less by the worker's own word
  base::TimePoint idle_since{};
  base::TimePoint idle_until{};
  bool reused = false;
};

using WorkerConnectionPtr = std::unique_ptr<WorkerConnection>;

/// What is left of a connection while it is idle and belongs to no thread (pools with `concurrency`).
struct ParkedConnection {
  base::UniqueFd fd;
  base::Incarnation incarnation = 0;
  Permit permit;
  base::TimePoint idle_until{};
};

class IdleConnections {
 public:
  static constexpr std::size_t kMaxPerRow = 256;

  explicit IdleConnections(std::uint32_t rows) : rows_(rows) {}

  void put(WorkerConnectionPtr connection, base::TimePoint now);
  /// The newest one that is still whole; `proven`: it was idle for less than a second and a read shows that the worker has not ended it.
  WorkerConnectionPtr take(const balancer::Lease& lease, base::TimePoint now, bool proven);
  /// Closes the one that has been idle for longest: its descriptor is needed elsewhere. False: there is none.
  bool close_oldest();
  /// Closes those whose time is over or whose worker has ended them.
  void sweep(base::TimePoint now);
  void cut(std::uint32_t row, base::Incarnation incarnation);
  /// Those to workers whose gate has closed: nobody may use them, and such a worker may wait for their end before it ends.
  void close_behind_gates(const board::ProxyBoard& board);

 private:
  std::vector<std::vector<WorkerConnectionPtr>> rows_;
};

}  // namespace drover::proxy
