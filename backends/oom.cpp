#include "backends/oom.hpp"

#include <algorithm>
#include <fstream>
#include <utility>

namespace drover::backends {

namespace {

std::optional<std::uint64_t> oom_kills(const std::string& path) {
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return std::nullopt;
}

/// The unified hierarchy's file first, then version 1's. In a container the folder may be seen as the mount's top.
std::vector<std::string> own_files() {
  std::vector<std::string> unified;
  std::vector<std::string> old;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto path = line.substr(std::min(line.rfind(':') + 1, line.size()));
    if (line.starts_with("0::")) unified = {"/sys/fs/cgroup" + path + "/memory.events", "/sys/fs/cgroup/memory.events"};
    if (line.find(":memory:") != std::string::npos)
      old = {"/sys/fs/cgroup/memory" + path + "/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control"};
  }
  unified.insert(unified.end(), old.begin(), old.end());
  return unified;
}

}  // namespace

OomCount::OomCount(const std::vector<std::string>& files) {
  for (const std::string& each : files) {
    const auto count = oom_kills(each);
    if (!count) continue;
    file_ = each;
    seen_ = *count;
    return;
  }
}

bool OomCount::take(base::TimePoint now) {
  const auto count = file_.empty() ? std::nullopt : oom_kills(file_);
  if (!count) return false;
  if (now - seen_at_ > kCredit) untold_ = 0;
  if (*count > seen_) {
    untold_ += *count - seen_;
    seen_at_ = now;
  }
  seen_ = *count;
  if (untold_ == 0) return false;
  --untold_;
  return true;
}

OomCount& own_oom_count() {
  static OomCount count(own_files());
  return count;
}

std::string oom_evidence(Cgroups& cgroups, const std::string& pool, std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) {
  if (const auto kills = cgroups.oom_kills(pool, slot, incarnation)) {
    return *kills > 0 ? "the kernel counted " + std::to_string(*kills) + " OOM kills in its cgroup" : "";
  }
  return own_oom_count().take(now) ? "the kernel's count of OOM kills in drover's cgroup rose (" + own_oom_count().file() + ")" : "";
}

}  // namespace drover::backends
