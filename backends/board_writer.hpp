// Role: the one writer of the supervisor's board and of the gates on every live proxy's board: rows, endpoints, load, eligibility;
//       and the keeper of what workers and proxies have counted, so that no total ever falls.
// Thread: supervisor's deciding thread. Ownership: owns the supervisor's board; borrows proxies' boards between add() and remove().
#pragma once

#include "balancer/breaker.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace drover::backends {

class BoardWriter {
 public:
  static base::Result<BoardWriter> create(const config::Config& config);

  const board::Shape& shape() const { return shape_; }
  const board::SupervisorBoard& supervisor_board() const { return board_; }
  void beat(base::TimePoint now);

  // Proxies. A new one finds the gates of all eligible rows open; a dead one's totals are folded once.
  void add(const board::ProxyBoard& proxy, std::vector<int> wakeups);
  void remove(const board::ProxyBoard& proxy);

  // Capacity: what the boards were made for.
  /// Slots that a pool can have at most while drover runs.
  std::uint32_t slots(std::uint32_t pool) const { return static_cast<std::uint32_t>(totals_[pool].size()); }
  std::uint32_t rows(std::uint32_t pool) const { return shape_.pools[pool].count; }

  // Rows: one per incarnation, taken at its start.
  std::optional<std::uint32_t> take_row(base::SlotId id, base::Incarnation incarnation, const board::EndpointAddress& endpoint);
  /// Its worker listens elsewhere than it was told. False, and nothing is done: its gate is open, who enters would read either.
  bool move_row(std::uint32_t row, const board::EndpointAddress& endpoint);
  void open(std::uint32_t row);
  /// On every live board, before anything else is done; threads with waiters are woken.
  void close(std::uint32_t row);
  /// The incarnation is gone: the row rests until nobody is inside and no connection is counted, then it is free.
  void release(std::uint32_t row);
  /// Frees rested rows. Are some left?
  bool sweep();
  void write_load(std::uint32_t row, std::uint64_t memory_bytes);
  void write_pid(std::uint32_t row, std::int32_t pid) { board_.write_pid(row, pid); }
  void write_expected(std::uint32_t pool, std::uint32_t workers);
  /// In percent of its even part; a new incarnation begins with the whole.
  void write_share(std::uint32_t row, std::uint32_t percent) { board_.write_share(row, percent); }
  void write_asleep(std::uint32_t pool, bool asleep);
  void write_waking(std::uint32_t pool, bool waking) { board_.write_waking(pool, waking); }
  /// none: not held. Threads with waiters are woken.
  void write_hold(std::uint32_t pool, std::optional<base::TimePoint> until);
  void write_maintenance(std::uint32_t pool, const std::optional<std::string>& message);
  void write_blocked(std::span<const board::SupervisorBoard::Blocked> list) { board_.write_blocked(list); }

  std::uint32_t in_flight(std::uint32_t row) const;
  std::uint32_t connections(std::uint32_t row) const;

  /// Of the incarnation that has the row. Counts are running totals of all proxies of its life, dead ones too.
  struct RowFigures {
    std::uint64_t claims = 0;   ///< exchanges given to it
    std::uint64_t errors = 0;   ///< of them: those it broke
    std::uint64_t refused = 0;  ///< of those: no connection came about
    std::uint64_t gateway = 0;  ///< its own answers 502, 503, 504
    std::uint32_t streak = 0;   ///< errors and gateway answers in a row, of the live proxy with the longest row
    std::uint32_t in_flight = 0;
    /// Of `in_flight`: they wait for their client to send or take, or are tunnels and event streams: nothing is owed by the worker now. By
    /// a look each 250 ms; not more than in_flight.
    std::uint32_t client_bound = 0;
    base::TimePoint moved{};  ///< last byte that came from it; epoch: none yet
  };
  RowFigures figures(std::uint32_t row) const;
  /// Requests that are inside that incarnation, or that it broke at `since` or later; of live proxies.
  std::vector<board::Flight> flights(std::uint32_t row, base::Incarnation incarnation, base::TimePoint since) const;
  /// How often each kind of request has come, and how many requests each pool had in all; dead and live proxies together.
  board::Sketch::Totals sketch() const;
  std::uint64_t requests(std::uint32_t pool) const;

  struct SlotTotals {
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
  };
  SlotTotals slot_totals(base::SlotId id) const;
  struct PoolFigures {
    std::uint64_t position = 0;
    std::uint32_t queued = 0;
    balancer::BreakerState breaker = balancer::BreakerState::closed;
    std::uint64_t breaker_opened = 0;  ///< dead proxies' too
  };
  PoolFigures pool_figures(std::uint32_t pool) const;
  std::uint64_t client_connections(std::uint32_t listener) const;
  /// Dead and live proxies together: times that a thread stopped accepting for want of descriptors.
  std::uint64_t accept_pauses() const;
  /// Dead and live proxies together.
  board::Totals traffic() const;

 private:
  enum class Use : std::uint8_t { free, taken, resting };
  struct Row {
    Use use = Use::free;
    base::SlotId id;
    base::Incarnation incarnation = 0;
    bool open = false;
    RowFigures dead{};  ///< counted by proxies that have died since
  };
  struct LiveProxy {
    const board::ProxyBoard* board;
    std::vector<int> wakeups;
  };

  BoardWriter(board::SupervisorBoard board, board::Shape shape, const config::Config& config);
  void changed();
  void count(const board::ProxyBoard& proxy, std::uint32_t row);
  void use(std::uint32_t row);
  void free(std::uint32_t row);
  bool quiet(std::uint32_t row) const;

  board::SupervisorBoard board_;
  board::Shape shape_;
  const config::Config* config_;
  std::vector<Row> rows_;
  std::vector<LiveProxy> proxies_;
  std::vector<std::vector<SlotTotals>> totals_;  ///< by pool and slot: of freed rows and of dead proxies
  board::Totals traffic_;                        ///< of dead proxies
  std::unique_ptr<board::Sketch::Totals> sketch_ = std::make_unique<board::Sketch::Totals>();  ///< likewise
};

}  // namespace drover::backends
