// Orders of the operator over real processes: each is told step by step, and ends with what has come of it.
#include "supervisor_case.hpp"

#include <gmock/gmock.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;

class OrderTest : public fakes::SupervisorCase {
 protected:
  ~OrderTest() override { std::remove(file_.c_str()); }

  /// What one watcher hears.
  struct Told {
    std::vector<std::string> lines;
    bool done = false;
    bool ok = false;
  };
  base::Result<OrderId> order(Order::Verb verb, const std::string& target, Told& told, std::uint32_t count = 0) {
    Order order;
    order.verb = verb;
    order.count = count;
    if (!target.empty()) order.target = *parse_target(target);
    return give(order, told);
  }
  static Order of_pool(Order::Verb verb) {
    Order order;
    order.verb = verb;
    order.target = *parse_target("shop");
    return order;
  }
  Told carry_out(const Order& order) {
    Told told;
    const auto id = give(order, told);
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    EXPECT_TRUE(wait([&] { return told.done; }));
    return told;
  }
  PoolStatus pool() const { return supervisor_->status().pools.at(0); }
  base::Result<OrderId> give(const Order& order, Told& told) {
    return supervisor_->order(order, [&told](const OrderProgress& progress) {
      EXPECT_FALSE(told.done) << "told after the end: " << progress.line;
      told.lines.push_back(progress.line);
      told.done = progress.done;
      told.ok = progress.ok;
    });
  }
  /// Orders, waits, and returns what was told.
  Told carry_out(Order::Verb verb, const std::string& target, std::uint32_t count = 0) {
    Told told;
    const auto id = order(verb, target, told, count);
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    EXPECT_TRUE(told.lines.empty()) << "told before order() returned";
    EXPECT_TRUE(wait([&] { return told.done; }));
    return told;
  }
  base::Error refused(Order::Verb verb, const std::string& target, std::uint32_t count = 0) {
    Told told;
    const auto id = order(verb, target, told, count);
    EXPECT_FALSE(id);
    EXPECT_TRUE(told.lines.empty());
    return id ? base::Error{} : id.error();
  }
  bool eligible(std::uint32_t slot) const { return worker(slot).eligible; }
  void begin_all_ready() {
    begin_ready();
    ASSERT_TRUE(wait([&] { return eligible(1) && eligible(2); }));
  }
  std::string file_ = "/tmp/drover-order-test-" + std::to_string(::getpid());
};

TEST_F(OrderTest, RestartOfAPool_ReplacesEachWorker_SomebodyAlwaysServes) {
  begin_all_ready();
  const pid_t first = worker(1).pid;
  const pid_t second = worker(2).pid;
  Told told;
  ASSERT_TRUE(order(Order::Verb::restart, "shop", told));
  EXPECT_TRUE(wait([&] {
    EXPECT_TRUE(eligible(1) || eligible(2));
    return told.done;
  }));
  EXPECT_TRUE(told.ok) << told.lines.back();
  EXPECT_THAT(told.lines, Contains("shop.1 is ready (1 of 2)"));
  EXPECT_THAT(told.lines, Contains("shop.2 is ready (2 of 2)"));
  EXPECT_EQ(worker(1).incarnation, 2U);
  EXPECT_EQ(worker(2).incarnation, 2U);
  EXPECT_TRUE(wait([&] { return !lives(first) && !lives(second); }));
  EXPECT_EQ(events("rollStarted").size(), 1U);
  EXPECT_EQ(events("rollProgress").size(), 2U);
  EXPECT_EQ(events("rollDone").size(), 1U);
  const PoolStatus pool = supervisor_->status().pools.at(0);
  EXPECT_EQ(pool.roll.phase, "done");
  EXPECT_EQ(pool.rolls.at("done"), 1U);
  EXPECT_EQ(pool.replaced.at("rolling"), 2U);
  EXPECT_EQ(supervisor_->status().died, 0U) << "what was asked for is no death";
  EXPECT_EQ(stop(), 0);
}

