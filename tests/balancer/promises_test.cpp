// What single strategies promise beyond the conformance suite.
#include "tests/balancer/pool_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace drover::balancer {
namespace {

using test::PoolWorld;
constexpr std::uint64_t kMiB = 1 << 20;

PoolWorld pool_of(const char* strategy, std::uint32_t workers) { return PoolWorld(workers, *find_strategy(strategy), 5); }

/// Largest difference of service among `members` over every window of `order`.
int worst_window(const std::vector<std::uint32_t>& order, const std::vector<std::uint32_t>& members) {
  int worst = 0;
  for (std::size_t start = 0; start < order.size(); ++start) {
    std::map<std::uint32_t, int> served;
    for (const std::uint32_t member : members) served[member] = 0;
    for (std::size_t end = start; end < order.size(); ++end) {
      if (served.contains(order[end])) ++served[order[end]];
      const auto [least, most] = std::minmax_element(served.begin(), served.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
      worst = std::max(worst, most->second - least->second);
    }
  }
  return worst;
}

TEST(RoundRobin, EvenOverAnyWindow) {
  for (std::uint32_t workers = 1; workers <= 7; ++workers) {
    PoolWorld pool = pool_of("round-robin", workers);
    pool.come_all(workers);
    std::vector<std::uint32_t> order;
    std::vector<std::uint32_t> members;
    for (std::uint32_t w = 0; w < workers; ++w) members.push_back(w);
    for (int i = 0; i < 60; ++i) order.push_back(*pool.serve());
    EXPECT_LE(worst_window(order, members), 1) << workers << " workers";
  }
}

TEST(RoundRobin, EvenAmongTheOthersWhileOneIsAvoidedOrFull) {
  PoolWorld pool = pool_of("round-robin", 5);
  pool.come_all(5);
  const std::vector<Lease> tried{pool.lease_of(2)};
  std::vector<std::uint32_t> order;
  for (int i = 0; i < 60; ++i) order.push_back(*pool.serve({tried}));
  EXPECT_LE(worst_window(order, {0, 1, 3, 4}), 1);

  order.clear();
  const auto admit = [](void* context, const Lease& lease) { return static_cast<PoolWorld*>(context)->row(3) != lease.row; };
  for (int i = 0; i < 60; ++i) {
    const auto result = pool.claimer().claim({}, admit, &pool);
    order.push_back(result.lease->row - pool.row(0));
    pool.claimer().release(*result.lease);
  }
  EXPECT_LE(worst_window(order, {0, 1, 2, 4}), 1);
}

TEST(RoundRobin, EvenAmongTheOthersWhileOneWantsLess) {
  PoolWorld pool = pool_of("round-robin", 4);
  pool.come_all(4);
  pool.facts().write_share(pool.row(2), 30);
  std::vector<std::uint32_t> order;
  for (int i = 0; i < 200; ++i) order.push_back(*pool.serve());
  EXPECT_LE(worst_window(order, {0, 1, 3}), 1);
}

TEST(LeastConnections, AHalfShareHoldsHalfAsMany) {
  PoolWorld pool = pool_of("least-connections", 3);
  pool.come_all(3);
  pool.facts().write_share(pool.row(1), 50);
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.claimer().claim({}).lease);
  EXPECT_NEAR(pool.in_flight(1), 100, 5);
  EXPECT_NEAR(pool.in_flight(0), 200, 5);
  EXPECT_NEAR(pool.in_flight(2), 200, 5);
}

TEST(RoundRobin, EachAvoidanceCostsAtMostOneTurn) {
  PoolWorld pool = pool_of("round-robin", 4);
  pool.come_all(4);
  int avoidances = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::vector<Lease> tried{pool.lease_of(static_cast<std::uint32_t>(i) % 4)};
    const bool avoid = i % 10 == 3;
    avoidances += avoid ? 1 : 0;
    pool.serve(avoid ? Avoid{tried} : Avoid{});
  }
  std::uint64_t least = UINT64_MAX;
  std::uint64_t most = 0;
  for (std::uint32_t w = 0; w < 4; ++w) {
    least = std::min(least, pool.claims(w));
    most = std::max(most, pool.claims(w));
  }
  EXPECT_LE(most - least, static_cast<std::uint64_t>(avoidances) + 1);
}

