#include "host_support.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <fstream>

namespace drover::backends::test {
namespace {

struct Tree : HostTest {
  bool has(base::Incarnation incarnation, pid_t pid) const {
    const auto pids = host.tree(key(incarnation));
    return std::find(pids.begin(), pids.end(), pid) != pids.end();
  }
};

using Exit = HostTest;

TEST_F(Exit, TellsCodeOnce) {
  start(shell("exit 7"));
  ASSERT_TRUE(ended());
  EXPECT_FALSE(exits[key(1)].signaled);
  EXPECT_EQ(exits[key(1)].value, 7);
  host.reap();
  EXPECT_EQ(exit_calls[key(1)], 1);
  EXPECT_FALSE(host.pid(key(1)));
}

TEST_F(Exit, TellsSignal) {
  start(spec({"sleep", "1000"}));
  host.signal(key(1), SIGKILL);
  ASSERT_TRUE(ended());
  EXPECT_TRUE(exits[key(1)].signaled);
  EXPECT_EQ(exits[key(1)].value, SIGKILL);
  host.signal(key(1), SIGKILL);  // nobody: its pid may be someone else's by now
}

TEST_F(Exit, IsSeenByPidfdAlone) {
  child_signal.cancel();
  start(shell("exit 3"));
  EXPECT_TRUE(ended());
}

TEST_F(Exit, HandlerMayForgetAndStartAnew) {
  base::Incarnation next = 1;
  asio::io_context own(1);
  std::unique_ptr<ProcessHost> chain;
  chain = std::make_unique<ProcessHost>(own, ProcessHost::Handlers{[&](const ChildKey& which, ExitStatus) {
                                                                     chain->forget(which);
                                                                     if (++next < 6) {
                                                                       EXPECT_TRUE(chain->start(spec({"true"}, next)));
                                                                     }
                                                                   },
                                                                   nullptr});
  ASSERT_TRUE(chain->start(spec({"true"}, next)));
  const auto deadline = base::Clock::now() + kPatience;
  while (next < 6 && base::Clock::now() < deadline) own.run_one_for(5ms);
  EXPECT_EQ(next, 6U);
}

TEST_F(Exit, SecondStartOfAnIncarnationIsRefused) {
  start(spec({"sleep", "1000"}));
  EXPECT_FALSE(host.start(spec({"true"})));
}

TEST_F(Exit, StopAndContinueAreTold) {
  const pid_t pid = start(spec({"sleep", "1000"}));
  kill(pid, SIGSTOP);
  ASSERT_TRUE(until([&] { return stops.size() == 1; }));
  EXPECT_EQ(stops[0], std::pair(key(1), true));
  kill(pid, SIGCONT);
  ASSERT_TRUE(until([&] { return stops.size() == 2; }));
  EXPECT_EQ(stops[1], std::pair(key(1), false));
  EXPECT_TRUE(exits.empty());
}

TEST_F(Tree, HoldsTheGroupAfterItsLeaderEnded) {
  start(shell("sleep 1000 & echo $!; sleep 1000 & echo $!"));
  const pid_t first = printed_pid();
  const pid_t second = printed_pid(1, 1);
  ASSERT_TRUE(ended());
  EXPECT_TRUE(host.tree_alive(key(1)));
  EXPECT_TRUE(has(1, first) && has(1, second));
  host.signal_tree(key(1), SIGTERM);
  EXPECT_TRUE(until([&] { return !host.tree_alive(key(1)); }));
  EXPECT_TRUE(until([&] { return !read_process(first) && !read_process(second); })) << "not reaped";
}

TEST_F(Tree, KnowsWhoForkedTwiceAndRanSetsid) {
  start(python(kEscape + "escape(say_and_stay)\ntime.sleep(1000)"));
  const pid_t escaped = printed_pid();
  ASSERT_GT(escaped, 0);
  EXPECT_TRUE(has(1, escaped));
  host.signal(key(1), SIGKILL);
  ASSERT_TRUE(ended());
  EXPECT_TRUE(host.tree_alive(key(1)));
  EXPECT_TRUE(has(1, escaped));
  host.signal_tree(key(1), SIGTERM);
  EXPECT_TRUE(until([&] { return !host.tree_alive(key(1)); }));
  EXPECT_TRUE(until([&] { return !read_process(escaped); })) << "not reaped";
}

TEST_F(Tree, FindsAnEscapedOneSeenForTheFirstTimeAfterTheEnd) {
  start(python(kEscape + "escape(say_and_stay)"));
  ASSERT_TRUE(ended());
  const pid_t escaped = printed_pid();
  ASSERT_TRUE(until([&] { return host.tree_alive(key(1)); }));
  host.signal_tree(key(1), SIGKILL);
  EXPECT_TRUE(until([&] { return !host.tree_alive(key(1)); }));
  EXPECT_TRUE(gone(escaped));
}

TEST_F(Tree, KeepsWhoClearedItsEnvironment) {
  start(python(kEscape + R"(
def wait_then_clear():
    signal.signal(signal.SIGUSR1, lambda *_: os.execve('/bin/sleep', ['sleep', '1000'], {}))
    say_and_stay()
escape(wait_then_clear)
time.sleep(1000))"));
  const pid_t escaped = printed_pid();
  ASSERT_TRUE(has(1, escaped));
  kill(escaped, SIGUSR1);
  ASSERT_TRUE(until([&] {
    std::string name;
    std::getline(std::ifstream("/proc/" + std::to_string(escaped) + "/comm"), name);
    return name == "sleep";
  }));
  host.signal(key(1), SIGKILL);
  ASSERT_TRUE(ended());
  EXPECT_TRUE(has(1, escaped));
}

TEST_F(Tree, DoesNotTakeAnotherIncarnationsProcesses) {
  start(python(kEscape + "escape(say_and_stay)\ntime.sleep(1000)", 1));
  start(python(kEscape + "escape(say_and_stay)\ntime.sleep(1000)", 11));
  const pid_t first = printed_pid(1);
  const pid_t second = printed_pid(11);
  EXPECT_FALSE(has(1, second));
  EXPECT_FALSE(has(11, first));
  host.signal_tree(key(1), SIGKILL);
  ASSERT_TRUE(ended(1));
  EXPECT_TRUE(until([&] { return !host.tree_alive(key(1)); }));
  EXPECT_TRUE(host.pid(key(11)));
  EXPECT_FALSE(gone(second));
}

TEST_F(Tree, WithoutMarksHasNoEscapedOnes) {
  auto proxy = python(kEscape + "escape(say_and_stay)\ntime.sleep(1000)");
  proxy.env = {"PATH=/usr/bin:/bin"};
  start(proxy);
  const pid_t escaped = printed_pid();
  EXPECT_FALSE(has(1, escaped));
  EXPECT_EQ(host.tree(key(1)).size(), 1U);
}

TEST_F(Tree, SignalReachesEachMemberOnce) {
  start(python(R"(
import os, signal, time
count = 0
def seen(*_):
    global count
    count += 1
    os.write(1, b'seen %d\n' % count)
signal.signal(signal.SIGUSR1, seen)
os.write(1, b'up\n')
while True: time.sleep(1000))"));
  ASSERT_TRUE(until([&] { return host.last_lines(key(1)).size() == 1; }));
  host.signal_tree(key(1), SIGUSR1);
  ASSERT_TRUE(until([&] { return host.last_lines(key(1)).size() == 2; }));
  host.signal_tree(key(1), SIGUSR1);
  ASSERT_TRUE(until([&] { return host.last_lines(key(1)).size() >= 3; }));
  EXPECT_EQ(host.last_lines(key(1)).back(), "seen 2");
}

TEST_F(Tree, KillEverythingLeavesNothing) {
  start(python(kEscape + "escape(say_and_stay)\ntime.sleep(1000)", 1));
  start(shell("trap '' TERM; sleep 1000 & sleep 1000", 2));
  start(python(R"(
import os, time
while True:
    if os.fork() == 0:
        os.setsid()
        time.sleep(0.02)
        os._exit(0)
    time.sleep(0.005)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass)",
               3));
  ASSERT_GT(printed_pid(1), 0);
  host.kill_everything();
  EXPECT_EQ(exits.size(), 3U);
  EXPECT_TRUE(descendants_of(scan_processes(), getpid()).empty());
  EXPECT_FALSE(host.tree_alive(key(1)));
}

TEST_F(Tree, StartIsRefusedWhileEverythingIsKilled) {
  asio::io_context own(1);
  bool refused = false;
  ProcessHost* self = nullptr;
  ProcessHost other(own, {[&](const ChildKey&, ExitStatus) { refused = !self->start(spec({"true"}, 2)); }, nullptr});
  self = &other;
  ASSERT_TRUE(other.start(spec({"sleep", "1000"}, 1)));
  other.kill_everything();
  EXPECT_TRUE(refused);
}

TEST_F(Tree, UsageSumsMemoryCpuAndDescriptorsOfAll) {
  const std::string hold = "import time\nb = bytearray(40 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\n";
  start(python("import os\nchild = os.fork()\n" + hold +
               "f = [open('/dev/null') for _ in range(10)]\nprint('up', flush=True)\nwhile child == 0: pass\ntime.sleep(1000)"));
  ASSERT_TRUE(until([&] { return host.last_lines(key(1)).size() == 2; }));
  EXPECT_TRUE(until([&] {
    const auto usage = host.sample(key(1));
    return usage && usage->cpu_seconds > 0.3;
  }));
  const auto usage = host.sample(key(1));
  ASSERT_TRUE(usage);
  EXPECT_GT(usage->memory_bytes, 80U << 20U);
  EXPECT_LT(usage->memory_bytes, 400U << 20U);
  EXPECT_STREQ(usage->memory_source, "rss");
  EXPECT_TRUE(usage->open_fds_known);
  EXPECT_GE(usage->open_fds, 2U * (3 + 10));
  EXPECT_LE(usage->open_fds, 2U * (3 + 10) + 4);
}

TEST_F(Tree, CpuNeverFallsWhenADescendantDies) {
  start(python(kEscape + R"(
def burn():
    print(os.getpid(), flush=True)
    while True: pass
escape(burn)
time.sleep(1000))"));
  const pid_t burning = printed_pid();
  ASSERT_TRUE(until([&] { return host.sample(key(1)).value_or(Usage{}).cpu_seconds > 0.3; }));
  kill(burning, SIGKILL);
  ASSERT_TRUE(until([&] { return !read_process(burning); }));
  EXPECT_GT(host.sample(key(1)).value_or(Usage{}).cpu_seconds, 0.3);
}

TEST_F(Tree, UnknownChildIsNobody) {
  EXPECT_FALSE(host.tree_alive(key(9)));
  EXPECT_FALSE(host.sample(key(9)));
  EXPECT_TRUE(host.tree(key(9)).empty());
  host.signal(key(9), SIGKILL);
  host.signal_tree(key(9), SIGKILL);
  host.forget(key(9));
}

TEST(ProcessTable, ReadsItself) {
  const auto row = read_process(getpid());
  ASSERT_TRUE(row);
  EXPECT_EQ(row->parent, getppid());
  EXPECT_EQ(row->group, getpgrp());
  EXPECT_FALSE(row->dead());
  EXPECT_GT(row->start, 0U);
  EXPECT_GT(resident_bytes(getpid()), 1U << 20U);
  EXPECT_FALSE(read_process(0x3fffff));
}

TEST(ProcessTable, SignalsOnlyTheLifeThatWasRead) {
  auto row = read_process(getpid());
  ASSERT_TRUE(row);
  EXPECT_TRUE(signal_process(*row, 0));
  row->start += 1;
  EXPECT_FALSE(signal_process(*row, 0));
}

TEST(ProcessTable, DescendantsStandACircle) {
  const auto row = [](pid_t pid, pid_t parent) {
    ProcessRow out;
    out.pid = pid;
    out.parent = parent;
    return out;
  };
  EXPECT_EQ(descendants_of({row(2, 1), row(3, 2), row(4, 3), row(5, 6), row(6, 5)}, 1).size(), 3U);
  EXPECT_EQ(descendants_of({row(2, 3), row(3, 2)}, 2).size(), 2U);
}

}  // namespace
}  // namespace drover::backends::test
