// random-of-two: two different workers at random, the one with fewer exchanges in flight. Nothing is shared between threads, so it is the
// one for many threads and many workers. Promise: even in the long run; how far it may stray is that of chance.
#include "balancer/strategy.hpp"

namespace drover::balancer {

std::size_t propose_random_of_two(std::span<const Candidate> candidates, Turn& turn) {
  if (candidates.size() == 1) return 0;
  const std::size_t one = turn.rng->below(candidates.size());
  std::size_t other = turn.rng->below(candidates.size() - 1);
  if (other >= one) ++other;
  return candidates[other].load() < candidates[one].load() ? other : one;
}

}  // namespace drover::balancer
