// Role: a pool on real boards, with the supervisor's part played by the test: workers come, go, report memory, fill up.
// Thread: one, except claim_threads_test. Ownership: owns both boards; claimers made from it must not outlive it.
#pragma once

#include "balancer/claim.hpp"
#include "balancer/latency.hpp"

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
  explicit PoolWorld(std::uint32_t workers, const balancer::Strategy& strategy, std::uint64_t seed = 1)
      : strategy_(strategy), keys_(seed ^ 0x6b657973U) {
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

  /// A worker's answer took so long, at now_ns.
  void answered_in(std::uint32_t index, std::uint64_t us) {
    balancer::note_latency(board_->latency(row(index)), board_->gate(row(index)).view().incarnation, us, now_ns);
  }

  std::uint32_t row(std::uint32_t index) const { return rows_.first + index; }
  std::uint32_t rows() const { return rows_.count; }
  std::uint64_t claims(std::uint32_t index) const { return board_->row(row(index)).claims.load(); }
  std::uint32_t in_flight(std::uint32_t index) const { return board_->gate(row(index)).view().count; }
  balancer::Lease lease_of(std::uint32_t index) const { return {row(index), facts_->slot(row(index)), board_->gate(row(index)).view().incarnation}; }

  balancer::Claimer& claimer() { return *claimer_; }
  board::SupervisorBoard& facts() { return *facts_; }
  board::ProxyBoard& board() { return *board_; }

  /// A request as the proxy would ask for it: each has a hash of its own where the strategy goes by one, or as `keyed` says.
  balancer::Ask ask(const balancer::Avoid& avoid = {}) {
    return {.avoid = avoid, .now_ns = now_ns, .hash = strategy_.wants_hash && keyed ? keys_.next() : 0};
  }
  balancer::ClaimResult claim(const balancer::Avoid& avoid = {}, balancer::Claimer::Admit admit = nullptr, void* context = nullptr) {
    return claimer_->claim(ask(avoid), admit, context);
  }

  /// The exchange ends.
  void finish(const balancer::Lease& lease) {
    if (usual_us != 0) answered_in(lease.row - rows_.first, usual_us + keys_.below(usual_us / 4));
    now_ns += 1'000'000;
    claimer_->release(lease);
  }

  std::uint64_t now_ns = 1'000'000'000'000;
  bool keyed = true;
  std::uint64_t usual_us = 0;  ///< every worker answers in about so long; 0: nobody says

  /// Claims and gives back at once; the row's index, or none.
  std::optional<std::uint32_t> serve(const balancer::Avoid& avoid = {}) {
    const auto result = claim(avoid);
    if (!result.lease) return std::nullopt;
    finish(*result.lease);
    return result.lease->row - rows_.first;
  }

 private:
  const balancer::Strategy& strategy_;
  base::Rng keys_;
  std::unique_ptr<board::SupervisorBoard> facts_;
  std::unique_ptr<board::ProxyBoard> board_;
  std::unique_ptr<balancer::Claimer> claimer_;
  board::PoolRows rows_;
  base::Incarnation last_incarnation_ = 0;
};

}  // namespace drover::test
