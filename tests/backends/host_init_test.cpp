#include "host_support.hpp"

#include "backends/init.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>

#include <cstdio>
#include <cstdlib>
#include <functional>

namespace drover::backends::test {
namespace {

using Supervisor = std::function<int(pid_t init, int words)>;

void say(int words, const std::string& line) {
  if (write(words, (line + "\n").c_str(), line.size() + 1) < 0) _exit(99);
}

/// init, a supervisor under it, and whatever that starts, all telling the test about themselves over one pipe.
class InitTest : public ::testing::Test {
 protected:
  InitTest() {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) std::abort();
    reader_.reset(fds[0]);
    writer_.reset(fds[1]);
  }
  ~InitTest() override {
    kill_descendants([] {
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    });
  }

  /// `prepare` runs in init's process first.
  void run(Supervisor supervisor, const std::function<void()>& prepare = {}) {
    const int words = writer_.get();
    std::fflush(nullptr);
    init = fork();
    if (init == 0) {
      if (prepare) prepare();
      _exit(run_init([&](pid_t above) {
        _exit(supervisor(above, words));
        return 0;
      }));
    }
    writer_.reset();
  }

  std::string word() {
    const auto deadline = base::Clock::now() + kPatience;
    for (;;) {
      if (const auto end = text_.find('\n'); end != std::string::npos) {
        std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return line;
      }
      pollfd waiting{reader_.get(), POLLIN, 0};
      char chunk[256];
      if (base::Clock::now() > deadline || poll(&waiting, 1, 100) < 0) return "(nothing said)";
      const ssize_t got = waiting.revents == 0 ? -1 : read(reader_.get(), chunk, sizeof chunk);
      if (got == 0) return "(closed)";
      if (got > 0) text_.append(chunk, static_cast<std::size_t>(got));
    }
  }
  pid_t pid_word() { return std::atoi(word().c_str()); }

  int exit_code() const {
    int status = 0;
    if (waitpid(init, &status, 0) != init) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  static bool all_gone(const std::vector<pid_t>& pids, base::Millis within) {
    const auto deadline = base::Clock::now() + within;
    for (const pid_t pid : pids) {
      while (!gone(pid)) {
        if (base::Clock::now() > deadline) return false;
        poll(nullptr, 0, 1);
      }
    }
    return true;
  }

  pid_t init = 0;

 private:
  base::UniqueFd reader_;
  base::UniqueFd writer_;
  std::string text_;
};

/// Reads signals as the supervisor does and says each with where init says it came from; USR2 ends it.
int tell_signals(pid_t, int words) {
  sigset_t set;
  sigfillset(&set);
  sigdelset(&set, SIGCHLD);
  const base::UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC));
  say(words, "up");
  for (signalfd_siginfo info{}; read(signals.get(), &info, sizeof info) == sizeof info;) {
    const bool queued = info.ssi_code == SI_QUEUE;
    say(words, std::to_string(info.ssi_signo) + (queued ? " origin " + std::to_string(info.ssi_int) : " direct"));
    if (info.ssi_signo == SIGUSR2) return 5;
  }
  return 6;
}

/// A supervisor as small as can be: three workers that try to outlive it in different ways; ends with init.
int keep_workers(pid_t init, int words) {
  asio::io_context io(1);
  ProcessHost host(io, {[](const ChildKey&, ExitStatus) {}, nullptr});
  auto watch = watch_init(init);
  if (!watch) return 90;
  asio::posix::stream_descriptor above(io, watch->release());
  std::function<void()> wait_for_init = [&] {
    above.async_wait(asio::posix::stream_descriptor::wait_read, [&](const boost::system::error_code&) {
      if (!has_ended(above.native_handle())) return wait_for_init();
      host.kill_everything();
      io.stop();
    });
  };
  wait_for_init();
  LaunchSpec spec;
  spec.subject = "shop.1";
  spec.env = {"PATH=/usr/bin:/bin", "DROVER_POOL=shop", "DROVER_WORKER=1", "DROVER_INCARNATION=1"};
  spec.descriptors = {{words, 3}};
  const std::vector<std::string> scripts{
      "import os, time\nos.write(3, b'%d\\n' % os.getpid())\ntime.sleep(1000)",
      kEscape + "def stay():\n  os.write(3, b'%d\\n' % os.getpid())\n  time.sleep(1000)\nescape(stay)\ntime.sleep(1000)",
      kEscape +
          "def stay():\n  os.write(3, b'%d\\n' % os.getpid())\n  os.execve('/bin/sleep', ['sleep', '1000'], {})\n"
          "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nescape(stay)"};
  for (const auto& script : scripts) {
    spec.key.incarnation += 1;
    spec.argv = {"python3", "-c", script};
    if (!host.start(spec)) return 91;
  }
  say(words, "supervisor");
  io.run();
  return 0;
}

