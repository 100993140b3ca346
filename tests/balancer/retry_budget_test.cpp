#include "balancer/retry_budget.hpp"

#include <gtest/gtest.h>

namespace drover::balancer {
namespace {

using namespace std::chrono_literals;
const base::TimePoint kStart = base::TimePoint{} + 1000h;

int spend_all(RetryBudget& budget, base::TimePoint now) {
  int taken = 0;
  while (taken < 10'000 && budget.take(now)) ++taken;
  return taken;
}

TEST(RetryBudget, LowTrafficCanRetryOutOfTheReserve) {
  RetryBudget budget(20);
  EXPECT_EQ(spend_all(budget, kStart), static_cast<int>(RetryBudget::kReserve));
}

TEST(RetryBudget, ThreadsShareTheReserve) {
  int taken = 0;
  for (int thread = 0; thread < 5; ++thread) {
    RetryBudget budget(20, 5);
    taken += spend_all(budget, kStart);
    taken += spend_all(budget, kStart + 5s);
  }
  EXPECT_EQ(taken, static_cast<int>(RetryBudget::kReserve + 5 * RetryBudget::kReservePerSecond));
}

TEST(RetryBudget, OneOfManyThreadsHasARetry) {
  RetryBudget budget(20, 64);
  EXPECT_EQ(spend_all(budget, kStart), 1);
}

TEST(RetryBudget, RequestsEarnTheirPercentage) {
  RetryBudget budget(20);
  spend_all(budget, kStart);
  for (int i = 0; i < 50; ++i) budget.request();
  EXPECT_EQ(spend_all(budget, kStart), 10);
}

TEST(RetryBudget, ReserveRefillsWithTimeAndNoFurther) {
  RetryBudget budget(20);
  spend_all(budget, kStart);
  EXPECT_FALSE(budget.take(kStart + 500ms));
  EXPECT_EQ(spend_all(budget, kStart + 3s), 3);
  EXPECT_EQ(spend_all(budget, kStart + 1h), static_cast<int>(RetryBudget::kReserve));
}

TEST(RetryBudget, RetriesStayWithinTheirShareOfALongOutage) {
  RetryBudget budget(20);
  int retries = 0;
  base::TimePoint now = kStart;
  for (int i = 0; i < 10'000; ++i) {
    now += 1ms;
    budget.request();
    retries += budget.take(now) ? 1 : 0;
  }
  EXPECT_LE(retries, 2000 + static_cast<int>(RetryBudget::kReserve) + 10);
  EXPECT_GE(retries, 1990);
}

TEST(RetryBudget, SavingsAreBounded) {
  RetryBudget budget(100);
  for (int i = 0; i < 100'000; ++i) budget.request();
  EXPECT_EQ(spend_all(budget, kStart), static_cast<int>(RetryBudget::kMaxEarned + RetryBudget::kReserve));
}

TEST(RetryBudget, ZeroMeansNone) {
  RetryBudget budget(0);
  budget.request();
  EXPECT_FALSE(budget.take(kStart));
  EXPECT_FALSE(budget.take(kStart + 1h));
}

TEST(RetryBudget, TimeGoingBackGivesNothing) {
  RetryBudget budget(20);
  spend_all(budget, kStart);
  EXPECT_FALSE(budget.take(kStart - 1h));
  EXPECT_FALSE(budget.take(kStart));
}

}  // namespace
}  // namespace drover::balancer
