#include "board/proxy_board.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace drover::board {
namespace {

TEST(Histogram, EachObservationFallsInOneBucket) {
  Histogram histogram;
  histogram.observe(0);
  histogram.observe(500);
  histogram.observe(501);
  histogram.observe(60'000'000);
  histogram.observe(60'000'001);
  EXPECT_EQ(histogram.buckets[0].get(), 2U) << "a bound belongs to its bucket";
  EXPECT_EQ(histogram.buckets[1].get(), 1U);
  EXPECT_EQ(histogram.buckets[kBucketBounds.size() - 1].get(), 1U);
  EXPECT_EQ(histogram.buckets[kBucketBounds.size()].get(), 1U);
  EXPECT_EQ(histogram.sum_us.get(), 500U + 501U + 60'000'000U + 60'000'001U);
}

TEST(PoolTally, CodesOutsideTheTableAreCountedAtItsEnd) {
  PoolTally tally;
  tally.request(Method::get, 100);
  tally.request(Method::get, 599);
  tally.request(Method::get, 600);
  tally.request(Method::get, 99);
  tally.request(Method::get, 4'000'000'000U);
  EXPECT_EQ(tally.requests[0][0].get(), 1U);
  EXPECT_EQ(tally.requests[0][kCodes - 1].get(), 4U);
}

TEST(Fold, SumsEveryThreadAndAddsToWhatWasThere) {
  const std::uint32_t workers[] = {1, 1};
  const Shape shape = make_shape(workers, 3, 1);
  Totals totals;
  for (int generation = 0; generation < 2; ++generation) {
    auto board = ProxyBoard::create(shape);
    ASSERT_TRUE(board);
    for (std::uint32_t thread = 0; thread < 3; ++thread) {
      PoolTally& tally = board->tally(thread, 1);
      tally.request(Method::head, 404);
      tally.retries[static_cast<std::size_t>(RetryReason::reset)].add(2);
      tally.client_disconnects[static_cast<std::size_t>(Stage::queue)].add(3);
      tally.queue_rejected[static_cast<std::size_t>(QueueReason::expired)].add(4);
      tally.truncated.add(5);
      tally.duration.observe(700);
      tally.queue_wait.observe(100);
      tally.blocked.add(7);
      tally.unpaid.add(8);
      board->listener(thread, 0).refused[code_index(404)].add(9);
      board->listener(thread, 0).answered[code_index(308)].add(10);
      board->thread(thread).claims_after_close.add(6);
      board->thread(thread).loop_turn.observe(10);
      board->thread(thread).heartbeat_ns.set(1);
    }
    fold(*board, totals);
  }
  ASSERT_EQ(totals.pools.size(), 2U);
  const PoolTotals& pool = totals.pools[1];
  EXPECT_EQ(pool.requests[1][304], 6U);
  EXPECT_EQ(pool.retries[1], 12U);
  EXPECT_EQ(pool.client_disconnects[1], 18U);
  EXPECT_EQ(pool.queue_rejected[1], 24U);
  EXPECT_EQ(pool.truncated, 30U);
  EXPECT_EQ(pool.blocked, 42U);
  EXPECT_EQ(pool.unpaid, 48U);
  EXPECT_EQ(pool.duration.buckets[1], 6U);
  EXPECT_EQ(pool.duration.sum_us, 4200U);
  EXPECT_EQ(pool.queue_wait.buckets[0], 6U);
  EXPECT_EQ(totals.listeners[0].refused[code_index(404)], 54U);
  EXPECT_EQ(totals.listeners[0].answered[code_index(308)], 60U);
  EXPECT_EQ(totals.claims_after_close, 36U);
  EXPECT_EQ(totals.loop_turn.sum_us, 60U);
  const auto& empty = totals.pools[0].requests[0];
  EXPECT_EQ(std::accumulate(empty.begin(), empty.end(), std::uint64_t{0}), 0U);
}

}  // namespace
}  // namespace drover::board
