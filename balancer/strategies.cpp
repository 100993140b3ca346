#include "balancer/strategy.hpp"

namespace drover::balancer {

namespace {

// Given is what stands in its row beyond name, help and function.
#define DROVER_STRATEGY(given_name, given_help, function, ...) \
  Strategy{.name = given_name, .help = given_help, .propose = propose_##function __VA_OPT__(, ) __VA_ARGS__},
constexpr Strategy kStrategies[]{
#include "config/strategies.def"
};
#undef DROVER_STRATEGY

}  // namespace

std::span<const Strategy> strategies() { return kStrategies; }

const Strategy* find_strategy(std::string_view name) {
  for (const Strategy& strategy : kStrategies) {
    if (strategy.name == name) return &strategy;
  }
  return nullptr;
}

}  // namespace drover::balancer
