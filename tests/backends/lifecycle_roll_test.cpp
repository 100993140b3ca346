// Rolling restarts and scaling.
#include "lifecycle_story.hpp"

#include <gtest/gtest.h>

namespace drover::backends {
namespace {

using Phase = Roll::Phase;

TEST(Roll, WithSurge_NeverFewerServe_OneSlotAfterTheOther) {
  Surging story(3);
  story.begin_ready();
  ASSERT_TRUE(story.roll());
  for (std::uint32_t slot = 1; slot <= 3; ++slot) {
    EXPECT_EQ(story.roll_now().done, slot - 1);
    ASSERT_TRUE(story.has_successor(slot));
    for (std::uint32_t other = slot + 1; other <= 3; ++other) EXPECT_FALSE(story.has_successor(other));
    EXPECT_EQ(story.eligible_slots(), 3U);
    story.say_of(slot, 2, EventType::probe_passed);
    EXPECT_EQ(story.eligible_slots(), 3U);
  }
  EXPECT_EQ(story.roll_now().phase, Phase::done) << "old ones may still drain";
  EXPECT_EQ(story.roll_now().done, 3U);
  EXPECT_EQ(story.roll_now().total, 3U);
}

TEST(Roll, OfOneWorker_LeavesNoGap) {
  Surging story;
  story.begin_ready();
  for (std::uint64_t number = 1; number <= 20; ++number) {
    ASSERT_TRUE(story.roll());
    EXPECT_EQ(story.roll_now().number, number);
    EXPECT_EQ(story.eligible_slots(), 1U);
    story.succeeds(1);
    EXPECT_EQ(story.eligible_slots(), 1U);
    EXPECT_EQ(story.roll_now().phase, Phase::done);
  }
}

TEST(Roll, MaxSurge_IsHowManyStartAtATime) {
  Surging story(5);
  story.config.rolling.max_surge = 2;
  story.begin_ready();
  story.roll();
  EXPECT_TRUE(story.has_successor(1));
  EXPECT_TRUE(story.has_successor(2));
  EXPECT_FALSE(story.has_successor(3));
  story.succeeds(2);
  EXPECT_TRUE(story.has_successor(3));
  EXPECT_FALSE(story.has_successor(4));
}

TEST(Roll, WithoutSurge_IsInPlace_UpToMaxUnavailable) {
  Story story(4);
  story.config.rolling.max_unavailable = 2;
  story.begin_ready();
  story.roll();
  EXPECT_EQ(story.eligible_slots(), 2U);
  story.comes_back(1);
  EXPECT_EQ(story.at(3).lifecycle, Lifecycle::draining);
  EXPECT_EQ(story.eligible_slots(), 2U);
  for (const std::uint32_t slot : {2U, 3U, 4U}) story.comes_back(slot);
  EXPECT_EQ(story.roll_now().phase, Phase::done);
  EXPECT_EQ(story.eligible_slots(), 4U);
}

TEST(Roll, SurgeAndUnavailable_WorkTogether) {
  Surging story(4);
  story.config.rolling.max_unavailable = 1;
  story.begin_ready();
  story.roll();
  EXPECT_TRUE(story.has_successor(1));
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::draining);
  EXPECT_EQ(story.at(3).lifecycle, Lifecycle::running);
  EXPECT_EQ(story.eligible_slots(), 3U);
}

TEST(Roll, InPlace_WaitsWhileAnotherIsMissing) {
  Story story(3);
  story.begin_ready();
  story.roll();
  story.comes_back(1);
  ASSERT_EQ(story.at(2).lifecycle, Lifecycle::draining);
  story.say(1, EventType::suspected);
  story.comes_back(2);
  EXPECT_EQ(story.at(3).lifecycle, Lifecycle::running);
  story.say(1, EventType::cleared);
  EXPECT_EQ(story.at(3).lifecycle, Lifecycle::draining);
}

TEST(Roll, ThatCannotGoOn_Fails_AndNamesWhoIsMissing) {
  Story story(3);
  story.begin_ready();
  story.roll();
  story.comes_back(1);
  story.say(1, EventType::declined);
  story.comes_back(2);
  story.pass(30s);
  EXPECT_EQ(story.roll_now().phase, Phase::running);
  story.pass(10min);
  EXPECT_EQ(story.roll_now().phase, Phase::failed);
  EXPECT_EQ(story.roll_now().failed_slot, 1U);
  EXPECT_EQ(story.at(3).incarnation, 1U);
}

TEST(Roll, Order_IsBySlot_ByAge_OrBySize) {
  for (const auto order : {config::RollOrder::slot, config::RollOrder::oldest, config::RollOrder::largest}) {
    Surging story(3);
    story.config.rolling.order = order;
    story.begin_ready();
    story.say(1, EventType::exited, Cause::outside_signal);
    story.pass(2s);
    story.say(1, EventType::probe_passed);  // the youngest
    const std::uint64_t sizes[] = {20, 10, 30};
    for (std::uint32_t slot = 1; slot <= 3; ++slot) story.control->set_memory(slot, sizes[slot - 1]);
    story.roll();
    const std::uint32_t first = order == config::RollOrder::slot ? 1 : order == config::RollOrder::oldest ? 2 : 3;
    for (std::uint32_t slot = 1; slot <= 3; ++slot) EXPECT_EQ(story.has_successor(slot), slot == first);
  }
}

TEST(Roll, WhoServesNobody_ComesFirst_InPlace_WithAFreshRecord) {
  Surging story(3);
  story.config.restart.max = 1;
  story.begin_ready();
  for (int i = 0; i < 2; ++i) {
    story.say(3, EventType::exited, Cause::exit_nonzero);
    if (i == 0) story.pass(2s);
  }
  ASSERT_EQ(story.at(3).lifecycle, Lifecycle::failed);
  story.roll();
  EXPECT_EQ(story.at(3).lifecycle, Lifecycle::starting);
  EXPECT_TRUE(story.at(3).history.counted.empty());
  EXPECT_FALSE(story.has_successor(1));
  story.say(3, EventType::probe_passed);
  EXPECT_TRUE(story.has_successor(1));
}

TEST(Roll, SuccessorThatFails_StopsIt_AndTheOldOnesStay) {
  Surging story(4);
  story.config.rolling.max_surge = 2;
  story.begin_ready();
  story.roll();
  story.say_of(2, 2, EventType::exited, Cause::exit_nonzero);
  EXPECT_EQ(story.roll_now().phase, Phase::failed);
  EXPECT_EQ(story.roll_now().failed_slot, 2U);
  EXPECT_EQ(story.roll_now().failed_incarnation, 2U);
  EXPECT_EQ(story.roll_now().done, 0U);
  EXPECT_EQ(story.roll_now().ended, story.now);
  EXPECT_EQ(story.eligible_slots(), 4U);
  for (std::uint32_t slot = 1; slot <= 4; ++slot) {
    EXPECT_EQ(story.at(slot).incarnation, 1U);
    EXPECT_FALSE(story.has_successor(slot));
    EXPECT_EQ(story.control->asked(slot), Why::none);
  }
  story.say_of(1, 2, EventType::exited);
  story.pass(1h);
  EXPECT_FALSE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.roll()) << "and may be tried again";
  EXPECT_TRUE(story.has_successor(1));
}

