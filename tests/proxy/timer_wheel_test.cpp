#include "proxy/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace drover::proxy {
namespace {

using namespace std::chrono_literals;

const base::TimePoint kStart = base::TimePoint{} + 1000h + 3ms;

void set(TimerWheel& wheel, TimerEntry& entry, base::TimePoint deadline) {
  entry.deadline = deadline;
  wheel.set(entry);
}

int expire(TimerWheel& wheel, base::TimePoint now) {
  int due = 0;
  wheel.expire(now, [&](TimerEntry&) { ++due; });
  return due;
}

TEST(TimerWheel, NothingIsEarlyAndNothingLaterThanAStep) {
  for (const auto after : {0ms, 1ms, 8ms, 100ms, 5'000ms, 8'192ms, 60'000ms, 600'000ms}) {
    TimerWheel wheel(kStart);
    TimerEntry entry;
    set(wheel, entry, kStart + after);
    EXPECT_EQ(after > 0ms ? expire(wheel, kStart + after - 1ms) : 0, 0) << after.count();
    int looks = 0;
    base::TimePoint now = kStart;
    while (expire(wheel, now) == 0) {
      ASSERT_LE(now, kStart + after + TimerWheel::kStep) << after.count();
      ASSERT_LT(++looks, 100) << "far deadlines are looked at rarely";
      now = std::max(now + 1ns, wheel.next());
    }
    EXPECT_GE(now, kStart + after);
    EXPECT_LE(now, kStart + after + TimerWheel::kStep);
    EXPECT_EQ(wheel.next(), base::TimePoint::max());
  }
}

TEST(TimerWheel, ADeadlineThatMovesAwayOrIsTakenBackIsNotDue) {
  TimerWheel wheel(kStart);
  TimerEntry moved;
  TimerEntry dropped;
  set(wheel, moved, kStart + 10ms);
  set(wheel, dropped, kStart + 10ms);
  moved.deadline = kStart + 1s;
  wheel.set(moved);
  dropped.deadline = base::TimePoint::max();
  EXPECT_EQ(expire(wheel, kStart + 500ms), 0);
  EXPECT_EQ(expire(wheel, kStart + 1s + TimerWheel::kStep), 1);
  EXPECT_EQ(wheel.next(), base::TimePoint::max());
}

TEST(TimerWheel, ADeadlineThatComesNearerIsKept) {
  TimerWheel wheel(kStart);
  TimerEntry entry;
  set(wheel, entry, kStart + 5s);
  set(wheel, entry, kStart + 50ms);
  EXPECT_LE(wheel.next(), kStart + 50ms + TimerWheel::kStep);
  EXPECT_EQ(expire(wheel, kStart + 60ms), 1);
}

TEST(TimerWheel, AgreesWithAList) {
  std::mt19937 random(7);
  TimerWheel wheel(kStart);
  std::vector<TimerEntry> entries(200);
  base::TimePoint now = kStart;
  for (int turn = 0; turn < 20'000; ++turn) {
    TimerEntry& entry = entries[random() % entries.size()];
    switch (random() % 8) {
      case 0: wheel.take_out(entry), entry.deadline = base::TimePoint::max(); break;
      case 1: entry.deadline = base::TimePoint::max(); break;
      default: set(wheel, entry, now + base::Millis(random() % (random() % 10 == 0 ? 30'000 : 300)));
    }
    now += base::Millis(random() % (random() % 500 == 0 ? 20'000 : 5));
    for (const TimerEntry& each : entries) {
      if (each.deadline == base::TimePoint::max()) continue;
      ASSERT_LE(wheel.next(), each.deadline + TimerWheel::kStep);
    }
    wheel.expire(now, [&](TimerEntry&) {});
    for (const TimerEntry& each : entries) ASSERT_GE(each.deadline, now - TimerWheel::kStep) << "overdue";
  }
}

}  // namespace
}  // namespace drover::proxy
