#include "backends/process_host.hpp"

#include "backends/launch.hpp"
#include "backends/process_tree.hpp"
#include "base/log.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <unordered_map>

namespace drover::backends {

namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

constexpr base::Millis kSampleAge = 200ms;  // all children of one sampling share one look at /proc
constexpr base::Millis kAliveAge = 20ms;    // a drain asks each few milliseconds
constexpr int kReapsPerTurn = 1024;         // then other handlers get their turn
constexpr int kKillRounds = 16;             // looks for what was forked while the rest was killed
constexpr std::size_t kMaxGroups = 65536;   // the kernel's NGROUPS_MAX
constexpr std::array<const char*, 3> kMarkNames{"DROVER_POOL=", "DROVER_WORKER=", "DROVER_INCARNATION="};

using Watch = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

struct Child {
  std::string subject;
  pid_t pid = 0;
  bool running = true;  // false: reaped; its pid says nothing any more
  std::unique_ptr<Watch> pidfd;
  std::shared_ptr<LineCapture> output;
  std::vector<std::string> marks;
  double cpu_seconds = 0;  // last told
  double cpu_of_dead = 0;  // of descendants nobody waited for: the sum would fall without it
};

/// What waitid has told of a child.
struct Change {
  ChildKey key;
  int code = 0;   // CLD_…
  int value = 0;  // exit code or signal
  bool ended() const { return code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED; }
};

/// All three, or none: with fewer, another incarnation's processes could be taken for this one's.
std::vector<std::string> marks_in(const std::vector<std::string>& env) {
  std::vector<std::string> marks;
  for (const char* name : kMarkNames) {
    const auto found = std::find_if(env.begin(), env.end(), [name](const std::string& entry) { return entry.starts_with(name); });
    if (found != env.end()) marks.push_back(*found);
  }
  return marks.size() == kMarkNames.size() ? marks : std::vector<std::string>{};
}

bool is_alive(const ProcessRow& process) {
  const auto now = read_process(process.pid);
  return now && now->start == process.start && !now->dead();
}

}  // namespace

struct ProcessHost::Impl {
  Impl(asio::io_context& context, Handlers callbacks) : io(context), handlers(std::move(callbacks)) {
    getrlimit(RLIMIT_NOFILE, &files);
    rlimit most = files;
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
  }

  asio::io_context& io;
  Handlers handlers;
  std::map<ChildKey, Child> children;
  std::unordered_map<pid_t, ChildKey> by_pid;  // running ones
  ProcessTrees trees;
  bool killing = false;
  rlimit files{};                                              // as drover was started with: what children get
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);  // for handlers still queued when the host is gone

  Child* find(const ChildKey& key) {
    const auto found = children.find(key);
    return found == children.end() ? nullptr : &found->second;
  }

  void look(base::Millis max_age) {
    std::vector<TreeRoot> roots;
    roots.reserve(children.size());
    for (const auto& [key, child] : children) roots.push_back({key, child.pid, child.running, &child.marks});
    trees.refresh(roots, max_age);
  }

  void watch(ProcessHost& host, const ChildKey& key) {
    const auto told = [this, &host, key, life = std::weak_ptr(alive)](const boost::system::error_code& error) {
      if (error || life.expired()) return;
      host.reap();
      if (life.expired()) return;
      // A wait can come back for a descriptor that was closed in the same turn. One that is readable and not reaped is being
      // traced: SIGCHLD comes when the tracer lets go of it.
      const Child* child = find(key);
      if (child != nullptr && child->running && !has_ended(child->pidfd->native_handle())) watch(host, key);
    };
    children.at(key).pidfd->async_wait(Watch::wait_read, told);
  }

  /// The first round: only what can't wait.
  void note(const siginfo_t& info, std::vector<Change>& changes) {
    const auto known = by_pid.find(info.si_pid);
    if (known == by_pid.end()) return;  // an orphan: reaping it was all
    const ChildKey key = known->second;
    changes.push_back({key, info.si_code, info.si_status});
    if (!changes.back().ended()) return;
    by_pid.erase(known);
    Child& child = children.at(key);
    child.running = false;
    child.pidfd.reset();
    if (handlers.dying) handlers.dying(key, base::Clock::now());
  }

  /// The second round.
  void tell(const Change& change) {
    if (!change.ended()) {
      if (handlers.stopped && change.code != CLD_TRAPPED) handlers.stopped(change.key, change.code == CLD_STOPPED);
      return;
    }
    if (const Child* child = find(change.key); child != nullptr && child->output) child->output->drain();
    handlers.exited(change.key, ExitStatus{change.code != CLD_EXITED, change.value, change.code == CLD_DUMPED});
  }

  void say(const ChildKey& key, std::string_view line) const {
    if (handlers.output) handlers.output(key, line);
  }
};