TEST(Roll, InPlaceOneThatDiesBeforeReady_StopsIt) {
  Story story(3);
  story.begin_ready();
  story.roll();
  story.leaves(1, 1);
  story.say(1, EventType::exited, Cause::exit_nonzero);
  EXPECT_EQ(story.roll_now().phase, Phase::failed);
  EXPECT_EQ(story.roll_now().failed_slot, 1U);
  EXPECT_EQ(story.roll_now().failed_incarnation, 2U);
  EXPECT_EQ(story.at(1).lifecycle, Lifecycle::backoff) << "the restart policy goes on with it";
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::running);
}

TEST(Roll, InPlaceOneThatIsNeverReady_StopsIt) {
  Story story(2);
  story.begin_ready();
  story.roll();
  story.leaves(1, 1);
  story.pass(30s);
  EXPECT_EQ(story.roll_now().phase, Phase::failed);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::running);
}

TEST(Roll, Soak_HoldsBackTheNext_AlsoInPlace) {
  Story story(2);
  story.config.rolling.soak = 5s;
  story.begin_ready();
  story.roll();
  story.comes_back(1);
  story.pass(4s);
  EXPECT_EQ(story.roll_now().done, 0U);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::running);
  story.pass(1s);
  EXPECT_EQ(story.roll_now().done, 1U);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::draining);
}

