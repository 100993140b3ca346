// round-robin: next in turn. Promise: over any window in which the same workers are open, the most and the least served differ by at
// most one, over all threads; a worker that is refused or avoided loses its turn, the others stay even among themselves.
#include "balancer/turn.hpp"

namespace drover::balancer {

std::size_t propose_round_robin(std::span<const Candidate> candidates, Turn& turn) {
  return next_in_turn(candidates, turn, [](std::size_t) { return true; });
}

}  // namespace drover::balancer
