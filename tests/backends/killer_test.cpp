#include "backends/killer.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <unordered_map>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;

/// A pool's traffic: paths with weights and durations; deaths take with them whatever is inside one worker.
struct KillerTest : ::testing::Test {
  struct Path {
    std::string path;
    double weight = 1;
    double seconds = 0.02;  ///< each takes so long
  };

  KillerTest() { pool.workers = 4; }

  static std::uint64_t name(const std::string& path) { return board::fingerprint(board::Method::get, 0, 0, path); }
  void ask(const std::string& path, std::uint64_t count = 1) {
    for (std::uint64_t i = 0; i < count; ++i) sketch->add(name(path));
    requests += count;
  }
  const Path& drawn(const std::vector<Path>& paths, bool by_time) {
    double sum = 0;
    for (const auto& each : paths) sum += each.weight * (by_time ? each.seconds : 1);
    double left = rng.unit() * sum;
    for (const auto& each : paths) {
      left -= each.weight * (by_time ? each.seconds : 1);
      if (left <= 0) return each;
    }
    return paths.back();
  }
  /// `count` requests, evenly over `time`.
  void traffic(const std::vector<Path>& paths, int count, base::Millis time) {
    for (int i = 0; i < count; ++i) ask(drawn(paths, false).path);
    now += time;
    if (hunt->traffic_due(now)) hunt->traffic(totals(), requests, now);
  }
  board::Flight flight(const std::string& path, double age_seconds = 0.005) const {
    board::Flight out;
    out.method_name = "GET";
    out.path = path;
    out.fingerprint = name(path);
    out.began_ns =
        static_cast<std::uint64_t>(std::chrono::nanoseconds(now.time_since_epoch()).count()) - static_cast<std::uint64_t>(age_seconds * 1e9);
    return out;
  }
  /// What is inside a worker at a moment that nothing of it has chosen.
  std::vector<board::Flight> inside(const std::vector<Path>& paths, std::size_t count) {
    std::vector<board::Flight> out;
    while (out.size() < count) {
      const Path& path = drawn(paths, true);
      out.push_back(flight(path.path, path.seconds * rng.unit()));
    }
    return out;
  }
  board::Sketch::Totals totals() const {
    board::Sketch::Totals out;
    sketch->add_to(out);
    return out;
  }
  std::vector<Killer> dies(const std::vector<board::Flight>& flights) { return hunt->died(flights, totals(), requests, now); }
  void anew(std::uint64_t seed) {
    rng = base::Rng(seed);
    sketch = std::make_unique<board::Sketch>();
    hunt = std::make_unique<KillerHunt>(pool);
    requests = 0;
    hunt->traffic(totals(), requests, now);
  }
  static std::vector<Path> many(int count) {
    std::vector<Path> out;
    for (int i = 0; i < count; ++i) out.push_back({"/item/" + std::to_string(i)});
    return out;
  }

  config::Pool pool;
  base::Rng rng{1};
  base::TimePoint now = base::TimePoint{} + 1h;
  std::unique_ptr<board::Sketch> sketch = std::make_unique<board::Sketch>();
  std::unique_ptr<KillerHunt> hunt = std::make_unique<KillerHunt>(pool);
  std::uint64_t requests = 0;
};

TEST_F(KillerTest, HotPathSurvivesSixtyDeaths) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    anew(seed);
    auto paths = many(50);
    paths.push_back({"/hot", 450});
    for (int death = 0; death < 60; ++death) {
      traffic(paths, 200, 1s);
      auto flights = inside(paths, 1 + rng.below(10));
      flights.push_back(flight("/hot"));
      for (const auto& each : dies(flights)) EXPECT_NE(each.path, "/hot") << "seed " << seed << " death " << death;
    }
  }
}

TEST_F(KillerTest, OnlyPathIsNeverBlocked) {
  anew(1);
  for (int death = 0; death < 60; ++death) {
    traffic({{"/only"}}, 10, 1s);
    EXPECT_TRUE(dies(inside({{"/only"}}, 3)).empty());
  }
}

TEST_F(KillerTest, RareKillerAmongAThousandIsBlockedAtItsThirdDeath) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    for (const bool hot : {false, true}) {
      anew(seed);
      auto paths = many(1000);
      if (hot) paths.push_back({"/hot", 2000});
      for (int death = 1; death <= 3; ++death) {
        traffic(paths, 2000, 10s);
        ask("/kill");
        auto flights = inside(paths, 7);
        if (hot) flights.push_back(flight("/hot"));
        flights.push_back(flight("/kill"));
        const auto found = dies(flights);
        ASSERT_EQ(found.size(), death == 3 ? 1U : 0U) << "seed " << seed << " death " << death;
        if (death < 3) continue;
        EXPECT_EQ(found[0].path, "/kill");
        EXPECT_EQ(found[0].method, "GET");
        EXPECT_EQ(found[0].fingerprint, name("/kill"));
        EXPECT_EQ(found[0].deaths, 3U);
        EXPECT_EQ(found[0].until, now + pool.killer.within);
      }
    }
  }
}

