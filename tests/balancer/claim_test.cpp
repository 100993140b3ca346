#include "tests/balancer/pool_world.hpp"

#include <gtest/gtest.h>

namespace drover::balancer {
namespace {

using test::PoolWorld;

PoolWorld pool_of(std::uint32_t workers) { return PoolWorld(workers, *find_strategy("round-robin")); }

TEST(Claim, LeaseNamesTheWorkerAndHoldsItsGate) {
  PoolWorld pool = pool_of(2);
  pool.come(2);
  const auto result = pool.claimer().claim({});
  ASSERT_TRUE(result.lease);
  EXPECT_EQ(result.lease->slot, 2U);
  EXPECT_EQ(result.lease->row, pool.row(1));
  EXPECT_EQ(result.lease->incarnation, 1U);
  EXPECT_EQ(pool.in_flight(1), 1U);
  EXPECT_EQ(pool.claims(1), 1U);
  pool.claimer().release(*result.lease);
  EXPECT_EQ(pool.in_flight(1), 0U);
}

TEST(Claim, AdmitIsAskedInsideTheGate) {
  PoolWorld pool = pool_of(1);
  pool.come(1);
  const auto admit = [](void* context, const Lease& lease) {
    auto& world = *static_cast<PoolWorld*>(context);
    return world.in_flight(0) == 1 && lease.slot == 1;
  };
  EXPECT_TRUE(pool.claimer().claim({}, admit, &pool).lease);
}

TEST(Claim, ClosedBetweenLookAndEnter_NeverSucceeds) {
  PoolWorld pool = pool_of(3);
  pool.come_all(3);
  // While the first is asked, the others close: they were candidates, and must not be got.
  const auto admit = [](void* context, const Lease&) {
    auto& world = *static_cast<PoolWorld*>(context);
    for (std::uint32_t i = 0; i < 3; ++i) world.go(i);
    return false;
  };
  const auto result = pool.claimer().claim({}, admit, &pool);
  EXPECT_FALSE(result.lease);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(pool.in_flight(i), 0U);
}

TEST(Claim, AvoidIsOfOneLifeOnly) {
  PoolWorld pool = pool_of(1);
  pool.come(1);
  const std::vector<Lease> tried{pool.lease_of(0)};
  EXPECT_FALSE(pool.claimer().claim({tried}).lease);
  pool.go(0);
  pool.come(1, 0);
  EXPECT_TRUE(pool.claimer().claim({tried}).lease) << "the next life is innocent";
}

TEST(Claim, SomeAvoidedTheRestFull_SaysFull) {
  PoolWorld pool = pool_of(2);
  pool.come_all(2);
  const std::vector<Lease> tried{pool.lease_of(0)};
  const auto result = pool.claimer().claim({tried}, [](void*, const Lease&) { return false; });
  EXPECT_FALSE(result.lease);
  EXPECT_EQ(result.why, NoLease::full);
}

TEST(Claim, TransferNeedsAnOpenGate) {
  PoolWorld pool = pool_of(1);
  pool.come(1);
  const Lease lease = *pool.claimer().claim({}).lease;
  EXPECT_TRUE(pool.claimer().transferable(lease));
  pool.go(0);
  EXPECT_FALSE(pool.claimer().transferable(lease));
  pool.claimer().release(lease);
  pool.come(1, 0);
  EXPECT_FALSE(pool.claimer().transferable(lease)) << "another life has the row";
}

TEST(Claim, NeverLooksAtANeighbourPool) {
  PoolWorld pool = pool_of(2);
  ASSERT_TRUE(pool.board().gate(0).open(99));
  EXPECT_FALSE(pool.serve());
}

}  // namespace
}  // namespace drover::balancer
