#include "backends/pss.hpp"

#include "host_support.hpp"

#include <boost/asio/steady_timer.hpp>

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

namespace drover::backends::test {
namespace {

using Bytes = std::optional<std::uint64_t>;

struct Pss : HostTest {
  std::unique_ptr<PssReader> reader = std::make_unique<PssReader>(io);

  std::optional<Bytes> sum_of(const std::vector<pid_t>& pids) {
    std::optional<Bytes> answer;
    EXPECT_TRUE(reader->ask(pids, true, [&](Bytes sum) { answer = sum; }));
    EXPECT_FALSE(answer) << "answered within ask()";
    until([&] { return answer.has_value(); });
    return answer;
  }
};

bool smaps_rollup_exists() { return access("/proc/self/smaps_rollup", R_OK) == 0; }

TEST_F(Pss, SharedMemoryCountsOnce) {
  if (!smaps_rollup_exists()) GTEST_SKIP() << "no smaps_rollup here";
  // A parent with 64 MiB of its own, and a child made of it: twice in RSS, once in PSS.
  const pid_t pid =
      start(python("import os, time\nkept = bytearray(os.urandom(1)) * (64 << 20)\n"
                   "os.fork()\nprint('there', flush=True)\ntime.sleep(1000)"));
  ASSERT_TRUE(until([&] { return host.last_lines(key(1)).size() == 2; }));
  const auto pids = host.tree(key(1));
  ASSERT_EQ(pids.size(), 2U);
  const auto sum = sum_of(pids);
  ASSERT_TRUE(sum && *sum);
  const std::uint64_t rss = resident_bytes(pids[0]) + resident_bytes(pids[1]);
  EXPECT_GT(**sum, 64U << 20U);
  EXPECT_LT(**sum, rss - (48U << 20U));
  EXPECT_EQ(pids.front(), pid);
}

TEST_F(Pss, WhoHasEndedCountsForNothing) {
  if (!smaps_rollup_exists()) GTEST_SKIP() << "no smaps_rollup here";
  const pid_t pid = start(python("import time\nprint('settled', flush=True)\ntime.sleep(1000)"));
  ASSERT_TRUE(until([&] { return host.last_lines(key(1)).size() == 1; }));
  const auto alone = sum_of({pid});
  ASSERT_TRUE(alone && *alone);
  const auto both = sum_of({pid, 0x3fffff});
  ASSERT_TRUE(both && *both);
  EXPECT_LT(**both, 2 * **alone);
  const auto none = sum_of({0x3fffff});
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

TEST_F(Pss, OfAnotherUserIsUnknown) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  const pid_t roots = getpid();
  const int result = in_a_child([roots] {
    if (setresuid(65534, 65534, 65534) != 0) return 90;
    asio::io_context own(1);
    PssReader mine(own);
    std::optional<Bytes> answer;
    if (!mine.ask({roots}, true, [&](Bytes sum) { answer = sum; })) return 91;
    const auto deadline = base::Clock::now() + kPatience;
    while (!answer && base::Clock::now() < deadline) {
      own.restart();
      own.run_one_for(5ms);
    }
    if (!answer) return 92;
    return *answer ? 93 : 0;
  });
  EXPECT_EQ(result, 0);
}

TEST_F(Pss, UrgentGoesFirst) {
  std::vector<int> order;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(reader->ask({getpid()}, false, [&order, i](Bytes) { order.push_back(i); }));
  ASSERT_TRUE(reader->ask({getpid()}, true, [&order](Bytes) { order.push_back(100); }));
  ASSERT_TRUE(until([&] { return std::find(order.begin(), order.end(), 100) != order.end(); }));
  EXPECT_LE(order.size(), 8U) << "it waited for those that could have waited";
}

TEST_F(Pss, WaitingRequestsAreBounded) {
  std::size_t taken = 0;
  while (taken < 1000 && reader->ask({getpid()}, false, [](Bytes) {})) ++taken;
  EXPECT_GE(taken, PssReader::kMaxWaiting);
  EXPECT_LT(taken, PssReader::kMaxWaiting + 10);
}

double seconds(const rusage& usage) {
  const auto of = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

double cpu_of_other_threads() {
  rusage all{};
  rusage own{};
  getrusage(RUSAGE_SELF, &all);
  getrusage(RUSAGE_THREAD, &own);
  return seconds(all) - seconds(own);
}

TEST_F(Pss, StaysWithinItsShareOfACore) {
  if (!smaps_rollup_exists()) GTEST_SKIP() << "no smaps_rollup here";
  const double before = cpu_of_other_threads();
  const auto begun = base::Clock::now();
  std::uint64_t answers = 0;
  until([&] {
    // Always something to do.
    while (reader->ask({getpid()}, false, [&](Bytes) { ++answers; })) {
    }
    return base::Clock::now() - begun > 1s;
  });
  EXPECT_GE(answers, 1U);
  EXPECT_LT(cpu_of_other_threads() - before, 0.1) << answers << " answers";
}

TEST_F(Pss, NoSignalIsDeliveredToItsThread) {
  ASSERT_TRUE(sum_of({getpid()}));
  int others = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (task.path().filename() == std::to_string(gettid())) continue;
    std::ifstream status(task.path() / "status");
    std::string name;
    std::string value;
    while (status >> name >> value) {
      if (name != "SigBlk:") continue;
      const std::uint64_t blocked = std::stoull(value, nullptr, 16);
      for (const int number : {SIGCHLD, SIGTERM, SIGHUP, SIGUSR1}) EXPECT_NE(blocked >> (number - 1) & 1U, 0U) << number;
      ++others;
    }
  }
  EXPECT_GE(others, 1);
}

TEST_F(Pss, MayBeDestroyedWhileAReadIsUnderWay) {
  int answers = 0;
  for (int round = 0; round < 50; ++round) {
    PssReader brief(io);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(brief.ask({getpid(), getppid()}, true, [&](Bytes) { ++answers; }));
    if (round % 2 == 0) io.poll();
  }
  const int at_the_end = answers;
  io.restart();
  io.run_for(20ms);
  EXPECT_EQ(answers, at_the_end) << "answered after its end";
}

}  // namespace
}  // namespace drover::backends::test
