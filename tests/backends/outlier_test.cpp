#include "backends/outlier.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <set>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

/// A pool whose figures the test writes; looks four times a second.
struct Outlier : ::testing::Test {
  static constexpr base::Millis kLook = 250ms;

  OutcomeFigures& worker(std::uint32_t slot) {
    for (auto& each : figures) {
      if (each.slot == slot) return each;
    }
    figures.push_back({slot, 1, 0, 0, 0, 0, 0});
    return figures.back();
  }
  void workers(std::uint32_t count) {
    wanted = count;
    for (std::uint32_t slot = 1; slot <= count; ++slot) worker(slot);
  }
  void good(std::uint32_t slot, std::uint64_t count = 1) {
    worker(slot).claims += count;
    worker(slot).streak = 0;
  }
  void bad(std::uint32_t slot, std::uint32_t count = 1) {
    worker(slot).claims += count;
    worker(slot).errors += count;
    worker(slot).streak += count;
  }
  std::vector<OutlierVerdict> look(base::Millis step = kLook) {
    now += step;
    auto verdicts = outliers.look(figures, wanted, now);
    for (const auto& each : verdicts) {
      EXPECT_NE(out.contains(each.slot), each.ejected) << "told what was so already, slot " << each.slot;
      each.ejected ? static_cast<void>(out.insert(each.slot)) : static_cast<void>(out.erase(each.slot));
      ++(each.ejected ? ejections : admissions);
    }
    return verdicts;
  }
  /// The next verdict about anybody, within `patience`.
  std::optional<OutlierVerdict> next_verdict(base::Millis patience) {
    for (const auto end = now + patience; now < end;) {
      if (auto verdicts = look(); !verdicts.empty()) return verdicts.front();
    }
    return std::nullopt;
  }

  config::Pool pool;
  Outliers outliers{pool};
  std::vector<OutcomeFigures> figures;
  std::uint32_t wanted = 0;
  base::TimePoint now = base::TimePoint{} + 1h;
  std::set<std::uint32_t> out;
  int ejections = 0;
  int admissions = 0;
};

TEST_F(Outlier, StreakEjectsForBaseAndNamesRefusals) {
  workers(4);
  look();
  bad(2, 4);
  EXPECT_TRUE(look().empty());
  bad(2);
  worker(2).refused = 5;
  const auto verdicts = look();
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_TRUE(verdicts[0].ejected);
  EXPECT_EQ(verdicts[0].slot, 2U);
  EXPECT_EQ(verdicts[0].incarnation, 1U);
  EXPECT_EQ(verdicts[0].away, pool.outlier.base);
  EXPECT_EQ(verdicts[0].reason, "5 errors in a row (5 of them refused connections)");
  EXPECT_EQ(outliers.next(), now + pool.outlier.base);
  const auto ejected_at = now;
  const auto back = next_verdict(10s);
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->ejected);
  EXPECT_EQ(now - ejected_at, pool.outlier.base);
  EXPECT_FALSE(outliers.next());
}

TEST_F(Outlier, RefusalsOfAnEarlierStreakAreNotNamed) {
  workers(4);
  bad(1, 3);
  worker(1).refused = 3;
  look();
  good(1);
  look();
  bad(1, 5);
  EXPECT_EQ(look().at(0).reason, "5 errors in a row");
}

TEST_F(Outlier, ReturnsWithACleanRecordAndStaysAwayTwiceAsLongEachTime) {
  workers(4);
  base::Millis expected = pool.outlier.base;
  for (int round = 0; round < 10; ++round) {
    bad(1, 4);
    EXPECT_TRUE(look().empty()) << "four more after the return are too few, round " << round;
    bad(1);
    const auto verdicts = look();
    ASSERT_EQ(verdicts.size(), 1U);
    EXPECT_EQ(verdicts[0].away, expected);
    ASSERT_FALSE(next_verdict(Outliers::kLongest + 1s).value().ejected);
    expected = std::min(expected * 2, Outliers::kLongest);
  }
  EXPECT_EQ(expected, Outliers::kLongest);
}

TEST_F(Outlier, PeaceForgives) {
  workers(4);
  for (int round = 0; round < 3; ++round) {
    bad(1, 5);
    ASSERT_EQ(look().size(), 1U);
    ASSERT_TRUE(next_verdict(1min));
  }
  good(1);
  look(Outliers::kForgiven);
  bad(1, 5);
  EXPECT_EQ(look().at(0).away, pool.outlier.base);
}

