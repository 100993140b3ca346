// who_listens of ports.hpp: asks the kernel for the listening sockets of a port, then the tree's processes whether they hold one of them.
#include "backends/listening_sockets.hpp"
#include "backends/ports.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>

namespace drover::backends {

namespace {

constexpr std::uint32_t kMaxFdsPerProcess = 65536;

/// Descriptors of one process that are sockets, by inode, added to `out`. false: may not be read.
bool add_sockets_of(pid_t pid, std::vector<std::uint64_t>& out) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (!folder) return errno == ENOENT || errno == ESRCH;  // it has ended: it holds none
  std::uint32_t count = 0;
  while (const dirent* entry = readdir(folder.get())) {
    if (++count > kMaxFdsPerProcess) return false;
    std::array<char, 64> target{};
    const ssize_t length = readlinkat(dirfd(folder.get()), entry->d_name, target.data(), target.size());
    if (length < 0 && errno == EACCES) return false;
    const std::string_view text(target.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    constexpr std::string_view kPrefix = "socket:[";
    if (!text.starts_with(kPrefix)) continue;
    std::uint64_t inode = 0;
    std::from_chars(text.data() + kPrefix.size(), text.data() + text.size(), inode);
    out.push_back(inode);
  }
  return true;
}

}  // namespace

Listener who_listens(std::uint16_t port, const std::vector<pid_t>& tree) {
  const auto sockets = listening_sockets(port);
  if (!sockets) return Listener::unknowable;
  Fit closest = Fit::none;
  for (const auto& socket : *sockets) closest = std::max(closest, socket.fit);
  if (closest == Fit::none) return Listener::nobody;

  std::vector<std::uint64_t> held;
  bool all_read = true;
  for (const pid_t pid : tree) all_read = add_sockets_of(pid, held) && all_read;
  // Several may share the address (SO_REUSEPORT): then each gets a part of the connections, and all must be the tree's.
  bool all_ours = true;
  for (const auto& socket : *sockets) {
    if (socket.fit == closest) all_ours = all_ours && std::find(held.begin(), held.end(), socket.inode) != held.end();
  }
  if (all_ours) return Listener::ours;
  if (closest == Fit::other_loopback) return Listener::nobody;  // a stranger on [::1] is in nobody's way at 127.0.0.1
  return all_read ? Listener::stranger : Listener::unknowable;
}

}  // namespace drover::backends
