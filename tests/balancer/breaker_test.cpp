#include "balancer/breaker.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

namespace drover::balancer {
namespace {

using namespace std::chrono_literals;
using End = Breaker::End;

const base::TimePoint kStart = base::TimePoint{} + 1000h;

config::Pool::Breaker half_of_ten() {
  config::Pool::Breaker config;
  config.errors = 50;
  config.requests = 10;
  config.window = 10s;
  config.open = 5s;
  return config;
}

void exchange(Breaker& breaker, End end, base::TimePoint now) {
  const auto pass = breaker.admit(now);
  ASSERT_TRUE(pass);
  breaker.ended(*pass, end, now);
}

/// One that has just opened.
Breaker opened() {
  Breaker breaker(half_of_ten());
  for (int i = 0; i < 10; ++i) exchange(breaker, End::failed, kStart);
  EXPECT_EQ(breaker.state(), BreakerState::open);
  return breaker;
}

TEST(Breaker, IsOffWithoutAShareOfErrors) { EXPECT_FALSE(Breaker(config::Pool::Breaker{}).enabled()); }

TEST(Breaker, FewExchangesProveNothing) {
  Breaker breaker(half_of_ten());
  for (int i = 0; i < 9; ++i) exchange(breaker, End::failed, kStart);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  exchange(breaker, End::failed, kStart);
  EXPECT_EQ(breaker.state(), BreakerState::open);
  EXPECT_EQ(breaker.opened(), 1U);
}

TEST(Breaker, OpensAtItsShareOfErrorsAndNotBelow) {
  Breaker breaker(half_of_ten());
  for (int i = 0; i < 20; ++i) exchange(breaker, End::good, kStart);
  for (int i = 0; i < 19; ++i) exchange(breaker, End::failed, kStart);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  exchange(breaker, End::failed, kStart);
  EXPECT_EQ(breaker.state(), BreakerState::open);
}

TEST(Breaker, AClientThatLeftSaysNothing) {
  Breaker breaker(half_of_ten());
  for (int i = 0; i < 100; ++i) exchange(breaker, End::told_nothing, kStart);
  for (int i = 0; i < 9; ++i) exchange(breaker, End::failed, kStart);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
}

TEST(Breaker, WhatIsOlderThanTheWindowIsForgotten) {
  Breaker breaker(half_of_ten());
  for (int i = 0; i < 9; ++i) exchange(breaker, End::failed, kStart);
  exchange(breaker, End::failed, kStart + 10s);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  for (int i = 0; i < 8; ++i) exchange(breaker, End::failed, kStart + 19s);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  exchange(breaker, End::failed, kStart + 19s);
  EXPECT_EQ(breaker.state(), BreakerState::open);
}

TEST(Breaker, LetsNobodyInWhileOpenAndOneAfterwards) {
  Breaker breaker = opened();
  EXPECT_FALSE(breaker.admit(kStart + 4999ms));
  EXPECT_EQ(breaker.wait(kStart + 2s), 3s);
  const auto trial = breaker.admit(kStart + 5s);
  ASSERT_TRUE(trial);
  EXPECT_TRUE(trial->trial);
  EXPECT_EQ(breaker.state(), BreakerState::half_open);
  EXPECT_FALSE(breaker.admit(kStart + 6s));
  breaker.ended(*trial, End::good, kStart + 6s);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
  for (int i = 0; i < 9; ++i) exchange(breaker, End::failed, kStart + 6s);
  EXPECT_EQ(breaker.state(), BreakerState::closed) << "the window begins anew";
}

TEST(Breaker, ATrialThatFailsOpensItAgain) {
  Breaker breaker = opened();
  exchange(breaker, End::failed, kStart + 5s);
  EXPECT_EQ(breaker.state(), BreakerState::open);
  EXPECT_EQ(breaker.opened(), 2U);
  EXPECT_FALSE(breaker.admit(kStart + 9s));
  EXPECT_TRUE(breaker.admit(kStart + 10s));
}

TEST(Breaker, ATrialWhoseClientLeavesMakesRoomForTheNext) {
  Breaker breaker = opened();
  exchange(breaker, End::told_nothing, kStart + 5s);
  EXPECT_EQ(breaker.state(), BreakerState::half_open);
  exchange(breaker, End::good, kStart + 5s);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
}

TEST(Breaker, ATrialThatLastsBarsNoOther) {
  Breaker breaker = opened();
  const auto slow = breaker.admit(kStart + 5s);
  ASSERT_TRUE(slow);
  EXPECT_FALSE(breaker.admit(kStart + 9s));
  ASSERT_TRUE(breaker.admit(kStart + 10s));
  breaker.ended(*slow, End::good, kStart + 11s);
  EXPECT_EQ(breaker.state(), BreakerState::closed) << "the first end that comes decides";
}

TEST(Breaker, WhatBeganBeforeItOpenedDecidesNothing) {
  Breaker breaker(half_of_ten());
  const auto early = breaker.admit(kStart);
  const auto late = breaker.admit(kStart);
  for (int i = 0; i < 10; ++i) exchange(breaker, End::failed, kStart);
  breaker.ended(*early, End::good, kStart + 1s);
  EXPECT_EQ(breaker.state(), BreakerState::open);
  const auto trial = breaker.admit(kStart + 5s);
  breaker.ended(*late, End::failed, kStart + 6s);
  EXPECT_EQ(breaker.state(), BreakerState::half_open);
  breaker.ended(*trial, End::good, kStart + 7s);
  EXPECT_EQ(breaker.state(), BreakerState::closed);
}

TEST(Breaker, OfManyThreadsOneIsOnTrial) {
  Breaker breaker = opened();
  std::mutex mutex;
  int admitted = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        const std::lock_guard lock(mutex);
        if (breaker.admit(kStart + 6s)) ++admitted;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(admitted, 1);
}

}  // namespace
}  // namespace drover::balancer
