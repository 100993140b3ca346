// Role: taking turns: which of some candidates comes after the last one served, by key, going round.
// Thread: any; pure. Ownership: none.
// A key, not an index, is what is remembered: workers may come and go and the rotation goes on where it was.
#pragma once

#include "balancer/strategy.hpp"

namespace drover::balancer {

/// Index of the candidate next in turn among those that `equal(index)` accepts (at least one), and moves the turn to it.
template <class Predicate>
std::size_t next_in_turn(std::span<const Candidate> candidates, Turn& turn, Predicate equal) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t next = kNone;   // the smallest key beyond the position
  std::size_t first = kNone;  // the smallest key of all, for going round
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!equal(i)) continue;
    const std::uint64_t key = candidates[i].key();
    if (first == kNone || key < candidates[first].key()) first = i;
    if (key > turn.position && (next == kNone || key < candidates[next].key())) next = i;
  }
  const std::size_t chosen = next != kNone ? next : first;
  turn.position = candidates[chosen].key();
  return chosen;
}

}  // namespace drover::balancer