TEST(RoundRobin, TurnDoesNotJumpWhenWorkersComeAndGo) {
  PoolWorld pool = pool_of("round-robin", 6);
  pool.come_all(4);
  EXPECT_EQ(pool.serve(), 0U);
  EXPECT_EQ(pool.serve(), 1U);
  pool.go(0);  // an index would now skip one
  EXPECT_EQ(pool.serve(), 2U);
  pool.come(5);
  EXPECT_EQ(pool.serve(), 3U);
  EXPECT_EQ(pool.serve(), 4U);
  pool.go(1);
  EXPECT_EQ(pool.serve(), 2U);
  pool.go(2);  // the very one that was served last
  EXPECT_EQ(pool.serve(), 3U);
}

TEST(RoundRobin, NextLifeOfASlotTakesItsPlace) {
  PoolWorld pool = pool_of("round-robin", 3);
  pool.come_all(3);
  EXPECT_EQ(pool.serve(), 0U);
  pool.go(1);
  pool.come(2, 8);
  EXPECT_EQ(pool.serve(), 8U) << "slot 2 is next, wherever its row is";
  EXPECT_EQ(pool.serve(), 2U);
}

TEST(RoundRobin, EvenInEachStretchOfConstantMembership) {
  PoolWorld pool = pool_of("round-robin", 6);
  pool.come_all(6);
  base::Rng rng(21);
  std::set<std::uint32_t> open{0, 1, 2, 3, 4, 5};
  for (int stretch = 0; stretch < 300; ++stretch) {
    const auto index = static_cast<std::uint32_t>(rng.below(6));
    if (open.size() > 1 && open.erase(index) != 0) {
      pool.go(index);
    } else if (open.insert(index).second) {
      pool.back(index);
    }
    std::vector<std::uint32_t> order;
    for (std::uint64_t i = rng.below(25); i > 0; --i) order.push_back(*pool.serve());
    ASSERT_LE(worst_window(order, {open.begin(), open.end()}), 1);
  }
}

TEST(LeastConnections, FewestInFlightNow) {
  PoolWorld pool = pool_of("least-connections", 3);
  pool.come_all(3);
  std::vector<Lease> held;
  for (int i = 0; i < 30; ++i) {
    held.push_back(*pool.claimer().claim({}).lease);
    const auto [least, most] = std::minmax({pool.in_flight(0), pool.in_flight(1), pool.in_flight(2)});
    EXPECT_LE(most - least, 1U);
  }
  for (const Lease& lease : held) {
    if (lease.row == pool.row(1)) pool.claimer().release(lease);
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.claimer().claim({}).lease->row, pool.row(1)) << "now the emptiest by far";
}

TEST(LeastConnections, EqualsTakeTurns) {
  PoolWorld pool = pool_of("least-connections", 4);
  pool.come_all(4);
  std::vector<std::uint32_t> order;
  for (int i = 0; i < 40; ++i) order.push_back(*pool.serve());
  EXPECT_LE(worst_window(order, {0, 1, 2, 3}), 1);
}

TEST(RandomOfTwo, TheBusierOfTwoIsNeverTaken) {
  PoolWorld pool = pool_of("random-of-two", 2);
  pool.come_all(2);
  ASSERT_TRUE(pool.board().gate(pool.row(0)).enter(pool.lease_of(0).incarnation));
  for (int i = 0; i < 200; ++i) EXPECT_EQ(pool.serve(), 1U);
}

TEST(RandomOfTwo, NeverTheBusiestOfMany) {
  PoolWorld pool = pool_of("random-of-two", 6);
  pool.come_all(6);
  ASSERT_TRUE(pool.board().gate(pool.row(4)).enter(pool.lease_of(4).incarnation));
  for (int i = 0; i < 2000; ++i) EXPECT_NE(pool.serve(), 4U);
}

class LeastMemory : public ::testing::Test {
 protected:
  void figures(std::initializer_list<std::uint64_t> mebibytes) {
    std::uint32_t index = 0;
    for (const std::uint64_t figure : mebibytes) pool.memory(index++, figure * kMiB);
  }
  std::vector<int> serve(int exchanges) {
    std::vector<int> served(pool.rows());
    for (int i = 0; i < exchanges; ++i) ++served[*pool.serve()];
    return served;
  }
  PoolWorld pool = pool_of("least-memory", 4);
};

