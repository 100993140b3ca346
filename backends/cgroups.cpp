#include "backends/limits.hpp"
#include "base/unique_fd.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>
#include <string_view>
#include <utility>

namespace drover::backends {

namespace {

constexpr std::size_t kMaxFile = 64 * 1024;  // of a control file: a cgroup.procs of 8,000 processes
constexpr int kMaxMoves = 64;                // processes of drover's own: init, supervisor
constexpr int kRemoveTries = 100;            // of 2 ms each: processes that were killed take a moment to go
constexpr int kRemoveWaitMs = 2;

std::optional<std::string> read_file(const std::string& path) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string text;
  std::array<char, 4096> chunk{};
  while (text.size() < kMaxFile) {
    const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return text;
}

/// errno, 0 on success.
int write_file(const std::string& path, std::string_view text) {
  const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return errno;
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

std::vector<std::string> words(const std::optional<std::string>& text) {
  std::istringstream in(text.value_or(""));
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

bool has_word(const std::string& path, const char* word) {
  const auto all = words(read_file(path));
  return std::ranges::find(all, word) != all.end();
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<std::uint64_t> oom_count(const std::string& folder) {
  const auto all = words(read_file(folder + "/memory.events"));
  const auto found = std::ranges::find(all, "oom_kill");
  return found == all.end() || found + 1 == all.end() ? std::nullopt : number(*(found + 1));
}

/// This process, or the init above it, which is the same program.
bool is_ours(const std::string& pid) {
  if (pid == std::to_string(::getpid())) return true;
  if (pid != std::to_string(::getppid())) return false;
  struct stat its {};
  struct stat own {};
  return ::stat(("/proc/" + pid + "/exe").c_str(), &its) == 0 && ::stat("/proc/self/exe", &own) == 0 && its.st_dev == own.st_dev &&
         its.st_ino == own.st_ino;
}

/// Moves at most kMaxMoves processes. errno of the first that can't be moved; 0: all were.
int move_all(const std::string& from, const std::string& to) {
  const auto pids = words(read_file(from + "/cgroup.procs"));
  if (pids.size() > kMaxMoves) return E2BIG;
  for (const std::string& pid : pids) {
    if (const int code = write_file(to + "/cgroup.procs", pid); code != 0 && code != ESRCH) return code;
  }
  return 0;
}

int make_folder(const std::string& path) { return ::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST ? 0 : errno; }

}  // namespace

struct Cgroups::Group {
  std::string pool;
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
  std::string folder;
  base::UniqueFd procs;
  std::uint64_t oom_kills_seen = 0;
  bool forgotten = false;  ///< to be removed as soon as the kernel lets it go
};

Cgroups Cgroups::create(const std::string& mount, const std::string& self) {
  Cgroups out;
  out.why_not_ = out.prepare(mount, self);
  return out;
}

Cgroups::Cgroups(Cgroups&& other) noexcept
    : own_(std::exchange(other.own_, {})),
      root_(std::move(other.root_)),
      why_not_(std::move(other.why_not_)),
      moved_(other.moved_),
      gave_(other.gave_),
      groups_(std::move(other.groups_)) {}

/// Why not; "" = done.
std::string Cgroups::prepare(const std::string& mount, const std::string& self) {
  std::istringstream lines(read_file(self).value_or(""));
  std::string path;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::/")) path = line.substr(3);
  }
  if (path.empty()) return "no cgroup v2: " + self + " names none";
  if (path.find("/..") != std::string::npos) return "our cgroup " + path + " lies outside of this container's cgroup namespace";
  const std::string own = path == "/" ? mount : mount + path;
  const auto controllers = read_file(own + "/cgroup.controllers");
  if (!controllers) return "no cgroup v2 is mounted at " + mount + " (" + own + "/cgroup.controllers can't be read)";
  if (!has_word(own + "/cgroup.controllers", "memory")) return "the memory controller is not given to our cgroup " + own;
  root_ = own + "/drover." + std::to_string(::getpid());
  if (const int code = make_folder(root_); code != 0) {
    return "can't make a cgroup in " + own + ": " + std::strerror(code) + "; give drover a cgroup of its own (systemd: Delegate=yes)";
  }
  own_ = own;
  std::string why = give_memory();
  if (!why.empty()) {
    move_back();
    ::rmdir(root_.c_str());
    own_.clear();
  }
  return why;
}

std::string Cgroups::give_memory() {
  if (!has_word(own_ + "/cgroup.subtree_control", "memory")) {
    // Only the machine's root group, which has no cgroup.type, may have processes and give controllers.
    const bool is_root = ::access((own_ + "/cgroup.type").c_str(), F_OK) != 0;
    if (!is_root && !words(read_file(own_ + "/cgroup.procs")).empty()) {
      if (std::string why = move_ourselves(); !why.empty()) return why;
    }
    if (const int code = write_file(own_ + "/cgroup.subtree_control", "+memory"); code != 0) {
      return "can't give the memory controller to groups below " + own_ + ": " + std::strerror(code);
    }
    gave_ = true;
  }
  if (const int code = write_file(root_ + "/cgroup.subtree_control", "+memory"); code != 0) {
    return "can't give the memory controller to groups below " + root_ + ": " + std::strerror(code);
  }
  return {};
}

std::string Cgroups::move_ourselves() {
  for (const std::string& pid : words(read_file(own_ + "/cgroup.procs"))) {
    if (!is_ours(pid)) {
      return "our cgroup " + own_ + " holds other processes too (pid " + pid +
             "), so it can't be divided; give drover a cgroup of its own (a systemd service with Delegate=yes, or systemd-run --scope)";
    }
  }
  const std::string main = root_ + "/main";
  if (const int code = make_folder(main); code != 0) return "can't make the cgroup " + main + ": " + std::strerror(code);
  moved_ = true;
  if (const int code = move_all(own_, main); code != 0) return "can't move into the cgroup " + main + ": " + std::strerror(code);
  return {};
}

void Cgroups::move_back() {
  write_file(root_ + "/cgroup.subtree_control", "-memory");
  if (gave_) write_file(own_ + "/cgroup.subtree_control", "-memory");
  if (!moved_) return;
  move_all(root_ + "/main", own_);
  ::rmdir((root_ + "/main").c_str());
}

Cgroups::~Cgroups() {
  if (own_.empty()) return;
  for (const auto& group : groups_) {
    group->forgotten = true;
    write_file(group->folder + "/cgroup.kill", "1");
  }
  sweep();
  for (int tries = 0; !groups_.empty() && tries < kRemoveTries; ++tries) {
    ::poll(nullptr, 0, kRemoveWaitMs);
    sweep();
  }
  move_back();
  ::rmdir(root_.c_str());
}

void Cgroups::sweep() {
  std::erase_if(groups_, [](const auto& group) { return group->forgotten && (::rmdir(group->folder.c_str()) == 0 || errno == ENOENT); });
}

Cgroups::Group* Cgroups::find(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) const {
  const auto found = std::ranges::find_if(groups_, [&](const auto& group) {
    return group->slot == slot && group->incarnation == incarnation && group->pool == pool && !group->forgotten;
  });
  return found == groups_.end() ? nullptr : found->get();
}

base::Result<int> Cgroups::join_fd(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation,
                                   std::optional<config::Bytes> memory_max) {
  if (!available()) return base::Error{"no cgroup: " + why_not_, 0};
  sweep();
  const std::string name = pool + "." + std::to_string(slot) + "." + std::to_string(incarnation);
  auto group = std::make_unique<Group>(Group{pool, slot, incarnation, root_ + "/" + name, {}, 0, false});
  if (const int code = make_folder(group->folder); code != 0) return base::system_error("can't make the cgroup " + group->folder, code);
  const std::string most = memory_max ? std::to_string(memory_max->value) : "max";
  int code = write_file(group->folder + "/memory.max", most);
  if (code == 0) {
    group->procs.reset(::open((group->folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!group->procs) code = errno;
  }
  if (code != 0) {
    ::rmdir(group->folder.c_str());
    return base::system_error("can't set up the cgroup " + group->folder, code);
  }
  group->oom_kills_seen = oom_count(group->folder).value_or(0);
  groups_.push_back(std::move(group));
  return groups_.back()->procs.get();
}

std::optional<std::uint64_t> Cgroups::oom_kills(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) {
  Group* group = find(pool, slot, incarnation);
  if (group == nullptr) return std::nullopt;
  const auto now = oom_count(group->folder);
  if (!now) return std::nullopt;
  const std::uint64_t before = std::exchange(group->oom_kills_seen, *now);
  return *now - std::min(before, *now);
}

std::optional<std::uint64_t> Cgroups::memory(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) const {
  const Group* group = find(pool, slot, incarnation);
  if (group == nullptr) return std::nullopt;
  return number(read_file(group->folder + "/memory.current").value_or(""));
}

bool Cgroups::kill(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) {
  const Group* group = find(pool, slot, incarnation);
  return group != nullptr && write_file(group->folder + "/cgroup.kill", "1") == 0;
}

void Cgroups::forget(const std::string& pool, std::uint32_t slot, base::Incarnation incarnation) {
  Group* group = find(pool, slot, incarnation);
  if (group == nullptr) return;
  group->forgotten = true;
  group->procs.reset();
  sweep();
}

}  // namespace drover::backends
