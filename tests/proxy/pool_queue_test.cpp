// The order of the line, who gives way in a full one, and a pool that is held.
#include "tests/proxy/queue_world.hpp"

namespace drover::proxy {
namespace {

using namespace std::chrono_literals;
using test::Side;

/// Its one place is taken from the start.
struct Line {
  explicit Line(config::Pool::QueueOrder order = config::Pool::QueueOrder::oldest, std::uint32_t most = 100) {
    world.config.concurrency = 1;
    world.config.queue.max = most;
    world.config.queue.order = order;
  }
  ~Line() {
    EXPECT_EQ(world.proxy.pool(0).queued.load(), 0U);
    EXPECT_EQ(world.proxy.gate(0).view().count, 0U);
  }
  void take_place() { ASSERT_EQ(enter(busy), PoolQueue::Entry::granted); }
  PoolQueue::Entry enter(Waiter& waiter, int priority = 0) {
    waiter.priority = priority;
    return world.queue->enter(waiter, side.claimer, {}, *side.loop, fiber);
  }
  Waiter::State state(const Waiter& waiter) const { return world.queue->state(waiter); }
  void leave(Waiter& waiter) { world.queue->leave(waiter); }
  void give_back(Waiter& waiter) { world.queue->give_back(side.claimer, std::move(waiter.grant)); }
  void tick(base::Millis later) { world.queue->tick(side.claimer, side.loop->now() + later); }
  void hold(base::Millis time) {
    world.supervisor.write_hold(0, static_cast<std::uint64_t>(std::chrono::nanoseconds((side.loop->now() + time).time_since_epoch()).count()));
  }
  template <std::size_t n>
  void finish(std::array<Waiter, n>& waiters) {
    for (Waiter& each : waiters) leave(each);
    for (Waiter& each : waiters) {
      if (each.state == Waiter::State::granted) give_back(each);
    }
  }

  test::QueueWorld world;
  Side side{world};
  Fiber fiber;
  Waiter busy;
};

TEST(PoolQueue, ServesTheOldestFirst) {
  Line line;
  line.take_place();
  std::array<Waiter, 3> waiters;
  for (Waiter& each : waiters) ASSERT_EQ(line.enter(each), PoolQueue::Entry::queued);
  line.give_back(line.busy);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::granted);
  EXPECT_EQ(line.state(waiters[1]), Waiter::State::waiting);
  EXPECT_EQ(line.state(waiters[2]), Waiter::State::waiting);
  line.leave(waiters[1]);
  line.give_back(waiters[0]);
  EXPECT_EQ(line.state(waiters[2]), Waiter::State::granted) << "who left is passed by";
  waiters[0].state = Waiter::State::outside;
  line.finish(waiters);
}

TEST(PoolQueue, ServesTheNewestFirstIfAskedTo) {
  Line line(config::Pool::QueueOrder::newest);
  line.take_place();
  std::array<Waiter, 3> waiters;
  for (Waiter& each : waiters) ASSERT_EQ(line.enter(each), PoolQueue::Entry::queued);
  line.give_back(line.busy);
  EXPECT_EQ(line.state(waiters[2]), Waiter::State::granted);
  EXPECT_EQ(line.state(waiters[1]), Waiter::State::waiting);
  line.give_back(waiters[2]);
  EXPECT_EQ(line.state(waiters[1]), Waiter::State::granted);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::waiting);
  waiters[2].state = Waiter::State::outside;
  line.finish(waiters);
}

TEST(PoolQueue, InAFullLineTheNewestOfTheLowestPriorityGivesWay) {
  Line line(config::Pool::QueueOrder::oldest, 4);
  line.take_place();
  std::array<Waiter, 4> waiters;
  const std::array<int, 4> priorities{1, 0, 0, 2};
  for (std::size_t i = 0; i < waiters.size(); ++i) ASSERT_EQ(line.enter(waiters[i], priorities[i]), PoolQueue::Entry::queued);
  std::array<Waiter, 4> more;
  EXPECT_EQ(line.enter(more[0], 0), PoolQueue::Entry::full) << "an equal one does not";
  EXPECT_EQ(line.enter(more[0], -1), PoolQueue::Entry::full);
  EXPECT_EQ(line.enter(more[0], 1), PoolQueue::Entry::queued);
  EXPECT_EQ(line.state(waiters[2]), Waiter::State::shed);
  EXPECT_EQ(line.enter(more[1], 5), PoolQueue::Entry::queued);
  EXPECT_EQ(line.state(waiters[1]), Waiter::State::shed);
  EXPECT_EQ(line.enter(more[2], 2), PoolQueue::Entry::queued);
  EXPECT_EQ(line.state(more[0]), Waiter::State::shed) << "of the two with priority 1, the later one";
  EXPECT_EQ(line.enter(more[3], 1), PoolQueue::Entry::full);
  EXPECT_EQ(line.world.proxy.pool(0).queued.load(), 4U);
  line.give_back(line.busy);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::granted) << "priority decides who must leave, not who is served first";
  line.finish(waiters);
  line.finish(more);
}

