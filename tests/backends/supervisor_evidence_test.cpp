// Why workers die, hang, grow or say that they are unwell: obituaries, events, replacements, with real processes.
#include "supervisor_case.hpp"

#include <gmock/gmock.h>

#include <cstdio>
#include <fstream>
#include <thread>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;

class EvidenceTest : public fakes::SupervisorCase {
 protected:
  config::Pool& only_pool(std::uint32_t workers = 1, const std::vector<std::string>& words = {}) {
    config_.pools.clear();
    return add_pool("shop", workers, words);
  }
  /// As a container's freezer does: nothing of this process runs.
  static void freeze(base::Millis time) { std::this_thread::sleep_for(time); }
  const Obituary* last_death() const {
    const auto deaths = supervisor_->obituaries().of("shop", 1);
    return deaths.empty() ? nullptr : deaths.front();
  }
};

TEST_F(EvidenceTest, Obituary_TellsSignalRequestsAndLastWords) {
  ::setenv("FAKE_PROXY", "inside", 1);
  only_pool();
  begin_ready();
  ASSERT_TRUE(wait([&] { return worker().in_flight == 1; }));
  ask_worker("/print/farewell");
  ask_worker("/abort");
  ASSERT_TRUE(wait([&] { return last_death() != nullptr; }));
  const Obituary& death = *last_death();
  EXPECT_EQ(death.incarnation, 1U);
  EXPECT_EQ(death.cause, Cause::own_signal);
  EXPECT_THAT(death.exit, HasSubstr("ABRT"));
  EXPECT_THAT(death.last_lines, Contains("farewell"));
  ASSERT_EQ(death.in_flight.size(), 1U);
  EXPECT_EQ(death.in_flight[0].method, "GET");
  EXPECT_EQ(death.in_flight[0].path, "/stuck");
  EXPECT_FALSE(death.asked_for);
  EXPECT_TRUE(death.young);
  EXPECT_THAT(death.then, HasSubstr("restart in"));
  ASSERT_EQ(events("workerExit").size(), 1U);
  EXPECT_TRUE(events("workerExit")[0].data.contains("obituary"));
  EXPECT_EQ(events("workerRestart").size(), 1U);
  std::uint64_t closed = 0;
  for (const auto count : supervisor_->status().exit_to_close.buckets) closed += count;
  EXPECT_EQ(closed, 1U);
}

TEST_F(EvidenceTest, EventsOfALife_EachOnceAndInOrder) {
  only_pool();
  begin_ready();
  EXPECT_EQ(stop(), 0);
  std::vector<std::string> names;
  const EventJournal& journal = supervisor_->events();
  for (std::uint64_t number = journal.first(); number < journal.next(); number = journal.kept_from(number + 1)) {
    const ClusterEvent& event = journal.at(number);
    if (event.name != "healthCheck") names.push_back(event.name);
    EXPECT_GT(event.time, 0);
    if (event.name.starts_with("worker")) {
      EXPECT_EQ(event.pool + "." + std::to_string(event.slot), "shop.1");
    }
  }
  std::erase(names, "proxyReady");  // before or after the worker's
  EXPECT_THAT(names, testing::ElementsAre("workerOnline", "workerListening", "clusterReady", "clusterStopping", "workerDisconnect", "workerExit",
                                          "proxyExit"));
  EXPECT_TRUE(events("workerExit").at(0).data.at("asked").as_bool());
  EXPECT_EQ(events("proxyReady").size(), 1U);
}

TEST_F(EvidenceTest, Output_IsKeptByWorker) {
  only_pool();
  begin_ready();
  ask_worker("/print/hello");
  OutputJournal& output = supervisor_->output();
  ASSERT_TRUE(wait([&] { return output.next() > output.first(); }));
  EXPECT_EQ(output.at(output.first()).text, "hello");
  EXPECT_EQ(output.at(output.first()).pool, "shop");
  EXPECT_EQ(output.at(output.first()).slot, 1U);
}

TEST_F(EvidenceTest, KillerOnItsThirdDeath_IsBlocked) {
  ::setenv("FAKE_PROXY", "killer", 1);
  only_pool().restart.delay = 10ms;
  begin_ready();
  for (std::uint32_t life = 1; life <= 3; ++life) {
    ASSERT_TRUE(wait([&] { return worker().incarnation == life && worker().in_flight == 1; }));
    EXPECT_TRUE(events("killerFound").empty());
    ask_worker("/abort");
  }
  ASSERT_TRUE(happens("killerFound"));
  const PoolStatus pool = supervisor_->status().pools.at(0);
  ASSERT_EQ(pool.blocked.size(), 1U);
  EXPECT_EQ(pool.blocked[0].path, "/stuck");
  EXPECT_EQ(pool.killers_found, 1U);
}