TEST_F(Outlier, ShareNeedsEnoughExchangesWithinTheWindow) {
  workers(4);
  pool.outlier.errors = 0;
  look();
  bad(1, 19);
  EXPECT_TRUE(look().empty());
  bad(1);
  EXPECT_EQ(look().at(0).reason, "100% of 20 exchanges in 1s failed");
}

TEST_F(Outlier, ShareBelowTheRatioIsBorne) {
  workers(4);
  pool.outlier.errors = 0;
  for (int i = 0; i < 200; ++i) {
    bad(1, 4);
    good(1, 5);
    EXPECT_TRUE(look().empty());
  }
}

TEST_F(Outlier, GatewayAnswersCountAsFailures) {
  workers(4);
  pool.outlier.errors = 0;
  look();
  worker(1).claims += 30;
  worker(1).gateway += 15;
  const auto verdicts = look();
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].reason.substr(0, 20), "50% of 30 exchanges ");
}

TEST_F(Outlier, WhatIsOlderThanTheWindowIsForgotten) {
  workers(4);
  pool.outlier.errors = 0;
  look();
  bad(1, 15);
  look();
  look(pool.outlier.window + kLook);
  bad(1, 15);
  EXPECT_TRUE(look().empty());
}

TEST_F(Outlier, FirstLookHasNoWindow) {
  workers(4);
  pool.outlier.errors = 0;
  bad(1, 1000);
  EXPECT_TRUE(look().empty());
  EXPECT_TRUE(look().empty());
}

TEST_F(Outlier, WindowShorterThanALookStillJudges) {
  workers(4);
  pool.outlier.errors = 0;
  pool.outlier.window = 10ms;
  look();
  bad(1, 50);
  EXPECT_EQ(look().size(), 1U);
}

TEST_F(Outlier, TotalsThatFallBeginANewCount) {
  workers(4);
  pool.outlier.errors = 0;
  good(1, 1000);
  look();
  look();
  worker(1) = {1, 1, 10, 10, 10, 0, 0};  // another proxy's board
  EXPECT_TRUE(look().empty());
  bad(1, 19);
  EXPECT_TRUE(look().empty());
  bad(1);
  EXPECT_EQ(look().size(), 1U);
}

TEST_F(Outlier, StreakThatBeginsAnewCountsFromItsBeginning) {
  workers(4);
  bad(1, 5);
  look();
  ASSERT_TRUE(next_verdict(10s));
  good(1);
  bad(1, 5);  // between two looks: shorter than what was pardoned
  EXPECT_TRUE(look().empty()) << "as long as the pardoned one: can't be told from it";
  good(1);
  look();
  bad(1, 5);
  EXPECT_EQ(look().size(), 1U);
}

TEST_F(Outlier, NewIncarnationBeginsAnew) {
  workers(4);
  bad(1, 5);
  ASSERT_EQ(look().size(), 1U);
  worker(1) = {1, 2, 0, 0, 0, 0, 0};
  EXPECT_TRUE(look().empty());
  EXPECT_FALSE(outliers.next());
  out.clear();
  bad(1, 5);
  const auto verdicts = look();
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].incarnation, 2U);
  EXPECT_EQ(verdicts[0].away, pool.outlier.base);
}

TEST_F(Outlier, OldIncarnationThatDrainsIsPassedOver) {
  workers(4);
  worker(1).incarnation = 2;
  look();
  figures.push_back({1, 1, 50, 50, 50, 0, 50});
  EXPECT_TRUE(look().empty());
}

TEST_F(Outlier, EjectionEndsAlsoForOneThatVanished) {
  workers(4);
  bad(1, 5);
  ASSERT_EQ(look().size(), 1U);
  figures.erase(figures.begin());
  const auto back = next_verdict(10s);
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->ejected);
  EXPECT_EQ(back->slot, 1U);
}

TEST_F(Outlier, WhoComesBackIsNotJudgedByOldEvidence) {
  workers(4);
  bad(1, 4);
  look();
  const auto kept = figures;
  figures.erase(figures.begin());
  look();
  figures = kept;
  worker(1).streak += 1;
  EXPECT_TRUE(look().empty());
  worker(1).streak += 4;
  EXPECT_EQ(look().size(), 1U);
}

TEST_F(Outlier, PoolOfOneIsNeverEjected) {
  workers(1);
  for (int i = 0; i < 400; ++i) {
    bad(1, 10);
    EXPECT_TRUE(look().empty());
  }
}

