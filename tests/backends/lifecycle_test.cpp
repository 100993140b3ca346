// Stories of a slot and of a pool, told through the pure control side with a clock of the test's own.
#include "lifecycle_story.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

TEST(Slot, Start_Probes_Ready_OpensTheGate) {
  Story story;
  story.begin();
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_EQ(story.at().lifecycle, Lifecycle::starting);
  story.pass(kFirstProbe);
  EXPECT_TRUE(story.did(EffectType::probe));
  story.pass(kReadyProbeEvery);
  EXPECT_FALSE(story.did(EffectType::probe)) << "one probe at a time";
  story.say(1, EventType::probe_failed);
  story.pass(kReadyProbeEvery);
  EXPECT_TRUE(story.did(EffectType::probe));
  story.say(1, EventType::probe_passed);
  EXPECT_TRUE(story.did(EffectType::open_gate));
  EXPECT_EQ(story.at().health, Health::passing);
  EXPECT_TRUE(eligible(story.at()));
}

TEST(Slot, NeverReady_IsStoppedAndCounted) {
  Story story;
  story.begin();
  story.pass(30s);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
  story.say(1, EventType::exited, Cause::outside_signal);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::backoff);
  EXPECT_EQ(story.at().history.counted.size(), 1U);
  EXPECT_EQ(story.at().last_death, Cause::never_ready);
  story.pass(1100ms);
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_EQ(story.at().incarnation, 2U);
}

TEST(Slot, Failing_ClosesTheGate_AndRiseReopensIt) {
  Story story;
  story.begin_ready();
  for (int i = 0; i < 2; ++i) story.say(1, EventType::probe_failed);
  EXPECT_TRUE(eligible(story.at()));
  story.say(1, EventType::probe_failed);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  story.say(1, EventType::probe_passed);
  EXPECT_FALSE(eligible(story.at()));
  story.say(1, EventType::probe_failed);
  story.say(1, EventType::probe_passed);
  EXPECT_FALSE(eligible(story.at())) << "rise counts in a row";
  story.say(1, EventType::probe_passed);
  EXPECT_TRUE(story.did(EffectType::open_gate));
}

TEST(Slot, Fresh_ItsShareGrowsAlongSlowStart) {
  Story story;
  story.config.slow_start = 10s;
  const auto share = [&](base::Millis after) { return warm_share(story.at(), story.now + after, story.config); };
  story.begin();
  EXPECT_EQ(share(0s), kWholeShare) << "it gets nothing yet: there is nothing to grow";
  story.pass(5s);
  story.say(1, EventType::probe_passed);
  EXPECT_EQ(share(0s), kFreshShare);
  EXPECT_EQ(share(1s), 10U) << "never less than a tenth";
  EXPECT_EQ(share(5s), 50U);
  EXPECT_EQ(share(9999ms), 99U);
  EXPECT_EQ(share(10s), 100U);
  EXPECT_EQ(share(1h), 100U);
  ASSERT_TRUE(warm_at(story.at(), story.now, story.config));
  EXPECT_EQ(*warm_at(story.at(), story.now, story.config), story.now + 10s);
  EXPECT_FALSE(warm_at(story.at(), story.now + 10s, story.config));
}

TEST(Slot, Recovered_WarmsUpAgain_ContinuedDoesNot) {
  Story story;
  story.config.slow_start = 10s;
  story.begin_ready();
  const auto share = [&] { return warm_share(story.at(), story.now, story.config); };
  story.pass(20s);
  EXPECT_EQ(share(), 100U);
  story.say(1, EventType::paused);
  story.say(1, EventType::continued);
  EXPECT_EQ(share(), 100U) << "a signal has taken none of its warmth";
  story.say(1, EventType::ejected);
  story.say(1, EventType::admitted);
  EXPECT_EQ(share(), 10U);
  story.pass(4s);
  EXPECT_EQ(share(), 40U);
  for (int i = 0; i < 3; ++i) story.say(1, EventType::probe_failed);
  for (int i = 0; i < 2; ++i) story.say(1, EventType::probe_passed);
  ASSERT_TRUE(eligible(story.at()));
  EXPECT_EQ(share(), 10U);
  story.pass(20s);
  story.say(1, EventType::exited);
  story.pass(5s);
  ASSERT_EQ(story.at().incarnation, 2U);
  story.say(1, EventType::probe_passed);
  EXPECT_EQ(share(), 10U) << "a new life begins anew";
}

TEST(Slot, WithoutSlowStart_HasTheWholeAtOnce) {
  Story story;
  story.begin_ready();
  EXPECT_EQ(warm_share(story.at(), story.now, story.config), kWholeShare);
  EXPECT_FALSE(warm_at(story.at(), story.now, story.config));
}

TEST(Slot, Busy_IsNeutral) {
  Story story;
  story.begin_ready();
  for (int i = 0; i < 2; ++i) story.say(1, EventType::probe_failed);
  for (int i = 0; i < 100; ++i) story.say(1, EventType::probe_busy);
  EXPECT_TRUE(eligible(story.at()));
  story.say(1, EventType::probe_failed);
  EXPECT_FALSE(eligible(story.at()));
}

