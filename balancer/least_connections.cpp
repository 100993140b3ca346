// least-connections: fewest exchanges in flight now, equals take turns. Promise: in flight counts differ by at most one per claiming
// thread, as long as exchanges only begin and all have their whole share; a fresh worker gets at most what its siblings have in flight before it is
// one of the equals.
#include "balancer/turn.hpp"

#include <algorithm>

namespace drover::balancer {

std::size_t propose_least_connections(std::span<const Candidate> candidates, Turn& turn) {
  std::uint64_t fewest = candidates[0].load();
  for (const Candidate& candidate : candidates) fewest = std::min(fewest, candidate.load());
  return next_in_turn(candidates, turn, [&](std::size_t i) { return candidates[i].load() == fewest; });
}

}  // namespace drover::balancer