TEST_F(EvidenceTest, HungWorker_IsDiagnosedAndReplaced_WithoutADrain) {
  ::setenv("FAKE_PROXY", "inside", 1);
  config::Pool& pool = only_pool();
  pool.hang.after = 500ms;
  pool.drain.http = 60s;
  begin_ready();
  ASSERT_TRUE(happens("workerHung"));
  EXPECT_FALSE(std::string(events("workerHung")[0].data.at("diagnosis").as_string()).empty());
  ASSERT_TRUE(wait([&] { return worker().incarnation >= 2 && worker().eligible; }));
  ASSERT_NE(last_death(), nullptr);
  EXPECT_EQ(last_death()->asked_why, "hung");
  EXPECT_GE(supervisor_->status().pools.at(0).replaced.at("hung"), 1U);
}

TEST_F(EvidenceTest, HardMemoryLimit_ReplacesTheWorker) {
  only_pool().recycle.hard_memory = base::Bytes{1024 * 1024};
  begin_ready();
  ASSERT_TRUE(happens("workerRecycle"));
  EXPECT_EQ(std::string(events("workerRecycle")[0].data.at("why").as_string()), "hard memory limit");
  EXPECT_TRUE(wait([&] { return worker().incarnation >= 2; }));
}

TEST_F(EvidenceTest, RequestLimit_ReplacesWithASuccessor) {
  ::setenv("FAKE_PROXY", "inside", 1);
  only_pool().recycle.requests = 1;
  begin_ready();
  ASSERT_TRUE(happens("workerRecycle"));
  ASSERT_TRUE(wait([&] { return supervisor_->status().pools.at(0).replaced.contains("requests"); }));
  EXPECT_EQ(supervisor_->status().died, 0U);
}

TEST_F(EvidenceTest, HighMemory_IsToldOnce) {
  only_pool().alert.memory = base::Bytes{1024 * 1024};
  begin_ready();
  ASSERT_TRUE(happens("workerHighMemory"));
  EXPECT_FALSE(wait([&] { return events("workerHighMemory").size() > 1; }, 2500ms));
}

TEST_F(EvidenceTest, IdlePool_FallsAsleep_AndWakesWhenSomebodyRings) {
  config::Pool& pool = only_pool(2);
  pool.idle_stop = 1s;
  begin_ready();
  const auto asleep = [&] { return supervisor_->status().pools.at(0).asleep; };
  ASSERT_TRUE(wait([&] { return asleep() && supervisor_->status().pools.at(0).workers.empty(); }));
  EXPECT_TRUE(supervisor_->status().ready) << "whoever asks is served";
  Order restart{Order::Verb::restart, {"shop", std::nullopt}, 0, false};
  const auto refused = supervisor_->order(restart, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("asleep"));
}

TEST_F(EvidenceTest, SleepingPool_IsStartedByTheDoorbell) {
  ::setenv("FAKE_PROXY", "ring", 1);
  config::Pool& pool = only_pool();
  pool.idle_stop = 1s;
  begin_ready();
  ASSERT_TRUE(wait([&] { return events("scaled").size() >= 2; }));
  EXPECT_EQ(std::string(events("scaled")[0].data.at("why").as_string()), "idle");
  EXPECT_EQ(std::string(events("scaled")[1].data.at("why").as_string()), "demand");
  EXPECT_TRUE(wait([&] {
    const auto workers = supervisor_->status().pools.at(0).workers;
    return !workers.empty() && workers[0].eligible;
  }));
}

TEST_F(EvidenceTest, SleepingPool_WakesWithAWorkerThatMayServe_WhereTheFirstIsDrained) {
  ::setenv("FAKE_PROXY", "ring", 1);
  config::Pool& pool = only_pool();
  pool.workers_max = 2;
  pool.idle_stop = 1s;
  begin_ready();
  ASSERT_TRUE(supervisor_->order({Order::Verb::drain, {"shop", 1}, 0, false}, nullptr));
  EXPECT_TRUE(wait([&] {
    const auto workers = supervisor_->status().pools.at(0).workers;
    return workers.size() == 2 && workers[1].eligible;
  }));
  EXPECT_EQ(worker(1).intent, Intent::drained);
}