TEST_F(KillerTest, LittleTrafficIsEnough) {
  anew(1);
  traffic({{"/a"}, {"/b"}}, 60, 30s);
  for (int death = 1; death <= 3; ++death) {
    ask("/kill");
    EXPECT_EQ(dies({flight("/kill"), flight("/a")}).size(), death == 3 ? 1U : 0U);
    traffic({{"/a"}, {"/b"}}, 20, 10s);
  }
  EXPECT_EQ(hunt->blocked().at(0).path, "/kill");
}

TEST_F(KillerTest, LessThanFiveTimesItsShareIsBorneHoweverOften) {
  anew(1);
  const std::vector<Path> paths{{"/a"}, {"/b"}, {"/c"}, {"/d"}};
  for (int death = 0; death < 60; ++death) {
    traffic(paths, 100, 1s);
    EXPECT_TRUE(dies({flight("/a")}).empty()) << "a quarter of all that comes, and all of what was inside";
  }
}

TEST_F(KillerTest, ItsOwnRetriesCountAsDeaths) {
  anew(1);
  traffic(many(100), 2000, 10s);
  ask("/kill");
  EXPECT_TRUE(dies({flight("/kill")}).empty());
  EXPECT_TRUE(dies({flight("/kill")}).empty());
  EXPECT_EQ(dies({flight("/kill")}).size(), 1U);
}

TEST_F(KillerTest, InnocentAmongManyDeathsAreNotBlocked) {
  int blocked = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    anew(seed);
    const auto paths = many(1000);
    for (int death = 0; death < 60; ++death) {
      traffic(paths, 500, 5s);
      blocked += static_cast<int>(dies(inside(paths, 10)).size());
    }
  }
  EXPECT_LE(blocked, 1) << "of 10,000 paths in ten floods of crashes that no request causes";
}

TEST_F(KillerTest, KillerIsFoundAmongDeathsOfOtherCauses) {
  anew(3);
  const auto paths = many(1000);
  int kills = 0;
  for (int death = 0; death < 60 && hunt->blocked().empty(); ++death) {
    traffic(paths, 500, 5s);
    auto flights = inside(paths, 6);
    if (death % 4 == 3) {
      ask("/kill");
      flights.push_back(flight("/kill"));
      ++kills;
    }
    dies(flights);
  }
  ASSERT_EQ(hunt->blocked().size(), 1U);
  EXPECT_EQ(hunt->blocked()[0].path, "/kill");
  EXPECT_LE(kills, 4);
}

/// A long poll is seldom asked for and nearly always inside.
TEST_F(KillerTest, SlowRequestsAreNotTakenForKillers) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    anew(seed);
    const std::vector<Path> paths{{"/page", 1000}, {"/poll", 1, 60}};
    for (int death = 0; death < 60; ++death) {
      traffic(paths, 500, 5s);  // a poll each 10 s: 1.5 of them in each of four workers, and half a page
      std::vector<board::Flight> flights;
      for (double left = rng.unit(); left > std::exp(-2.0); left *= rng.unit()) flights.push_back(inside(paths, 1).front());
      ASSERT_TRUE(dies(flights).empty()) << "seed " << seed << " death " << death;
    }
  }
}

TEST_F(KillerTest, PathThatHasJustBecomeHotIsJudgedByRecentTraffic) {
  anew(1);
  ask("/old", 1'000'000);
  for (int i = 0; i < 20; ++i) traffic({{"/old"}}, 100, 1min);
  const std::vector<Path> paths{{"/old", 1}, {"/new", 2}};
  for (int i = 0; i < 10; ++i) traffic(paths, 200, 1min);
  for (int death = 0; death < 20; ++death) {
    traffic(paths, 100, 5s);
    EXPECT_TRUE(dies(inside(paths, 3)).empty());
  }
}

TEST_F(KillerTest, TrafficIsAskedForOnceInAWhile) {
  pool.killer.within = 100ms;
  EXPECT_TRUE(hunt->traffic_due(now));
  hunt->traffic(totals(), 0, now);
  EXPECT_FALSE(hunt->traffic_due(now + KillerHunt::kLeastTraffic - 1ms));
  EXPECT_TRUE(hunt->traffic_due(now + KillerHunt::kLeastTraffic));
  pool.killer.within = 5min;
  EXPECT_FALSE(hunt->traffic_due(now + 5min - 1ms));
  EXPECT_TRUE(hunt->traffic_due(now + 5min));
}

