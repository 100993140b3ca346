// Role: starts, watches, signals and reaps every child of the supervisor: workers and proxies alike. Decides nothing.
// Thread: the supervisor's deciding thread only (PR_SET_PDEATHSIG fires when the forking thread ends: prctl(2)).
// Ownership: owns pidfds, output pipes and the one waitid(P_ALL) loop; callers keep keys, never pids.
//
// A child is started with clone3(CLONE_PIDFD); in it, in this order: own process group, cgroup, descriptors, default signals and
// empty mask, standard input from /dev/null, umask, rlimits, niceness (both while it may still raise them), groups/gid/uid,
// PR_SET_PDEATHSIG (a change of uid clears it), getppid check, chdir, exec. Failure comes back as {step, errno} on a close-on-exec pipe.
//
// What one waitid loop has found is told in two rounds: first `dying` for each child that has ended, then, one child after the other,
// what takes time (its last output, up to 1 MiB) and `exited`. So no gate stays open for the sake of another worker's last words.
#pragma once

#include "backends/limits.hpp"
#include "backends/line_capture.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <boost/asio/io_context.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::backends {

/// Names one life of one child for good: pids come back, keys don't.
struct ChildKey {
  static constexpr std::uint32_t kProxy = UINT32_MAX;  ///< as pool: a proxy; slot is its position
  base::SlotId id;
  base::Incarnation incarnation = 0;
  auto operator<=>(const ChildKey&) const = default;
};

/// Looked up before the fork (getpwnam(3) is not safe after it).
struct Credentials {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};
base::Result<Credentials> find_user(const std::string& name);

struct LaunchSpec {
  ChildKey key;
  std::string subject;            ///< for the log: "shop.3", "proxy"
  std::vector<std::string> argv;  ///< argv[0] is looked up in PATH unless it has a slash
  std::optional<int> executable;  ///< exec this descriptor instead (our own binary)
  std::vector<std::string> env;   ///< "NAME=value", the whole environment
  std::string dir;                ///< "" = stay
  std::optional<unsigned> umask;
  ChildLimits limits;
  std::optional<Credentials> user;
  /// {ours, number in the child (> 2)}. Open files are shared, not copied: whether one blocks is the same on both sides.
  std::vector<std::pair<int, int>> descriptors;
  bool listen_pid = false;     ///< LISTEN_PID = its own pid is added to its environment: only the child knows it in time
  bool capture_output = true;  ///< standard output and error line by line into the log; else inherited
};

struct ExitStatus {
  bool signaled = false;
  int value = 0;  ///< exit code or signal number
  bool core_dumped = false;
};

/// Memory, CPU and descriptors of a child and all its descendants.
struct Usage {
  std::uint64_t memory_bytes = 0;
  const char* memory_source = "rss";
  double cpu_seconds = 0;  ///< user + system since its start, dead descendants that were waited for included
  std::uint32_t open_fds = 0;
  bool open_fds_known = true;  ///< false: of at least one living process they may not be read, and open_fds is too few
};

class ProcessHost {
 public:
  struct Handlers {
    std::function<void(const ChildKey&, ExitStatus)> exited;     ///< called once per started child, after its last output was read (bounded)
    std::function<void(const ChildKey&, bool stopped)> stopped;  ///< SIGSTOP and friends, and continued
    /// Called once per started child as soon as waitid has told of its end, before `exited` and before anything slow: here its gate
    /// is closed. `learnt`: when waitid told. May not end the host.
    std::function<void(const ChildKey&, base::TimePoint learnt)> dying{};
    /// A finished line of its output, control characters escaped, at the rate of the log (LineCapture::kLinesPerSecond); where lines
    /// were dropped a line says how many. May not end the host.
    std::function<void(const ChildKey&, std::string_view line)> output{};
  };

  ProcessHost(boost::asio::io_context& io, Handlers handlers);
  ~ProcessHost();
  ProcessHost(const ProcessHost&) = delete;

  /// On success the child has passed exec. Error: names the step, the thing and the fix.
  base::Result<pid_t> start(const LaunchSpec& spec);
  /// To the main process of the child. Unknown key: nothing.
  void signal(const ChildKey& key, int signal);
  /// To every process of its tree: its group, its descendants, and the escaped ones that carry its incarnation in their environment.
  void signal_tree(const ChildKey& key, int signal);
  /// Is any process of its tree left (also after the main process ended)?
  bool tree_alive(const ChildKey& key) const;
  std::optional<pid_t> pid(const ChildKey& key) const;
  /// Pids of its tree now (for who_listens and PssReader), main first; empty: unknown key, or nothing left.
  std::vector<pid_t> tree(const ChildKey& key) const;
  std::optional<Usage> sample(const ChildKey& key) const;
  /// Last lines of its output, newest last (bounded).
  std::vector<std::string> last_lines(const ChildKey& key) const;
  /// Forgets a child that has exited and whose tree is gone.
  void forget(const ChildKey& key);
  /// One waitid loop; called on SIGCHLD. Pidfds wake it too.
  void reap();
  /// SIGKILL to everything that is a descendant of this process, whoever it is; waits for their end (bounded) and reaps.
  /// While it runs no child can be started.
  void kill_everything();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover::backends
