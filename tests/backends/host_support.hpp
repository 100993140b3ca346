// Role: what the process host's tests share: a loop with a host in it, waiting for a condition with a deadline, real processes.
// Thread: the test's. Ownership: the fixture ends every process it started.
#pragma once

#include "backends/process_host.hpp"
#include "backends/process_table.hpp"
#include "base/unique_fd.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace drover::backends::test {

using namespace std::chrono_literals;
namespace asio = boost::asio;

inline constexpr base::Millis kPatience = 20s;  // a machine under load may be slow; a condition that holds is seen at once

/// A zombie counts: nothing of it runs any more.
inline bool gone(pid_t pid) {
  const auto process = read_process(pid);
  return !process || process->dead();
}

class HostTest : public ::testing::Test {
 protected:
  HostTest() { await_child_signal(); }
  ~HostTest() override { host.kill_everything(); }

  void await_child_signal() {
    child_signal.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      host.reap();
      await_child_signal();
    });
  }

  template <class Condition>
  bool until(Condition&& condition, base::Millis patience = kPatience) {
    const auto deadline = base::Clock::now() + patience;
    while (!condition()) {
      if (base::Clock::now() > deadline) return false;
      io.restart();
      io.run_one_for(5ms);
    }
    return true;
  }

  static ChildKey key(base::Incarnation incarnation) { return {{0, 1}, incarnation}; }

  static LaunchSpec spec(std::vector<std::string> argv, base::Incarnation incarnation = 1) {
    LaunchSpec out;
    out.key = key(incarnation);
    out.subject = "shop.1";
    out.argv = std::move(argv);
    out.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "DROVER_POOL=shop", "DROVER_WORKER=1", "DROVER_INCARNATION=" + std::to_string(incarnation)};
    return out;
  }
  static LaunchSpec shell(const std::string& script, base::Incarnation incarnation = 1) { return spec({"sh", "-c", script}, incarnation); }
  static LaunchSpec python(const std::string& script, base::Incarnation incarnation = 1) { return spec({"python3", "-c", script}, incarnation); }

  pid_t start(const LaunchSpec& what) {
    const auto pid = host.start(what);
    EXPECT_TRUE(pid) << pid.error().message;
    return pid ? *pid : 0;
  }
  bool ended(base::Incarnation incarnation = 1) {
    return until([&] { return exits.contains(key(incarnation)); });
  }
  std::vector<std::string> output_of(const LaunchSpec& what) {
    if (start(what) == 0 || !ended(what.key.incarnation)) return {"(did not run)"};
    return host.last_lines(what.key);
  }
  /// The pid that a worker prints in its n-th line.
  pid_t printed_pid(base::Incarnation incarnation = 1, std::size_t line = 0) {
    until([&] { return host.last_lines(key(incarnation)).size() > line; });
    const auto lines = host.last_lines(key(incarnation));
    return lines.size() > line ? std::atoi(lines[line].c_str()) : 0;
  }

  asio::io_context io{1};
  asio::signal_set child_signal{io, SIGCHLD};
  std::map<ChildKey, ExitStatus> exits;
  std::map<ChildKey, int> exit_calls;
  std::vector<std::pair<ChildKey, bool>> stops;
  ProcessHost host{io,
                   {[this](const ChildKey& which, ExitStatus status) {
                      exits[which] = status;
                      ++exit_calls[which];
                    },
                    [this](const ChildKey& which, bool stopped) { stops.emplace_back(which, stopped); }}};
};

/// Makes this process's call `number` fail with `code`, as a container's sandbox or an old kernel does; with `first_argument`
/// only those that have it. false: no filter can be set here.
inline bool refuse_call(std::uint32_t number, std::uint32_t code, std::optional<std::uint32_t> first_argument = {}) {
  const auto load = [](std::uint32_t offset) { return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offset}; };
  const auto skip_unless = [](std::uint32_t value, std::uint8_t steps) { return sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, steps, value}; };
  std::vector<sock_filter> program{load(offsetof(seccomp_data, nr)), skip_unless(number, first_argument ? 3 : 1)};
  if (first_argument) {
    program.push_back(load(offsetof(seccomp_data, args)));
    program.push_back(skip_unless(*first_argument, 1));
  }
  program.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | code});
  program.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  const sock_fprog filter{static_cast<std::uint16_t>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// The exit code of `what`, run in a process of its own.
inline int in_a_child(const std::function<int()>& what) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) _exit(what());
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// Forks twice with setsid between: what classic Unix servers do. Its grandchild prints its pid and lives on.
inline const std::string kEscape = R"(
import os, signal, time
def escape(then):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            then()
            os._exit(0)
        os._exit(0)
    os.wait()
def say_and_stay():
    print(os.getpid(), flush=True)
    time.sleep(1000)
)";

}  // namespace drover::backends::test
