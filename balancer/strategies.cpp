#include "balancer/strategy.hpp"

#include <array>

namespace drover::balancer {

namespace {

constexpr std::array kStrategies{
    Strategy{"round-robin", "the next in turn", propose_round_robin},
    Strategy{"least-connections", "fewest exchanges in flight; equals take turns", propose_least_connections},
    Strategy{"least-memory", "smallest memory by the newest figure, damped; near equals take turns", propose_least_memory, admitted_least_memory},
    Strategy{"random-of-two", "of two at random the one with fewer exchanges in flight", propose_random_of_two},
};

}  // namespace

std::span<const Strategy> strategies() { return kStrategies; }

const Strategy* find_strategy(std::string_view name) {
  for (const Strategy& strategy : kStrategies) {
    if (strategy.name == name) return &strategy;
  }
  return nullptr;
}

}  // namespace drover::balancer
