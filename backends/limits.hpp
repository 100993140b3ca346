// Role: what a worker may use at most: rlimits and niceness set in the child, and a cgroup of its own where cgroup v2 is writable.
// Thread: supervisor's deciding thread. Ownership: Cgroups owns the groups it made and removes them at the end.
#pragma once

#include "base/result.hpp"
#include "base/units.hpp"
#include "config/model.hpp"

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// Set in the child between fork and exec, in this order; part of LaunchSpec. No allocation when applied.
struct ChildLimits {
  int cgroup = -1;                             ///< descriptor of a cgroup.procs to write "0" into; -1: none; stays the owner's
  std::optional<std::uint64_t> files;          ///< RLIMIT_NOFILE
  std::optional<std::uint64_t> core;           ///< RLIMIT_CORE, bytes
  std::optional<int> nice;                     ///< setpriority(2)
  std::optional<std::uint64_t> address_space;  ///< RLIMIT_AS, bytes: limits.memory where no cgroup can hold it
};

/// cgroup v2 below our own: <own>/drover.<pid>/<pool>.<slot>.<incarnation>. One for each incarnation and not for each slot, since two
/// of a slot live side by side while one replaces the other: a group of both would have to hold twice the memory, and its OOM kills
/// would be nobody's. Not writable: unavailable(), and everything goes on without (the reason stands in `status`).
///
/// The kernel lets a group with processes of its own give no controllers to groups below it (cgroups(7), "no internal processes").
/// So drover's own processes go to <own>/drover.<pid>/main first, if nobody else's are in <own>; and back at the end.
class Cgroups {
 public:
  /// To be called before any child is started. The paths are those of the kernel; tests have others.
  static Cgroups create(const std::string& mount = "/sys/fs/cgroup", const std::string& self = "/proc/self/cgroup");
  Cgroups(Cgroups&&) noexcept;
  Cgroups& operator=(Cgroups&&) = delete;
  /// Kills what is left in its groups and removes them, as far as that can be done within a moment.
  ~Cgroups();

  bool available() const { return why_not_.empty(); }
  const std::string& why_not() const { return why_not_; }  ///< "" when available

  /// Makes the incarnation's group with memory.max, and opens its cgroup.procs, which stays ours.
  base::Result<int> join_fd(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation, std::optional<config::Bytes> memory_max);
  /// How much memory.events oom_kill of the group has grown since it was last asked; none: not readable.
  std::optional<std::uint64_t> oom_kills(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation);
  /// memory.current; none: not readable.
  std::optional<std::uint64_t> memory(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) const;
  /// cgroup.kill. False: not available.
  bool kill(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation);
  /// Nothing of that incarnation is left: its group is removed (later, if the kernel still holds it).
  void forget(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation);

 private:
  Cgroups() = default;
  struct Group;
  std::string prepare(const std::string& mount, const std::string& self);
  std::string give_memory();
  std::string move_ourselves();
  void move_back();
  void sweep();
  Group* find(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) const;

  std::string own_;   ///< our cgroup's folder; "" = nothing is to be undone
  std::string root_;  ///< <own>/drover.<pid>
  std::string why_not_;
  bool moved_ = false;  ///< drover's processes are in <root>/main
  bool gave_ = false;   ///< memory was given to the groups below <own> by us
  std::vector<std::unique_ptr<Group>> groups_;
};

/// What every worker of the pool gets. Error: names the limit, the reason and the fix (a nice below ours without the right, more files
/// than the hard limit).
base::Result<ChildLimits> child_limits(const config::Pool& pool, bool memory_by_cgroup);

}  // namespace drover::backends
