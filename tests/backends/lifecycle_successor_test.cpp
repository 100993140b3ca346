// Replacement with a successor: who serves when, who stays when it fails, and in whose turn.
#include "lifecycle_story.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace drover::backends {
namespace {

TEST(Successor, GateOpens_BeforeTheOldOneCloses) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  EXPECT_TRUE(story.place_of(EffectType::spawn, 2));
  EXPECT_TRUE(story.told(Notice::superseding, 1));
  EXPECT_TRUE(eligible(story.at())) << "the old one serves until then";
  EXPECT_EQ(story.control->asked(1), Why::by_operator);
  story.say_of(1, 2, EventType::probe_passed);
  const auto opened = story.place_of(EffectType::open_gate, 2);
  const auto closed = story.place_of(EffectType::close_gate, 1);
  ASSERT_TRUE(opened && closed);
  EXPECT_LT(*opened, *closed);
  EXPECT_TRUE(story.told(Notice::promoted, 2));
  EXPECT_EQ(story.at().incarnation, 2U);
  EXPECT_EQ(story.at().restarts, 1U);
  EXPECT_FALSE(story.at().successor);
  EXPECT_EQ(story.control->asked(1), Why::none);
}

TEST(Successor, OldOneDrains_IsStopped_IsForgotten) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::probe_passed);
  ASSERT_EQ(story.leavers(), 1U);
  ASSERT_NE(story.control->find(1, 1), nullptr);
  EXPECT_EQ(story.control->find(1, 1)->lifecycle, Lifecycle::draining);
  story.say_of(1, 1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  story.say_of(1, 1, EventType::exited);
  EXPECT_TRUE(story.place_of(EffectType::release, 1));
  EXPECT_FALSE(story.did(EffectType::spawn));
  EXPECT_EQ(story.leavers(), 0U);
  EXPECT_EQ(story.control->find(1, 1), nullptr);
  story.say_of(1, 1, EventType::exited);
  EXPECT_TRUE(story.last.empty()) << "nobody knows it any more";
}

TEST(Successor, LeaverThatDoesNotEnd_IsKilled) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::probe_passed);
  story.pass(10s);
  EXPECT_TRUE(story.place_of(EffectType::signal_main, 1));
  story.pass(10s);
  EXPECT_TRUE(story.place_of(EffectType::signal_tree, 1));
}

TEST(Successor, ServesWhileItSoaks_AndTheOldOneStaysUntilThen) {
  Surging story;
  story.config.rolling.soak = 5s;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::probe_passed);
  EXPECT_TRUE(story.place_of(EffectType::open_gate, 2));
  story.pass(4999ms);
  EXPECT_EQ(story.at().incarnation, 1U);
  EXPECT_TRUE(eligible(story.at()));
  EXPECT_EQ(story.control->next_tick(), story.now + 1ms);
  story.pass(1ms);
  EXPECT_EQ(story.at().incarnation, 2U);
}

TEST(Successor, HeldBackWhileItSoaks_BeginsItsSoakAgain) {
  Surging story;
  story.config.rolling.soak = 5s;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::probe_passed);
  story.pass(4s);
  story.say_of(1, 2, EventType::suspected);
  story.pass(2s);
  story.say_of(1, 2, EventType::cleared);
  story.pass(4s);
  EXPECT_EQ(story.at().incarnation, 1U);
  story.pass(1s);
  EXPECT_EQ(story.at().incarnation, 2U);
}

TEST(Successor, HeldBackForGood_Fails) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::declined);
  story.say_of(1, 2, EventType::probe_passed);
  EXPECT_EQ(story.at().incarnation, 1U) << "ready, but it wants no work";
  story.pass(story.config.ready.timeout);
  EXPECT_TRUE(story.told(Notice::successor_failed, 2));
  EXPECT_TRUE(eligible(story.at()));
}

