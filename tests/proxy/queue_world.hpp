// Role: one bounded pool with one worker and its line, shared by threads that all want it; no sockets.
// Thread: the test's own ones. Ownership: owns boards and queue.
#pragma once

#include "proxy/pool_queue.hpp"
#include "proxy/task.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>

namespace drover::test {

using namespace proxy;

inline constexpr std::uint32_t kConcurrency = 2;
inline constexpr int kThreads = 3;
inline constexpr int kExchangesPerThread = 400;
inline constexpr int kFibersPerThread = 4;

struct QueueWorld {
  config::Pool config;
  board::Shape shape = board::make_shape(std::array<std::uint32_t, 1>{1}, kThreads, 1);
  board::SupervisorBoard supervisor = std::move(*board::SupervisorBoard::create(shape));
  board::ProxyBoard proxy = std::move(*board::ProxyBoard::create(shape));
  std::unique_ptr<PoolQueue> queue;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> served{0};

  QueueWorld() {
    config.concurrency = kConcurrency;
    config.queue.max = 1000;
    queue = std::make_unique<PoolQueue>(config, 0, supervisor, proxy);
    board::WorkerInfo info;
    info.slot = 1;
    info.incarnation = 1;
    supervisor.write_row(0, info);
    supervisor.write_connection_share(0, UINT32_MAX);
    EXPECT_TRUE(proxy.gate(0).open(1));
  }
};

struct Side {
  QueueWorld& world;
  std::unique_ptr<Loop> loop = std::move(*Loop::create());
  balancer::Claimer claimer{world.supervisor, world.proxy, 0, *balancer::find_strategy("round-robin"), 1};
  int left = kExchangesPerThread;
  int running = kFibersPerThread;
};

}  // namespace drover::test
