// consistent-hash, and sticky sessions at a claim.
#include "balancer/rendezvous.hpp"
#include "tests/balancer/no_allocation.hpp"
#include "tests/balancer/pool_world.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <unordered_set>

namespace drover::balancer {
namespace {

using test::PoolWorld;

PoolWorld pool_of(const char* strategy, std::uint32_t workers) { return PoolWorld(workers, *find_strategy(strategy), 5); }

/// The row that serves the key in an idle pool.
std::uint32_t home(PoolWorld& pool, std::uint64_t key) {
  const auto result = pool.claimer().claim({.hash = key});
  pool.claimer().release(*result.lease);
  return result.lease->row - pool.row(0);
}

std::map<std::uint64_t, std::uint32_t> homes(PoolWorld& pool, std::uint64_t keys) {
  std::map<std::uint64_t, std::uint32_t> all;
  for (std::uint64_t key = 1; key <= keys; ++key) {
    const std::uint64_t hash = hash_of("key " + std::to_string(key));
    all[hash] = home(pool, hash);
  }
  return all;
}

TEST(HashOf, IsTheSameForEver) {
  // Another value would send every client to another worker at an upgrade of drover.
  EXPECT_EQ(hash_of("127.0.0.1"), 0x360fa4ade68d5adaU);
  EXPECT_EQ(hash_of(""), 0xf52a15e9a9b5e89bU);
}

TEST(HashOf, EachBitMattersAndFewKeysMeet) {
  std::unordered_set<std::uint64_t> seen;
  std::array<int, 64> ones{};
  constexpr int kKeys = 100'000;
  for (int i = 0; i < kKeys; ++i) {
    const std::uint64_t hash = hash_of("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256));
    EXPECT_TRUE(seen.insert(hash).second);
    for (unsigned bit = 0; bit < 64; ++bit) ones[bit] += static_cast<int>((hash >> bit) & 1U);
  }
  for (const int each : ones) EXPECT_NEAR(each, kKeys / 2, 1'000);
}

TEST(ConsistentHash, KeysAreSpreadEvenly) {
  PoolWorld pool = pool_of("consistent-hash", 5);
  pool.come_all(5);
  std::array<int, 5> count{};
  for (const auto& [key, worker] : homes(pool, 10'000)) ++count[worker];
  for (const int each : count) EXPECT_NEAR(each, 2'000, 200);
}

TEST(ConsistentHash, ALeavingWorkerMovesItsOwnKeysOnly_ToAllTheOthers_AndItsNextLifeHasThemBack) {
  PoolWorld pool = pool_of("consistent-hash", 5);
  pool.come_all(5);
  const auto before = homes(pool, 5'000);
  pool.go(2);
  std::array<int, 5> moved_to{};
  for (const auto& [key, worker] : homes(pool, 5'000)) {
    if (before.at(key) == 2) {
      ++moved_to[worker];
    } else {
      ASSERT_EQ(worker, before.at(key));
    }
  }
  for (const std::size_t other : {0, 1, 3, 4}) EXPECT_NEAR(moved_to[other], 250, 80);
  pool.come(3, 7);  // the slot's next life, on another row
  for (const auto& [key, worker] : homes(pool, 5'000)) ASSERT_EQ(worker, before.at(key) == 2 ? 7 : before.at(key));
}

TEST(ConsistentHash, OneWorkerMoreTakesItsEvenPartAndNoOtherKeyMoves) {
  PoolWorld pool = pool_of("consistent-hash", 5);
  pool.come_all(4);
  const auto before = homes(pool, 5'000);
  pool.come(5);
  int moved = 0;
  for (const auto& [key, worker] : homes(pool, 5'000)) {
    if (worker == before.at(key)) continue;
    ASSERT_EQ(worker, 4U);
    ++moved;
  }
  EXPECT_NEAR(moved, 1'000, 150);
}

TEST(ConsistentHash, TheNewerOfTwoLivesOfASlotIsMeant) {
  PoolWorld pool = pool_of("consistent-hash", 3);
  pool.come(1, 0);
  pool.come(1, 1);
  for (std::uint64_t key = 1; key <= 50; ++key) EXPECT_EQ(home(pool, key), 1U);
  pool.come(1, 2);
  for (std::uint64_t key = 1; key <= 50; ++key) EXPECT_EQ(home(pool, key), 2U);
}

TEST(ConsistentHash, NobodyIsGivenMoreThanTheBound_HoweverFewTheKeys) {
  PoolWorld pool = pool_of("consistent-hash", 4);
  pool.come_all(4);
  for (int i = 1; i <= 400; ++i) {
    ASSERT_TRUE(pool.claimer().claim({.hash = 1}).lease);
    const auto bound = static_cast<std::uint32_t>(std::ceil(1.25 * i / 4));
    for (std::uint32_t w = 0; w < 4; ++w) ASSERT_LE(pool.in_flight(w), bound) << "after " << i;
  }
}

TEST(ConsistentHash, TheBoundIsThePools) {
  PoolWorld pool = pool_of("consistent-hash", 4);
  pool.come_all(4);
  Claimer loose(pool.facts(), pool.board(), 1, *find_strategy("consistent-hash"), 1, 3.0);
  for (int i = 1; i <= 400; ++i) ASSERT_TRUE(loose.claim({.hash = 1}).lease);
  std::uint32_t most = 0;
  for (std::uint32_t w = 0; w < 4; ++w) most = std::max(most, pool.in_flight(w));
  EXPECT_EQ(most, 300U);
}

TEST(ConsistentHash, WithoutAHashTheyTakeTurns) {
  PoolWorld pool = pool_of("consistent-hash", 4);
  pool.come_all(4);
  for (std::uint32_t i = 0; i < 40; ++i) EXPECT_EQ(home(pool, 0), i % 4);
}

constexpr const char* kSome = "round-robin";

TEST(Sticky, ItsSlotIsAskedFirst_WhateverTheStrategyAndItsShare) {
  for (const Strategy& strategy : strategies()) {
    PoolWorld pool(4, strategy, 5);
    pool.come_all(4);
    pool.facts().write_share(pool.row(2), 10);
    for (int i = 0; i < 100; ++i) {
      const auto result = pool.claimer().claim({.slot = 3, .session = 77});
      ASSERT_TRUE(result.lease);
      EXPECT_EQ(result.lease->slot, 3U) << strategy.name;
    }
  }
}

TEST(Sticky, ARestartedSlotIsTheSameSlot_AndTheNewerLifeIsMeant) {
  PoolWorld pool = pool_of(kSome, 4);
  pool.come_all(4);
  pool.come(3, 6);
  const auto newer = pool.claimer().claim({.slot = 3, .session = 77});
  EXPECT_EQ(newer.lease->row, pool.row(6));
  pool.go(2);
  EXPECT_EQ(pool.claimer().claim({.slot = 3, .session = 77}).lease->row, pool.row(6));
}

TEST(Sticky, WhileItsSlotIsGoneFullOrAvoided_TheSameOtherWorkerIsAskedEachTime) {
  PoolWorld pool = pool_of(kSome, 5);
  pool.come_all(5);
  const auto other = [&](std::uint64_t session) {
    const auto admit = [](void* context, const Lease& lease) { return lease.row != static_cast<PoolWorld*>(context)->row(1); };
    const auto result = pool.claimer().claim({.slot = 2, .session = session}, admit, &pool);
    return result.lease ? result.lease->slot : 0;
  };
  std::set<std::uint32_t> all;
  std::map<std::uint64_t, std::uint32_t> when_full;
  for (std::uint64_t session = 1; session <= 100; ++session) {
    when_full[session] = other(session);
    EXPECT_NE(when_full[session], 2U);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(other(session), when_full[session]);
    all.insert(when_full[session]);
  }
  EXPECT_EQ(all, (std::set<std::uint32_t>{1, 3, 4, 5})) << "sessions of a worker that is gone are spread over the others";
  const std::vector<Lease> tried{pool.lease_of(1)};
  for (const auto& [session, slot] : when_full) {
    EXPECT_EQ(pool.claimer().claim({.avoid = {tried}, .slot = 2, .session = session}).lease->slot, slot);
  }
  pool.go(1);
  for (const auto& [session, slot] : when_full) EXPECT_EQ(pool.claimer().claim({.slot = 2, .session = session}).lease->slot, slot);
}

TEST(Sticky, NeitherAClosedGateNorAShareOfNothingIsOverruled) {
  PoolWorld pool = pool_of(kSome, 3);
  pool.come_all(3);
  pool.facts().write_share(pool.row(0), 0);
  for (int i = 0; i < 50; ++i) EXPECT_NE(pool.claimer().claim({.slot = 1, .session = 5}).lease->slot, 1U);
  pool.go(1);
  pool.go(2);
  EXPECT_EQ(pool.claimer().claim({.slot = 1, .session = 5}).lease->slot, 1U) << "nobody else may be used";
  pool.go(0);
  EXPECT_FALSE(pool.claimer().claim({.slot = 1, .session = 5}).lease);
}

TEST(Sticky, ASlotThatNeverWas_IsOnlyAPreference) {
  PoolWorld pool = pool_of(kSome, 3);
  pool.come_all(3);
  const auto first = pool.claimer().claim({.slot = 99, .session = 5});
  ASSERT_TRUE(first.lease);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(pool.claimer().claim({.slot = 99, .session = 5}).lease->slot, first.lease->slot);
}

TEST(Sticky, AClaimAllocatesNothing) {
  PoolWorld pool = pool_of(kSome, 30);
  pool.come_all(30);
  pool.facts().write_share(pool.row(3), 10);
  const std::uint64_t before = test::allocations();
  for (std::uint32_t slot = 0; slot < 40; ++slot) pool.claimer().claim({.slot = slot, .session = slot});
  EXPECT_EQ(test::allocations(), before);
}

}  // namespace
}  // namespace drover::balancer
