// Role: one proxy process's board: gates, connection counts, claims, tallies and heartbeats, in a memfd both sides map.
// Thread: written by the proxy's threads; the supervisor reads it, and writes only to open and close gates.
// Ownership: made by the supervisor for one proxy process; when that process is dead its totals are folded once and
//            the board is dropped, never repaired.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "board/flights.hpp"
#include "board/gate.hpp"
#include "board/mapping.hpp"
#include "board/shape.hpp"
#include "board/tally.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace drover::board {

/// One row: a cache line of its own.
struct alignas(64) ProxyRow {
  GateWord gate{Gate::kClosed};                ///< see Gate
  std::atomic<std::uint32_t> connections{0};   ///< open connections to this row's worker, busy or idle; proxy threads
  std::atomic<std::uint32_t> errors{0};        ///< exchanges this worker broke (refused, reset, bad framing, timeout); proxy threads
  std::atomic<std::uint64_t> claims{0};        ///< successful claims of this incarnation; proxy threads; zeroed by the supervisor before open
  std::atomic<std::uint64_t> moved_ns{0};      ///< steady clock of the last byte that came from this worker; proxy threads
  std::atomic<std::uint32_t> refused{0};       ///< of `errors`: connections that were refused or timed out; proxy threads
  std::atomic<std::uint32_t> gateway{0};       ///< its own answers 502, 503, 504; proxy threads
  std::atomic<std::uint32_t> streak{0};        ///< errors and gateway answers in a row; any other answer makes it 0; proxy threads
  std::atomic<std::uint32_t> client_bound{0};  ///< gauge: of those inside, who wait for their client, tunnels and event streams; proxy threads
};
static_assert(sizeof(ProxyRow) == 64);

/// A row's latency as least-latency sees it; proxy threads; a page of them is only ever touched where a pool's strategy asks for it.
struct alignas(64) LatencyCell {
  std::atomic<std::uint64_t> figure{0};  ///< see balancer/latency.hpp; 0: unknown
};

/// Per pool, shared by the proxy's threads.
struct alignas(64) PoolCell {
  std::atomic<std::uint64_t> position{0};        ///< the strategy's: round-robin's last row key
  std::atomic<std::uint32_t> queued{0};          ///< waiters now
  std::atomic<std::uint32_t> breaker{0};         ///< balancer::BreakerState
  std::atomic<std::uint64_t> breaker_opened{0};  ///< times that it opened
};

class ProxyBoard {
 public:
  static base::Result<ProxyBoard> create(const Shape& shape);
  /// Proxy: maps an inherited descriptor for writing. `fd` stays the caller's and may be closed afterwards.
  static base::Result<ProxyBoard> attach(int fd, const Shape& shape);

  /// The creator's descriptor, to be handed to the proxy; -1 on an attached board.
  int fd() const { return fd_.get(); }
  const Shape& shape() const { return shape_; }

  ProxyRow& row(std::uint32_t index) const;
  Gate gate(std::uint32_t index) const { return Gate(row(index).gate); }
  PoolCell& pool(std::uint32_t index) const;
  ThreadTally& thread(std::uint32_t index) const;
  PoolTally& tally(std::uint32_t thread, std::uint32_t pool) const;
  FlightTable& flights(std::uint32_t thread) const;
  Sketch& sketch(std::uint32_t thread) const;
  LatencyCell& latency(std::uint32_t row) const;
  ListenerTally& listener(std::uint32_t thread, std::uint32_t listener) const;
  /// Its gauge of open client connections.
  Count& client_connections(std::uint32_t thread, std::uint32_t index) const { return listener(thread, index).clients; }

 private:
  /// Where each part begins, in bytes. Rows come first.
  struct Layout {
    std::size_t rows, pools, threads, tallies, flights, sketches, listeners, latencies, total;
    static Layout of(const Shape& shape);
  };
  ProxyBoard(base::UniqueFd fd, Mapping mapping, const Shape& shape, const Layout& layout);
  template <class T>
  T& at(std::size_t part, std::size_t index) const;

  base::UniqueFd fd_;
  Mapping mapping_;
  Shape shape_;
  Layout layout_;
};

/// What a whole pool counted, as plain numbers: the sum over threads, over live proxies, and over dead ones.
struct HistogramTotals {
  std::array<std::uint64_t, kBucketBounds.size() + 1> buckets{};
  std::uint64_t sum_us = 0;
};
struct PoolTotals {
  std::array<std::array<std::uint64_t, kCodes>, kMethodNames.size()> requests{};
  std::array<std::uint64_t, kRetryReasonNames.size()> retries{};
  std::array<std::uint64_t, kStageNames.size()> client_disconnects{};
  std::array<std::uint64_t, kQueueReasonNames.size()> queue_rejected{};
  std::uint64_t truncated = 0;
  std::uint64_t blocked = 0;
  std::uint64_t spilled = 0;
  std::uint64_t unpaid = 0;
  std::uint64_t deadlines = 0;
  std::uint64_t breaker_opened = 0;
  HistogramTotals duration;
  HistogramTotals queue_wait;
};
struct ListenerTotals {
  std::array<std::uint64_t, kLimitReasonNames.size()> limited{};
  std::uint64_t slow = 0;
  std::array<std::uint64_t, kCodes> refused{};
  std::array<std::uint64_t, kCodes> answered{};
};
struct Totals {
  std::vector<PoolTotals> pools;
  std::vector<ListenerTotals> listeners;
  HistogramTotals loop_turn;
  std::uint64_t claims_after_close = 0;
  std::uint64_t access_lines = 0;
  std::uint64_t access_dropped = 0;
  std::uint64_t accept_pauses = 0;
};

/// Adds every counter of `board` (gauges are left out) to `totals`, which has one entry per pool and one per listener.
void fold(const ProxyBoard& board, Totals& totals);

}  // namespace drover::board
