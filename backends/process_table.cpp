#include "backends/process_table.hpp"

#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>
#include <unordered_map>

namespace drover::backends {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxEnvironment = 256 * 1024;      // bytes read of a process's environment: our entries stand in it whole
constexpr std::uint32_t kMaxCountedDescriptors = 65536;  // where only listing them tells their number
constexpr auto kKillPatience = 3s;                       // without any process ending: what is left can't be killed (state D, other user)
constexpr auto kKillAtMost = 20s;                        // against one that forks as fast as it is killed
constexpr auto kKillRound = 2ms;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

std::string path_of(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

/// A small file of /proc, whole or cut at the buffer's end.
std::string_view read_small(const std::string& path, char* buffer, std::size_t size) {
  const base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  const ssize_t got = read(fd.get(), buffer, size);
  return got > 0 ? std::string_view(buffer, static_cast<std::size_t>(got)) : std::string_view();
}

/// The next word of `text` as a number; 0 where there is none.
template <class Number>
Number next_number(std::string_view& text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc() ? value : 0;
}

bool has_children() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

}  // namespace

std::optional<ProcessRow> read_process(pid_t pid) {
  std::array<char, 1024> buffer{};
  std::string_view text = read_small(path_of(pid, "stat"), buffer.data(), buffer.size());
  const auto name_end = text.rfind(')');  // the name itself may hold spaces and brackets
  if (name_end == std::string_view::npos || name_end + 3 >= text.size()) return std::nullopt;
  ProcessRow row;
  row.pid = pid;
  row.state = text[name_end + 2];
  text.remove_prefix(name_end + 3);
  row.parent = next_number<pid_t>(text);
  row.group = next_number<pid_t>(text);
  for (int skipped = 0; skipped < 8; ++skipped) next_number<std::int64_t>(text);              // session … cmajflt
  for (int field = 0; field < 4; ++field) row.cpu_ticks += next_number<std::uint64_t>(text);  // utime stime cutime cstime
  for (int skipped = 0; skipped < 4; ++skipped) next_number<std::int64_t>(text);              // priority nice threads itrealvalue
  row.start = next_number<std::uint64_t>(text);
  return row;
}

std::vector<ProcessRow> scan_processes() {
  std::vector<ProcessRow> rows;
  // A /proc of another pid namespace has other processes under these numbers.
  std::array<char, 32> self{};
  if (readlink("/proc/self", self.data(), self.size() - 1) <= 0 || self.data() != std::to_string(getpid())) return rows;
  const Directory proc(opendir("/proc"), closedir);
  if (!proc) return rows;
  while (const dirent* entry = readdir(proc.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    if (const auto row = read_process(pid)) rows.push_back(*row);
  }
  std::sort(rows.begin(), rows.end(), [](const ProcessRow& a, const ProcessRow& b) { return a.pid < b.pid; });
  return rows;
}

std::vector<ProcessRow> descendants_of(const std::vector<ProcessRow>& rows, pid_t root) {
  std::unordered_multimap<pid_t, const ProcessRow*> children;
  for (const auto& row : rows) children.emplace(row.parent, &row);
  std::vector<ProcessRow> found;
  std::vector<pid_t> open_ends{root};
  // Every row is taken out as it is reached, so a table read while it changed can't lead in a circle.
  while (!open_ends.empty()) {
    const auto [first, last] = children.equal_range(open_ends.back());
    open_ends.pop_back();
    for (auto it = first; it != last; ++it) {
      found.push_back(*it->second);
      open_ends.push_back(it->second->pid);
    }
    children.erase(first, last);
  }
  return found;
}

bool has_ended(int pidfd) {
  pollfd waiting{pidfd, POLLIN, 0};
  return poll(&waiting, 1, 0) == 1;
}

bool signal_process(const ProcessRow& process, int signal) {
  const base::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd) return false;
  // The descriptor holds whoever has the pid now; the start time says whether that is the one that was read.
  const auto now = read_process(process.pid);
  if (!now || now->start != process.start) return false;
  return syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0;
}

bool environment_has(pid_t pid, const std::vector<std::string>& entries) {
  if (entries.empty()) return false;
  const base::UniqueFd fd(open(path_of(pid, "environ").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  std::string text(1, '\0');  // a NUL in front, so that the first entry is found like the others
  std::array<char, 16 * 1024> chunk{};
  while (text.size() < kMaxEnvironment) {
    const ssize_t got = read(fd.get(), chunk.data(), chunk.size());
    if (got <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  text.push_back('\0');
  return std::all_of(entries.begin(), entries.end(), [&](const std::string& entry) {
    std::string whole(1, '\0');
    whole += entry;
    whole.push_back('\0');
    return text.find(whole) != std::string::npos;
  });
}

std::uint64_t resident_bytes(pid_t pid) {
  std::array<char, 256> buffer{};
  std::string_view text = read_small(path_of(pid, "statm"), buffer.data(), buffer.size());
  next_number<std::uint64_t>(text);  // total size
  static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return next_number<std::uint64_t>(text) * page;
}

std::optional<std::uint32_t> count_descriptors(pid_t pid) {
  const std::string path = path_of(pid, "fd");
  struct stat info {};
  // Since Linux 6.2 the folder's size is the number of descriptors; listing them costs a look-up each.
  if (stat(path.c_str(), &info) == 0 && info.st_size > 0) return static_cast<std::uint32_t>(info.st_size);
  const Directory folder(opendir(path.c_str()), closedir);
  if (!folder) return std::nullopt;
  std::uint32_t count = 0;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.' && ++count == kMaxCountedDescriptors) break;
  }
  return count;
}

std::size_t kill_descendants(const std::function<void()>& reap) {
  const auto begun = base::Clock::now();
  auto progress = begun;
  std::vector<pid_t> before;
  for (;;) {
    std::vector<pid_t> living;
    for (const auto& process : descendants_of(scan_processes(), getpid())) {
      if (process.dead()) continue;
      living.push_back(process.pid);
      signal_process(process, SIGKILL);
    }
    reap();
    if (living.empty() && !has_children()) return 0;
    const auto now = base::Clock::now();
    if (living != before) progress = now;
    if (now - progress > kKillPatience || now - begun > kKillAtMost) return std::max<std::size_t>(living.size(), 1);
    before = std::move(living);
    poll(nullptr, 0, std::chrono::milliseconds(kKillRound).count());
  }
}

}  // namespace drover::backends