TEST(Slot, FailingForLong_DrainsThenStopsThenStartsAnew) {
  Story story;
  story.begin_ready();
  for (int i = 0; i < 3; ++i) story.say(1, EventType::probe_failed);
  story.pass(59s);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::running);
  story.pass(1s);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  story.say(1, EventType::exited);
  EXPECT_TRUE(story.did(EffectType::release));
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.at().history.counted.empty()) << "asked for, so not counted";
}

TEST(Slot, RestartAfterOff_NeverReplaces) {
  Story story;
  story.config.health.restart_after.reset();
  story.begin_ready();
  for (int i = 0; i < 3; ++i) story.say(1, EventType::probe_failed);
  story.pass(std::chrono::hours(24));
  EXPECT_EQ(story.at().lifecycle, Lifecycle::running);
}

TEST(Slot, StoppedProcess_ClosesItsGateAtOnce_ReopensOnContinue) {
  Story story;
  story.begin_ready();
  story.say(1, EventType::paused);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  story.say(1, EventType::continued);
  EXPECT_TRUE(story.did(EffectType::open_gate));
}

TEST(Slot, StoppingAStoppedProcess_WakesItToo) {
  Story story;
  story.begin_ready();
  story.say(1, EventType::paused);
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGCONT));
}

TEST(Slot, Stop_DrainsAtMostDrainHttp_ThenSignal_Grace_Kill) {
  Story story;
  story.config.stop.signal = SIGQUIT;
  story.begin_ready();
  story.say(1, EventType::stop);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGQUIT));
  story.pass(9999ms);
  EXPECT_FALSE(story.did(EffectType::signal_tree));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
  story.say(1, EventType::exited, Cause::outside_signal);
  EXPECT_TRUE(story.control->stopped());
}

TEST(Slot, WhatIsLeftOfTheTree_GetsTerm_WithinTheSameGrace) {
  Story story;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  story.now += 4s;
  story.say(1, EventType::exited, Cause::exit_zero, true);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGTERM));
  EXPECT_FALSE(story.control->stopped());
  story.pass(6s);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
  story.say(1, EventType::tree_gone);
  EXPECT_TRUE(story.did(EffectType::release));
  EXPECT_TRUE(story.control->stopped());
}

TEST(Slot, Leftovers_OfACrash_EndBeforeTheNextStart) {
  Story story;
  story.begin_ready();
  story.say(1, EventType::exited, Cause::own_signal, true);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGTERM));
  story.pass(kLeftoverGrace);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
  EXPECT_FALSE(story.did(EffectType::spawn));
  story.say(1, EventType::tree_gone);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::backoff);
}

TEST(Slot, LostPort_StartsAgainAtOnce_Uncounted) {
  Story story;
  story.begin();
  story.say(1, EventType::exited, Cause::port_taken);
  story.pass(0ms);
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.at().history.counted.empty());
}

TEST(Slot, DrainAndResume_AreTheOperatorsIntent) {
  Story story;
  story.begin_ready();
  story.say(1, EventType::drain);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
  story.say(1, EventType::resume);
  EXPECT_TRUE(story.did(EffectType::open_gate)) << "it had not left yet";
  story.say(1, EventType::drain);
  story.say(1, EventType::emptied);
  story.say(1, EventType::exited);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::stopped);
  story.pass(std::chrono::hours(1));
  EXPECT_EQ(story.at().lifecycle, Lifecycle::stopped);
  story.say(1, EventType::resume);
  EXPECT_TRUE(story.did(EffectType::spawn));
}

TEST(Slot, Expected_OnlyWhileAStartIsNear) {
  Story story;
  story.begin();
  EXPECT_EQ(story.control->expected(story.now), 1U);
  story.say(1, EventType::probe_passed);
  EXPECT_EQ(story.control->expected(story.now), 0U);
  story.say(1, EventType::exited, Cause::exit_nonzero);
  EXPECT_EQ(story.control->expected(story.now), 1U) << "1 s of back-off is within queue.wait";
  story.config.queue.wait = 100ms;
  EXPECT_EQ(story.control->expected(story.now), 0U);
}

TEST(Slot, RetryOfAFailedSlot_IsNoHope) {
  Story story;
  story.config.restart.max = 1;
  story.begin();
  for (int i = 0; i < 2; ++i) {
    story.say(1, EventType::exited, Cause::exit_nonzero);
    story.pass(30s);
  }
  EXPECT_EQ(story.at().lifecycle, Lifecycle::starting);
  EXPECT_EQ(story.control->expected(story.now), 0U);
}

