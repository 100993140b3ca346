#include "backends/board_writer.hpp"

#include "balancer/capacity.hpp"

#include <gtest/gtest.h>

#include <sys/eventfd.h>

#include <utility>

namespace drover::backends {
namespace {

config::Config two_pools() {
  config::Config config;
  config.pools.resize(2);
  config.pools[0].name = "site";
  config.pools[0].workers = 1;
  config.pools[1].name = "shop";
  config.pools[1].workers = 2;
  config.pools[1].workers_max = 30;
  config.proxy.threads = 2;
  config.listeners.resize(1);
  return config;
}

base::TimePoint at(int ms) { return base::TimePoint(base::Millis(ms)); }

class Boards : public ::testing::Test {
 protected:
  config::Config config = two_pools();
  BoardWriter boards = std::move(*BoardWriter::create(config));
  board::ProxyBoard proxy = std::move(*board::ProxyBoard::create(boards.shape()));

  std::uint32_t take(std::uint32_t pool, std::uint32_t slot, base::Incarnation incarnation) {
    return *boards.take_row({pool, slot}, incarnation, {});
  }
};

TEST_F(Boards, HoldWhatAPoolMayGrowTo) {
  EXPECT_EQ(boards.slots(0), board::kSlotsAtLeast);
  EXPECT_EQ(boards.slots(1), 60U) << "twice the most that the configuration names";
  EXPECT_EQ(boards.rows(1), board::Shape::rows_for(30));
  const board::Shape theirs = balancer::shape_of(config, config.proxy.threads, 1);
  EXPECT_EQ(theirs.rows, boards.shape().rows) << "what a proxy computes";
  EXPECT_EQ(boards.slot_totals({1, 60}).requests, 0U);
}

TEST_F(Boards, AHoldIsToldAtOnceAndOutlivesProxies) {
  const base::UniqueFd bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  boards.add(proxy, {bell.get()});
  const auto& facts = boards.supervisor_board();
  const auto rung = [&] {
    eventfd_t times = 0;
    return ::eventfd_read(bell.get(), &times) == 0;
  };
  std::uint32_t epoch = facts.epoch();
  const auto told = [&] { return std::exchange(epoch, facts.epoch()) != facts.epoch() && rung(); };
  boards.write_hold(1, at(5000));
  EXPECT_TRUE(told());
  EXPECT_EQ(facts.hold_until(1), 5'000'000'000U);
  EXPECT_EQ(facts.hold_until(0), 0U);
  boards.write_maintenance(1, "back at noon");
  EXPECT_TRUE(told());
  boards.remove(proxy);
  EXPECT_EQ(facts.hold_until(1), 5'000'000'000U);
  EXPECT_EQ(facts.maintenance_message(1), "back at noon");
  boards.add(proxy, {bell.get()});
  boards.write_hold(1, std::nullopt);
  EXPECT_TRUE(told()) << "who waits is woken";
  EXPECT_EQ(facts.hold_until(1), 0U);
  boards.write_maintenance(1, std::nullopt);
  EXPECT_FALSE(facts.maintenance(1));
}

TEST_F(Boards, BreakersAndPausesOfDeadProxiesStayCounted) {
  boards.add(proxy, {});
  proxy.pool(1).breaker.store(static_cast<std::uint32_t>(balancer::BreakerState::open));
  proxy.pool(1).breaker_opened.store(3);
  proxy.thread(0).accept_pauses.add(4);
  proxy.thread(1).accept_pauses.add(5);
  EXPECT_EQ(boards.pool_figures(1).breaker, balancer::BreakerState::open);
  EXPECT_EQ(boards.pool_figures(1).breaker_opened, 3U);
  EXPECT_EQ(boards.accept_pauses(), 9U);
  proxy.pool(0).breaker.store(77);
  EXPECT_EQ(boards.pool_figures(0).breaker, balancer::BreakerState::half_open) << "a proxy's nonsense goes no further";
  boards.remove(proxy);
  EXPECT_EQ(boards.pool_figures(1).breaker, balancer::BreakerState::closed) << "the next proxy begins anew";
  EXPECT_EQ(boards.pool_figures(1).breaker_opened, 3U);
  EXPECT_EQ(boards.accept_pauses(), 9U);
}

TEST_F(Boards, RowsUsedGrowBeforeARowIsOpenedAndShrinkWithTheLast) {
  const auto& facts = boards.supervisor_board();
  EXPECT_EQ(facts.rows_used(1), 0U);
  const std::uint32_t first = take(1, 1, 1);
  const std::uint32_t second = take(1, 2, 2);
  const std::uint32_t third = take(1, 3, 3);
  EXPECT_EQ(facts.rows_used(1), 3U);
  EXPECT_EQ(facts.rows_used(0), 0U);
  boards.release(second);
  EXPECT_EQ(facts.rows_used(1), 3U) << "a hole is looked at";
  boards.release(third);
  EXPECT_EQ(facts.rows_used(1), 1U);
  EXPECT_EQ(take(1, 2, 4), second);
  EXPECT_EQ(facts.rows_used(1), 2U);
  boards.release(first);
  EXPECT_EQ(facts.rows_used(1), 2U);
}

TEST_F(Boards, ARowMovesOnlyBehindAClosedGate) {
  boards.add(proxy, {});
  const std::uint32_t row = take(1, 2, 5);
  board::EndpointAddress there;
  there.length = 4;
  EXPECT_TRUE(boards.move_row(row, there));
  board::WorkerInfo info;
  ASSERT_TRUE(boards.supervisor_board().read_row(row, info));
  EXPECT_EQ(info.endpoint.length, 4U);
  EXPECT_EQ(info.slot, 2U);
  EXPECT_EQ(info.incarnation, 5U);
  boards.open(row);
  EXPECT_FALSE(boards.move_row(row, {}));
  ASSERT_TRUE(boards.supervisor_board().read_row(row, info));
  EXPECT_EQ(info.endpoint.length, 4U);
  boards.release(row);
  EXPECT_FALSE(boards.move_row(row, there)) << "nobody's row";
}

TEST_F(Boards, ARowStaysInUseWhileSomebodyIsInside) {
  boards.add(proxy, {});
  const std::uint32_t row = take(1, 1, 1);
  boards.open(row);
  ASSERT_TRUE(proxy.gate(row).enter(1));
  boards.release(row);
  EXPECT_EQ(boards.supervisor_board().rows_used(1), 1U);
  proxy.gate(row).leave();
  EXPECT_FALSE(boards.sweep());
  EXPECT_EQ(boards.supervisor_board().rows_used(1), 0U);
}

TEST_F(Boards, ANewIncarnationStartsWithoutTheCountsOfTheRowsLastOne) {
  boards.add(proxy, {});
  const std::uint32_t row = take(1, 1, 1);
  boards.write_share(row, 30);
  board::ProxyRow& cell = proxy.row(row);
  cell.claims = 9;
  for (auto* word : {&cell.errors, &cell.refused, &cell.gateway, &cell.streak}) *word = 5;
  cell.moved_ns = 77;
  boards.release(row);
  ASSERT_EQ(take(1, 1, 2), row);
  const auto figures = boards.figures(row);
  EXPECT_EQ(figures.claims + figures.errors + figures.refused + figures.gateway + figures.streak, 0U);
  EXPECT_EQ(figures.moved, base::TimePoint{});
  EXPECT_EQ(boards.supervisor_board().share(row), 100U);
  EXPECT_EQ(boards.slot_totals({1, 1}).requests, 9U) << "the slot remembers";
}

TEST_F(Boards, FiguresOfALifeNeverFallWhenAProxyDies) {
  boards.add(proxy, {});
  const std::uint32_t row = take(1, 1, 1);
  boards.open(row);
  ASSERT_TRUE(proxy.gate(row).enter(1));
  board::ProxyRow& cell = proxy.row(row);
  cell.claims = 9;
  cell.errors = 4;
  cell.refused = 3;
  cell.gateway = 2;
  cell.streak = 6;
  cell.moved_ns = 5'000'000;
  cell.client_bound = 2;
  auto figures = boards.figures(row);
  EXPECT_EQ(figures.streak, 6U);
  EXPECT_EQ(figures.in_flight, 1U);
  EXPECT_EQ(figures.client_bound, 1U) << "never more than are inside";
  EXPECT_EQ(figures.moved, at(5));

  boards.remove(proxy);
  board::ProxyBoard next = std::move(*board::ProxyBoard::create(boards.shape()));
  boards.add(next, {});
  next.row(row).claims = 1;
  next.row(row).moved_ns = 4'000'000;
  figures = boards.figures(row);
  EXPECT_EQ(figures.claims, 10U);
  EXPECT_EQ(figures.errors, 4U);
  EXPECT_EQ(figures.refused, 3U);
  EXPECT_EQ(figures.gateway, 2U);
  EXPECT_EQ(figures.streak, 0U) << "a row of failures is that of a live proxy";
  EXPECT_EQ(figures.in_flight, 0U);
  EXPECT_EQ(figures.moved, at(5));
  boards.remove(next);
}

TEST_F(Boards, FlightsOfEveryThreadAreFound) {
  boards.add(proxy, {});
  const std::uint32_t row = take(1, 1, 1);
  proxy.flights(0).begin(0, {row, 1, board::Method::get, "GET", "/a", 1, 10});
  proxy.flights(1).begin(0, {row, 1, board::Method::get, "GET", "/b", 2, 20});
  proxy.flights(1).begin(1, {row, 2, board::Method::get, "GET", "/c", 3, 30});
  proxy.flights(1).broke(0, 2'000'000);
  EXPECT_EQ(boards.flights(row, 1, at(2)).size(), 2U);
  EXPECT_EQ(boards.flights(row, 1, at(3)).size(), 1U);
  boards.remove(proxy);
}

TEST_F(Boards, TrafficOfDeadProxiesStaysInTheSketchAndTheTotals) {
  boards.add(proxy, {});
  proxy.sketch(0).add(42);
  proxy.sketch(1).add(42);
  proxy.tally(0, 1).request(board::Method::get, 200);
  proxy.tally(1, 1).request(board::Method::post, 503);
  proxy.tally(1, 1).blocked.add();
  EXPECT_EQ(boards.sketch().estimate(42), 2U);
  boards.remove(proxy);
  EXPECT_EQ(boards.sketch().estimate(42), 2U);
  EXPECT_EQ(boards.requests(1), 2U);
  EXPECT_EQ(boards.requests(0), 0U);
  EXPECT_EQ(boards.traffic().pools[1].blocked, 1U);
}

TEST_F(Boards, SleepAndWakingAreToldOnce) {
  const std::uint32_t epoch = boards.supervisor_board().epoch();
  boards.write_asleep(1, true);
  EXPECT_TRUE(boards.supervisor_board().asleep(1));
  boards.write_asleep(1, true);
  EXPECT_EQ(boards.supervisor_board().epoch(), epoch + 1);
  boards.write_asleep(1, false);
  EXPECT_EQ(boards.supervisor_board().epoch(), epoch + 2);
}

}  // namespace
}  // namespace drover::backends