TEST_F(OrderTest, RestartThatFails_StopsAtTheFirst_KeepsTheOld_SaysWhy) {
  config_.pools.clear();
  add_pool("shop", 2, {"unless=" + file_});
  begin_all_ready();
  const pid_t first = worker(1).pid;
  const pid_t second = worker(2).pid;
  std::ofstream(file_) << "x";
  const Told told = carry_out(Order::Verb::restart, "shop");
  EXPECT_FALSE(told.ok);
  EXPECT_THAT(told.lines.back(), HasSubstr("status 3"));
  EXPECT_THAT(told.lines.back(), HasSubstr("the file is there"));
  EXPECT_EQ(worker(1).pid, first);
  EXPECT_EQ(worker(2).pid, second);
  EXPECT_TRUE(eligible(1) && eligible(2));
  ASSERT_EQ(events("rollFailed").size(), 1U);
  EXPECT_THAT(std::string(events("rollFailed")[0].data.at("reason").as_string()), HasSubstr("status 3"));
  EXPECT_EQ(supervisor_->status().pools.at(0).rolls.at("failed"), 1U);
  EXPECT_THAT(supervisor_->status().pools.at(0).roll.reason, HasSubstr("the file is there"));
}

TEST_F(OrderTest, RestartOfOne_LeavesItsSiblingAlone) {
  begin_all_ready();
  const pid_t second = worker(2).pid;
  const Told told = carry_out(Order::Verb::restart, "shop.1");
  EXPECT_TRUE(told.ok) << told.lines.back();
  EXPECT_EQ(worker(1).incarnation, 2U);
  EXPECT_EQ(worker(2).pid, second);
}

TEST_F(OrderTest, RestartOfOneThatFails_KeepsTheOld) {
  config_.pools.clear();
  add_pool("shop", 1, {"unless=" + file_});
  begin_ready();
  const pid_t pid = worker(1).pid;
  std::ofstream(file_) << "x";
  const Told told = carry_out(Order::Verb::restart, "shop.1");
  EXPECT_FALSE(told.ok);
  EXPECT_THAT(told.lines.back(), HasSubstr("the file is there"));
  EXPECT_EQ(worker(1).pid, pid);
}

TEST_F(OrderTest, RestartWhoseSuccessorDoesNotStayReady_KeepsTheOld_SaysWhy) {
  config_.pools.clear();
  config::Pool& pool = add_pool("shop", 1, {});
  pool.rolling.soak = 60s;
  pool.health.fall = 1;
  begin_ready();
  const pid_t pid = worker(1).pid;
  Told told;
  ASSERT_TRUE(order(Order::Verb::restart, "shop.1", told));
  ASSERT_TRUE(happens("workerListening", 2));
  ask_at(std::string(events("workerListening").back().data.at("endpoint").as_string()), "/say/WATCHDOG=trigger_STATUS=diskless");
  ASSERT_TRUE(wait([&] { return told.done; }));
  EXPECT_FALSE(told.ok);
  EXPECT_THAT(told.lines.back(), HasSubstr("did not stay ready: down by its own report: diskless"));
  EXPECT_EQ(worker(1).pid, pid);
}

TEST_F(OrderTest, WorkerThatARollStopsWhileItStarts_IsNoFailureOfItsOrder) {
  begin_all_ready();
  Told scaled;
  Told rolled;
  ASSERT_TRUE(order(Order::Verb::scale, "shop", scaled, 3));
  ASSERT_TRUE(order(Order::Verb::restart, "shop", rolled));
  ASSERT_TRUE(wait([&] { return scaled.done && rolled.done; }));
  EXPECT_TRUE(scaled.ok) << scaled.lines.back();
  EXPECT_TRUE(rolled.ok) << rolled.lines.back();
  EXPECT_TRUE(eligible(3));
}

TEST_F(OrderTest, SecondRollAtOnce_IsRefused) {
  begin_all_ready();
  Told told;
  ASSERT_TRUE(order(Order::Verb::restart, "shop", told));
  const base::Error error = refused(Order::Verb::restart, "shop");
  EXPECT_EQ(error.code, EBUSY);
  EXPECT_THAT(error.message, HasSubstr("is running"));
  EXPECT_TRUE(wait([&] { return told.done; }));
  EXPECT_TRUE(told.ok);
}

