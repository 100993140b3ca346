#include "backends/oom.hpp"

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace drover::backends {

namespace {

/// The unified hierarchy's file of this process's cgroup; "" where there is none.
std::string events_path() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3) + "/memory.events";
  }
  return {};
}

std::optional<std::uint64_t> oom_kills(const std::string& path) {
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "oom_kill") return value;
  }
  return std::nullopt;
}

}  // namespace

bool new_oom_kill() {
  static const std::string path = events_path();
  static std::optional<std::uint64_t> last = oom_kills(path);
  const auto now = oom_kills(path);
  const bool grew = now && last && *now > *last;
  last = now;
  return grew;
}

}  // namespace drover::backends
