// Role: a seeded simulation of one pool under one strategy: 100,000 requests through the real claim, boards and strategies, with the
//       workers, their clock and their memory played. What it prints stands in docs/STRATEGIES.md.
// Thread: one. Ownership: plain values.
#pragma once

#include "balancer/strategy.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace drover::test {

enum class World : std::uint8_t {
  equal,   ///< all workers alike
  slow,    ///< one takes five times as long
  leaking  ///< one grows by a mebibyte a request, is slower the nearer it comes to its limit, dies there, and is back after two seconds
};
inline constexpr std::array<const char*, 3> kWorldNames{"equal workers", "one slow worker", "one leaking worker"};

inline constexpr int kRequests = 100'000;

struct Figures {
  double p50_ms = 0;
  double p99_ms = 0;
  double imbalance = 0;  ///< requests given to the busiest worker, over the mean
  int failed = 0;        ///< were on a worker when it died
};

Figures simulate(const balancer::Strategy& strategy, World world, std::uint64_t seed = 1);

/// All strategies in all worlds, in Markdown.
std::string simulation_table();

}  // namespace drover::test
