// Role: the one writer of the supervisor's board and of the gates on every live proxy's board: rows, endpoints, load, eligibility;
//       and the keeper of what workers and proxies have counted, so that no total ever falls.
// Thread: supervisor's deciding thread. Ownership: owns the supervisor's board; borrows proxies' boards between add() and remove().
#pragma once

#include "base/result.hpp"
#include "base/units.hpp"
#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <optional>
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

  // Rows: one per incarnation, taken at its start.
  std::optional<std::uint32_t> take_row(base::SlotId id, base::Incarnation incarnation, const board::EndpointAddress& endpoint);
  void open(std::uint32_t row);
  /// On every live board, before anything else is done; threads with waiters are woken.
  void close(std::uint32_t row);
  /// The incarnation is gone: the row rests until nobody is inside and no connection is counted, then it is free.
  void release(std::uint32_t row);
  /// Frees rested rows. Are some left?
  bool sweep();
  void write_load(std::uint32_t row, std::uint64_t memory_bytes);
  void write_expected(std::uint32_t pool, std::uint32_t workers);

  std::uint32_t in_flight(std::uint32_t row) const;
  std::uint32_t connections(std::uint32_t row) const;

  struct SlotTotals {
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
  };
  SlotTotals slot_totals(base::SlotId id) const;
  struct PoolFigures {
    std::uint64_t position = 0;
    std::uint32_t queued = 0;
  };
  PoolFigures pool_figures(std::uint32_t pool) const;
  std::uint64_t client_connections(std::uint32_t listener) const;
  /// Dead and live proxies together.
  board::Totals traffic() const;

 private:
  enum class Use : std::uint8_t { free, taken, resting };
  struct Row {
    Use use = Use::free;
    base::SlotId id;
    base::Incarnation incarnation = 0;
    bool open = false;
  };
  struct LiveProxy {
    const board::ProxyBoard* board;
    std::vector<int> wakeups;
  };

  BoardWriter(board::SupervisorBoard board, board::Shape shape, const config::Config& config);
  void changed();
  void count(const board::ProxyBoard& proxy, std::uint32_t row);
  void free(std::uint32_t row);
  bool quiet(std::uint32_t row) const;

  board::SupervisorBoard board_;
  board::Shape shape_;
  const config::Config* config_;
  std::vector<Row> rows_;
  std::vector<LiveProxy> proxies_;
  std::vector<std::vector<SlotTotals>> totals_;  ///< by pool and slot: of freed rows and of dead proxies
  board::Totals traffic_;                        ///< of dead proxies
};

}  // namespace drover::backends
