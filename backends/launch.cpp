#include "backends/launch.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace drover::backends {

namespace {

constexpr int kLaunchTimeoutMs = 10'000;      // a folder or program on a dead network disk: the supervisor can't wait for ever
constexpr rlim_t kMaxClosedOneByOne = 65536;  // descriptors, where the kernel has no close_range

enum class Step : int {
  group,
  cgroup,
  descriptors,
  signals,
  input,
  umask,
  memory,
  files,
  core,
  nice,
  groups,
  gid,
  uid,
  death_signal,
  parent,
  dir,
  exec
};

struct Failure {
  Step step;
  int code;
};

/// Everything the child needs, made before it exists: between fork and exec nothing may be allocated or locked.
struct Plan {
  const LaunchSpec& spec;
  std::vector<std::string> programs;  // paths to try, in order
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<int> moved{};  // room for the descriptors' numbers on their way
  int output = -1;
  int report = -1;
  int executable = -1;
  pid_t parent = 0;
  rlimit files{};
  std::array<char, 32> listen_pid{};  // "LISTEN_PID=" and room for the number: `env` points to it
};

constexpr std::string_view kListenPid = "LISTEN_PID=";

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

std::string search_path(const LaunchSpec& spec) {
  for (const auto& entry : spec.env) {
    if (entry.starts_with("PATH=")) return entry.substr(5);
  }
  const char* own = std::getenv("PATH");
  return own != nullptr ? own : "/usr/local/bin:/usr/bin:/bin";
}

std::vector<std::string> candidates(const LaunchSpec& spec) {
  const std::string& name = spec.argv.front();
  if (name.find('/') != std::string::npos) return {name};
  std::vector<std::string> out;
  const std::string path = search_path(spec);
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    const std::string folder = path.substr(at, end - at);
    out.push_back((folder.empty() ? "." : folder) + "/" + name);
    at = end + 1;
  }
  return out;
}

// ---- in the child: system calls only ---------------------------------------------------------------------------------------