base::Result<Credentials> find_user(const std::string& name) {
  std::array<char, 16 * 1024> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const int code = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (code != 0) return base::system_error("can't look up user \"" + name + "\"", code);
  if (found == nullptr) return base::Error{"there is no user \"" + name + "\": create it (useradd --system " + name + ") or correct `user`", ENOENT};
  Credentials user{found->pw_uid, found->pw_gid, {}};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) {
    user.groups.resize(std::min(static_cast<std::size_t>(count), kMaxGroups));
    count = static_cast<int>(user.groups.size());
    if (getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0)
      return base::Error{"user \"" + name + "\" is in too many groups", E2BIG};
  }
  user.groups.resize(static_cast<std::size_t>(count));
  return user;
}

ProcessHost::ProcessHost(asio::io_context& io, Handlers handlers) : impl_(std::make_unique<Impl>(io, std::move(handlers))) {
  // A worker's escaped descendants come back to this process, where they can be found and ended.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) base::log::warn("supervisor", "escaped descendants of workers can't be found: {}", std::strerror(errno));
}

ProcessHost::~ProcessHost() {
  impl_->handlers.output = nullptr;  // its listener may be gone already
  for (auto& [key, child] : impl_->children) {
    if (child.output) child.output->close();
  }
}

base::Result<pid_t> ProcessHost::start(const LaunchSpec& spec) {
  if (impl_->killing) return base::Error{spec.subject + ": not started: everything is being ended", ECANCELED};
  if (impl_->children.contains(spec.key)) return base::Error{spec.subject + ": this incarnation was started before", EEXIST};
  auto launched = launch(spec, impl_->files);
  if (!launched) return launched.error();
  Child child;
  child.subject = spec.subject;
  child.pid = launched->pid;
  child.marks = marks_in(spec.env);
  child.pidfd = std::make_unique<Watch>(impl_->io, launched->pidfd.release());
  if (launched->output) {
    child.output = std::make_shared<LineCapture>(impl_->io, std::move(launched->output), spec.subject,
                                                 [impl = impl_.get(), key = spec.key](std::string_view line) { impl->say(key, line); });
    child.output->start();
  }
  impl_->by_pid[child.pid] = spec.key;
  impl_->children[spec.key] = std::move(child);
  impl_->watch(*this, spec.key);
  impl_->trees.invalidate();
  return launched->pid;
}

void ProcessHost::signal(const ChildKey& key, int signal) {
  Child* child = impl_->find(key);
  if (child != nullptr && child->running) syscall(SYS_pidfd_send_signal, child->pidfd->native_handle(), signal, nullptr, 0);
}

