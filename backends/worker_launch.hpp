// Role: from a pool's config to what one worker is started with: its endpoint, command line, environment and limits.
// Thread: supervisor's deciding thread. Ownership: a runtime folder for sockets is made at start and removed at the end.
#pragma once

#include "backends/limits.hpp"
#include "backends/process_host.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "board/supervisor_board.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// Where one incarnation is told to listen.
struct WorkerEndpoint {
  board::EndpointAddress address;
  std::uint16_t port = 0;   ///< tcp
  std::string socket_path;  ///< unix
  std::string text;         ///< "127.0.0.1:20001", "unix:/path"
  std::string notify_path;  ///< its NOTIFY_SOCKET; "" = none
  /// Its clients do not come through the proxy: what it is told of the pool's listener as PORT and HOST, or SOCKET.
  struct Told {
    std::string host;
    std::uint16_t port = 0;
    std::string socket_path;
  };
  Told told;
};

/// drover's own environment without what would mislead a child: NOTIFY_SOCKET, WATCHDOG_*, LISTEN_*, and the worker names of a
/// drover above this one.
std::vector<std::string> base_environment();

/// What all workers of one pool have in common, looked up once before any is started.
class WorkerLaunch {
 public:
  /// `cgroups`: where workers get groups of their own if they can; borrowed; nullptr: none. Error: no such user, a limit that can't
  /// be set here.
  static base::Result<WorkerLaunch> create(const config::Pool& pool, std::vector<std::string> base_env, int own_executable, bool is_root,
                                           Cgroups* cgroups = nullptr);

  /// Reads env_file anew, and makes the incarnation's cgroup. Error: a ${…} without a value, an env_file that can't be read.
  base::Result<LaunchSpec> spec(const ChildKey& key, const WorkerEndpoint& endpoint) const;
  const std::optional<Credentials>& user() const { return user_; }

 private:
  explicit WorkerLaunch(const config::Pool& pool) : pool_(&pool) {}
  base::Result<void> set_environment(std::vector<std::string>& env, const std::string& slot, const WorkerEndpoint& endpoint) const;
  ChildLimits limits_of(const ChildKey& key) const;

  const config::Pool* pool_;
  std::vector<std::string> base_env_;
  int own_executable_ = -1;
  std::optional<Credentials> user_;
  Cgroups* cgroups_ = nullptr;
  ChildLimits limits_;  ///< as if there were no cgroup
};

/// Private folders for sockets, workers' own and those on which they notify. Started as root: the folder of a pool's Unix endpoints
/// belongs to the pool's user and may be entered by the proxy's group; the one of notify sockets is root's, and anybody may pass through
/// it to a socket that is his. Otherwise all is drover's own, mode 0700.
class RuntimeDir {
 public:
  static base::Result<RuntimeDir> create(std::optional<gid_t> proxy_group);
  RuntimeDir(RuntimeDir&& other) noexcept;
  RuntimeDir& operator=(RuntimeDir&&) = delete;
  ~RuntimeDir();

  /// The folder of its Unix endpoints: only for pools that have such.
  base::Result<void> add_pool(const config::Pool& pool, const std::optional<Credentials>& user);
  std::string socket_path(const config::Pool& pool, std::uint32_t slot, base::Incarnation incarnation) const;
  /// For NotifySocket::open: short, since a socket's path has 107 bytes at most.
  std::string notify_path(const config::Pool& pool, std::uint32_t slot, base::Incarnation incarnation) const;
  /// Lets the proxy connect: its group, 0660.
  base::Result<void> share_socket(const std::string& path) const;

 private:
  RuntimeDir() = default;

  std::string path_;
  std::optional<gid_t> proxy_group_;
  std::vector<std::string> folders_;  ///< made in it
};

}  // namespace drover::backends
