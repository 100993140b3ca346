// Real processes over real boards: a supervisor (this process) and proxies (forked).
#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"

#include <gtest/gtest.h>

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <utility>

namespace drover::board {
namespace {

/// A forked process that is killed and reaped at the latest when this goes.
class Child {
 public:
  explicit Child(const std::function<int()>& work) : pid_(::fork()) {
    if (pid_ == 0) ::_exit(work());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }

  /// Its wait status.
  int join() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }
  int kill() {
    if (pid_ <= 0) return 0;
    ::kill(pid_, SIGKILL);
    return join();
  }

 private:
  pid_t pid_;
};

Shape one_worker() {
  const std::uint32_t workers[] = {1};
  return make_shape(workers, 2, 1);
}

constexpr base::Incarnation kOver = 0x7ffffff0U;  // tells the children to end

/// Enters whatever life the row has and checks that the row says the same; ends with 0, or 1 if it ever saw otherwise.
int hammer(const SupervisorBoard& facts, const ProxyBoard& board) {
  for (;;) {
    Gate gate = board.gate(0);
    const base::Incarnation seen = gate.view().incarnation;
    if (seen == kOver) return 0;
    if (!gate.enter(seen)) {
      ::sched_yield();
      continue;
    }
    WorkerInfo info;
    const bool whole = facts.read_row(0, info);
    const bool right = whole && info.incarnation == seen && facts.slot(0) == 1;
    board.row(0).claims.fetch_add(1, std::memory_order_relaxed);
    gate.leave();
    if (!right) return 1;
  }
}

int attach_and_hammer(const SupervisorBoard& facts, const ProxyBoard& board) {
  auto my_facts = SupervisorBoard::attach(facts.fd(), board.shape());
  auto my_board = ProxyBoard::attach(board.fd(), board.shape());
  return my_facts && my_board ? hammer(*my_facts, *my_board) : 2;
}

void open_life(SupervisorBoard& facts, const ProxyBoard& board, base::Incarnation life) {
  WorkerInfo info;
  info.slot = 1;
  info.incarnation = life;
  facts.write_row(0, info);
  ASSERT_TRUE(board.gate(0).open(life));
}

void wait_for_claims(const ProxyBoard& board, std::uint64_t beyond) {
  while (board.row(0).claims.load() <= beyond) ::sched_yield();
}

TEST(GateProcesses, TwoProcessesHammerOneBoardThroughManyLives) {
  auto facts = SupervisorBoard::create(one_worker());
  auto board = ProxyBoard::create(one_worker());
  ASSERT_TRUE(facts && board);
  Child one([&] { return attach_and_hammer(*facts, *board); });
  Child two([&] { return attach_and_hammer(*facts, *board); });
  for (base::Incarnation life = 1; life <= 500; ++life) {
    ASSERT_NO_FATAL_FAILURE(open_life(*facts, *board, life));
    wait_for_claims(*board, board->row(0).claims.load());
    board->gate(0).close();
    while (board->gate(0).view().count != 0) ::sched_yield();
    facts->clear_row(0);
  }
  ASSERT_NO_FATAL_FAILURE(open_life(*facts, *board, kOver));
  EXPECT_EQ(one.join(), 0);
  EXPECT_EQ(two.join(), 0);
  EXPECT_EQ(board->gate(0).view().count, 0U);
}

TEST(GateProcesses, KilledInside_CountStaysBoardIsDroppedSupervisorGoesOn) {
  auto facts = SupervisorBoard::create(one_worker());
  auto board = ProxyBoard::create(one_worker());
  ASSERT_TRUE(facts && board);
  ASSERT_NO_FATAL_FAILURE(open_life(*facts, *board, 1));
  Child proxy([&]() -> int {
    board->gate(0).enter(1);
    board->tally(0, 0).request(Method::get, 200);
    board->row(0).claims.fetch_add(1);
    for (;;) ::pause();
  });
  wait_for_claims(*board, 0);
  EXPECT_TRUE(WIFSIGNALED(proxy.kill()));

  EXPECT_EQ(board->gate(0).close(), 1U) << "nobody repairs a dead proxy's count";
  EXPECT_FALSE(board->gate(0).open(2));
  Totals totals;
  fold(*board, totals);
  EXPECT_EQ(totals.pools[0].requests[0][100], 1U) << "what it counted is not lost";

  auto fresh = ProxyBoard::create(one_worker());
  ASSERT_TRUE(fresh);
  board = std::move(fresh);
  ASSERT_NO_FATAL_FAILURE(open_life(*facts, *board, 2));
  EXPECT_TRUE(board->gate(0).enter(2));
}

TEST(GateProcesses, KilledAnywhere_LeavesAtMostItsOwnCount) {
  auto facts = SupervisorBoard::create(one_worker());
  ASSERT_TRUE(facts);
  int left_inside = 0;
  for (base::Incarnation life = 1; life <= 60; ++life) {
    auto board = ProxyBoard::create(one_worker());
    ASSERT_TRUE(board);
    ASSERT_NO_FATAL_FAILURE(open_life(*facts, *board, life));
    Child proxy([&] { return attach_and_hammer(*facts, *board); });
    wait_for_claims(*board, life * 7);
    ASSERT_TRUE(WIFSIGNALED(proxy.kill()));
    const std::uint32_t inside = board->gate(0).close();
    ASSERT_LE(inside, 1U);
    left_inside += static_cast<int>(inside);
    const GateView view = board->gate(0).view();
    EXPECT_EQ(view.incarnation, life);
    EXPECT_TRUE(view.closed);
  }
  RecordProperty("left_inside", left_inside);
}

}  // namespace
}  // namespace drover::board