TEST_F(LeastMemory, SmallestIsPreferredButNotBeyondTwiceItsShare) {
  pool.come_all(4);
  figures({100, 400, 400, 400});
  const auto served = serve(400);
  EXPECT_GT(served[0], 190);
  EXPECT_LE(served[0], 201);
  figures({100, 400, 400, 400});  // a new figure: a new allowance
  EXPECT_EQ(serve(1)[0], 1);
}

TEST_F(LeastMemory, AllowanceHoldsWhileLoadGoesOnWithoutFigures) {
  pool.come_all(4);
  figures({100, 400, 400, 400});
  std::vector<int> served(pool.rows());
  for (int i = 1; i <= 4000; ++i) {
    ++served[*pool.serve()];
    ASSERT_LE(served[0], i / 2 + 1) << "at exchange " << i;
  }
}

TEST_F(LeastMemory, NearEqualsTakeTurns) {
  pool.come_all(4);
  figures({100, 105, 109, 300});
  std::vector<std::uint32_t> order;
  for (int i = 0; i < 60; ++i) order.push_back(*pool.serve());
  EXPECT_LE(worst_window(order, {0, 1, 2}), 1);
  EXPECT_EQ(std::count(order.begin(), order.end(), 3U), 0);
}

TEST_F(LeastMemory, UnknownFigures_AllTakeTurns) {
  pool.come_all(4);
  std::vector<std::uint32_t> order;
  for (int i = 0; i < 60; ++i) order.push_back(*pool.serve());
  EXPECT_LE(worst_window(order, {0, 1, 2, 3}), 1);
}

TEST_F(LeastMemory, OneUnknownAmongKnown_IsServedLikeTheSmallest) {
  pool.come_all(4);
  figures({200, 100, 300});
  const auto served = serve(300);
  EXPECT_NEAR(served[1], served[3], 1);
  EXPECT_GT(served[3], 100);
  EXPECT_LE(served[3], 151);
}

TEST_F(LeastMemory, GrowthSinceTheFigureCounts) {
  pool.come_all(4);
  figures({100, 100, 100, 100});
  serve(400);                         // a hundred each …
  figures({1100, 1100, 1100, 1100});  // … cost ten mebibytes a claim
  figures({1100, 1200, 1300, 1400});
  const auto served = serve(200);
  // By the figures alone the last two would get nothing until the next; by what a claim costs all end near 1750.
  EXPECT_NEAR(served[0], 65, 15);
  EXPECT_NEAR(served[1], 55, 15);
  EXPECT_NEAR(served[2], 45, 15);
  EXPECT_NEAR(served[3], 35, 15);
}

TEST(LeastMemoryNotes, ANewLifeInheritsNothing) {
  std::vector<LoadNote> notes(1);
  base::Rng rng(1);
  Turn turn{0, &rng, notes};
  Candidate worker{.slot = 1, .incarnation = 1, .memory_bytes = 100 * kMiB, .load_epoch = 1};
  propose_least_memory({&worker, 1}, turn);
  worker.memory_bytes = 200 * kMiB;
  worker.load_epoch = 2;
  worker.claims = 100;
  propose_least_memory({&worker, 1}, turn);
  EXPECT_TRUE(notes[0].growth_known);
  EXPECT_NEAR(notes[0].growth_per_claim, static_cast<double>(kMiB), 1);

  worker.incarnation = 2;
  worker.claims = 0;
  worker.memory_bytes = 500 * kMiB;
  worker.load_epoch = 3;
  propose_least_memory({&worker, 1}, turn);
  EXPECT_FALSE(notes[0].growth_known);
  EXPECT_EQ(notes[0].memory_bytes, 500 * kMiB);
  EXPECT_EQ(notes[0].claims_at_figure, 0U);
}

TEST_F(LeastMemory, NewLifeStartsWithoutTheOldOnesNote) {
  pool.come_all(4);
  figures({100, 100, 100, 100});
  serve(40);
  pool.go(0);
  pool.come(1, 0);  // same row, next life
  EXPECT_EQ(pool.facts().memory(pool.row(0)), 0U);
  const auto served = serve(40);
  EXPECT_GT(served[0], 5);
  EXPECT_LE(served[0], 21);
}

}  // namespace
}  // namespace drover::balancer
