#include "tests/proxy/queue_world.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

namespace drover::proxy {
namespace {

using test::kConcurrency;
using test::kExchangesPerThread;
using test::kFibersPerThread;
using test::kThreads;
using test::Side;
using World = test::QueueWorld;

Detached exchanges(Side& side) {
  World& world = side.world;
  Fiber fiber;
  while (side.left-- > 0) {
    Waiter waiter;
    world.queue->enter(waiter, side.claimer, {}, *side.loop, fiber);
    while (world.queue->state(waiter) == Waiter::State::waiting) co_await side.loop->wait(fiber);
    world.queue->leave(waiter);
    EXPECT_EQ(waiter.state, Waiter::State::granted);
    const int now = world.inside.fetch_add(1) + 1;
    int most = world.most.load();
    while (now > most && !world.most.compare_exchange_weak(most, now)) {
    }
    co_await side.loop->yield(fiber);
    world.inside.fetch_sub(1);
    world.served.fetch_add(1);
    Grant grant = std::move(waiter.grant);
    if (!grant.connection.fd && side.left % 3 != 0) {
      // As after an exchange that leaves its connection idle.
      std::array<int, 2> ends{};
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
      ::close(ends[1]);
      grant.connection = ParkedConnection{base::UniqueFd(ends[0]), 1, std::move(grant.permit), base::TimePoint::max()};
    }
    world.queue->give_back(side.claimer, std::move(grant));
  }
  side.loop->remove(fiber);
  if (--side.running == 0) side.loop->stop();
}

TEST(PoolQueueThreads, ServesEverybodyAndNeverMoreThanConcurrencyAtOnce) {
  World world;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&world] {
      Side side{world};
      for (int f = 0; f < kFibersPerThread; ++f) exchanges(side);
      side.loop->every(base::Millis(10), [&] { world.queue->tick(side.claimer, side.loop->now()); });
      side.loop->run([](base::Clock::duration) {});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(world.served.load(), kThreads * kExchangesPerThread);
  EXPECT_EQ(world.proxy.row(0).claims.load(), static_cast<std::uint64_t>(kThreads * kExchangesPerThread))
      << "a lease that is handed on counts as a claim";
  EXPECT_LE(world.most.load(), static_cast<int>(kConcurrency));
  EXPECT_EQ(world.proxy.gate(0).view().count, 0U);
  EXPECT_EQ(world.proxy.pool(0).queued.load(), 0U);
}

TEST(PoolQueueThreads, AClosedGateIsNotHandedOn) {
  World world;
  Side side{world};
  Fiber fiber;
  Waiter first;
  ASSERT_EQ(world.queue->enter(first, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::granted);
  Waiter second;
  ASSERT_EQ(world.queue->enter(second, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::granted);
  Waiter third;
  ASSERT_EQ(world.queue->enter(third, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::queued);
  world.proxy.gate(0).close();
  world.queue->give_back(side.claimer, std::move(first.grant));
  EXPECT_EQ(world.queue->state(third), Waiter::State::waiting);
  world.queue->leave(third);
  world.queue->give_back(side.claimer, std::move(second.grant));
  EXPECT_EQ(world.proxy.gate(0).view().count, 0U);
}

TEST(PoolQueueThreads, AWorkerThatFailedIsNotHandedOnForAMoment) {
  World world;
  world.config.concurrency = 1;
  Side side{world};
  Fiber fiber;
  Waiter first;
  Waiter second;
  ASSERT_EQ(world.queue->enter(first, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::granted);
  ASSERT_EQ(world.queue->enter(second, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::queued);
  const auto now = side.loop->now();
  world.queue->pass_over(first.grant.lease, now);
  world.queue->give_back(side.claimer, std::move(first.grant));
  EXPECT_EQ(world.proxy.row(0).connections.load(), 0U);
  world.queue->tick(side.claimer, now + base::Millis(200));
  EXPECT_EQ(world.queue->state(second), Waiter::State::waiting);
  world.queue->tick(side.claimer, now + base::Millis(250));
  EXPECT_EQ(world.queue->state(second), Waiter::State::granted);
  world.queue->leave(second);
  world.queue->give_back(side.claimer, std::move(second.grant));
}

TEST(PoolQueueThreads, AWorkerThatWantsNoWorkIsHandedOnOnlyWhenItIsTheLast) {
  World world;
  world.config.concurrency = 1;
  board::WorkerInfo info;
  info.slot = 2;
  info.incarnation = 2;
  world.supervisor.write_row(1, info);
  ASSERT_TRUE(world.proxy.gate(1).open(2));
  Side side{world};
  Fiber fiber;
  std::array<Waiter, 4> waiters;
  for (Waiter& waiter : waiters) world.queue->enter(waiter, side.claimer, {}, *side.loop, fiber);
  ASSERT_EQ(waiters[1].state, Waiter::State::granted);
  ASSERT_EQ(waiters[2].state, Waiter::State::waiting);
  Waiter& at_first = waiters[0].grant.lease.row == 0 ? waiters[0] : waiters[1];
  Waiter& at_second = waiters[0].grant.lease.row == 0 ? waiters[1] : waiters[0];
  world.supervisor.write_share(0, 0);
  world.queue->give_back(side.claimer, std::move(at_first.grant));
  EXPECT_EQ(world.queue->state(waiters[2]), Waiter::State::waiting) << "the willing one is waited for";
  world.queue->give_back(side.claimer, std::move(at_second.grant));
  ASSERT_EQ(world.queue->state(waiters[2]), Waiter::State::granted);
  EXPECT_EQ(waiters[2].grant.lease.row, 1U);
  world.proxy.gate(1).close();
  world.queue->tick(side.claimer, side.loop->now());
  ASSERT_EQ(world.queue->state(waiters[3]), Waiter::State::granted);
  EXPECT_EQ(waiters[3].grant.lease.row, 0U);
  Waiter last;
  ASSERT_EQ(world.queue->enter(last, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::queued);
  world.queue->give_back(side.claimer, std::move(waiters[3].grant));
  EXPECT_EQ(world.queue->state(last), Waiter::State::granted) << "at once, when nobody else is there";
  for (Waiter* each : {&waiters[0], &waiters[1], &waiters[2], &waiters[3], &last}) world.queue->leave(*each);
  world.queue->give_back(side.claimer, std::move(last.grant));
  world.queue->give_back(side.claimer, std::move(waiters[2].grant));
}

TEST(PoolQueueThreads, HopeIsGivenUpAfterAWhileHoweverManyThreadsTick) {
  World world;
  Side side{world};
  Fiber fiber;
  world.proxy.gate(0).close();
  Waiter waiter;
  ASSERT_EQ(world.queue->enter(waiter, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::queued);
  const auto now = side.loop->now();
  for (int thread = 0; thread < 4; ++thread) world.queue->tick(side.claimer, now + base::Millis(thread));
  EXPECT_EQ(world.queue->state(waiter), Waiter::State::waiting);
  world.queue->tick(side.claimer, now + base::Millis(260));
  EXPECT_EQ(world.queue->state(waiter), Waiter::State::hopeless);
  world.queue->leave(waiter);
}

TEST(PoolQueueThreads, NobodyIsSentAwayFromAPoolThatSleeps) {
  World world;
  Side side{world};
  Fiber fiber;
  world.proxy.gate(0).close();
  world.supervisor.write_asleep(0, true);
  Waiter waiter;
  const auto now = side.loop->now();
  world.queue->tick(side.claimer, now - base::Millis(1000));
  ASSERT_EQ(world.queue->enter(waiter, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::queued);
  world.queue->tick(side.claimer, now);
  world.queue->tick(side.claimer, now + base::Millis(10'000));
  EXPECT_EQ(world.queue->state(waiter), Waiter::State::waiting);
  world.supervisor.write_asleep(0, false);  // its start has failed for good
  world.queue->tick(side.claimer, now + base::Millis(10'250));
  world.queue->tick(side.claimer, now + base::Millis(10'500));
  EXPECT_EQ(world.queue->state(waiter), Waiter::State::hopeless);
  world.queue->leave(waiter);
}

TEST(PoolQueueThreads, AGateBeyondTheRowsInUseIsNoHope) {
  World world;
  Side side{world};
  Fiber fiber;
  world.supervisor.write_rows_used(0, 0);
  Waiter waiter;
  ASSERT_EQ(world.queue->enter(waiter, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::queued);
  const auto now = side.loop->now();
  world.queue->tick(side.claimer, now);
  world.queue->tick(side.claimer, now + base::Millis(250));
  EXPECT_EQ(world.queue->state(waiter), Waiter::State::hopeless);
  world.queue->leave(waiter);
}

TEST(PoolQueueThreads, AFullLineRefuses) {
  World world;
  world.config.queue.max = 0;
  Side side{world};
  Fiber fiber;
  Waiter first;
  Waiter second;
  Waiter third;
  ASSERT_EQ(world.queue->enter(first, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::granted);
  ASSERT_EQ(world.queue->enter(second, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::granted);
  EXPECT_EQ(world.queue->enter(third, side.claimer, {}, *side.loop, fiber), PoolQueue::Entry::full);
  world.queue->give_back(side.claimer, std::move(first.grant));
  world.queue->give_back(side.claimer, std::move(second.grant));
}

}  // namespace
}  // namespace drover::proxy
