// Stories of Node workers: told over their channel to finish, or going of their own will.
#include "lifecycle_story.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

struct NodeStory : Story {
  explicit NodeStory(const char* mode = "cluster", std::uint32_t workers = 1) : Story(workers) { config.node = mode; }
};

struct NodeSurging : Surging {
  explicit NodeSurging(std::uint32_t workers = 1) : Surging(workers) { config.node = "cluster"; }
};

TEST(Farewell, ClusterWorker_IsToldWhenEmpty_ThenHasItsGrace_ThenSignal_ThenKill) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::stop);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  EXPECT_FALSE(story.did(EffectType::disconnect)) << "requests are inside";
  story.pass(9s);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::disconnect));
  EXPECT_FALSE(story.did(EffectType::signal_main));
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.last.empty()) << "it is told once";
  story.pass(9999ms);
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
}

TEST(Farewell, ObedientWorker_EndsWithoutASignal) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  story.say(1, EventType::disconnected);
  story.say(1, EventType::exited);
  EXPECT_FALSE(story.did(EffectType::signal_main));
  EXPECT_TRUE(story.did(EffectType::release));
  EXPECT_TRUE(story.control->stopped());
}

TEST(Farewell, DrainOver_IsSignalledWithoutBeingTold) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM)) << "what is inside would not let it finish";
  EXPECT_FALSE(story.did(EffectType::disconnect));
}

TEST(Farewell, ForkedWorker_HasASecond) {
  NodeStory story("fork");
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::disconnect));
  story.pass(kForkFarewell - 1ms);
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
}

TEST(Farewell, ClientsPastTheProxy_ItIsToldAtOnce_AndHasTheDrain) {
  for (const config::Dispatch dispatch : {config::Dispatch::handoff, config::Dispatch::shared}) {
    NodeStory story;
    story.config.dispatch = dispatch;
    story.begin_ready();
    story.say(1, EventType::stop);
    EXPECT_TRUE(story.did(EffectType::disconnect));
    EXPECT_LT(*story.place_of(EffectType::close_gate, 1), *story.place_of(EffectType::disconnect, 1));
    story.say(1, EventType::emptied);
    EXPECT_TRUE(story.last.empty()) << "drover sees nobody inside, which says nothing";
    story.pass(9999ms);
    EXPECT_FALSE(story.did(EffectType::signal_main));
    story.pass(1ms);
    EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  }
}

TEST(Farewell, ClusterWorkerThatClosedItsChannel_HasASecondLeft) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  story.pass(2s);
  story.say(1, EventType::disconnected);
  story.pass(kAfterDisconnect - 1ms);
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
}

TEST(Farewell, ClosedChannelLate_GivesNoMoreTime) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  story.pass(9500ms);
  story.say(1, EventType::disconnected);
  story.pass(500ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
}

TEST(Farewell, ForkedWorkersClosedChannel_SaysNothing) {
  NodeStory story("fork");
  story.config.dispatch = config::Dispatch::shared;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::disconnected);
  story.pass(9999ms);
  EXPECT_FALSE(story.did(EffectType::signal_main)) << "it was closed by us, and clients may be inside";
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
}

TEST(Farewell, ClosedChannelOfARunningWorker_ChangesNothing) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::disconnected);
  EXPECT_TRUE(story.last.empty());
  EXPECT_TRUE(eligible(story.at()));
}

TEST(Farewell, StoppedProcess_CannotHear_TheTimeEndsIt) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::paused);
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGCONT));
}

TEST(Farewell, Kill_WaitsForNobody) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  story.say(1, EventType::kill);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
}

TEST(Farewell, ResumedBeforeItWasTold_GoesOn_ResumedAfter_IsReplaced) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::drain);
  story.say(1, EventType::resume);
  EXPECT_TRUE(story.did(EffectType::open_gate));
  story.say(1, EventType::drain);
  story.say(1, EventType::emptied);
  story.say(1, EventType::resume);
  EXPECT_FALSE(story.did(EffectType::open_gate)) << "it closes its doors";
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
  story.say(1, EventType::exited);
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_FALSE(story.at().dismissed);
}

TEST(Farewell, OldIncarnation_IsToldBesideItsSuccessor) {
  NodeSurging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 2, EventType::probe_passed);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  story.say_of(1, 1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::disconnect));
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.say_of(1, 1, EventType::exited);
  EXPECT_EQ(story.leavers(), 0U);
  EXPECT_TRUE(eligible(story.at()));
}