TEST(Successor, ThatDies_LeavesTheOldOneUntouched) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::exited, Cause::exit_nonzero);
  EXPECT_TRUE(story.told(Notice::successor_failed, 2));
  EXPECT_TRUE(story.place_of(EffectType::release, 2));
  EXPECT_FALSE(story.place_of(EffectType::close_gate, 1));
  EXPECT_TRUE(eligible(story.at()));
  EXPECT_TRUE(story.at().history.counted.empty()) << "not the serving one's record";
  EXPECT_FALSE(story.has_successor());
  EXPECT_EQ(story.leavers(), 0U);
  EXPECT_EQ(story.control->asked(1), Why::none);
}

TEST(Successor, ThatCannotBeStarted_IsReleasedAndForgotten) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::spawn_failed, Cause::spawn_failed);
  EXPECT_TRUE(story.place_of(EffectType::release, 2));
  EXPECT_TRUE(story.told(Notice::successor_failed, 2));
  EXPECT_FALSE(story.has_successor());
}

TEST(Successor, NeverReady_IsStopped) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.pass(30s);
  EXPECT_TRUE(story.told(Notice::never_ready, 2));
  EXPECT_TRUE(story.told(Notice::successor_failed, 2));
  EXPECT_TRUE(story.place_of(EffectType::signal_main, 2));
  EXPECT_TRUE(eligible(story.at()));
  ASSERT_EQ(story.leavers(), 1U);
  story.say_of(1, 2, EventType::exited);
  EXPECT_EQ(story.leavers(), 0U);
  EXPECT_FALSE(story.did(EffectType::spawn));
}

TEST(Successor, FailingWhileItSoaks_IsSuperseded) {
  Surging story;
  story.config.rolling.soak = 1h;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::probe_passed);
  for (int i = 0; i < 3; ++i) story.say_of(1, 2, EventType::probe_failed);
  EXPECT_TRUE(story.told(Notice::successor_failed, 2));
  EXPECT_EQ(story.at().incarnation, 1U);
  EXPECT_EQ(story.control->find(1, 2)->lifecycle, Lifecycle::draining) << "what it serves it may finish";
}

TEST(Successor, Number_IsNeverGivenTwice) {
  Surging story;
  story.begin_ready();
  story.ask(1, Why::by_operator);
  story.say_of(1, 2, EventType::exited, Cause::exit_nonzero);
  story.ask(1, Why::by_operator);
  EXPECT_EQ(story.successor(), 3U);
  story.say_of(1, 3, EventType::exited, Cause::exit_nonzero);
  story.say(1, EventType::exited, Cause::own_signal);
  story.pass(1100ms);
  EXPECT_EQ(story.at().incarnation, 4U);
}

TEST(Successor, AfterAFailure_TheNextWaitsEverLonger_ButNotForTheOperator) {
  Surging story;
  story.begin_ready();
  story.ask(1, Why::memory);
  for (const auto least : {900ms, 1800ms, 3600ms}) {
    ASSERT_TRUE(story.has_successor());
    story.say_of(1, story.successor(), EventType::exited, Cause::exit_nonzero);
    story.ask(1, Why::memory);
    story.pass(least - 1ms);
    EXPECT_FALSE(story.has_successor());
    EXPECT_EQ(story.control->asked(1), Why::memory);
    story.pass(least / 4);
  }
  ASSERT_TRUE(story.has_successor());
  story.say_of(1, story.successor(), EventType::exited, Cause::exit_nonzero);
  story.ask(1, Why::by_operator);
  EXPECT_TRUE(story.has_successor());
}

TEST(Successor, ThatLostItsPort_IsFollowedByAnotherAtOnce) {
  Surging story;
  story.begin_ready();
  story.roll();
  story.say_of(1, 2, EventType::exited, Cause::port_taken);
  EXPECT_EQ(story.roll_now().phase, Roll::Phase::running);
  EXPECT_EQ(story.successor(), 3U);
  for (base::Incarnation i = 3; i <= 2 + kPortsLostInRow; ++i) story.say_of(1, i, EventType::exited, Cause::port_taken);
  EXPECT_EQ(story.roll_now().phase, Roll::Phase::failed) << "so often it is no accident";
}

