// Role: rendezvous hashing: each key has an order of preference over the slots, in which a slot that leaves is only passed over, so that no
//       key moves but its own. The same in every thread, proxy and life of drover.
// Thread: any; pure. Ownership: none.
#pragma once

#include "balancer/strategy.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace drover::balancer {

/// Never 0, which stands for "none".
std::uint64_t hash_of(std::string_view text);

/// How much `hash` prefers that slot.
std::uint64_t preference(std::uint64_t hash, std::uint32_t slot);

/// Index of the candidate that `hash` prefers among those that `accept(index)` takes (at least one). Of two lives of a slot the newer.
template <class Predicate>
std::size_t preferred(std::span<const Candidate> candidates, std::uint64_t hash, Predicate accept) {
  std::size_t best = candidates.size();
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!accept(i)) continue;
    const std::uint64_t now = preference(hash, candidates[i].slot);
    const bool newer = best < candidates.size() && now == most && candidates[i].incarnation > candidates[best].incarnation;
    if (best < candidates.size() && now <= most && !newer) continue;
    best = i;
    most = now;
  }
  return best;
}

}  // namespace drover::balancer