TEST_F(OrderTest, DrainedWorker_Leaves_ResumedComesBack) {
  begin_all_ready();
  const pid_t pid = worker(2).pid;
  const Told drained = carry_out(Order::Verb::drain, "shop.2");
  EXPECT_TRUE(drained.ok) << drained.lines.back();
  EXPECT_FALSE(lives(pid));
  EXPECT_EQ(worker(2).intent, Intent::drained);
  EXPECT_THAT(refused(Order::Verb::restart, "shop.2").message, HasSubstr("drover resume"));
  const Told resumed = carry_out(Order::Verb::resume, "shop.2");
  EXPECT_TRUE(resumed.ok) << resumed.lines.back();
  EXPECT_TRUE(eligible(2));
  EXPECT_EQ(events("workerIntent").size(), 2U);
}

TEST_F(OrderTest, DrainedPool_HasNobody_RestartSaysSo) {
  begin_all_ready();
  EXPECT_TRUE(carry_out(Order::Verb::drain, "shop").ok);
  EXPECT_FALSE(eligible(1) || eligible(2));
  EXPECT_EQ(refused(Order::Verb::restart, "shop").code, EBUSY);
  EXPECT_TRUE(carry_out(Order::Verb::resume, "shop").ok);
  EXPECT_TRUE(eligible(1) && eligible(2));
}

TEST_F(OrderTest, HeldPool_IsHeldUntilItsTimeIsOver_TheNewerHoldWins) {
  begin_all_ready();
  EXPECT_LT(pool().hold_seconds, 0);
  Order hold = of_pool(Order::Verb::hold);
  hold.most = 1h;
  const Told told = carry_out(hold);
  EXPECT_TRUE(told.ok);
  EXPECT_THAT(told.lines.back(), HasSubstr("drover resume shop"));
  EXPECT_GT(pool().hold_seconds, 3000);
  EXPECT_TRUE(eligible(1) && eligible(2)) << "its workers stay as they are";
  hold.most = 300ms;
  carry_out(hold);
  EXPECT_LT(pool().hold_seconds, 1);
  EXPECT_TRUE(wait([&] { return pool().hold_seconds < 0; }));
  ASSERT_EQ(events("poolHeld").size(), 2U);
  EXPECT_EQ(events("poolHeld")[0].data.at("seconds"), 3600.0);
  ASSERT_EQ(events("poolReleased").size(), 1U);
  EXPECT_EQ(events("poolReleased")[0].data.at("why"), "time");
}

TEST_F(OrderTest, OffAndResumeEndAHold_ResumeEndsMaintenanceToo) {
  begin_all_ready();
  Order hold = of_pool(Order::Verb::hold);
  hold.most = 1h;
  EXPECT_TRUE(carry_out(hold).ok);
  Order maintenance = of_pool(Order::Verb::maintenance);
  maintenance.message = "zur\u00fcck um 12";
  EXPECT_TRUE(carry_out(maintenance).ok);
  EXPECT_TRUE(pool().maintenance);
  EXPECT_EQ(pool().maintenance_message, "zur\u00fcck um 12");
  hold.off = true;
  EXPECT_TRUE(carry_out(hold).ok);
  EXPECT_LT(pool().hold_seconds, 0);
  EXPECT_TRUE(pool().maintenance) << "each ends its own";
  EXPECT_TRUE(carry_out(hold).ok) << "nothing to end is as well";
  hold.off = false;
  EXPECT_TRUE(carry_out(hold).ok);
  EXPECT_TRUE(carry_out(Order::Verb::resume, "shop.1").ok);
  EXPECT_GT(pool().hold_seconds, 0) << "one worker's return is not the pool's";
  EXPECT_TRUE(carry_out(Order::Verb::resume, "shop").ok);
  EXPECT_LT(pool().hold_seconds, 0);
  EXPECT_FALSE(pool().maintenance);
  ASSERT_EQ(events("poolReleased").size(), 2U);
  EXPECT_EQ(events("poolReleased")[1].data.at("why"), "operator");
  ASSERT_EQ(events("poolMaintenance").size(), 2U);
  EXPECT_EQ(events("poolMaintenance")[0].data.at("on"), true);
  EXPECT_EQ(events("poolMaintenance")[1].data.at("on"), false);
}