TEST(Roll, OldOneThatDiesMeanwhile_IsReplacedByThat) {
  Surging story(2);
  story.begin_ready();
  story.roll();
  story.say(1, EventType::exited, Cause::outside_signal);
  EXPECT_EQ(story.at(1).incarnation, 2U);
  EXPECT_EQ(story.roll_now().phase, Phase::running);
  story.say(1, EventType::probe_passed);
  EXPECT_EQ(story.roll_now().done, 1U);
  EXPECT_TRUE(story.has_successor(2));
}

TEST(Roll, OnlyWhatCannotWait_ComesBetween) {
  Surging story(4);
  story.begin_ready();
  story.roll();
  story.ask(2, Why::silent);
  story.ask(3, Why::memory);
  EXPECT_FALSE(story.has_successor(2));
  story.say(4, EventType::hung);
  EXPECT_EQ(story.at(4).lifecycle, Lifecycle::stopping);
  story.succeeds(1);
  story.say(4, EventType::exited);
  story.say(4, EventType::probe_passed);
  story.succeeds(2);
  story.succeeds(3);
  EXPECT_EQ(story.roll_now().phase, Phase::done);
  EXPECT_EQ(story.at(4).incarnation, 2U) << "replaced once: it is new";
}

TEST(Roll, SlotThatIsDrainedOrScaledAway_LeavesIt) {
  Surging story(3);
  story.begin_ready();
  story.roll();
  story.say(1, EventType::drain);
  EXPECT_EQ(story.roll_now().total, 2U);
  EXPECT_TRUE(story.has_successor(2)) << "its turn is passed on";
  story.scale(2);
  EXPECT_EQ(story.roll_now().total, 1U);
  story.succeeds(2);
  EXPECT_EQ(story.roll_now().phase, Phase::done);
}

TEST(Roll, OneAtATime_AndNoneOfNothing) {
  Surging story(2);
  story.begin_ready();
  ASSERT_TRUE(story.roll());
  EXPECT_FALSE(story.roll());
  EXPECT_EQ(story.roll_now().number, 1U);
  Surging drained;
  drained.begin_ready();
  drained.say(1, EventType::drain);
  drained.leaves(1, 1);
  EXPECT_FALSE(drained.roll());
  EXPECT_EQ(drained.roll_now().phase, Phase::none);
}

TEST(Roll, SuccessorOfBeforeIt_IsOfYesterday) {
  Surging story;
  story.begin_ready();
  story.ask(1, Why::by_operator);
  story.roll();
  story.succeeds(1);
  EXPECT_EQ(story.at().incarnation, 2U);
  EXPECT_EQ(story.roll_now().phase, Phase::running);
  story.succeeds(1);
  EXPECT_EQ(story.at().incarnation, 3U);
  EXPECT_EQ(story.roll_now().phase, Phase::done);
}

TEST(Roll, Ends_WhenThePoolStops) {
  Surging story(2);
  story.begin_ready();
  story.roll();
  story.say(1, EventType::stop);
  EXPECT_EQ(story.roll_now().phase, Phase::failed);
  EXPECT_EQ(story.roll_now().failed_slot, 0U);
  story.say(2, EventType::stop);
  EXPECT_FALSE(story.roll());
}

