#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>

namespace drover::board {
namespace {

constexpr std::uint32_t kRow = 3;

/// Every word of the flight says the same letter and number, so that a mixture of two shows.
bool whole(const Flight& flight) {
  const char letter = flight.path.empty() ? '\0' : flight.path.front();
  return flight.path.size() == static_cast<std::size_t>(letter - 'a') + 1 && flight.path == std::string(flight.path.size(), letter) &&
         flight.method_name == std::string(8, letter) && flight.fingerprint == static_cast<std::uint64_t>(letter) &&
         flight.began_ns == flight.fingerprint;
}

void fly(FlightTable& table, std::size_t place, unsigned number, bool breaks) {
  const auto letter = static_cast<char>('a' + number % 26);
  const std::string path(number % 26 + 1, letter);
  const std::string name(8, letter);
  table.begin(place, {kRow, 1, Method::other, name, path, static_cast<std::uint64_t>(letter), static_cast<std::uint64_t>(letter)});
  if (breaks) {
    table.broke(place, 7);
  } else {
    table.end(place);
  }
}

TEST(FlightThreads, AFlightIsReadWholeOrNotAtAll) {
  const std::uint32_t workers[] = {1};
  const Shape shape = make_shape(workers, 1, 1);
  auto board = ProxyBoard::create(shape);
  ASSERT_TRUE(board);
  auto theirs = ProxyBoard::attach(board->fd(), shape);
  ASSERT_TRUE(theirs);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> seen{0};
  std::thread proxy([&] {
    for (unsigned i = 0; !over.load(std::memory_order_relaxed); ++i) {
      fly(theirs->flights(0), i % 4, i, i % 3 == 0);
      if (i % 16 == 0) std::this_thread::yield();
    }
  });
  int torn = 0;
  for (int look = 0; look < 2000 || seen.load() < 500; ++look) {
    std::vector<Flight> found;
    board->flights(0).collect(kRow, 1, 0, found);
    torn += static_cast<int>(std::count_if(found.begin(), found.end(), [](const Flight& flight) { return !whole(flight); }));
    seen += found.size();
    std::this_thread::yield();
  }
  over = true;
  proxy.join();
  EXPECT_EQ(torn, 0);
}

TEST(FlightThreads, ABlockedListIsReadWholeOrNotAtAll) {
  const std::uint32_t workers[] = {1};
  const Shape shape = make_shape(workers, 1, 1);
  auto board = SupervisorBoard::create(shape);
  ASSERT_TRUE(board);
  auto theirs = SupervisorBoard::attach(board->fd(), shape);
  ASSERT_TRUE(theirs);
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::atomic<int> looks{0};
  // Number 1 is blocked until 10 and number 2 until 1000, whoever stands first: at 500 the first one never is.
  const SupervisorBoard::Blocked one[] = {{1, 10}, {2, 1000}};
  const SupervisorBoard::Blocked other[] = {{2, 1000}, {1, 10}};
  board->write_blocked(one);
  std::thread proxy([&] {
    while (!over.load(std::memory_order_relaxed)) {
      if (theirs->blocked(1, 500)) ++wrong;
      looks.fetch_add(1, std::memory_order_relaxed);
    }
  });
  for (int i = 0; i < 20'000 || looks.load() < 1000; ++i) {
    board->write_blocked(i % 2 == 0 ? other : one);
    if (i % 8 == 0) std::this_thread::yield();
  }
  over = true;
  proxy.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace drover::board
