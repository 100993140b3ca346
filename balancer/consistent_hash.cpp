// consistent-hash: the worker that the request's hash prefers among those whose load is below the bound: ceil(bound × (exchanges in flight +
// 1) / workers). Promise: while no worker is at its bound the same hash has the same slot, over restarts too; a worker that leaves moves
// none but its own keys, to all the others in even parts; no worker is given an exchange beyond the bound. Requests without a hash take turns.
#include "balancer/rendezvous.hpp"
#include "balancer/turn.hpp"

#include <algorithm>
#include <cmath>

namespace drover::balancer {

std::size_t propose_consistent_hash(std::span<const Candidate> candidates, Turn& turn) {
  double all = 1;
  for (const Candidate& candidate : candidates) all += static_cast<double>(candidate.load());
  // At least the mean, so that somebody is always below it.
  const double bound = std::ceil(std::max(turn.bound, 1.0) * all / static_cast<double>(candidates.size()));
  const auto below = [&](std::size_t i) { return static_cast<double>(candidates[i].load()) < bound; };
  return turn.hash != 0 ? preferred(candidates, turn.hash, below) : next_in_turn(candidates, turn, below);
}

}  // namespace drover::balancer
