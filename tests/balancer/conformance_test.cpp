// What every strategy must do, run on each row of the table.
#include "config/keys.hpp"
#include "tests/balancer/no_allocation.hpp"
#include "tests/balancer/pool_world.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace drover::balancer {
namespace {

using test::PoolWorld;
constexpr std::uint64_t kMiB = 1 << 20;

/// What its requests and workers are like, as far as a strategy asks for it: one that goes by a hash gets requests with and without one,
/// one that goes by latencies a pool in which nothing is known yet and one whose workers have answered.
struct Tested {
  Strategy strategy;
  bool told = false;
};

void PrintTo(const Tested& tested, std::ostream* out) { *out << tested.strategy.name; }

class EveryStrategy : public ::testing::TestWithParam<Tested> {
 protected:
  PoolWorld world(std::uint32_t workers, std::uint64_t seed = 1) const {
    PoolWorld pool(workers, GetParam().strategy, seed);
    pool.keyed = GetParam().told;
    if (GetParam().told && GetParam().strategy.wants_latency) pool.usual_us = 5'000;
    return pool;
  }
  const Strategy& strategy() const { return GetParam().strategy; }
};

/// An exchange's life in a world that answers: memory grows by what a worker serves, and a figure comes now and then.
void live(PoolWorld& world, std::uint32_t workers, int exchanges, std::vector<int>& served, base::Rng& rng) {
  std::vector<Lease> held;
  for (int i = 0; i < exchanges; ++i) {
    const auto result = world.claim();
    ASSERT_TRUE(result.lease);
    held.push_back(*result.lease);
    ++served[result.lease->row - world.row(0)];
    if (held.size() >= 2 * workers) {
      const std::size_t ends = rng.below(held.size());
      world.finish(held[ends]);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(ends));
    }
    if (i % 100 == 99) {
      for (std::uint32_t w = 0; w < workers; ++w) world.memory(w, 50 * kMiB + world.claims(w) * (256 << 10));
    }
  }
  for (const Lease& lease : held) world.claimer().release(lease);
}

TEST_P(EveryStrategy, EmptyPool_Nobody) {
  PoolWorld pool = world(3);
  const auto result = pool.claim();
  EXPECT_FALSE(result.lease);
  EXPECT_EQ(result.why, NoLease::nobody);
}

TEST_P(EveryStrategy, OneWorker_GetsEverything) {
  PoolWorld pool = world(3);
  pool.come(2);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.serve(), 1U);
  EXPECT_EQ(pool.claims(1), 100U);
}

TEST_P(EveryStrategy, Proposal_IsInRangeWhateverTheFigures) {
  base::Rng rng(42);
  std::vector<LoadNote> notes(64);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Candidate> candidates(1 + rng.below(8));
    for (std::uint32_t i = 0; i < candidates.size(); ++i) {
      const auto wild = [&](std::uint64_t usual) { return rng.below(10) == 0 ? rng.next() : rng.below(usual); };
      candidates[i] = {.row = static_cast<std::uint32_t>(wild(9)),
                       .index = static_cast<std::uint32_t>(rng.below(64)),
                       .slot = static_cast<std::uint32_t>(wild(9)),
                       .incarnation = static_cast<std::uint32_t>(rng.below(3)),
                       .in_flight = static_cast<std::uint32_t>(wild(3)),
                       .memory_bytes = wild(3),
                       .load_epoch = static_cast<std::uint32_t>(rng.below(3)),
                       .claims = wild(5),
                       .share = static_cast<std::uint32_t>(rng.below(3) * 50),
                       .latency_us = wild(4)};
    }
    Turn turn{rng.below(4) == 0 ? rng.next() : rng.below(9) << 32U, &rng, notes, rng.below(4) == 0 ? 0 : rng.next(), 1 + rng.unit()};
    const std::size_t chosen = strategy().propose(candidates, turn);
    ASSERT_LT(chosen, candidates.size());
    if (strategy().admitted != nullptr) strategy().admitted(candidates, chosen, turn);
  }
}