TEST_F(InitTest, ReturnsTheSupervisorsExitCode) {
  run([](pid_t, int) { return 78; });
  EXPECT_EQ(exit_code(), 78);
}

TEST_F(InitTest, SupervisorEndedByASignalIsAFailure) {
  run([](pid_t, int) { return raise(SIGKILL); });
  EXPECT_EQ(exit_code(), 1);
}

TEST_F(InitTest, SupervisorIsInAGroupOfItsOwnWithInitAbove) {
  run([](pid_t above, int words) {
    say(words, std::to_string(getppid() == above && getpgrp() == getpid()));
    return 0;
  });
  EXPECT_EQ(word(), "1");
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(InitTest, ForwardsEachSignalOnceWithItsOrigin) {
  run(tell_signals);
  ASSERT_EQ(word(), "up");
  for (const int number : {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGTTIN, SIGTTOU, SIGUSR2}) {
    kill(init, number);
    EXPECT_EQ(word(), std::to_string(number) + " origin " + std::to_string(static_cast<int>(SignalOrigin::user)));
  }
  EXPECT_EQ(exit_code(), 5);
}

TEST_F(InitTest, ManyOfOneSignalAllArriveOneByOne) {
  run(tell_signals);
  ASSERT_EQ(word(), "up");
  for (int i = 0; i < 100; ++i) {
    kill(init, SIGINT);
    ASSERT_EQ(word(), "2 origin 2");
  }
}

TEST_F(InitTest, SignalBeforeTheSupervisorListensIsNotLost) {
  run([](pid_t above, int words) {
    say(words, "not listening yet");
    sigset_t pending;
    do sigpending(&pending);
    while (sigismember(&pending, SIGTERM) != 1);
    return tell_signals(above, words);
  });
  ASSERT_EQ(word(), "not listening yet");
  kill(init, SIGTERM);
  ASSERT_EQ(word(), "up");
  EXPECT_EQ(word(), "15 origin 2");
}

struct Terminal {
  base::UniqueFd master;
  std::string name;
};

Terminal open_terminal() {
  Terminal out;
  out.master.reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!out.master || grantpt(out.master.get()) != 0 || unlockpt(out.master.get()) != 0) return {};
  out.name = ptsname(out.master.get());
  return out;
}

void enter_terminal(Terminal& terminal) {
  terminal.master.reset();  // the test alone holds this end
  setsid();
  const int fd = open(terminal.name.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) != 0) _exit(98);
}

TEST_F(InitTest, CtrlCArrivesOnceAndFromTheTerminal) {
  auto terminal = open_terminal();
  if (!terminal.master) GTEST_SKIP() << "no terminals here";
  run(tell_signals, [&] { enter_terminal(terminal); });
  ASSERT_EQ(word(), "up");
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(write(terminal.master.get(), "\x03", 1), 1);
    EXPECT_EQ(word(), "2 origin 1");
    kill(init, SIGUSR1);  // what comes next: a second INT would come before it
    EXPECT_EQ(word(), "10 origin 2");
  }
  terminal.master.reset();
  EXPECT_EQ(word(), "1 origin 1") << "a terminal's hang-up is not kill -HUP";
}

TEST_F(InitTest, WhatNohupIgnoresStaysWithTheTerminal) {
  auto terminal = open_terminal();
  if (!terminal.master) GTEST_SKIP() << "no terminals here";
  run(tell_signals, [&] {
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    enter_terminal(terminal);
  });
  ASSERT_EQ(word(), "up");
  terminal.master.reset();
  kill(init, SIGUSR1);
  EXPECT_EQ(word(), "10 origin 2");
  kill(init, SIGHUP);
  EXPECT_EQ(word(), "1 origin 2") << "a reload asked for by kill";
  kill(init, SIGUSR2);
  EXPECT_EQ(word(), "12 origin 2");
  EXPECT_EQ(exit_code(), 5);
}

