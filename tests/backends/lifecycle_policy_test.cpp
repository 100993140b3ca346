// The restart policy: what counts, what grows, when a slot is failed.
#include "backends/restart_policy.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;
using Then = RestartVerdict::Then;

struct Slot {
  config::Pool::Restart rule;
  RestartHistory history;
  base::Rng rng{1};
  base::TimePoint now{1000s};

  RestartVerdict dies(Cause cause, std::optional<base::Millis> since_ready = {}) { return judge(rule, history, {cause, since_ready}, now, rng); }
};

void expect_about(base::Millis got, base::Millis want) {
  EXPECT_GE(got, want * 9 / 10);
  EXPECT_LE(got, want * 11 / 10);
}

TEST(RestartPolicy, DelayDoubles_ForDeathsBeforeReady_UpToItsMaximum) {
  Slot slot;
  for (const auto want : {1000ms, 2000ms, 4000ms, 8000ms, 16000ms}) expect_about(slot.dies(Cause::exit_zero).delay, want);
  for (int i = 0; i < 5; ++i) {
    const auto delay = slot.dies(Cause::exit_zero).delay;
    EXPECT_GE(delay, 27s);
    EXPECT_LE(delay, 30s);
  }
}

TEST(RestartPolicy, DelayDoubles_ForYoungSelfInflictedDeaths) {
  for (const Cause cause : {Cause::exit_nonzero, Cause::own_signal, Cause::out_of_memory}) {
    Slot slot;
    for (const auto want : {1000ms, 2000ms, 4000ms}) expect_about(slot.dies(cause, 1s).delay, want);
  }
}

TEST(RestartPolicy, DelayStays_AfterKillsFromOutside) {
  Slot slot;
  slot.rule.max = 0;
  for (int i = 0; i < 50; ++i) expect_about(slot.dies(Cause::outside_signal, 1s).delay, 1s);
}

TEST(RestartPolicy, Series_EndsWithALifeBeyondYoung) {
  Slot slot;
  for (int i = 0; i < 4; ++i) slot.dies(Cause::exit_nonzero, 1s);
  expect_about(slot.dies(Cause::exit_nonzero, 11s).delay, 1s);
  expect_about(slot.dies(Cause::exit_nonzero, 1s).delay, 2s);
}

TEST(RestartPolicy, Slot_FailsBeyondMax_AndIsRetriedEachMaxDelay) {
  Slot slot;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(slot.dies(Cause::exit_nonzero, 9s).then, Then::wait) << i;
  for (int i = 0; i < 3; ++i) {
    const auto verdict = slot.dies(Cause::exit_nonzero, 9s);
    EXPECT_EQ(verdict.then, Then::failed);
    EXPECT_EQ(verdict.delay, 30s);
  }
}

TEST(RestartPolicy, GiveUp_EndsRetries) {
  Slot slot;
  slot.rule.give_up = true;
  slot.rule.max = 1;
  EXPECT_EQ(slot.dies(Cause::exit_nonzero).then, Then::wait);
  EXPECT_EQ(slot.dies(Cause::exit_nonzero).then, Then::given_up);
}

TEST(RestartPolicy, OldDeaths_AreForgottenAfterTheWindow) {
  Slot slot;
  for (int i = 0; i < 100; ++i) {
    slot.now += 61s;  // ten within any ten minutes
    EXPECT_EQ(slot.dies(Cause::exit_nonzero).then, Then::wait) << i;
  }
}

TEST(RestartPolicy, DeathsBeyondYoung_AreNotCounted) {
  Slot slot;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(slot.dies(Cause::outside_signal, 10s).then, Then::wait);
}

TEST(RestartPolicy, NoLimit_NeverFails) {
  Slot slot;
  slot.rule.max = 0;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(slot.dies(Cause::exit_nonzero).then, Then::wait);
  EXPECT_TRUE(slot.history.counted.empty());
}

TEST(RestartPolicy, LostPorts_AreNotCounted_UntilTheyAreNoAccident) {
  Slot slot;
  slot.rule.max = 1;
  for (std::uint32_t i = 0; i < kPortsLostInRow; ++i) {
    const auto verdict = slot.dies(Cause::port_taken);
    EXPECT_EQ(verdict.then, Then::wait);
    EXPECT_EQ(verdict.delay, 0ms);
  }
  EXPECT_GT(slot.dies(Cause::port_taken).delay, 0ms);
  EXPECT_EQ(slot.dies(Cause::port_taken).then, Then::failed);
}

TEST(RestartPolicy, History_IsBounded) {
  Slot slot;
  for (int i = 0; i < 1000; ++i) slot.dies(Cause::exit_nonzero);
  EXPECT_LE(slot.history.counted.size(), slot.rule.max + 1U);
}

TEST(RestartPolicy, SignalsOfItsOwnMaking_AreSelfInflicted_OthersAreNot) {
  for (const int own : {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE}) EXPECT_TRUE(self_inflicted(cause_of(true, own, false)));
  for (const int outside : {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT}) EXPECT_FALSE(self_inflicted(cause_of(true, outside, false)));
  EXPECT_TRUE(self_inflicted(cause_of(true, SIGKILL, true)));
  EXPECT_TRUE(self_inflicted(cause_of(false, 1, false)));
  EXPECT_FALSE(self_inflicted(cause_of(false, 0, false)));
}

}  // namespace
}  // namespace drover::backends