void mark_all_close_on_exec() {
  if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  struct rlimit limit {};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int last = static_cast<int>(std::min(limit.rlim_cur, kMaxClosedOneByOne));
  for (int fd = 3; fd < last; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool place_descriptors(Plan& plan) {
  int free_from = 3;
  for (const auto& [ours, target] : plan.spec.descriptors) free_from = std::max(free_from, target + 1);
  // First all out of the way, so that no target overwrites a source that is still needed.
  const auto move = [free_from](int& fd) {
    if (fd >= 0) fd = fcntl(fd, F_DUPFD_CLOEXEC, free_from);
    return fd >= 0;
  };
  const int report = fcntl(plan.report, F_DUPFD_CLOEXEC, free_from);
  if (report < 0) return false;
  plan.report = report;
  if (plan.executable >= 0 && !move(plan.executable)) return false;
  if (plan.output >= 0 && !move(plan.output)) return false;
  for (int& fd : plan.moved) {
    if (!move(fd)) return false;
  }
  mark_all_close_on_exec();
  for (std::size_t i = 0; i < plan.moved.size(); ++i) {
    if (dup2(plan.moved[i], plan.spec.descriptors[i].second) < 0) return false;
  }
  return plan.output < 0 || (dup2(plan.output, STDOUT_FILENO) >= 0 && dup2(plan.output, STDERR_FILENO) >= 0);
}

bool default_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &standard, nullptr);  // KILL, STOP and libc's own refuse
  sigset_t none;
  sigemptyset(&none);
  return sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

bool empty_input() {
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  if (fd == STDIN_FILENO) return fcntl(fd, F_SETFD, 0) == 0;
  return dup2(fd, STDIN_FILENO) == STDIN_FILENO;
}

int execute(const Plan& plan) {
  if (plan.executable >= 0) {
    syscall(SYS_execveat, plan.executable, "", plan.argv.data(), plan.env.data(), AT_EMPTY_PATH);
    return errno;
  }
  int worst = ENOENT;  // what execvp(3) would say: a program that may not be run counts more than one that is not there
  for (const auto& program : plan.programs) {
    execve(program.c_str(), plan.argv.data(), plan.env.data());
    if (errno == EACCES) worst = EACCES;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return errno;
  }
  return worst;
}

bool limit_to(int resource, std::uint64_t most) {
  const rlimit limit{most, most};
  return setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0;
}

/// None: all are set. Memory last: what comes after it maps nothing.
std::optional<Step> set_limits(const ChildLimits& limits, const rlimit& files) {
  if (limits.files ? !limit_to(RLIMIT_NOFILE, *limits.files) : setrlimit(RLIMIT_NOFILE, &files) != 0) return Step::files;
  if (limits.core && !limit_to(RLIMIT_CORE, *limits.core)) return Step::core;
  if (limits.nice && setpriority(PRIO_PROCESS, 0, *limits.nice) != 0) return Step::nice;
  if (limits.address_space && !limit_to(RLIMIT_AS, *limits.address_space)) return Step::memory;
  return std::nullopt;
}

/// In the child: nothing here may allocate.
void write_listen_pid(std::array<char, 32>& text) {
  const auto end = std::copy(kListenPid.begin(), kListenPid.end(), text.begin());
  *std::to_chars(&*end, text.data() + text.size() - 1, getpid()).ptr = '\0';
}

/// Only on failure does it return. The raw calls for ids: the C library's would signal threads that exist only in the parent.
Failure become_worker(Plan& plan) {
  const LaunchSpec& spec = plan.spec;
  if (setpgid(0, 0) != 0) return {Step::group, errno};
  if (spec.limits.cgroup >= 0 && write(spec.limits.cgroup, "0", 1) != 1) return {Step::cgroup, errno};
  if (!place_descriptors(plan)) return {Step::descriptors, errno};
  if (!default_signals()) return {Step::signals, errno};
  if (!empty_input()) return {Step::input, errno};
  if (spec.umask) umask(static_cast<mode_t>(*spec.umask));
  if (const auto failed = set_limits(spec.limits, plan.files)) return {*failed, errno};
  if (spec.user) {
    const Credentials& user = *spec.user;
    if (syscall(SYS_setgroups, user.groups.size(), user.groups.data()) != 0) return {Step::groups, errno};
    if (syscall(SYS_setresgid, user.gid, user.gid, user.gid) != 0) return {Step::gid, errno};
    if (syscall(SYS_setresuid, user.uid, user.uid, user.uid) != 0) return {Step::uid, errno};
  }
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return {Step::death_signal, errno};
  if (getppid() != plan.parent) return {Step::parent, ESRCH};  // it ended before the line above
  if (!spec.dir.empty() && chdir(spec.dir.c_str()) != 0) return {Step::dir, errno};
  if (spec.listen_pid) write_listen_pid(plan.listen_pid);
  return {Step::exec, execute(plan)};
}

[[noreturn]] void run_child(Plan& plan) {
  const Failure failure = become_worker(plan);
  const ssize_t told = write(plan.report, &failure, sizeof failure);
  _exit(told == sizeof failure ? 127 : 126);
}

// ---- in the parent ---------------------------------------------------------------------------------------------------------

/// clone3 gives pid and pidfd in one step; sandboxes and old kernels that lack it get fork and pidfd_open.
pid_t make_child(base::UniqueFd& pidfd) {
  int fd = -1;
  struct clone_args args {};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&fd);
  args.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid > 0) pidfd.reset(fd);
  if (pid >= 0 || (errno != ENOSYS && errno != EPERM)) return pid;
  const pid_t forked = fork();
  // Its child can't be reaped, nor its pid be reused, before this thread comes back to the one loop that reaps.
  if (forked > 0) pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, forked, 0)));
  return forked;
}