TEST_F(OrderTest, WhatCanNotBeHeldOrSaid_IsRefusedWithTheReason) {
  add_pool("tcp", 1, {});
  config_.pools.back().dispatch = config::Dispatch::shared;
  ASSERT_TRUE(begin());
  const auto says = [&](Order order) {
    Told told;
    const auto id = supervisor_->order(order, [](const OrderProgress&) {});
    EXPECT_FALSE(id);
    return id ? std::string() : id.error().message;
  };
  Order hold = of_pool(Order::Verb::hold);
  for (const base::Millis most : {base::Millis(0), base::Millis(-1), kHoldMost + 1ms}) {
    hold.most = most;
    EXPECT_THAT(says(hold), HasSubstr("at most"));
  }
  hold.most = 1s;
  hold.target.slot = 1;
  EXPECT_THAT(says(hold), HasSubstr("drover drain shop.1"));
  hold.target = *parse_target("nosuch");
  EXPECT_THAT(says(hold), HasSubstr("unknown pool"));
  hold.target = *parse_target("tcp");
  EXPECT_THAT(says(hold), HasSubstr("shared"));
  Order maintenance = of_pool(Order::Verb::maintenance);
  maintenance.message = std::string(board::SupervisorBoard::kMaxMessage + 1, 'x');
  EXPECT_THAT(says(maintenance), HasSubstr("240 are the most"));
  for (const std::string& bad : {std::string("a\nb"), std::string("a\x1b[31m"), std::string("a\0b", 3), std::string("\x7f")}) {
    maintenance.message = bad;
    EXPECT_THAT(says(maintenance), HasSubstr("control character"));
  }
  EXPECT_FALSE(pool().maintenance);
  EXPECT_LT(pool().hold_seconds, 0);
  EXPECT_TRUE(events("poolHeld").empty());
}

TEST_F(OrderTest, StopOfAHeldCluster_LetsThroughWhoWaits) {
  begin_all_ready();
  Order hold = of_pool(Order::Verb::hold);
  hold.most = 1h;
  EXPECT_TRUE(carry_out(hold).ok);
  EXPECT_EQ(stop(), 0);
  ASSERT_EQ(events("poolReleased").size(), 1U);
  EXPECT_EQ(events("poolReleased")[0].data.at("why"), "stopping");
}

TEST_F(OrderTest, Scale_UpAndDown) {
  begin_all_ready();
  const Told up = carry_out(Order::Verb::scale, "shop", 4);
  EXPECT_TRUE(up.ok) << up.lines.back();
  EXPECT_TRUE(eligible(3) && eligible(4));
  const pid_t fourth = worker(4).pid;
  const Told down = carry_out(Order::Verb::scale, "shop", 1);
  EXPECT_TRUE(down.ok) << down.lines.back();
  EXPECT_EQ(supervisor_->status().pools.at(0).workers.size(), 1U);
  EXPECT_FALSE(lives(fourth));
  EXPECT_EQ(events("scaled").size(), 2U);
  EXPECT_EQ(stop(), 0);
}

TEST_F(OrderTest, Scale_WhereAWorkerIsGivenUp_SaysSoAndEnds) {
  config_.pools.clear();
  config::Pool& pool = add_pool("shop", 1, {"unless=" + file_});
  pool.restart.max = 1;
  pool.restart.give_up = true;
  add_pool("blog", 1, {});
  begin_ready();
  std::ofstream(file_) << "x";
  ASSERT_EQ(::kill(worker(1).pid, SIGKILL), 0);
  ASSERT_TRUE(wait([&] { return worker(1).lifecycle == Lifecycle::failed; }));
  std::remove(file_.c_str());
  const Told told = carry_out(Order::Verb::scale, "shop", 2);
  EXPECT_FALSE(told.ok);
  ASSERT_FALSE(told.lines.empty());
  EXPECT_THAT(told.lines.back(), HasSubstr("drover restart shop.1"));
  EXPECT_TRUE(wait([&] { return eligible(2); }));
  EXPECT_TRUE(carry_out(Order::Verb::restart, "shop.1").ok);
}

