#include "balancer/claim.hpp"

#include "balancer/latency.hpp"
#include "balancer/rendezvous.hpp"

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
                 std::uint64_t seed, double bound)
    : supervisor_(supervisor), proxy_(proxy), pool_(pool), strategy_(strategy), bound_(bound), rng_(seed), notes_(proxy.shape().pools[pool].count) {
  for (auto* list : {&candidates_, &spared_, &unwilling_}) list->reserve(notes_.size());
}

void Claimer::collect(const Ask& ask) {
  for (auto* list : {&candidates_, &spared_, &unwilling_}) list->clear();
  const board::PoolRows rows = proxy_.shape().pools[pool_];
  const std::uint32_t used = std::min(supervisor_.rows_used(pool_), rows.count);
  for (std::uint32_t index = 0; index < used; ++index) {
    const std::uint32_t row = rows.first + index;
    const board::GateView gate = proxy_.gate(row).view();
    if (gate.closed || contains(ask.avoid, row, gate.incarnation)) continue;
    const std::uint32_t share = supervisor_.share(row);
    const bool whole = share >= board::SupervisorBoard::kFullShare;
    auto& list = whole ? candidates_ : share == 0 ? unwilling_ : spared_;
    list.push_back({.row = row,
                    .index = index,
                    .slot = supervisor_.slot(row),
                    .incarnation = gate.incarnation,
                    .in_flight = gate.count,
                    .memory_bytes = supervisor_.memory(row),
                    .load_epoch = supervisor_.load_epoch(row),
                    .claims = proxy_.row(row).claims.load(std::memory_order_relaxed),
                    .share = share == 0 ? board::SupervisorBoard::kFullShare : share,  // among their like the unwilling are equals
                    .latency_us = strategy_.wants_latency ? latency_us(proxy_.latency(row), gate.incarnation, ask.now_ns) : 0});
  }
  if (!spared_.empty()) thin_out();
  if (ask.slot != 0) call_home(ask);
  if (candidates_.empty() && !fall_back()) candidates_.swap(unwilling_);
}

/// Some of those with a part share come in, by chance. Shares are relative to the largest: where nobody has the whole (all are fresh), whoever
/// has most is always asked, and nobody is left out for a whole that there isn't.
void Claimer::thin_out() {
  std::uint32_t most = candidates_.empty() ? 0 : board::SupervisorBoard::kFullShare;
  for (const Candidate& each : spared_) most = std::max(most, each.share);
  for (std::size_t i = spared_.size(); i-- > 0;) {
    if (rng_.below(most) >= spared_[i].share) continue;
    candidates_.push_back(spared_[i]);
    spared_[i] = spared_.back();
    spared_.pop_back();
  }
}

/// A sticky session's worker, whatever chance says.
void Claimer::call_home(const Ask& ask) {
  for (std::size_t i = spared_.size(); i-- > 0;) {
    if (spared_[i].slot != ask.slot) continue;
    candidates_.push_back(spared_[i]);
    spared_[i] = spared_.back();
    spared_.pop_back();
  }
}

/// Those that chance had left out, once nobody else is left to be asked.
bool Claimer::fall_back() {
  candidates_.swap(spared_);
  return !candidates_.empty();
}

/// A sticky session's slot, else the one that it prefers; everybody else's by the strategy.
std::size_t Claimer::choose(const Ask& ask) {
  if (ask.slot == 0 && ask.session == 0) return take_turn(ask);
  std::size_t home = candidates_.size();
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i].slot != ask.slot) continue;
    if (home == candidates_.size() || candidates_[i].incarnation > candidates_[home].incarnation) home = i;
  }
  if (home < candidates_.size()) return home;
  if (ask.session == 0) return take_turn(ask);
  return preferred(candidates_, ask.session, [](std::size_t) { return true; });
}

std::size_t Claimer::take_turn(const Ask& ask) {
  auto& position = proxy_.pool(pool_).position;
  std::uint64_t seen = position.load(std::memory_order_relaxed);
  std::size_t proposed = 0;
  for (int tries = 0; tries < kTurnTries; ++tries) {
    Turn turn{seen, &rng_, notes_, ask.hash, bound_};
    proposed = strategy_.propose(candidates_, turn);
    if (turn.position == seen || position.compare_exchange_strong(seen, turn.position, std::memory_order_relaxed)) break;
  }
  return proposed;
}

ClaimResult Claimer::claim(const Ask& ask, Admit admit, void* context) {
  for (int looks = 0; looks < kLooks; ++looks) {
    bool full = false;
    collect(ask);
    while (!candidates_.empty() || fall_back()) {
      const std::size_t proposed = choose(ask);
      const Candidate& candidate = candidates_[proposed];
      const Lease lease{candidate.row, candidate.slot, candidate.incarnation};
      board::Gate gate = proxy_.gate(lease.row);
      if (gate.enter(lease.incarnation)) {
        if (admit == nullptr || admit(context, lease)) {
          proxy_.row(lease.row).claims.fetch_add(1, std::memory_order_relaxed);
          if (strategy_.admitted != nullptr) {
            Turn turn{0, &rng_, notes_, ask.hash, bound_};
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