TEST(PoolQueue, WhoeverLeftMakesRoomForOthersOfItsPriority) {
  Line line(config::Pool::QueueOrder::oldest, 2);
  line.take_place();
  std::array<Waiter, 2> waiters;
  ASSERT_EQ(line.enter(waiters[0], 0), PoolQueue::Entry::queued);
  ASSERT_EQ(line.enter(waiters[1], 3), PoolQueue::Entry::queued);
  line.leave(waiters[0]);
  ASSERT_EQ(line.enter(waiters[0], 3), PoolQueue::Entry::queued);
  Waiter late;
  EXPECT_EQ(line.enter(late, 3), PoolQueue::Entry::full) << "the lowest is 3 now";
  EXPECT_EQ(line.enter(late, 2), PoolQueue::Entry::full);
  line.finish(waiters);
  line.give_back(line.busy);
}

TEST(PoolQueue, AHeldPoolLetsEverybodyWaitAndThenServesThemInTheirOrder) {
  Line line;
  line.world.config.concurrency = 2;
  line.hold(10s);
  std::array<Waiter, 3> waiters;
  for (Waiter& each : waiters) ASSERT_EQ(line.enter(each), PoolQueue::Entry::queued) << "though its worker is idle";
  line.tick(9s);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::waiting);
  line.tick(10s);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::granted);
  EXPECT_EQ(line.state(waiters[1]), Waiter::State::granted);
  EXPECT_EQ(line.state(waiters[2]), Waiter::State::waiting);
  line.finish(waiters);
}

TEST(PoolQueue, AHeldPoolIsReleasedByWord) {
  Line line;
  line.hold(1h);
  std::array<Waiter, 1> waiters;
  ASSERT_EQ(line.enter(waiters[0]), PoolQueue::Entry::queued);
  line.world.supervisor.write_hold(0, 0);
  line.world.queue->retry(line.side.claimer, line.side.loop->now());
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::granted);
  line.finish(waiters);
}

TEST(PoolQueue, WhatIsGivenBackInAHoldIsNotHandedOn) {
  Line line;
  line.take_place();
  line.hold(10s);
  std::array<Waiter, 1> waiters;
  ASSERT_EQ(line.enter(waiters[0]), PoolQueue::Entry::queued);
  line.give_back(line.busy);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::waiting);
  line.tick(10s);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::granted);
  line.finish(waiters);
}

TEST(PoolQueue, TheTimeOfAHoldIsHeldAgainstNobody) {
  Line line;
  line.take_place();
  const auto now = line.side.loop->now();
  EXPECT_EQ(line.world.queue->wait_counts_from(now - 1s, now), now - 1s);
  line.hold(10s);
  EXPECT_EQ(line.world.queue->wait_counts_from(now, now), now + 10s);
  std::array<Waiter, 1> waiters;
  ASSERT_EQ(line.enter(waiters[0]), PoolQueue::Entry::queued);
  line.world.supervisor.write_hold(0, 0);
  line.tick(3s);
  EXPECT_EQ(line.world.queue->wait_counts_from(now, now + 3s), now + 3s) << "it was released early";
  line.give_back(line.busy);
  line.finish(waiters);
}

TEST(PoolQueue, NobodyIsSentAwayFromAHeldPoolForWantOfWorkers) {
  Line line;
  line.world.proxy.gate(0).close();
  line.hold(10s);
  std::array<Waiter, 1> waiters;
  ASSERT_EQ(line.enter(waiters[0]), PoolQueue::Entry::queued);
  line.tick(1s);
  line.tick(9s);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::waiting);
  line.tick(10s);
  line.tick(11s);
  EXPECT_EQ(line.state(waiters[0]), Waiter::State::hopeless);
  line.finish(waiters);
}

}  // namespace
}  // namespace drover::proxy