std::string why_not_executed(const LaunchSpec& spec, const Plan& plan, int code) {
  const std::string& name = spec.argv.front();
  if (spec.executable) return "this program itself can't be executed again: " + std::string(strerror(code));
  const bool looked_up = name.find('/') == std::string::npos;
  std::string existing;
  for (const auto& program : plan.programs) {
    const std::string full = spec.dir.empty() || program.starts_with('/') ? program : spec.dir + "/" + program;
    struct stat info {};
    if (!existing.empty() || stat(full.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      if (!looked_up) return "\"" + name + "\" is a folder: name the program in it";
      continue;
    }
    existing = full;
    if (code == EACCES && (info.st_mode & 0111U) == 0) return "\"" + full + "\" is not executable: chmod +x " + full;
  }
  if (code == ENOENT && !existing.empty())
    return "\"" + existing + "\" is there, but the interpreter its first line (#!) names, or its loader, is not";
  if (code == ENOENT || code == ENOTDIR) {
    if (looked_up)
      return "command not found: \"" + name + "\" is in no folder of PATH (" + search_path(spec) + "): install it or write its full path";
    return "command not found: there is no file \"" + name + "\": correct the path";
  }
  if (code == EACCES) {
    return "\"" + (existing.empty() ? name : existing) + "\" may not be executed" + (spec.user ? " by the pool's user" : "") +
           ": check the rights of the file and of each folder above it";
  }
  if (code == ENOEXEC)
    return "\"" + existing + "\" is no program for this machine and has no first line \"#!…\": add one, or name its interpreter first";
  if (code == E2BIG) return "command line and environment together are too long: shorten `env`";
  return "\"" + name + "\" can't be executed: " + strerror(code);
}

std::string why_not_limited(const ChildLimits& limits, const Failure& failure) {
  const std::string reason = strerror(failure.code);
  switch (failure.step) {
    case Step::memory:
      return "can't set limits.memory (address space of " + std::to_string(limits.address_space.value_or(0)) + " bytes): " + reason +
             ": it is above the hard limit that drover has: raise that (ulimit -Hv) or lower limits.memory";
    case Step::core:
      return "can't set limits.core to " + std::to_string(limits.core.value_or(0)) + " bytes: " + reason +
             ": it is above the hard limit that drover has: raise that (ulimit -Hc) or lower limits.core";
    case Step::nice:
      return "can't set limits.nice to " + std::to_string(limits.nice.value_or(0)) + ": " + reason +
             ": only root, or a user with the right to (ulimit -e), may go below its own niceness: start drover so or raise limits.nice";
    default: break;
  }
  if (!limits.files) return "can't set the limit of open files: " + reason;
  return "can't set limits.files to " + std::to_string(*limits.files) + ": " + reason +
         ": it is above the hard limit that drover has: raise that (ulimit -Hn, systemd: LimitNOFILE=) or lower limits.files";
}

base::Error explain(const LaunchSpec& spec, const Plan& plan, const Failure& failure) {
  const std::string reason = strerror(failure.code);
  const auto text = [&]() -> std::string {
    switch (failure.step) {
      case Step::group: return "can't make a process group: " + reason;
      case Step::cgroup: return "can't enter its cgroup: " + reason + ": give drover a cgroup of its own (systemd: Delegate=yes)";
      case Step::descriptors: return "can't pass on descriptors: " + reason + ": raise the limit of open files (ulimit -n)";
      case Step::signals: return "can't reset signals: " + reason;
      case Step::input: return "can't open /dev/null: " + reason + ": /dev must be mounted and readable";
      case Step::umask: return "can't set the umask: " + reason;
      case Step::memory:
      case Step::files:
      case Step::core:
      case Step::nice: return why_not_limited(spec.limits, failure);
      case Step::groups: return "can't take the user's groups: " + reason + ": start drover as root, or remove `user`";
      case Step::gid: return "can't take the user's group: " + reason + ": start drover as root, or remove `user`";
      case Step::uid: return "can't become the user: " + reason + ": start drover as root, or remove `user`";
      case Step::death_signal: return "can't tie its life to the supervisor's: " + reason;
      case Step::parent: return "the supervisor ended meanwhile";
      case Step::dir: return "can't enter dir \"" + spec.dir + "\": " + reason + ": make the folder, or give the pool's user the right to enter it";
      case Step::exec: return why_not_executed(spec, plan, failure.code);
    }
    return reason;
  };
  return base::Error{spec.subject + ": " + text(), failure.code};
}

struct Pipe {
  base::UniqueFd reader;
  base::UniqueFd writer;
};

base::Result<Pipe> make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return base::system_error("can't make a pipe (raise the limit of open files: ulimit -n)", errno);
  return Pipe{base::UniqueFd(fds[0]), base::UniqueFd(fds[1])};
}