void ProcessHost::signal_tree(const ChildKey& key, int signal) {
  const Child* child = impl_->find(key);
  if (child == nullptr) return;
  // The group first and at once: nobody in it can fork between two looks. Only while the leader is not reaped is the number its own.
  bool group_done = child->running && kill(-child->pid, signal) == 0;
  std::vector<std::pair<pid_t, std::uint64_t>> told;
  for (int round = 0; round < kKillRounds; ++round) {
    impl_->trees.invalidate();
    impl_->look(0ms);
    bool news = false;
    for (const auto& process : impl_->trees.members(key)) {
      if (group_done && process.group == child->pid) continue;
      const std::pair life{process.pid, process.start};
      if (std::find(told.begin(), told.end(), life) != told.end()) continue;
      told.push_back(life);
      news = signal_process(process, signal) || news;
    }
    // What is forked while being asked to end may end as it likes; what is forked while being killed must be killed, too.
    if (signal != SIGKILL || !news) break;
    group_done = false;
  }
  impl_->trees.invalidate();
}

bool ProcessHost::tree_alive(const ChildKey& key) const {
  const Child* child = impl_->find(key);
  if (child == nullptr) return false;
  if (child->running) return true;
  impl_->look(kAliveAge);
  return !impl_->trees.members(key).empty();
}

std::optional<pid_t> ProcessHost::pid(const ChildKey& key) const {
  const Child* child = impl_->find(key);
  return child != nullptr && child->running ? std::optional(child->pid) : std::nullopt;
}

std::vector<pid_t> ProcessHost::tree(const ChildKey& key) const {
  std::vector<pid_t> pids;
  if (impl_->find(key) == nullptr) return pids;
  impl_->look(kAliveAge);
  for (const auto& process : impl_->trees.members(key)) pids.push_back(process.pid);
  return pids;
}

std::optional<Usage> ProcessHost::sample(const ChildKey& key) const {
  Child* child = impl_->find(key);
  if (child == nullptr) return std::nullopt;
  impl_->look(kSampleAge);
  const auto& members = impl_->trees.members(key);
  if (members.empty()) return std::nullopt;
  static const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  Usage usage;
  for (const auto& process : members) {
    usage.memory_bytes += resident_bytes(process.pid);
    usage.cpu_seconds += static_cast<double>(process.cpu_ticks) / ticks_per_second;
    const auto count = count_descriptors(process.pid);
    usage.open_fds += count.value_or(0);
    // One that has ended since the look has none: that is known.
    const bool known = count || !is_alive(process);
    usage.open_fds_known = usage.open_fds_known && known;
  }
  child->cpu_of_dead = std::max(child->cpu_of_dead, child->cpu_seconds - usage.cpu_seconds);
  usage.cpu_seconds += child->cpu_of_dead;
  child->cpu_seconds = usage.cpu_seconds;
  return usage;
}

std::vector<std::string> ProcessHost::last_lines(const ChildKey& key) const {
  const Child* child = impl_->find(key);
  return child != nullptr && child->output ? child->output->last_lines() : std::vector<std::string>{};
}

void ProcessHost::forget(const ChildKey& key) {
  const auto found = impl_->children.find(key);
  if (found == impl_->children.end() || found->second.running) return;
  if (found->second.output) found->second.output->close();
  impl_->children.erase(found);
}

void ProcessHost::reap() {
  std::vector<Change> changes;
  int count = 0;
  for (; count < kReapsPerTurn; ++count) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) != 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (info.si_pid == 0) break;
    impl_->note(info, changes);
  }
  if (count > 0) impl_->trees.invalidate();
  const std::weak_ptr life = impl_->alive;
  for (const Change& change : changes) {
    impl_->tell(change);
    if (life.expired()) return;  // a handler ended the host
  }
  if (count < kReapsPerTurn) return;
  asio::post(impl_->io, [this, life] {
    if (!life.expired()) reap();
  });
}

void ProcessHost::kill_everything() {
  impl_->killing = true;
  const std::size_t left = kill_descendants([this] { reap(); });
  impl_->killing = false;
  if (left > 0) base::log::error("supervisor", "{} processes could not be killed: they hang in the kernel or belong to another user", left);
}

}  // namespace drover::backends