TEST(Scale, Up_StartsNewSlots) {
  Surging story(1);
  story.begin_ready();
  story.scale(3);
  EXPECT_EQ(story.control->size(), 3U);
  EXPECT_EQ(story.control->desired(), 3U);
  for (const std::uint32_t slot : {2U, 3U}) EXPECT_EQ(story.at(slot).lifecycle, Lifecycle::starting);
  EXPECT_NE(story.at(2).seed, story.at(3).seed);
  EXPECT_EQ(story.control->expected(story.now), 2U);
}

TEST(Scale, NotBeyondItsCapacity) {
  Surging story(1);
  story.begin_ready();
  story.scale(1000);
  EXPECT_EQ(story.control->desired(), story.capacity);
  EXPECT_EQ(story.control->size(), story.capacity);
}

TEST(Scale, Down_DrainsTheHighestSlots) {
  Surging story(4);
  story.begin_ready();
  story.say(4, EventType::replace);
  story.scale(2);
  EXPECT_FALSE(story.has_successor(4));
  for (const std::uint32_t slot : {1U, 2U}) EXPECT_TRUE(eligible(story.at(slot)));
  for (const std::uint32_t slot : {3U, 4U}) EXPECT_EQ(story.at(slot).lifecycle, Lifecycle::draining);
  story.leaves(3, 1);
  story.leaves(4, 1);
  story.leaves(4, 2);
  story.pass(1h);
  for (const std::uint32_t slot : {3U, 4U}) EXPECT_EQ(story.at(slot).lifecycle, Lifecycle::stopped);
  EXPECT_EQ(story.control->expected(story.now), 0U);
}

TEST(Scale, ToNothing_AndBack) {
  Surging story(2);
  story.begin_ready();
  story.scale(0);
  EXPECT_FALSE(story.control->any_eligible());
  EXPECT_FALSE(story.control->given_up());
  EXPECT_FALSE(story.roll());
  for (const std::uint32_t slot : {1U, 2U}) story.leaves(slot, 1);
  EXPECT_TRUE(story.control->stopped());
  story.scale(1);
  EXPECT_EQ(story.at(1).lifecycle, Lifecycle::starting);
  EXPECT_EQ(story.control->expected(story.now), 1U);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::stopped);
}

TEST(Scale, WantedAgainWhileItLeaves_StartsAnewWhenGone) {
  Surging story(2);
  story.begin_ready();
  story.scale(1);
  story.scale(2);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::draining);
  EXPECT_EQ(story.control->expected(story.now), 1U);
  story.comes_back(2);
  EXPECT_EQ(story.at(2).incarnation, 2U);
  EXPECT_TRUE(eligible(story.at(2)));
}

TEST(Scale, RespectsTheOperatorsDrain) {
  Surging story(2);
  story.begin_ready();
  story.say(2, EventType::drain);
  story.scale(1);
  story.leaves(2, 1);
  story.say(2, EventType::resume);
  EXPECT_FALSE(story.did(EffectType::spawn)) << "not wanted";
  story.say(2, EventType::drain);
  story.scale(2);
  EXPECT_EQ(story.at(2).lifecycle, Lifecycle::stopped) << "wanted, but drained";
  story.say(2, EventType::resume);
  EXPECT_TRUE(story.did(EffectType::spawn));
}

TEST(Scale, SlotsNotWanted_AreAskedForNothing) {
  Surging story(2);
  story.begin_ready();
  story.scale(1);
  story.leaves(2, 1);
  story.say(2, EventType::start);
  story.ask(2, Why::by_operator);
  EXPECT_TRUE(story.last.empty());
  story.roll();
  EXPECT_EQ(story.roll_now().total, 1U);
}

TEST(Scale, OfAPoolThatStops_ChangesNothing) {
  Surging story(2);
  story.begin_ready();
  for (const std::uint32_t slot : {1U, 2U}) story.say(slot, EventType::stop);
  story.scale(4);
  EXPECT_TRUE(story.last.empty());
  EXPECT_EQ(story.control->size(), 2U);
}

}  // namespace
}  // namespace drover::backends