TEST(Slot, EachFactThatHoldsItBack_ClosesTheGate_AndNothingElse) {
  const std::pair<EventType, EventType> facts[] = {{EventType::suspected, EventType::cleared},
                                                   {EventType::ejected, EventType::admitted},
                                                   {EventType::declined, EventType::accepted},
                                                   {EventType::paused, EventType::continued}};
  for (const auto& [begins, ends] : facts) {
    Story story;
    story.begin_ready();
    story.say(1, begins);
    EXPECT_TRUE(story.did(EffectType::close_gate));
    EXPECT_EQ(story.at().lifecycle, Lifecycle::running);
    EXPECT_EQ(story.at().health, Health::passing);
    story.say(1, begins);
    EXPECT_TRUE(story.last.empty()) << "said twice";
    story.say(1, ends);
    EXPECT_TRUE(story.did(EffectType::open_gate));
  }
}

TEST(Slot, WhatHeldItBack_EndsWithItsIncarnation) {
  Story story;
  story.begin_ready();
  for (const EventType fact : {EventType::suspected, EventType::ejected, EventType::declined}) story.say(1, fact);
  story.say(1, EventType::exited, Cause::own_signal);
  story.pass(1100ms);
  story.say(1, EventType::probe_passed);
  EXPECT_TRUE(eligible(story.at()));
}

TEST(Slot, WithReadyNotify_OnlyItsOwnWordMakesItReady) {
  Story story;
  story.config.ready.notify = true;
  story.begin();
  story.pass(29s);
  EXPECT_FALSE(story.did(EffectType::probe));
  story.say(1, EventType::probe_passed);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::starting);
  story.say(1, EventType::reported_ready);
  EXPECT_TRUE(story.did(EffectType::open_gate));
  story.pass(30s);
  EXPECT_TRUE(story.did(EffectType::probe)) << "from then on its health is probed";
}

TEST(Slot, WithoutReadyNotify_ItsWordBringsTheProbeForward) {
  Story story;
  story.begin();
  story.say(1, EventType::reported_ready);
  EXPECT_FALSE(story.did(EffectType::open_gate));
  story.pass(0ms);
  EXPECT_TRUE(story.did(EffectType::probe));
}

TEST(Slot, Hung_GetsTheDiagnosticSignal_ThenTheStop_ThenTheKill_AndStartsAnew) {
  Story story;
  story.config.hang.signal = SIGABRT;
  story.begin_ready();
  story.say(1, EventType::hung);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGABRT));
  EXPECT_FALSE(story.did(EffectType::signal_main, SIGTERM));
  EXPECT_EQ(story.control->asked(1), Why::hung);
  story.pass(kDiagnosis - 1ms);
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
  story.say(1, EventType::exited, Cause::outside_signal);
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.at().history.counted.empty());
  EXPECT_EQ(story.control->asked(1), Why::none);
}

TEST(Slot, HungAndDeadByItsDiagnosis_LeavesItsTreeTheWholeGrace) {
  Story story;
  story.begin_ready();
  story.say(1, EventType::hung);
  story.pass(500ms);
  story.say(1, EventType::exited, Cause::own_signal, true);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGTERM));
  story.pass(9999ms);
  EXPECT_FALSE(story.did(EffectType::signal_tree, SIGKILL));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
}

TEST(Pool, FailingWorkers_AreReplacedOneAtATime) {
  Story story(3);
  story.begin_ready();
  for (std::uint32_t slot = 1; slot <= 3; ++slot) {
    for (int i = 0; i < 3; ++i) story.say(slot, EventType::probe_failed);
  }
  story.pass(60s);
  EXPECT_EQ(story.at(1).lifecycle, Lifecycle::draining);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::running);
  story.say(1, EventType::emptied);
  story.say(1, EventType::exited);
  EXPECT_EQ(story.at(1).lifecycle, Lifecycle::starting);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::running);
  story.say(1, EventType::probe_passed);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::draining) << "the next only when the last is ready";
  EXPECT_EQ(story.at(3).lifecycle, Lifecycle::running);
}

TEST(Pool, ServingWorker_IsReplacedOnlyWhenNoOtherIsMissing) {
  Story story(2);
  story.begin_ready();
  story.say(2, EventType::exited, Cause::outside_signal);
  story.say(1, EventType::replace);
  EXPECT_EQ(story.at(1).lifecycle, Lifecycle::running);
  story.pass(2s);
  story.say(2, EventType::probe_passed);
  EXPECT_EQ(story.at(1).lifecycle, Lifecycle::draining);
}

TEST(Pool, GivenUp_OnlyWhenEverySlotIs) {
  Story story(2);
  story.config.restart.max = 1;
  story.config.restart.give_up = true;
  story.config.ready.timeout = std::chrono::hours(1);
  story.begin();
  for (std::uint32_t slot = 1; slot <= 2; ++slot) {
    for (int i = 0; i < 2; ++i) {
      EXPECT_FALSE(story.control->given_up());
      story.say(slot, EventType::exited, Cause::exit_nonzero);
      story.pass(30s);
    }
  }
  EXPECT_TRUE(story.control->given_up());
}

}  // namespace
}  // namespace drover::backends
