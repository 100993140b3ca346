// Role: the supervisor's board: endpoints, eligibility and load of every worker, one row per incarnation, in a sealed memfd.
// Thread: written by the supervisor's deciding thread only; read by any thread of a proxy, which maps it read-only
//         (F_SEAL_FUTURE_WRITE: memfd_create(2), fcntl(2)), so that a hijacked proxy can redirect nobody.
// Ownership: the memfd lives as long as the supervisor; each side owns its own mapping.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"
#include "board/mapping.hpp"
#include "board/shape.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace drover::board {

/// Where a worker listens, ready for connect(2).
struct EndpointAddress {
  sockaddr_un storage{};  ///< large enough for sockaddr_in and sockaddr_in6 too
  socklen_t length = 0;

  const sockaddr* addr() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.sun_family; }
};

/// What the supervisor says of one incarnation. Copied out whole under the row's version.
struct WorkerInfo {
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;  ///< 0: row is free
  EndpointAddress endpoint;
};

class SupervisorBoard {
 public:
  /// Supervisor: makes the memfd and its one writable mapping, then seals it.
  static base::Result<SupervisorBoard> create(const Shape& shape);
  /// Proxy: maps an inherited descriptor read-only and checks the first page against `shape`. `fd` stays the caller's and may
  /// be closed afterwards.
  static base::Result<SupervisorBoard> attach(int fd, const Shape& shape);

  /// The creator's descriptor, to be handed to proxies; -1 on an attached board.
  int fd() const { return fd_.get(); }

  // Rows: written by the supervisor. Another incarnation than before also makes the row's memory unknown.
  void write_row(std::uint32_t row, const WorkerInfo& info);
  void clear_row(std::uint32_t row) { write_row(row, WorkerInfo{}); }
  /// Memory (bytes) by the newest report or sample; 0: unknown. `age_epoch` grows with each new figure.
  void write_load(std::uint32_t row, std::uint64_t memory_bytes);
  /// Of the worker's first process; a new life has 0 until it is started.
  void write_pid(std::uint32_t row, std::int32_t pid);
  std::int32_t pid(std::uint32_t row) const;
  /// This proxy generation's share of a worker's `concurrency`; UINT32_MAX: no limit.
  void write_connection_share(std::uint32_t row, std::uint32_t share);

  // Read by proxies. false: the row was being rewritten over and over (bounded tries): take another.
  bool read_row(std::uint32_t row, WorkerInfo& out) const;
  std::uint32_t slot(std::uint32_t row) const;  ///< a hint for ordering, without the version
  std::uint64_t memory(std::uint32_t row) const;
  std::uint32_t load_epoch(std::uint32_t row) const;
  std::uint32_t connection_share(std::uint32_t row) const;

  /// How many workers of a pool are about to be ready (starting, or to be started within the queue's wait).
  /// 0 and nobody eligible: there is none to hope for.
  void write_expected(std::uint32_t pool, std::uint32_t workers);
  std::uint32_t expected(std::uint32_t pool) const;

  /// The pool's rows from this one on are free and have been since they were last seen: who looks for a worker need not look there.
  /// Written before a row beyond it is opened.
  void write_rows_used(std::uint32_t pool, std::uint32_t rows);
  std::uint32_t rows_used(std::uint32_t pool) const;
  /// The pool has no worker because nobody asked (idle_stop): who needs one rings the doorbell and waits for its start.
  void write_asleep(std::uint32_t pool, bool asleep);
  bool asleep(std::uint32_t pool) const;
  /// It slept, and its first worker is on the way: who comes now waits for its start as well as who rang.
  void write_waking(std::uint32_t pool, bool waking);
  bool waking(std::uint32_t pool) const;

  /// A worker's effective share of its even part, in percent (0 … 100), by its own word. A new life has the whole.
  static constexpr std::uint32_t kFullShare = 100;
  void write_share(std::uint32_t row, std::uint32_t percent);
  std::uint32_t share(std::uint32_t row) const;

  /// Requests that have killed workers: answered 503 until their time is over. The supervisor writes the whole list; what is beyond
  /// kMaxBlocked is left out.
  struct Blocked {
    std::uint64_t fingerprint = 0;
    std::uint64_t until_ns = 0;  ///< steady clock
  };
  static constexpr std::size_t kMaxBlocked = 32;
  void write_blocked(std::span<const Blocked> list);
  bool any_blocked() const;  ///< one load
  /// false also when the list was being rewritten over and over (bounded tries).
  bool blocked(std::uint64_t fingerprint, std::uint64_t now_ns) const;

  // What the operator asks of a pool's clients.
  /// `drover hold`: until then (steady clock; 0: not held) whoever comes stands in line.
  void write_hold(std::uint32_t pool, std::uint64_t until_ns);
  std::uint64_t hold_until(std::uint32_t pool) const;
  /// `drover maintenance`: whoever comes is answered 503 with this text; what is beyond kMaxMessage is cut off.
  static constexpr std::size_t kMaxMessage = 240;
  void write_maintenance(std::uint32_t pool, bool on, std::string_view message);
  bool maintenance(std::uint32_t pool) const;  ///< one load
  /// Empty also when it was being rewritten over and over (bounded tries).
  std::string maintenance_message(std::uint32_t pool) const;

  /// Grows with each change that a waiting thread wants to know of.
  std::uint32_t epoch() const;
  void bump_epoch();

  /// Steady-clock nanoseconds of the supervisor's last beat.
  void beat(std::uint64_t now_ns);
  std::uint64_t last_beat() const;

 private:
  struct Header;
  struct PoolCell;
  struct Row;
  SupervisorBoard(base::UniqueFd fd, Mapping mapping, const Shape& shape);
  static std::size_t bytes(const Shape& shape);
  Header& header() const;
  PoolCell& pool_cell(std::uint32_t pool) const;
  Row& row_cell(std::uint32_t row) const;

  base::UniqueFd fd_;
  Mapping mapping_;
  std::uint32_t pools_ = 0;
  std::uint32_t rows_ = 0;
};

}  // namespace drover::board