TEST_F(Outlier, HalfOfAPoolMayBeOutAndNotOneMore) {
  workers(5);
  look();
  bad(1, 5);
  bad(2, 5);
  EXPECT_EQ(look().size(), 2U);  // 50% of 5, rounded down
  bad(3, 5);
  EXPECT_EQ(look().size(), 2U) << "both are used again, the third stays";
  EXPECT_TRUE(out.empty());
}

TEST_F(Outlier, AllBadMeansNoneIsOutWhateverTheConfigAllows) {
  pool.outlier.eject_max = 100;
  workers(3);
  for (std::uint32_t slot : {1, 2, 3}) bad(slot, 5);
  EXPECT_TRUE(look().empty());
  EXPECT_TRUE(out.empty());
}

TEST_F(Outlier, LastOneThatCouldServeIsNotEjected) {
  workers(4);
  figures.resize(2);  // the others are out for reasons of their own
  bad(1, 5);
  EXPECT_EQ(look().size(), 1U);
  bad(2, 5);
  look();
  EXPECT_TRUE(out.empty());
}

TEST_F(Outlier, WhenFewerAreBadEjectionsHoldAgainForTheRestOfTheirTime) {
  pool.outlier.base = 2s;
  workers(4);
  for (int round = 0; round < 3; ++round) {  // its fourth ejection takes 16 s
    bad(1, 5);
    ASSERT_EQ(look().size(), 1U);
    ASSERT_TRUE(next_verdict(1min));
  }
  bad(1, 5);
  ASSERT_EQ(look().at(0).away, 16s);
  const auto until = *outliers.next();
  bad(2, 5);
  look();
  bad(3, 5);
  look();
  EXPECT_TRUE(out.empty());
  good(2);
  good(3);
  const int before = ejections;
  const auto verdict = next_verdict(10s);
  ASSERT_TRUE(verdict);
  EXPECT_TRUE(verdict->ejected);
  EXPECT_EQ(verdict->slot, 1U);
  EXPECT_EQ(now + verdict->away, until);
  ASSERT_TRUE(next_verdict(1min));
  EXPECT_EQ(ejections, before + 1);
  bad(1, 5);
  EXPECT_EQ(look().at(0).away, 32s) << "the interruption was no ejection of its own";
}

TEST_F(Outlier, WhenWhatAllDependOnIsBackNobodyIsEjected) {
  workers(4);
  for (int i = 0; i < 20; ++i) {
    for (std::uint32_t slot = 1; slot <= 4; ++slot) {
      if (!out.contains(slot)) bad(slot, 3);
    }
    look();
  }
  EXPECT_TRUE(out.empty());
  for (int i = 0; i < 400; ++i) {
    for (std::uint32_t slot = 1; slot <= 4; ++slot) good(slot, 3);
    look();
    EXPECT_TRUE(out.empty());
  }
}

TEST_F(Outlier, SwitchedOffSeesNothing) {
  workers(4);
  pool.outlier.errors = 0;
  pool.outlier.ratio = 0;
  for (int i = 0; i < 100; ++i) {
    bad(1, 100);
    EXPECT_TRUE(look().empty());
  }
}

/// Whatever happens: never more out than allowed, never a verdict that says nothing new, and few verdicts.
TEST_F(Outlier, InvariantsHoldUnderRandomTraffic) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    base::Rng rng(seed);
    outliers = Outliers(pool);
    figures.clear();
    out.clear();
    ejections = admissions = 0;
    const auto count = static_cast<std::uint32_t>(1 + rng.below(9));
    workers(count);
    std::vector<double> fault(count + 1, 0.0);
    for (int i = 0; i < 4000; ++i) {
      for (std::uint32_t slot = 1; slot <= count; ++slot) {
        if (rng.below(400) == 0) fault[slot] = rng.below(2) == 0 ? 0.0 : rng.unit();
        if (out.contains(slot)) continue;
        for (std::uint64_t n = rng.below(6); n > 0; --n) rng.unit() < fault[slot] ? bad(slot) : good(slot);
        if (rng.below(2000) == 0) {
          worker(slot) = {slot, worker(slot).incarnation + static_cast<std::uint32_t>(rng.below(2)), 0, 0, 0, 0, 0};
        }
      }
      look(base::Millis(static_cast<base::Millis::rep>(50 + rng.below(600))));
      ASSERT_LE(out.size(), count / 2) << "seed " << seed;
    }
    EXPECT_LT(ejections, 4000 / 10) << "seed " << seed;
  }
}

}  // namespace
}  // namespace drover::backends