TEST_P(EveryStrategy, SameSeed_SameChoices) {
  std::vector<std::uint32_t> first;
  for (int run = 0; run < 2; ++run) {
    PoolWorld pool = world(5, 77);
    pool.come_all(5);
    std::vector<std::uint32_t> choices;
    for (int i = 0; i < 500; ++i) choices.push_back(*pool.serve());
    if (run == 0) first = choices;
    EXPECT_EQ(choices, first);
  }
}

TEST_P(EveryStrategy, Closed_IsNeverChosen) {
  PoolWorld pool = world(4);
  pool.come_all(4);
  base::Rng rng(3);
  std::set<std::uint32_t> closed;
  for (int i = 0; i < 5000; ++i) {
    if (rng.below(5) == 0) {
      const auto index = static_cast<std::uint32_t>(rng.below(4));
      if (closed.erase(index) == 0) {
        pool.go(index);
        closed.insert(index);
      } else {
        pool.back(index);
      }
    }
    const auto served = pool.serve();
    ASSERT_EQ(served.has_value(), closed.size() < 4);
    if (served) {
      ASSERT_FALSE(closed.contains(*served));
    }
  }
}

TEST_P(EveryStrategy, EverybodyGetsWorkAndNobodyMoreThanTwiceItsShare) {
  PoolWorld pool = world(5);
  pool.come_all(5);
  std::vector<int> served(pool.rows());
  base::Rng rng(9);
  live(pool, 5, 20'000, served, rng);
  for (std::uint32_t w = 0; w < 5; ++w) {
    EXPECT_GT(served[w], 1000) << "worker " << w + 1 << " of share 4000";
    EXPECT_LT(served[w], 8000) << "worker " << w + 1 << " of share 4000";
  }
}

TEST_P(EveryStrategy, AHalfShareGetsHalfAsMuchAndTheOthersStayEven) {
  for (const bool loaded : {false, true}) {
    PoolWorld pool = world(4);
    pool.come_all(4);
    pool.facts().write_share(pool.row(1), 50);
    std::vector<int> served(pool.rows());
    base::Rng rng(9);
    if (loaded) {
      live(pool, 4, 20'000, served, rng);
    } else {
      for (int i = 0; i < 20'000; ++i) ++served[*pool.serve()];
    }
    const double mean = (served[0] + served[2] + served[3]) / 3.0;
    EXPECT_GT(served[1], 0.35 * mean) << (loaded ? "loaded" : "idle");
    EXPECT_LT(served[1], 0.65 * mean) << (loaded ? "loaded" : "idle");
    for (const std::size_t other : {0, 2, 3}) EXPECT_NEAR(served[other], mean, 0.15 * mean) << "worker " << other + 1;
  }
}

TEST_P(EveryStrategy, WhereNobodyHasTheWhole_SharesAreRelative) {
  PoolWorld even = world(3);
  even.come_all(3);
  std::vector<int> served(even.rows());
  for (std::uint32_t w = 0; w < 3; ++w) even.facts().write_share(even.row(w), 10);
  for (int i = 0; i < 9000; ++i) ++served[*even.serve()];
  for (std::uint32_t w = 0; w < 3; ++w) EXPECT_NEAR(served[w], 3000, 450) << "all are as fresh; worker " << w + 1;

  PoolWorld pool = world(3);
  pool.come_all(3);
  served.assign(pool.rows(), 0);
  for (const std::uint32_t w : {0U, 1U, 2U}) pool.facts().write_share(pool.row(w), w == 2 ? 60 : 10);
  for (int i = 0; i < 9000; ++i) ++served[*pool.serve()];
  for (const std::size_t fresh : {0, 1}) {
    EXPECT_GT(served[fresh], 300) << "worker " << fresh + 1;
    EXPECT_LT(served[fresh], 1500) << "a sixth of the warmer one's share, not a third of all; worker " << fresh + 1;
  }
}

TEST_P(EveryStrategy, AShareOfNothingIsUsedOnlyWhenNobodyElseMayBe) {
  PoolWorld pool = world(3);
  pool.come_all(3);
  pool.facts().write_share(pool.row(0), 0);
  pool.facts().write_share(pool.row(2), 0);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(pool.serve(), 1U);
  // Full is not gone: who is willing is waited for.
  EXPECT_EQ(pool.claim({}, [](void*, const Lease&) { return false; }).why, NoLease::full);
  EXPECT_EQ(pool.claims(0) + pool.claims(2), 0U);
  const std::vector<Lease> tried{pool.lease_of(1)};
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(*pool.serve({tried}));
  EXPECT_EQ(seen, (std::set<std::uint32_t>{0, 2}));
  pool.go(1);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(pool.serve());
}

TEST_P(EveryStrategy, ASmallShareIsUsedAtOnceWhenTheOthersAreFullOrGone) {
  PoolWorld pool = world(2);
  pool.come_all(2);
  pool.facts().write_share(pool.row(0), 1);
  const auto admit = [](void* context, const Lease& lease) { return static_cast<PoolWorld*>(context)->row(0) == lease.row; };
  for (int i = 0; i < 100; ++i) {
    const auto result = pool.claim({}, admit, &pool);
    ASSERT_TRUE(result.lease);
    pool.finish(*result.lease);
  }
  pool.go(1);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(pool.serve(), 0U);
}

TEST_P(EveryStrategy, RowsBeyondThoseInUse_AreNotLookedAt) {
  PoolWorld pool = world(3);
  pool.come_all(3);
  pool.facts().write_rows_used(1, 2);
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(*pool.serve());
  EXPECT_EQ(seen, (std::set<std::uint32_t>{0, 1}));
  pool.facts().write_rows_used(1, UINT32_MAX);
  for (int i = 0; i < 100; ++i) seen.insert(*pool.serve());
  EXPECT_EQ(seen, (std::set<std::uint32_t>{0, 1, 2})) << "and never a neighbour's";
}

TEST_P(EveryStrategy, WorkersComeAndGo_WorkFollows) {
  PoolWorld pool = world(4);
  pool.come(1);
  pool.come(2);
  for (int i = 0; i < 100; ++i) pool.serve();
  pool.come(3);
  const std::uint64_t before = pool.claims(0);
  for (int i = 0; i < 300; ++i) pool.serve();
  EXPECT_GT(pool.claims(2), 0U);
  EXPECT_GT(pool.claims(0), before);
  pool.go(0);
  pool.go(1);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.serve(), 2U);
  pool.come(1, 7);  // the slot's next life, on another row
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(*pool.serve());
  EXPECT_EQ(seen, (std::set<std::uint32_t>{2, 7}));
}

TEST_P(EveryStrategy, FreshWorkerIsNotFlooded) {
  PoolWorld pool = world(4);
  for (std::uint32_t slot = 1; slot <= 3; ++slot) pool.come(slot);
  for (std::uint32_t w = 0; w < 3; ++w) pool.memory(w, 300 * kMiB);
  for (int i = 0; i < 3000; ++i) pool.serve();
  for (std::uint32_t w = 0; w < 3; ++w) pool.memory(w, 330 * kMiB);
  pool.come(4);
  pool.memory(3, 20 * kMiB);
  for (int i = 0; i < 400; ++i) pool.serve();
  EXPECT_LE(pool.claims(3), 2 * 100U + 1 + 40) << "of an even share of 100; 40 for chance, where a strategy is random";
  EXPECT_GT(pool.claims(3), 20U);
}

TEST_P(EveryStrategy, Avoided_IsNotGivenAgain) {
  PoolWorld pool = world(3);
  pool.come_all(3);
  std::vector<Lease> tried;
  for (int i = 0; i < 3; ++i) {
    const auto result = pool.claim({tried});
    ASSERT_TRUE(result.lease);
    for (const Lease& lease : tried) EXPECT_NE(lease.row, result.lease->row);
    pool.finish(*result.lease);
    tried.push_back(*result.lease);
  }
  const auto nobody = pool.claim({tried});
  EXPECT_FALSE(nobody.lease);
  EXPECT_EQ(nobody.why, NoLease::nobody);
}

TEST_P(EveryStrategy, FullOnes_AreLeftAndTheRestIsServed) {
  PoolWorld pool = world(4);
  pool.come_all(4);
  const auto admit = [](void* context, const Lease& lease) { return static_cast<PoolWorld*>(context)->row(2) == lease.row; };
  for (int i = 0; i < 100; ++i) {
    const auto result = pool.claim({}, admit, &pool);
    ASSERT_TRUE(result.lease);
    EXPECT_EQ(result.lease->row, pool.row(2));
    pool.finish(*result.lease);
  }
  for (std::uint32_t w = 0; w < 4; ++w) EXPECT_EQ(pool.in_flight(w), 0U) << "a refused claim leaves the gate";
  EXPECT_EQ(pool.claims(0) + pool.claims(1) + pool.claims(3), 0U);
}

TEST_P(EveryStrategy, AllFull_SaysFull) {
  PoolWorld pool = world(4);
  pool.come_all(4);
  int asked = 0;
  const auto admit = [](void* context, const Lease&) { return ++*static_cast<int*>(context), false; };
  const auto result = pool.claim({}, admit, &asked);
  EXPECT_FALSE(result.lease);
  EXPECT_EQ(result.why, NoLease::full);
  EXPECT_EQ(asked, 4) << "each is asked once";
}

TEST_P(EveryStrategy, AThousandRows_AllServedWithoutAllocation) {
  PoolWorld pool = world(510);
  ASSERT_EQ(pool.rows(), board::kMaxRowsPerPool);
  for (std::uint32_t i = 0; i < pool.rows(); ++i) pool.come(i + 1, i);
  std::vector<Lease> held;
  held.reserve(8192);
  std::vector<Lease> avoided{pool.lease_of(5), pool.lease_of(900)};
  const std::uint64_t before = test::allocations();
  for (int i = 0; i < 8192; ++i) {
    const auto result = pool.claim({avoided});
    if (!result.lease) break;
    held.push_back(*result.lease);
  }
  EXPECT_EQ(test::allocations(), before) << "a claim allocates nothing";
  ASSERT_EQ(held.size(), 8192U);
  for (const Lease& lease : held) pool.claimer().release(lease);
  EXPECT_EQ(pool.claims(5) + pool.claims(900), 0U);
  std::uint32_t served = 0;
  for (std::uint32_t i = 0; i < pool.rows(); ++i) served += pool.claims(i) > 0 ? 1 : 0;
  EXPECT_GT(served, 1000U);
}

TEST(Strategies, AreThoseThatAConfigurationMayName) {
  std::vector<std::string_view> names;
  for (const Strategy& each : strategies()) names.push_back(each.name);
  std::vector<std::string_view> accepted;
  for (const config::Key& key : config::section("pool").keys()) {
    if (key.name != "strategy") continue;
    for (const config::Choice& choice : key.choices) accepted.push_back(choice.name);
  }
  EXPECT_EQ(names, accepted);
}

std::vector<Tested> all_tested() {
  std::vector<Tested> all;
  for (const Strategy& each : strategies()) {
    all.push_back({each, false});
    if (each.wants_hash || each.wants_latency) all.push_back({each, true});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryStrategy, ::testing::ValuesIn(all_tested()), [](const auto& tested) {
  std::string name(tested.param.strategy.name);
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name + (tested.param.told ? "_told" : "");
});

TEST(Allocations, AreCounted) {
  const std::uint64_t before = test::allocations();
  const auto something = std::make_unique<std::string>(1000, 'x');
  EXPECT_GE(test::allocations(), before + 2);
}

TEST(StrategyTable, NamesAreUniqueAndFound) {
  std::set<std::string_view> names;
  for (const Strategy& strategy : strategies()) {
    EXPECT_TRUE(names.insert(strategy.name).second) << strategy.name;
    EXPECT_EQ(find_strategy(strategy.name)->propose, strategy.propose);
    EXPECT_FALSE(strategy.help.empty());
  }
  EXPECT_EQ(find_strategy("round-robbin"), nullptr);
  EXPECT_NE(find_strategy("round-robin"), nullptr);
}

}  // namespace
}  // namespace drover::balancer
