// Role: a pool on real boards, with the supervisor's part played by the test: workers come, go, report memory, fill up.
// Thread: one, except claim_threads_test. Ownership: owns both boards; claimers made from it must not outlive it.
#pragma once

#include "balancer/claim.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <vector>

namespace drover::test {

class PoolWorld {
 public:
  explicit PoolWorld(std::uint32_t workers, const balancer::Strategy& strategy, std::uint64_t seed = 1) : strategy_(strategy) {
    const std::uint32_t neighbours[] = {3, workers};  // the pool under test doesn't begin at row 0
    const board::Shape shape = board::make_shape(neighbours, 1, 1);
    auto facts = board::SupervisorBoard::create(shape);
    auto board = board::ProxyBoard::create(shape);
    if (!facts || !board) throw std::runtime_error("no board");
    facts_ = std::make_unique<board::SupervisorBoard>(std::move(*facts));
    board_ = std::make_unique<board::ProxyBoard>(std::move(*board));
    rows_ = shape.pools[1];
    claimer_ = claimer(seed);
  }

  std::unique_ptr<balancer::Claimer> claimer(std::uint64_t seed) const {
    return std::make_unique<balancer::Claimer>(*facts_, *board_, 1, strategy_, seed);
  }

  /// A new life in `slot`, on the pool's row `index`, let in.
  void come(std::uint32_t slot, std::uint32_t index) {
    board::WorkerInfo info;
    info.slot = slot;
    info.incarnation = ++last_incarnation_;
    facts_->write_row(row(index), info);
    board_->row(row(index)).claims.store(0);
    if (!board_->gate(row(index)).open(info.incarnation)) throw std::runtime_error("row is in use");
  }
  void come(std::uint32_t slot) { come(slot, slot - 1); }
  void come_all(std::uint32_t workers) {
    for (std::uint32_t slot = 1; slot <= workers; ++slot) come(slot);
  }
  void go(std::uint32_t index) { board_->gate(row(index)).close(); }
  void back(std::uint32_t index) { board_->gate(row(index)).open(board_->gate(row(index)).view().incarnation); }

  void memory(std::uint32_t index, std::uint64_t bytes) { facts_->write_load(row(index), bytes); }

  std::uint32_t row(std::uint32_t index) const { return rows_.first + index; }
  std::uint32_t rows() const { return rows_.count; }
  std::uint64_t claims(std::uint32_t index) const { return board_->row(row(index)).claims.load(); }
  std::uint32_t in_flight(std::uint32_t index) const { return board_->gate(row(index)).view().count; }
  balancer::Lease lease_of(std::uint32_t index) const { return {row(index), facts_->slot(row(index)), board_->gate(row(index)).view().incarnation}; }

  balancer::Claimer& claimer() { return *claimer_; }
  board::SupervisorBoard& facts() { return *facts_; }
  board::ProxyBoard& board() { return *board_; }

  /// Claims and gives back at once; the row's index, or none.
  std::optional<std::uint32_t> serve(const balancer::Avoid& avoid = {}) {
    const auto result = claimer_->claim(avoid);
    if (!result.lease) return std::nullopt;
    claimer_->release(*result.lease);
    return result.lease->row - rows_.first;
  }

 private:
  const balancer::Strategy& strategy_;
  std::unique_ptr<board::SupervisorBoard> facts_;
  std::unique_ptr<board::ProxyBoard> board_;
  std::unique_ptr<balancer::Claimer> claimer_;
  board::PoolRows rows_;
  base::Incarnation last_incarnation_ = 0;
};

}  // namespace drover::test
