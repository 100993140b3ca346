#include "tests/balancer/pool_world.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace drover::balancer {
namespace {

using test::PoolWorld;

TEST(ClaimThreads, RoundRobinIsEvenOverAllThreads) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5'000;
  PoolWorld pool(3, *find_strategy("round-robin"));
  pool.come_all(3);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&pool, t] {
      const auto claimer = pool.claimer(static_cast<std::uint64_t>(t));
      for (int i = 0; i < kEach; ++i) claimer->release(*claimer->claim({}).lease);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto [least, most] = std::minmax({pool.claims(0), pool.claims(1), pool.claims(2)});
  EXPECT_LE(most - least, 1U);
  EXPECT_EQ(pool.claims(0) + pool.claims(1) + pool.claims(2), static_cast<std::uint64_t>(kThreads) * kEach);
}

TEST(ClaimThreads, NoClaimOfALifeThatWasClosed_ForEveryStrategy) {
  for (const Strategy& strategy : strategies()) {
    PoolWorld pool(2, strategy);
    std::atomic<base::Incarnation> closed_up_to{0};
    std::atomic<std::uint64_t> claimed{0};
    std::atomic<bool> over{false};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        const auto claimer = pool.claimer(static_cast<std::uint64_t>(t));
        while (!over.load(std::memory_order_relaxed)) {
          const base::Incarnation closed = closed_up_to.load();
          const auto result = claimer->claim({});
          if (!result.lease) {
            std::this_thread::yield();
            continue;
          }
          board::WorkerInfo info;
          const bool right = pool.facts().read_row(result.lease->row, info) && info.incarnation == result.lease->incarnation &&
                             info.slot == result.lease->slot && result.lease->incarnation > closed;
          if (!right) ++wrong;
          claimed.fetch_add(1);
          claimer->release(*result.lease);
        }
      });
    }
    // Two rows take turns: the next life comes before the last one goes, so somebody is open at every moment but the first.
    for (base::Incarnation life = 1; life <= 50; ++life) {
      const std::uint32_t row = life % 2;
      while (pool.in_flight(row) != 0) std::this_thread::yield();
      pool.come(row + 1, row);
      if (life > 1) pool.go(1 - row);
      closed_up_to.store(life - 1);
      const std::uint64_t before = claimed.load();
      while (claimed.load() == before) std::this_thread::yield();
    }
    over = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong.load(), 0) << strategy.name;
  }
}

}  // namespace
}  // namespace drover::balancer
