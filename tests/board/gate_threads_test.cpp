// Real threads; the thread sanitizer sees what a gate promises about memory: what the supervisor writes while a row is closed and empty
// is seen by everybody who enters, and is read by nobody else.
#include "board/gate.hpp"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

namespace drover::board {
namespace {

constexpr base::Incarnation kLives = 300;

TEST(GateThreads, WhoIsInsideReadsItsOwnLifeOnly) {
  GateWord word{Gate::kClosed};
  std::array<std::uint32_t, 16> endpoint{};  // plain memory, guarded by nothing but the gate
  std::atomic<std::uint64_t> claims{0};
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};

  std::vector<std::thread> proxies;
  for (int i = 0; i < 3; ++i) {
    proxies.emplace_back([&] {
      Gate gate(word);
      while (!over.load(std::memory_order_relaxed)) {
        const base::Incarnation seen = gate.view().incarnation;
        if (!gate.enter(seen)) {
          std::this_thread::yield();
          continue;
        }
        for (const std::uint32_t part : endpoint) wrong += part == seen ? 0 : 1;
        gate.leave();
        claims.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }

  Gate gate(word);
  for (base::Incarnation life = 1; life <= kLives; ++life) {
    for (std::uint32_t& part : endpoint) part = life;
    ASSERT_TRUE(gate.open(life));
    const std::uint64_t before = claims.load();
    while (claims.load() == before) std::this_thread::yield();
    gate.close();
    while (gate.view().count != 0) std::this_thread::yield();
  }
  over = true;
  for (std::thread& proxy : proxies) proxy.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(gate.view().count, 0U);
}

TEST(GateThreads, NoEnterAfterCloseReturned) {
  GateWord word{Gate::kClosed};
  std::atomic<base::Incarnation> closed_up_to{0};
  std::atomic<std::uint64_t> entered{0};
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> proxies;
  for (int i = 0; i < 3; ++i) {
    proxies.emplace_back([&] {
      Gate gate(word);
      while (!over.load(std::memory_order_relaxed)) {
        const base::Incarnation closed = closed_up_to.load();
        const base::Incarnation meant = gate.view().incarnation;
        if (!gate.enter(meant)) {
          std::this_thread::yield();
          continue;
        }
        if (meant <= closed) ++wrong;  // its close had returned before we asked
        entered.fetch_add(1);
        gate.leave();
      }
    });
  }
  Gate gate(word);
  for (base::Incarnation life = 1; life <= kLives; ++life) {
    while (!gate.open(life)) std::this_thread::yield();
    const std::uint64_t before = entered.load();
    while (entered.load() == before) std::this_thread::yield();
    gate.close();
    closed_up_to.store(life);
  }
  over = true;
  for (std::thread& proxy : proxies) proxy.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace drover::board