struct LeavesNothing : InitTest {
  std::vector<pid_t> workers;
  pid_t supervisor = 0;

  void start_all() {
    run(keep_workers);
    for (int i = 0; i < 4; ++i) {
      const std::string said = word();
      if (said != "supervisor") workers.push_back(std::atoi(said.c_str()));
    }
    ASSERT_EQ(workers.size(), 3U);
    for (const pid_t pid : workers) ASSERT_FALSE(gone(pid));
    for (const auto& process : scan_processes()) {
      if (process.parent == init) supervisor = process.pid;
    }
    ASSERT_GT(supervisor, 0);
  }
};

TEST_F(LeavesNothing, WhenTheSupervisorIsKilled) {
  start_all();
  kill(supervisor, SIGKILL);
  EXPECT_TRUE(all_gone(workers, 2s));
  EXPECT_EQ(exit_code(), 1);
  EXPECT_TRUE(descendants_of(scan_processes(), getpid()).empty());
}

TEST_F(LeavesNothing, WhenInitIsKilled) {
  start_all();
  kill(init, SIGKILL);
  workers.push_back(supervisor);
  EXPECT_TRUE(all_gone(workers, 2s));
}

TEST_F(LeavesNothing, WhenTheSupervisorLeavesSomethingBehind) {
  run([](pid_t, int words) {
    if (fork() == 0) {
      setsid();
      if (fork() == 0) {
        say(words, std::to_string(getpid()));
        for (;;) pause();
      }
      _exit(0);
    }
    wait(nullptr);
    return 0;
  });
  const pid_t left = pid_word();
  EXPECT_EQ(exit_code(), 0);
  EXPECT_TRUE(gone(left));
}

TEST_F(InitTest, ReapsOrphansWhileItServes) {
  run([](pid_t above, int words) {
    // This supervisor is no subreaper: its orphans go to init.
    if (fork() == 0) {
      if (fork() == 0) _exit(0);
      _exit(0);
    }
    wait(nullptr);
    return tell_signals(above, words);
  });
  ASSERT_EQ(word(), "up");
  EXPECT_TRUE([&] {
    const auto deadline = base::Clock::now() + kPatience;
    while (base::Clock::now() < deadline) {
      const auto below = descendants_of(scan_processes(), init);
      if (below.size() == 1) return true;
    }
    return false;
  }());
}

TEST_F(InitTest, WatchOfAnEndedInitIsRefused) {
  EXPECT_FALSE(watch_init(0x3fffff));
  run([](pid_t, int) { return 0; });
  EXPECT_FALSE(watch_init(init)) << "not the parent of this process";
  EXPECT_EQ(exit_code(), 0);
}

/// As in a container: process 1 of a pid namespace with a /proc of its own.
TEST_F(InitTest, WorksAsProcessOne) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const int result = in_a_child([this] {
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) return 100;
    run(
        [](pid_t above, int words) {
          if (above != 1) return 92;
          // An orphan of nobody's, which ignores TERM: gone with init.
          if (fork() == 0) {
            setsid();
            signal(SIGTERM, SIG_IGN);
            if (fork() == 0) {
              for (;;) pause();
            }
            _exit(0);
          }
          wait(nullptr);
          return tell_signals(above, words);
        },
        [] {
          mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
          if (mount("proc", "/proc", "proc", 0, nullptr) != 0) _exit(100);
        });
    const std::string first = word();
    if (first != "up") return first == "(closed)" ? exit_code() : 93;
    kill(init, SIGTERM);
    if (word() != "15 origin 2") return 94;
    kill(init, SIGUSR2);
    if (word() != "12 origin 2") return 95;
    return exit_code();
  });
  if (result == 100) GTEST_SKIP() << "no pid namespace can be made here";
  EXPECT_EQ(result, 5);
}

}  // namespace
}  // namespace drover::backends::test
