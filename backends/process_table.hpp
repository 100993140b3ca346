// Role: reads the kernel's process table (/proc) and signals a process only while it is still the one that was read.
// Thread: supervisor's deciding thread, or init. Ownership: values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// One line of /proc/PID/stat. {pid, start} names one life: pids come back, start times don't.
struct ProcessRow {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  char state = '?';
  std::uint64_t cpu_ticks = 0;  ///< user + system, its own and that of children it has waited for
  std::uint64_t start = 0;      ///< clock ticks since boot
  bool dead() const { return state == 'Z' || state == 'X'; }
};

std::optional<ProcessRow> read_process(pid_t pid);
/// Everything visible in /proc, by rising pid.
std::vector<ProcessRow> scan_processes();
/// Children, their children and so on, of `root`; without it; dead ones too.
std::vector<ProcessRow> descendants_of(const std::vector<ProcessRow>& rows, pid_t root);

/// Is the process behind this pidfd dead? To be asked when Asio says that a pidfd is readable: its waits may come back early,
/// for another descriptor that was closed in the same turn of the loop.
bool has_ended(int pidfd);

/// false: that life has ended, or may not be signalled.
bool signal_process(const ProcessRow& process, int signal);

/// Does its environment hold every one of these "NAME=value" entries? Unreadable: no.
bool environment_has(pid_t pid, const std::vector<std::string>& entries);
std::uint64_t resident_bytes(pid_t pid);
/// None: may not be read.
std::optional<std::uint32_t> count_descriptors(pid_t pid);

/// SIGKILL to every descendant of this process, over and over (they may fork meanwhile), until none is left or for
/// kKillPatience nothing has ended any more. `reap` is called in each round. Returns how many are left.
std::size_t kill_descendants(const std::function<void()>& reap);

}  // namespace drover::backends