TEST_F(OrderTest, Scale_BeyondItsBounds_IsRefusedWithTheBounds) {
  begin_ready();
  const base::Error none = refused(Order::Verb::scale, "shop", 0);
  EXPECT_EQ(none.code, EINVAL);
  EXPECT_THAT(none.message, HasSubstr("drover drain shop"));
  const base::Error many = refused(Order::Verb::scale, "shop", 10'000);
  EXPECT_EQ(many.code, EINVAL);
  EXPECT_THAT(many.message, HasSubstr("16"));
  EXPECT_EQ(refused(Order::Verb::scale, "shop.1", 2).code, EINVAL);
  EXPECT_EQ(supervisor_->status().pools.at(0).desired, 2U);
}

TEST_F(OrderTest, UnknownTarget_NamesTheKnownOnes) {
  add_pool("blog", 1, {});
  begin_ready();
  const base::Error pool = refused(Order::Verb::restart, "shpo");
  EXPECT_EQ(pool.code, ENOENT);
  EXPECT_EQ(pool.message, "unknown pool \"shpo\"; known: shop, shop.1 … shop.2, blog, blog.1");
  EXPECT_EQ(refused(Order::Verb::drain, "shop.3").code, ENOENT);
}

TEST_F(OrderTest, StopOfTheCluster_IsToldToItsEnd_OthersHearThatItStops) {
  begin_all_ready();
  Told restart;
  ASSERT_TRUE(order(Order::Verb::restart, "shop", restart));
  Told told;
  ASSERT_TRUE(order(Order::Verb::stop, "", told));
  EXPECT_TRUE(told.lines.empty());
  EXPECT_TRUE(wait([&] { return exit_code_.has_value(); }));
  EXPECT_EQ(exit_code_, 0);
  EXPECT_TRUE(told.done && told.ok);
  EXPECT_TRUE(restart.done);
  EXPECT_FALSE(restart.ok);
  EXPECT_THAT(restart.lines.back(), HasSubstr("stops"));
  EXPECT_EQ(events("clusterStopping").size(), 1U);
}

TEST_F(OrderTest, WatcherThatLeft_HearsNothing_TheOrderGoesOn) {
  begin_all_ready();
  Told told;
  const auto id = order(Order::Verb::restart, "shop.1", told);
  ASSERT_TRUE(id);
  supervisor_->forget(*id);
  EXPECT_TRUE(wait([&] { return worker(1).incarnation == 2 && eligible(1); }));
  EXPECT_TRUE(told.lines.empty());
}

TEST_F(OrderTest, TooManyAtATime_AreRefused) {
  config_.pools.clear();
  add_pool("shop", 1, {"mute"});
  ASSERT_TRUE(begin());
  std::vector<Told> told(OrderTracker::kMaxOrders + 1);
  for (std::size_t i = 0; i < OrderTracker::kMaxOrders; ++i) ASSERT_TRUE(order(Order::Verb::resume, "shop", told[i]));
  const auto last = order(Order::Verb::resume, "shop", told.back());
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, EBUSY);
  Told stopped;
  EXPECT_TRUE(order(Order::Verb::stop, "", stopped)) << "a stop always finds room";
  EXPECT_EQ(stop(), 0);
}

TEST_F(OrderTest, TtinAndTtou_OneWorkerMoreAndFewer) {
  begin_all_ready();
  ::kill(::getpid(), SIGTTIN);
  EXPECT_TRUE(wait([&] { return supervisor_->status().pools.at(0).desired == 3; }));
  EXPECT_TRUE(wait([&] { return eligible(3); }));
  ::kill(::getpid(), SIGTTOU);
  EXPECT_TRUE(wait([&] { return supervisor_->status().pools.at(0).workers.size() == 2; }));
  EXPECT_EQ(std::string(events("scaled").at(0).data.at("why").as_string()), "signal");
}

}  // namespace
}  // namespace drover::backends
