#include "balancer/latency.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace drover::balancer {
namespace {

constexpr std::uint64_t kStart = 1'000'000'000'000;
constexpr base::Incarnation kLife = 7;

TEST(LatencyThreads, NoPeakIsLostAmongManyWriters) {
  board::LatencyCell cell;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&cell, t] {
      for (std::uint64_t i = 0; i < 20'000; ++i) note_latency(cell, kLife, i == 10'000 ? 500'000 + t : 1'000 + i % 50, kStart + i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(latency_us(cell, kLife, kStart), 500'003U);
}

}  // namespace
}  // namespace drover::balancer
