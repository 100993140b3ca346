#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>

namespace drover::board {
namespace {

TEST(RowThreads, ARowIsReadWholeOrNotAtAll) {
  const std::uint32_t workers[] = {1};
  const Shape shape = make_shape(workers, 1, 1);
  auto board = SupervisorBoard::create(shape);
  ASSERT_TRUE(board);
  auto theirs = SupervisorBoard::attach(board->fd(), shape);
  ASSERT_TRUE(theirs);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> reads{0};
  std::atomic<int> torn{0};

  const auto read = [&] {
    while (!over.load(std::memory_order_relaxed)) {
      WorkerInfo info;
      if (!theirs->read_row(0, info)) {
        std::this_thread::yield();
        continue;
      }
      const auto expected = static_cast<char>(info.incarnation % 127);
      const auto& path = info.endpoint.storage.sun_path;
      const bool whole = info.slot == info.incarnation && std::all_of(std::begin(path), std::end(path), [&](char c) { return c == expected; });
      if (!whole) ++torn;
      reads.fetch_add(1, std::memory_order_relaxed);
    }
  };
  std::thread one(read);
  std::thread two(read);
  for (std::uint32_t i = 1; i <= 20'000 || reads.load() < 1000; ++i) {
    WorkerInfo info;
    info.slot = info.incarnation = i;
    std::memset(info.endpoint.storage.sun_path, static_cast<int>(i % 127), sizeof info.endpoint.storage.sun_path);
    board->write_row(0, info);
    board->write_load(0, i);
    board->bump_epoch();
    if (i % 64 == 0) std::this_thread::yield();
  }
  over = true;
  one.join();
  two.join();
  EXPECT_EQ(torn.load(), 0);
}

TEST(TallyThreads, ASupervisorReadsWhileThreadsCount) {
  const std::uint32_t workers[] = {1};
  const Shape shape = make_shape(workers, 2, 1);
  auto board = ProxyBoard::create(shape);
  ASSERT_TRUE(board);
  constexpr std::uint64_t kEach = 50'000;
  const auto count = [&](std::uint32_t thread) {
    for (std::uint64_t i = 0; i < kEach; ++i) board->tally(thread, 0).request(Method::get, 200);
  };
  std::thread one(count, 0U);
  std::thread two(count, 1U);
  std::uint64_t last = 0;
  while (last < 2 * kEach) {
    Totals totals;
    fold(*board, totals);
    const std::uint64_t now = totals.pools[0].requests[0][100];
    ASSERT_GE(now, last) << "a counter never falls";
    last = now;
    std::this_thread::yield();
  }
  one.join();
  two.join();
  EXPECT_EQ(last, 2 * kEach);
}

}  // namespace
}  // namespace drover::board