TEST(Successor, TakesTheSeatAtOnce_WhenTheOldOneDies) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say(1, EventType::exited, Cause::own_signal);
  EXPECT_EQ(story.at().incarnation, 2U);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::starting);
  EXPECT_EQ(story.at().history.counted.size(), 1U) << "the death is on the slot's record";
  EXPECT_FALSE(story.did(EffectType::spawn)) << "its next life is under way";
  EXPECT_EQ(story.control->expected(story.now), 1U);
  story.pass(1h);
  story.say(1, EventType::exited, Cause::exit_nonzero);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::backoff) << "from now on the restart policy has it";
}

TEST(Successor, TakesTheSeat_BesideWhatTheDeadOneLeft) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say(1, EventType::exited, Cause::own_signal, true);
  EXPECT_EQ(story.at().incarnation, 2U);
  EXPECT_EQ(story.at().history.counted.size(), 1U);
  ASSERT_EQ(story.leavers(), 1U);
  EXPECT_TRUE(story.place_of(EffectType::signal_tree, 1));
  story.say_of(1, 1, EventType::tree_gone);
  EXPECT_EQ(story.leavers(), 0U);
  EXPECT_FALSE(story.did(EffectType::spawn));
}

TEST(Successor, IsSuperseded_WhenTheOperatorDrainsTheSlot) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say(1, EventType::drain);
  EXPECT_FALSE(story.has_successor());
  EXPECT_TRUE(story.place_of(EffectType::signal_main, 2));
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
  story.leaves(1, 1);
  story.say_of(1, 2, EventType::exited);
  EXPECT_TRUE(story.control->stopped());
  story.say(1, EventType::resume);
  EXPECT_EQ(story.at().incarnation, 3U);
}

TEST(Successor, StopAndKill_ReachEveryLife) {
  for (const EventType how : {EventType::stop, EventType::kill}) {
    Surging story;
    story.begin_ready();
    story.say(1, EventType::replace);
    story.say_of(1, 2, EventType::probe_passed);
    story.say(1, EventType::replace);
    ASSERT_TRUE(story.has_successor());
    ASSERT_EQ(story.leavers(), 1U);
    story.say(1, how);
    if (how == EventType::kill) {
      for (const base::Incarnation each : {1U, 2U, 3U}) EXPECT_TRUE(story.place_of(EffectType::signal_tree, each)) << each;
    }
    EXPECT_FALSE(story.control->stopped());
    for (const base::Incarnation each : {1U, 2U, 3U}) story.leaves(1, each);
    EXPECT_TRUE(story.control->stopped());
  }
}

TEST(Successor, NoneIsStarted_WhileTwoOldOnesStillLeave) {
  Surging story;
  story.begin_ready();
  for (base::Incarnation i = 2; i <= 3; ++i) {
    story.say(1, EventType::replace);
    story.say_of(1, i, EventType::probe_passed);
  }
  EXPECT_EQ(story.leavers(), PoolControl::kMaxLeavers);
  story.say(1, EventType::replace);
  EXPECT_FALSE(story.has_successor());
  story.leaves(1, 1);
  EXPECT_TRUE(story.has_successor());
}

TEST(Successor, NoneIsStarted_WithoutARowForIt) {
  Surging story(2);
  story.capacity = 2;
  story.rows = 4;
  story.begin_ready();
  story.say(1, EventType::replace);
  ASSERT_TRUE(story.has_successor());
  story.say_of(1, 2, EventType::probe_passed);
  story.say(2, EventType::replace);
  EXPECT_FALSE(story.has_successor(2)) << "the row is the leaver's still";
  story.leaves(1, 1);
  EXPECT_TRUE(story.has_successor(2));
}

TEST(Successor, IsCountedAsHope_WhenTheOldOneServesNobody) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  EXPECT_EQ(story.control->expected(story.now), 0U);
  story.say(1, EventType::suspected);
  EXPECT_EQ(story.control->expected(story.now), 1U);
  EXPECT_FALSE(story.control->any_eligible());
}