TEST(OwnLeave, IsNoDeath_AndTheNextFollowsAtOnce) {
  NodeStory story;
  story.begin_ready();
  story.pass(1s);
  story.say(1, EventType::left);
  EXPECT_TRUE(story.did(EffectType::close_gate));
  EXPECT_FALSE(story.did(EffectType::disconnect)) << "it knows";
  EXPECT_EQ(story.at().lifecycle, Lifecycle::draining);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.last.empty());
  story.say(1, EventType::disconnected);
  story.say(1, EventType::exited);
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.at().history.counted.empty());
  EXPECT_EQ(story.at().restarts, 1U);
}

TEST(OwnLeave, HasDrainAndGrace_ThenSignal_ThenKill) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::left);
  story.pass(19999ms);
  EXPECT_FALSE(story.did(EffectType::signal_main));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM));
  story.pass(10s);
  EXPECT_TRUE(story.did(EffectType::signal_tree, SIGKILL));
  story.say(1, EventType::exited, Cause::outside_signal);
  EXPECT_TRUE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.at().history.counted.empty());
}

TEST(OwnLeave, AsItsFirstAct_IsNotFollowedSoonerThanRestartDelay) {
  NodeStory story;
  story.begin();
  story.pass(300ms);
  story.say(1, EventType::left);
  story.say(1, EventType::exited);
  EXPECT_FALSE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.at().history.counted.empty()) << "no death";
  story.pass(699ms);
  EXPECT_FALSE(story.did(EffectType::spawn));
  story.pass(1ms);
  EXPECT_TRUE(story.did(EffectType::spawn)) << "a second after the start of the last one";
}

TEST(OwnLeave, OfOneThatDrains_KeepsWhatFollows) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::drain);
  story.say(1, EventType::left);
  story.say(1, EventType::exited);
  EXPECT_EQ(story.at().lifecycle, Lifecycle::stopped);
  EXPECT_EQ(story.at().leaving, Leaving::drained);
}

TEST(OwnLeave, StoppedMeanwhile_IsNotFollowed) {
  NodeStory story;
  story.begin_ready();
  story.say(1, EventType::left);
  story.say(1, EventType::stop);
  story.say(1, EventType::exited);
  EXPECT_FALSE(story.did(EffectType::spawn));
  EXPECT_TRUE(story.control->stopped());
}

TEST(OwnLeave, OfASuccessor_IsAFailedSuccessor_TheOldOneStays) {
  for (const bool ready : {false, true}) {
    NodeSurging story;
    story.config.rolling.soak = 5s;
    story.begin_ready();
    story.say(1, EventType::replace);
    if (ready) story.say_of(1, 2, EventType::probe_passed);
    story.say_of(1, 2, EventType::left);
    EXPECT_TRUE(story.told(Notice::successor_failed, 2));
    EXPECT_FALSE(story.has_successor());
    EXPECT_EQ(story.leavers(), 1U);
    story.say_of(1, 2, EventType::exited);
    EXPECT_EQ(story.leavers(), 0U);
    EXPECT_EQ(story.at().incarnation, 1U);
    EXPECT_TRUE(eligible(story.at()));
  }
}

TEST(OwnLeave, OfTheOldOne_PutsItsSuccessorInThePlaceAtOnce) {
  NodeSurging story;
  story.begin_ready();
  story.say(1, EventType::replace);
  story.say_of(1, 1, EventType::left);
  EXPECT_TRUE(story.told(Notice::promoted, 2));
  EXPECT_EQ(story.at().incarnation, 2U);
  EXPECT_EQ(story.leavers(), 1U);
  story.say_of(1, 1, EventType::exited);
  EXPECT_FALSE(story.did(EffectType::spawn));
}

TEST(OwnLeave, WithoutANodeProgram_MeansNothing) {
  NodeStory story("off");
  story.begin_ready();
  story.say(1, EventType::left);
  EXPECT_TRUE(story.last.empty());
  story.say(1, EventType::stop);
  story.say(1, EventType::emptied);
  EXPECT_TRUE(story.did(EffectType::signal_main, SIGTERM)) << "nothing to say farewell with";
}

}  // namespace
}  // namespace drover::backends
