#include "proxy/worker_connection.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <array>

namespace drover::proxy {
namespace {

using namespace std::chrono_literals;

struct IdleWorld {
  std::unique_ptr<Loop> loop = std::move(*Loop::create());
  board::ProxyRow row;
  IdleConnections idle{2};
  std::vector<base::UniqueFd> worker_ends;
  balancer::Lease lease{0, 1, 7};

  WorkerConnectionPtr connect() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    worker_ends.emplace_back(ends[1]);
    auto connection = std::make_unique<WorkerConnection>(*loop, base::UniqueFd(ends[0]), lease, Permit::take(row, 10));
    connection->idle_most = 4s;
    return connection;
  }
};

TEST(IdleConnections, AreUsedAgainByTheirIncarnationOnly) {
  IdleWorld world;
  world.idle.put(world.connect(), world.loop->now());
  EXPECT_EQ(world.idle.take({0, 1, 8}, world.loop->now(), false), nullptr);
  world.idle.put(world.connect(), world.loop->now());
  EXPECT_NE(world.idle.take(world.lease, world.loop->now(), false), nullptr);
}

TEST(IdleConnections, ThatTheWorkerEndedAreNotUsedForWhatCantBeRepeated) {
  IdleWorld world;
  world.idle.put(world.connect(), world.loop->now());
  world.worker_ends.clear();
  EXPECT_EQ(world.idle.take(world.lease, world.loop->now(), true), nullptr);
}

TEST(IdleConnections, IdleForLongAreKeptForWhatCanBeRepeated) {
  IdleWorld world;
  world.idle.put(world.connect(), world.loop->now());
  EXPECT_EQ(world.idle.take(world.lease, world.loop->now() + 2s, true), nullptr);
  EXPECT_NE(world.idle.take(world.lease, world.loop->now() + 2s, false), nullptr);
}

TEST(IdleConnections, IdleForAMomentServeAlsoWhatCantBeRepeated) {
  IdleWorld world;
  world.idle.put(world.connect(), world.loop->now());
  EXPECT_NE(world.idle.take(world.lease, world.loop->now(), true), nullptr);
}

TEST(IdleConnections, BeyondTheirTimeAreClosed) {
  IdleWorld world;
  world.idle.put(world.connect(), world.loop->now());
  EXPECT_EQ(world.row.connections.load(), 1U);
  world.idle.sweep(world.loop->now() + 5s);
  EXPECT_EQ(world.row.connections.load(), 0U);
}

TEST(IdleConnections, TheOldestOfAllWorkersGoesFirst) {
  IdleWorld world;
  const auto now = world.loop->now();
  const balancer::Lease other{1, 2, 8};
  world.lease = other;
  world.idle.put(world.connect(), now + 1s);
  world.idle.put(world.connect(), now + 3s);
  world.lease = {0, 1, 7};
  world.idle.put(world.connect(), now + 2s);
  EXPECT_TRUE(world.idle.close_oldest());
  EXPECT_TRUE(world.idle.close_oldest());
  EXPECT_EQ(world.idle.take(world.lease, now + 3s, false), nullptr);
  EXPECT_NE(world.idle.take(other, now + 3s, false), nullptr) << "the youngest is left";
  EXPECT_FALSE(world.idle.close_oldest());
}

TEST(Permit, NeverGrantsMoreThanTheBound) {
  board::ProxyRow row;
  const Permit first = Permit::take(row, 1);
  EXPECT_TRUE(first);
  EXPECT_FALSE(Permit::take(row, 1));
}

}  // namespace
}  // namespace drover::proxy
