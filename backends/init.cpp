#include "backends/init.hpp"

#include "backends/process_table.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace drover::backends {

namespace {

constexpr std::array kForwarded{SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int number : kForwarded) sigaddset(&set, number);
  return set;
}

[[noreturn]] void become_supervisor(pid_t init, const std::function<int(pid_t)>& supervisor) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != init) std::exit(1);  // init ended before the line above
  std::exit(supervisor(init));
}

/// What nohup(1) or a shell's "&" had set to be ignored. From then on nothing is: an ignored SIGCHLD would leave nobody to wait for.
sigset_t take_over_ignored(const sigset_t& watched) {
  sigset_t ignored;
  sigemptyset(&ignored);
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    if (sigismember(&watched, number) != 1) continue;
    struct sigaction before {};
    if (sigaction(number, &standard, &before) == 0 && before.sa_handler == SIG_IGN) sigaddset(&ignored, number);
  }
  return ignored;
}

void forward(pid_t supervisor, const siginfo_t& info, const sigset_t& ignored) {
  const bool from_terminal = info.si_code == SI_KERNEL;
  if (from_terminal && sigismember(&ignored, info.si_signo) == 1) return;
  sigval origin{};
  origin.sival_int = static_cast<int>(from_terminal ? SignalOrigin::terminal : SignalOrigin::user);
  // The queue of signals has a limit; a signal without its origin is better than none.
  if (sigqueue(supervisor, info.si_signo, origin) != 0 && errno == EAGAIN) kill(supervisor, info.si_signo);
}

/// Takes every child that has ended, orphans included. The supervisor's end, if it is among them.
std::optional<siginfo_t> reap(pid_t supervisor) {
  std::optional<siginfo_t> end;
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 && errno == EINTR) continue;
    if (info.si_pid == 0) return end;
    if (info.si_pid == supervisor) end = info;
  }
}

siginfo_t serve(pid_t supervisor, const sigset_t& watched, const sigset_t& ignored) {
  for (;;) {
    siginfo_t info{};
    if (sigwaitinfo(&watched, &info) < 0) continue;
    if (info.si_signo != SIGCHLD)
      forward(supervisor, info, ignored);
    else if (const auto end = reap(supervisor))
      return *end;
  }
}

}  // namespace

int run_init(const std::function<int(pid_t init)>& supervisor) {
  // Blocked, not handled: as PID 1 the kernel would throw away signals left at their default, but never blocked ones.
  const sigset_t watched = watched_signals();
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  const sigset_t ignored = take_over_ignored(watched);
  signal(SIGPIPE, SIG_IGN);  // nobody may read our words any more; what is below must be ended all the same
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    std::fprintf(stderr, "drover: escaped descendants of workers can't be found: %s\n", std::strerror(errno));
  std::fflush(nullptr);  // or the child would write it a second time
  const pid_t init = getpid();
  const pid_t child = fork();
  if (child == 0) become_supervisor(init, supervisor);
  if (child < 0) {
    std::fprintf(stderr, "drover: can't start the supervisor: %s: limits of processes or memory (ulimit -u, cgroup pids.max)\n",
                 std::strerror(errno));
    return 1;
  }
  setpgid(child, child);  // both sides do it: whoever comes first, no signal from the terminal finds it in our group

  const siginfo_t end = serve(child, watched, ignored);
  const bool by_signal = end.si_code != CLD_EXITED;
  if (by_signal)
    std::fprintf(stderr, "drover: the supervisor was ended by signal %d (%s); ending all it left\n", end.si_status, strsignal(end.si_status));
  const std::size_t left = kill_descendants([child] { reap(child); });
  if (left > 0) std::fprintf(stderr, "drover: %zu processes could not be killed: they hang in the kernel or belong to another user\n", left);
  return by_signal ? 1 : end.si_status;
}

base::Result<base::UniqueFd> watch_init(pid_t init) {
  base::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, init, 0)));
  if (!pidfd) return base::system_error("can't watch init (process " + std::to_string(init) + ")", errno);
  // Asked after opening: a parent that is still init can't have been someone else before.
  if (getppid() != init) return base::Error{"init (process " + std::to_string(init) + ") has ended", ESRCH};
  return pidfd;
}

}  // namespace drover::backends