// What workers say of themselves.

TEST_F(EvidenceTest, ReadyNotify_CountsOnlyItsOwnWord) {
  only_pool().ready.notify = true;
  ASSERT_TRUE(begin());
  ASSERT_TRUE(wait([&] { return worker().pid != 0; }));
  ask_worker("/hello");
  EXPECT_FALSE(wait([&] { return worker().eligible; }, 500ms));
  ask_worker("/say/READY=1");
  EXPECT_TRUE(wait([&] { return worker().eligible; }));
  EXPECT_EQ(worker().reported_by, "notify");
}

TEST_F(EvidenceTest, StoppingByItsOwnWord_GetsNoNewWork_UntilItWantsSome) {
  only_pool();
  begin_ready();
  ask_worker("/say/STOPPING=1_STATUS=off to lunch");
  EXPECT_TRUE(wait([&] { return worker().declined && !worker().eligible; }));
  ask_worker("/say/READY=1");
  EXPECT_TRUE(wait([&] { return !worker().declined && worker().eligible; }));
  EXPECT_EQ(worker().incarnation, 1U);
}

TEST_F(EvidenceTest, WatchdogThatFallsSilent_IsReplaced_AReadyAloneIsNot) {
  only_pool().health.interval = 200ms;
  begin_ready();
  ask_worker("/say/READY=1_STATUS=fine");
  ASSERT_TRUE(wait([&] { return worker().reported_status == "fine"; }));
  EXPECT_FALSE(wait([&] { return worker().incarnation != 1; }, 1500ms)) << "READY=1 comes once in a life";
  ask_worker("/say/WATCHDOG=1");
  EXPECT_TRUE(wait([&] { return worker().incarnation >= 2 && worker().eligible; }));
  EXPECT_EQ(events("workerSilent").size(), 1U);
  EXPECT_EQ(supervisor_->status().pools.at(0).replaced.at("silent"), 1U);
}

TEST_F(EvidenceTest, WatchdogThatFallsSilent_IsReplaced_AlsoWhenTheFirstSuccessorFails) {
  const std::string file = "/tmp/drover-evidence-test-" + std::to_string(::getpid());
  std::remove(file.c_str());
  config::Pool& pool = only_pool(1, {"unless=" + file});
  pool.health.interval = 200ms;
  begin_ready();
  std::ofstream(file) << "x";
  ask_worker("/say/WATCHDOG=1");
  const bool failed = happens("workerExit");
  std::remove(file.c_str());
  ASSERT_TRUE(failed);
  EXPECT_TRUE(wait([&] { return worker().incarnation >= 3 && worker().eligible; }));
  EXPECT_EQ(events("workerSilent").size(), 1U);
}

TEST_F(EvidenceTest, TimeInWhichTheSupervisorDidNotRun_IsNobodysSilence) {
  only_pool().health.interval = 1s;
  begin_ready();
  ask_worker("/say/WATCHDOG=1");
  ASSERT_TRUE(wait([&] { return worker().reported_by == "notify"; }));
  freeze(2500ms);
  EXPECT_FALSE(wait([&] { return !events("workerSilent").empty(); }, 800ms));
  EXPECT_TRUE(happens("workerSilent"));
}

TEST_F(EvidenceTest, TimeInWhichTheSupervisorDidNotRun_IsNobodysStandstill) {
  ::setenv("FAKE_PROXY", "inside", 1);
  only_pool().hang.after = 2500ms;
  begin_ready();
  ASSERT_TRUE(wait([&] { return worker().in_flight > 0; }));
  EXPECT_FALSE(wait([&] { return !events("workerHung").empty(); }, 1400ms));
  freeze(2700ms);
  EXPECT_FALSE(wait([&] { return !events("workerHung").empty(); }, 800ms));
  EXPECT_TRUE(happens("workerHung"));
}

TEST_F(EvidenceTest, WatchdogTrigger_CountsAsAFailedProbe) {
  config::Pool& pool = only_pool();
  pool.health.fall = 1;
  pool.health.interval = 60s;
  begin_ready();
  ask_worker("/say/WATCHDOG=trigger");
  EXPECT_TRUE(wait([&] { return worker().health == Health::failing; }));
  EXPECT_EQ(events("workerHealth").size(), 1U);
}

}  // namespace
}  // namespace drover::backends
