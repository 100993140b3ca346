#include "balancer/claim.hpp"

#include <algorithm>

namespace drover::balancer {

namespace {

/// A rolling restart can close the old row and open the new one while we look from the one to the other and see both closed;
/// a second look finds it. Bounded, since a pool with nobody open must get its answer.
constexpr int kLooks = 3;
/// Each lost race is another thread's success, so this is only reached by a thread that loses all the time; it then goes without its turn.
constexpr int kTurnTries = 64;

bool contains(const Avoid& avoid, std::uint32_t row, base::Incarnation incarnation) {
  return std::any_of(avoid.leases.begin(), avoid.leases.end(),
                     [&](const Lease& lease) { return lease.row == row && lease.incarnation == incarnation; });
}

}  // namespace

Claimer::Claimer(const board::SupervisorBoard& supervisor, const board::ProxyBoard& proxy, std::uint32_t pool, const Strategy& strategy,
                 std::uint64_t seed)
    : supervisor_(supervisor), proxy_(proxy), pool_(pool), strategy_(strategy), rng_(seed), notes_(proxy.shape().pools[pool].count) {
  for (auto* list : {&candidates_, &spared_, &unwilling_}) list->reserve(notes_.size());
}

void Claimer::collect(const Avoid& avoid) {
  for (auto* list : {&candidates_, &spared_, &unwilling_}) list->clear();
  const board::PoolRows rows = proxy_.shape().pools[pool_];
  const std::uint32_t used = std::min(supervisor_.rows_used(pool_), rows.count);
  for (std::uint32_t index = 0; index < used; ++index) {
    const std::uint32_t row = rows.first + index;
    const board::GateView gate = proxy_.gate(row).view();
    if (gate.closed || contains(avoid, row, gate.incarnation)) continue;
    const std::uint32_t share = supervisor_.share(row);
    const bool whole = share >= board::SupervisorBoard::kFullShare;
    auto& list = whole ? candidates_ : share == 0 ? unwilling_ : rng_.below(board::SupervisorBoard::kFullShare) < share ? candidates_ : spared_;
    list.push_back({.row = row,
                    .index = index,
                    .slot = supervisor_.slot(row),
                    .incarnation = gate.incarnation,
                    .in_flight = gate.count,
                    .memory_bytes = supervisor_.memory(row),
                    .load_epoch = supervisor_.load_epoch(row),
                    .claims = proxy_.row(row).claims.load(std::memory_order_relaxed),
                    .share = share == 0 ? board::SupervisorBoard::kFullShare : share});  // among their like the unwilling are equals
  }
  if (candidates_.empty() && !fall_back()) candidates_.swap(unwilling_);
}

/// Those that chance had left out, once nobody else is left to be asked.
bool Claimer::fall_back() {
  candidates_.swap(spared_);
  return !candidates_.empty();
}

std::size_t Claimer::take_turn() {
  auto& position = proxy_.pool(pool_).position;
  std::uint64_t seen = position.load(std::memory_order_relaxed);
  std::size_t proposed = 0;
  for (int tries = 0; tries < kTurnTries; ++tries) {
    Turn turn{seen, &rng_, notes_};
    proposed = strategy_.propose(candidates_, turn);
    if (turn.position == seen || position.compare_exchange_strong(seen, turn.position, std::memory_order_relaxed)) break;
  }
  return proposed;
}

ClaimResult Claimer::claim(const Avoid& avoid, Admit admit, void* context) {
  for (int looks = 0; looks < kLooks; ++looks) {
    bool full = false;
    collect(avoid);
    while (!candidates_.empty() || fall_back()) {
      const std::size_t proposed = take_turn();
      const Candidate& candidate = candidates_[proposed];
      const Lease lease{candidate.row, candidate.slot, candidate.incarnation};
      board::Gate gate = proxy_.gate(lease.row);
      if (gate.enter(lease.incarnation)) {
        if (admit == nullptr || admit(context, lease)) {
          proxy_.row(lease.row).claims.fetch_add(1, std::memory_order_relaxed);
          if (strategy_.admitted != nullptr) {
            Turn turn{0, &rng_, notes_};
            strategy_.admitted(candidates_, proposed, turn);
          }
          return {lease, NoLease::nobody};
        }
        gate.leave();
        full = true;
      }
      candidates_[proposed] = candidates_.back();
      candidates_.pop_back();
    }
    if (full) return {std::nullopt, NoLease::full};
  }
  return {std::nullopt, NoLease::nobody};
}

void Claimer::release(const Lease& lease) { proxy_.gate(lease.row).leave(); }

bool Claimer::transferable(const Lease& lease) const { return proxy_.gate(lease.row).still_open(lease.incarnation); }

}  // namespace drover::balancer