TEST(Replacement, OneAtATime_ByUrgency) {
  Surging story(3);
  story.begin_ready();
  story.ask(1, Why::requests);
  ASSERT_TRUE(story.has_successor(1));
  story.ask(2, Why::age);
  story.ask(3, Why::silent);
  EXPECT_FALSE(story.has_successor(2));
  EXPECT_FALSE(story.has_successor(3));
  story.say_of(1, 2, EventType::probe_passed);
  EXPECT_TRUE(story.has_successor(3)) << "the most urgent";
  EXPECT_FALSE(story.has_successor(2));
  story.say_of(3, 2, EventType::probe_passed);
  EXPECT_TRUE(story.has_successor(2));
}

TEST(Replacement, LaterReason_OverridesAnEarlier_NeverTheOtherWay) {
  Surging story(2);
  story.begin_ready();
  story.ask(1, Why::by_operator);
  story.ask(2, Why::memory);
  story.ask(2, Why::by_operator);
  story.ask(2, Why::requests);
  EXPECT_EQ(story.control->asked(2), Why::by_operator);
}

TEST(Replacement, OfAnotherIncarnation_IsNothing) {
  Surging story;
  story.begin_ready();
  for (const base::Incarnation other : {0U, 2U}) {
    story.last.clear();
    story.control->ask(1, other, Why::hung, story.now, story.last);
    EXPECT_TRUE(story.last.empty());
  }
  EXPECT_EQ(story.control->asked(1), Why::none);
}

TEST(Replacement, Recycling_WaitsWhileRequestsWait_HardLimitsDoNot) {
  Surging story;
  story.begin_ready();
  story.control->set_queue_waiting(true);
  for (const Why why : {Why::requests, Why::age, Why::memory}) {
    story.ask(1, why);
    EXPECT_FALSE(story.has_successor()) << to_text(why);
    EXPECT_EQ(story.control->asked(1), why);
  }
  story.control->set_queue_waiting(false);
  story.pass(0ms);
  EXPECT_TRUE(story.has_successor());
  story.control->set_queue_waiting(true);
  story.ask(1, Why::hard_memory);
  EXPECT_FALSE(eligible(story.control->slot(1))) << "at once";
}

TEST(Replacement, HardMemory_IsInPlace_WhoeverElseIsMissing) {
  Surging story(3);
  story.begin_ready();
  story.ask(1, Why::by_operator);
  story.ask(2, Why::hard_memory);
  story.ask(3, Why::hard_memory);
  for (const std::uint32_t slot : {2U, 3U}) {
    EXPECT_EQ(story.at(slot).lifecycle, Lifecycle::draining);
    EXPECT_FALSE(story.has_successor(slot));
  }
}

TEST(Replacement, HungBesideItsSuccessor_LeavesTheSeatToIt) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say(1, EventType::hung);
  EXPECT_EQ(story.at().incarnation, 2U);
  ASSERT_EQ(story.leavers(), 1U);
  EXPECT_TRUE(story.control->leavers(1)[0].diagnosing);
  story.pass(kDiagnosis);
  EXPECT_TRUE(story.place_of(EffectType::signal_main, 1));
  story.say_of(1, 1, EventType::exited);
  EXPECT_FALSE(story.did(EffectType::spawn));
}

TEST(Replacement, OfOneThatServesNobody_IsInPlace) {
  Surging story;
  story.begin_ready();
  story.say(1, EventType::ejected);
  story.say(1, EventType::replace);
  EXPECT_FALSE(story.has_successor());
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
}

TEST(Replacement, FailingThatRecovers_IsNotReplacedLater) {
  Story story(2);
  story.begin_ready();
  story.ask(1, Why::by_operator);
  ASSERT_EQ(story.at(1).lifecycle, Lifecycle::draining);
  for (int i = 0; i < 3; ++i) story.say(2, EventType::probe_failed);
  story.pass(60s);
  for (int i = 0; i < 2; ++i) story.say(2, EventType::probe_passed);
  story.comes_back(1);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::running);
  EXPECT_EQ(story.control->asked(2), Why::none);
}

}  // namespace
}  // namespace drover::backends