TEST_F(KillerTest, OverestimatesOfTheSketchBlockNoInnocent) {
  int blocked = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    anew(seed);
    const auto paths = many(20'000);  // ten times as many as the sketch has columns
    for (int i = 0; i < 100'000; ++i) ask(paths[rng.below(paths.size())].path);
    for (int death = 0; death < 30; ++death) {
      now += 5s;
      std::vector<board::Flight> flights;
      for (int i = 0; i < 8; ++i) flights.push_back(flight(paths[rng.below(paths.size())].path));
      blocked += static_cast<int>(dies(flights).size());
    }
    int kills = 0;
    for (; kills < 10 && hunt->blocked().empty(); ++kills) {
      ask("/kill");
      dies({flight("/kill")});
    }
    EXPECT_LE(kills, 4) << "the killer is found all the same";
  }
  EXPECT_EQ(blocked, 0);
}

TEST_F(KillerTest, ExpiryReleasesAndItTakesNewDeathsToBlockAgain) {
  anew(1);
  traffic(many(100), 5000, 10s);
  for (int death = 0; death < 3; ++death) dies({flight("/kill")});
  ASSERT_EQ(hunt->blocked().size(), 1U);
  EXPECT_TRUE(dies({flight("/kill")}).empty()) << "is blocked already";
  EXPECT_TRUE(hunt->released(now + pool.killer.within - 1ms).empty());
  now += pool.killer.within;
  const auto over = hunt->released(now);
  ASSERT_EQ(over.size(), 1U);
  EXPECT_EQ(over[0].path, "/kill");
  EXPECT_TRUE(hunt->blocked().empty());
  EXPECT_TRUE(hunt->released(now).empty());
  EXPECT_TRUE(dies({flight("/kill")}).empty());
  EXPECT_TRUE(dies({flight("/kill")}).empty());
  EXPECT_EQ(dies({flight("/kill")}).size(), 1U);
}

TEST_F(KillerTest, DeathsBeyondWithinAreForgotten) {
  anew(1);
  traffic(many(100), 5000, 10s);
  for (int death = 0; death < 20; ++death) {
    EXPECT_TRUE(dies({flight("/kill")}).empty());
    now += pool.killer.within / 2;
  }
  now += pool.killer.within;
  dies({flight("/kill")});
  now += pool.killer.within / 2 - 1ms;
  dies({flight("/kill")});
  now += pool.killer.within / 2;
  EXPECT_EQ(dies({flight("/kill")}).size(), 1U);
}

TEST_F(KillerTest, ZeroDeathsIsOff) {
  pool.killer.deaths = 0;
  EXPECT_FALSE(hunt->traffic_due(now));
  ask("/a", 1000);
  for (int death = 0; death < 100; ++death) EXPECT_TRUE(dies({flight("/kill")}).empty());
}

TEST_F(KillerTest, DeathsWithNobodyInsideSayNothing) {
  anew(1);
  traffic(many(100), 1000, 10s);
  for (int death = 0; death < 1000; ++death) EXPECT_TRUE(dies({}).empty());
  for (int death = 1; death <= 3; ++death) EXPECT_EQ(dies({flight("/kill")}).size(), death == 3 ? 1U : 0U);
}

TEST_F(KillerTest, RareOneIsNotLostInAFullWorker) {
  anew(1);
  const auto paths = many(300);
  for (int death = 1; death <= 3; ++death) {
    traffic(paths, 10'000, 20s);
    ask("/kill");
    auto flights = inside(paths, 200);
    flights.push_back(flight("/kill"));
    const auto found = dies(flights);
    ASSERT_EQ(found.size(), death == 3 ? 1U : 0U);
    if (!found.empty()) {
      EXPECT_EQ(found[0].path, "/kill");
    }
  }
}

TEST_F(KillerTest, NoMoreAreBlockedThanTheBoardHolds) {
  anew(1);
  traffic(many(100), 20'000, 10s);
  std::vector<board::Flight> flights;
  for (int i = 0; i < 50; ++i) flights.push_back(flight("/kill/" + std::to_string(i)));
  for (int death = 0; death < 6; ++death) {
    for (const auto& each : flights) dies({each});
  }
  EXPECT_LE(hunt->blocked().size(), KillerHunt::kMaxBlocked);
}

TEST_F(KillerTest, TotalsThatFallAreABeginning) {
  anew(1);
  traffic(many(100), 20'000, 10s);
  now += pool.killer.within;
  hunt->traffic(totals(), requests, now);
  sketch = std::make_unique<board::Sketch>();
  requests = 0;
  traffic({{"/hot"}}, 100, 1s);
  for (int death = 0; death < 10; ++death) EXPECT_TRUE(dies({flight("/hot")}).empty());
  EXPECT_TRUE(hunt->died(std::vector{flight("/hot")}, totals(), requests + 1'000'000, now).empty()) << "requests that the sketch doesn't know";
}

}  // namespace
}  // namespace drover::backends