void wait_for_end(pid_t pid) {
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

/// Waits until the report pipe closes at exec, or tells of a failure.
base::Result<void> wait_for_exec(const LaunchSpec& spec, const Plan& plan, int report, const Launched& child) {
  pollfd waiting{report, POLLIN, 0};
  int ready = 0;
  do ready = poll(&waiting, 1, kLaunchTimeoutMs);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    // Not waited for: it may hang where not even SIGKILL reaches it. The reaping loop takes it as an orphan.
    syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
    return base::Error{spec.subject + ": did not reach its program within 10s: is \"" + spec.argv.front() + "\" or its folder on a disk that hangs?",
                       ETIMEDOUT};
  }
  Failure failure{};
  ssize_t got = 0;
  do got = read(report, &failure, sizeof failure);
  while (got < 0 && errno == EINTR);
  if (got != sizeof failure) return {};
  // It never was a child that anybody knows of: its end is taken here and not told by the reaping loop.
  wait_for_end(child.pid);
  return explain(spec, plan, failure);
}

}  // namespace

base::Result<Launched> launch(const LaunchSpec& spec, const rlimit& files) {
  if (spec.argv.empty()) return base::Error{spec.subject + ": command is empty: name a program", EINVAL};
  auto report = make_pipe();
  if (!report) return base::Error{spec.subject + ": " + report.error().message, report.error().code};
  Pipe output;
  if (spec.capture_output) {
    auto made = make_pipe();
    if (!made) return base::Error{spec.subject + ": " + made.error().message, made.error().code};
    output = std::move(*made);
    fcntl(output.reader.get(), F_SETFL, O_NONBLOCK);  // this end only: the worker's own writes may block as it expects
    // A worker of another user opens /dev/stderr anew (nginx does): the pipe must be its own then.
    if (spec.user && fchown(output.writer.get(), spec.user->uid, spec.user->gid) != 0 && geteuid() == 0) {
      return base::system_error(spec.subject + ": can't give the output pipe to the pool's user", errno);
    }
  }
  Plan plan{spec, spec.executable ? std::vector<std::string>{} : candidates(spec), pointers(spec.argv), pointers(spec.env)};
  if (spec.listen_pid) plan.env.insert(plan.env.end() - 1, plan.listen_pid.data());
  plan.output = output.writer.get();
  plan.report = report->writer.get();
  plan.executable = spec.executable.value_or(-1);
  plan.parent = getpid();
  plan.files = files;
  for (const auto& [ours, target] : spec.descriptors) plan.moved.push_back(ours);

  // No handler of this process may run in the child before its signals are back at their defaults.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Launched child;
  child.pid = make_child(child.pidfd);
  if (child.pid == 0) run_child(plan);
  const int code = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child.pid < 0)
    return base::system_error(spec.subject + ": can't make a process (limits of processes or memory: ulimit -u, cgroup pids.max)", code);
  if (!child.pidfd) {
    kill(child.pid, SIGKILL);
    wait_for_end(child.pid);
    return base::Error{spec.subject + ": the kernel gives no pidfd: Linux 5.4 or later is needed", ENOSYS};
  }

  report->writer.reset();
  output.writer.reset();
  if (auto done = wait_for_exec(spec, plan, report->reader.get(), child); !done) return done.error();
  child.output = std::move(output.reader);
  return child;
}

}  // namespace drover::backends
