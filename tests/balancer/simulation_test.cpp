// What docs/STRATEGIES.md says of each strategy, simulated.
#include "tests/balancer/simulation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace drover::test {
namespace {

Figures figures(const char* strategy, World world, std::uint64_t seed) { return simulate(*balancer::find_strategy(strategy), world, seed); }

TEST(Simulation, ItsTableStandsInTheDocument) {
  std::ifstream file(DROVER_SOURCE_DIR "/docs/STRATEGIES.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), testing::HasSubstr(simulation_table())) << "build/*/tests/balancer/strategies_simulation prints it";
}

TEST(Simulation, AmongEqualsEachStrategyIsEven) {
  for (const balancer::Strategy& strategy : balancer::strategies()) {
    for (std::uint64_t seed = 2; seed <= 3; ++seed) EXPECT_LT(simulate(strategy, World::equal, seed).imbalance, 1.15) << strategy.name;
  }
}

TEST(Simulation, LeastLatencyBeatsTheOthersWhereOneIsSlow) {
  for (std::uint64_t seed = 2; seed <= 3; ++seed) {
    const double least_latency = figures("least-latency", World::slow, seed).p99_ms;
    EXPECT_LT(10 * least_latency, figures("round-robin", World::slow, seed).p99_ms);
    EXPECT_LT(least_latency, figures("least-connections", World::slow, seed).p99_ms);
    EXPECT_LT(least_latency, figures("random-of-two", World::slow, seed).p99_ms);
  }
}

TEST(Simulation, LeastLatencyCostsNothingAmongEquals) {
  const double connections = figures("least-connections", World::equal, 2).p99_ms;
  EXPECT_LT(figures("least-latency", World::equal, 2).p99_ms, 1.1 * connections);
}

TEST(Simulation, LeastMemoryKeepsALeakingWorkerFromItsLimit) {
  for (std::uint64_t seed = 2; seed <= 3; ++seed) {
    EXPECT_EQ(figures("least-memory", World::leaking, seed).failed, 0);
    EXPECT_GT(figures("round-robin", World::leaking, seed).failed, 0);
  }
}

TEST(Simulation, TheBoundOfConsistentHashKeepsASlowWorkerFromDrowning) {
  EXPECT_LT(10 * figures("consistent-hash", World::slow, 2).p99_ms, figures("round-robin", World::slow, 2).p99_ms);
}

}  // namespace
}  // namespace drover::test
