// least-latency: smallest score, where score = latency × (exchanges in flight + 1) and latency is the newest peak of the time to the first
// byte, falling by half every ten seconds (balancer/latency.hpp); those within 10 % of the smallest take turns. A worker of which nothing
// is known yet counts as the fastest while it is idle and as the slowest while it has an exchange: it is tried, one exchange at a time.
// Promise: a worker k times as slow as its siblings holds at most one exchange for each k of theirs; one that has become fast again is
// found out, since what nobody confirms falls.
#include "balancer/turn.hpp"

#include <algorithm>

namespace drover::balancer {

namespace {

constexpr double kEqual = 1.10;  // scores up to this times the smallest are the same

}  // namespace

std::size_t propose_least_latency(std::span<const Candidate> candidates, Turn& turn) {
  std::uint64_t fastest = 0;  // of those known; none known: all are alike
  std::uint64_t slowest = 0;
  for (const Candidate& candidate : candidates) {
    if (candidate.latency_us == 0) continue;
    if (fastest == 0 || candidate.latency_us < fastest) fastest = candidate.latency_us;
    slowest = std::max(slowest, candidate.latency_us);
  }
  const auto score = [&](std::size_t i) {
    const Candidate& candidate = candidates[i];
    const std::uint64_t latency = candidate.latency_us != 0 ? candidate.latency_us : candidate.in_flight == 0 ? fastest : slowest;
    return static_cast<double>(std::max<std::uint64_t>(latency, 1)) * (static_cast<double>(candidate.load()) + 1);
  };
  double smallest = score(0);
  for (std::size_t i = 1; i < candidates.size(); ++i) smallest = std::min(smallest, score(i));
  return next_in_turn(candidates, turn, [&](std::size_t i) { return score(i) <= smallest * kEqual; });
}

}  // namespace drover::balancer
