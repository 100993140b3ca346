#include "backends/worker_launch.hpp"

#include "base/log.hpp"
#include "config/env_file.hpp"
#include "config/expand.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <utility>

namespace drover::backends {

namespace {

constexpr const char* kHost = "127.0.0.1";
constexpr const char* kNotifyFolder = "/.notify";  // no pool has such a name
constexpr std::size_t kMaxNotifyName = 32;         // bytes of a pool's name in a notify socket's path
/// Ours, or said anew for each worker.
bool inherited(std::string_view name) {
  return std::ranges::find(config::kWithheldNames, name) == config::kWithheldNames.end() && name != "PORT" && name != "HOST" && name != "SOCKET";
}

std::string_view name_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

void set(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  std::erase_if(env, [&](const std::string& entry) { return name_of(entry) == name; });
  env.push_back(name + "=" + value);
}

/// PORT and HOST, or SOCKET, whichever it has.
WorkerEndpoint::Told told(const WorkerEndpoint& endpoint) {
  if (endpoint.port != 0) return {kHost, endpoint.port, ""};
  if (!endpoint.socket_path.empty()) return {"", 0, endpoint.socket_path};
  return endpoint.told;
}

/// What ${…} means for one worker.
config::Lookup lookup_in(const std::vector<std::string>& env, const std::string& slot, const WorkerEndpoint& endpoint) {
  return [&, its = told(endpoint)](std::string_view name) -> std::optional<std::string> {
    if (name == "WORKER") return slot;
    if (name == "PORT" && its.port != 0) return std::to_string(its.port);
    if (name == "HOST" && its.port != 0) return its.host;
    if (name == "SOCKET" && !its.socket_path.empty()) return its.socket_path;
    const auto found = std::ranges::find(env, name, [](const std::string& entry) { return name_of(entry); });
    if (found == env.end()) return std::nullopt;
    return found->substr(name.size() + 1);
  };
}

/// The names a program run by another user looks itself up by; drover's own would lead it into root's home.
void set_user_names(std::vector<std::string>& env, const std::string& user) {
  std::array<char, 16 * 1024> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return;
  set(env, "HOME", found->pw_dir);
  set(env, "USER", found->pw_name);
  set(env, "LOGNAME", found->pw_name);
}

base::Result<void> make_dir(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return base::system_error("can't make the runtime folder " + path, errno);
  if (::chmod(path.c_str(), mode) != 0) return base::system_error("can't set the mode of the runtime folder " + path, errno);
  return {};
}

}  // namespace

std::vector<std::string> base_environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (inherited(name_of(*entry))) out.emplace_back(*entry);
  }
  return out;
}

base::Result<WorkerLaunch> WorkerLaunch::create(const config::Pool& pool, std::vector<std::string> base_env, int own_executable, bool is_root,
                                                Cgroups* cgroups) {
  WorkerLaunch out(pool);
  out.cgroups_ = cgroups != nullptr && cgroups->available() ? cgroups : nullptr;
  auto limits = child_limits(pool, false);
  if (!limits) return limits.error();
  out.limits_ = *limits;
  out.base_env_ = std::move(base_env);
  out.own_executable_ = own_executable;
  if (pool.user.empty()) return out;
  auto user = find_user(pool.user);
  if (!user) return base::Error{"pool " + pool.name + ": " + user.error().message, user.error().code};
  if (!is_root && user->uid != ::geteuid()) {
    return base::Error{"pool " + pool.name + ": user \"" + pool.user + "\" needs drover to be started as root; start it so or remove `user`", EPERM};
  }
  if (is_root) out.user_ = std::move(*user);
  set_user_names(out.base_env_, pool.user);
  return out;
}

/// Later ones go before earlier ones: drover's own environment, env_file, env, what drover itself says.
base::Result<void> WorkerLaunch::set_environment(std::vector<std::string>& env, const std::string& slot, const WorkerEndpoint& endpoint) const {
  if (!pool_->env_file.empty()) {
    const auto given = config::read_env_file(pool_->env_file);
    if (!given) return base::Error{"pool " + pool_->name + ": env_file: " + given.error().message, given.error().code};
    for (const auto& [name, value] : *given) {
      if (std::ranges::find(config::kWithheldNames, name) == config::kWithheldNames.end()) set(env, name, value);
    }
  }
  std::vector<std::pair<std::string, std::string>> own;
  for (const auto& [name, text] : pool_->env) {
    auto value = config::expand(text, lookup_in(env, slot, endpoint));
    if (!value) return base::Error{"pool " + pool_->name + ": env " + name + ": " + value.error().message, value.error().code};
    own.emplace_back(name, std::move(*value));
  }
  for (const auto& [name, value] : own) set(env, name, value);
  return {};
}

/// A cgroup that can't be made after all costs the worker nothing but what only a cgroup gives.
ChildLimits WorkerLaunch::limits_of(const ChildKey& key) const {
  ChildLimits out = limits_;
  if (cgroups_ == nullptr) return out;
  const auto joined = cgroups_->join_fd(pool_->name, key.id.slot, key.incarnation, pool_->limits.memory);
  if (!joined) {
    base::log::warn(pool_->name + "." + std::to_string(key.id.slot), "started without a cgroup: {}", joined.error().message);
    return out;
  }
  out.cgroup = *joined;
  out.address_space.reset();
  return out;
}

base::Result<LaunchSpec> WorkerLaunch::spec(const ChildKey& key, const WorkerEndpoint& endpoint) const {
  const std::string slot = std::to_string(key.id.slot);
  LaunchSpec out;
  out.key = key;
  out.subject = pool_->name + "." + slot;
  out.env = base_env_;
  if (auto done = set_environment(out.env, slot, endpoint); !done) return done.error();
  for (const std::string& text : pool_->command) {
    auto value = config::expand(text, lookup_in(out.env, slot, endpoint));
    if (!value) return base::Error{"pool " + pool_->name + ": command: " + value.error().message, value.error().code};
    out.argv.push_back(std::move(*value));
  }
  if (const auto its = told(endpoint); its.port != 0) {
    set(out.env, "PORT", std::to_string(its.port));
    set(out.env, "HOST", its.host);
  } else {
    set(out.env, "SOCKET", its.socket_path);
  }
  set(out.env, "DROVER_POOL", pool_->name);
  set(out.env, "DROVER_WORKER", slot);
  set(out.env, "DROVER_INCARNATION", std::to_string(key.incarnation));
  if (!endpoint.notify_path.empty()) set(out.env, "NOTIFY_SOCKET", endpoint.notify_path);
  if (!out.argv.empty() && out.argv.front() == "drover") out.executable = own_executable_;
  out.dir = pool_->dir;
  out.umask = pool_->umask;
  out.limits = limits_of(key);
  out.user = user_;
  return out;
}

base::Result<RuntimeDir> RuntimeDir::create(std::optional<gid_t> proxy_group) {
  const char* base_dir = ::secure_getenv("XDG_RUNTIME_DIR");
  std::string path = proxy_group ? "/run" : base_dir != nullptr && ::access(base_dir, W_OK) == 0 ? base_dir : "/tmp";
  path += "/drover-XXXXXX";  // made anew with mode 0700: nobody can have put anything in it
  if (::mkdtemp(path.data()) == nullptr) return base::system_error("can't make a runtime folder " + path + " for workers' sockets", errno);
  RuntimeDir out;
  out.path_ = path;
  out.proxy_group_ = proxy_group;
  if (proxy_group && ::chmod(path.c_str(), 0711) != 0) return base::system_error("can't set the mode of the runtime folder " + path, errno);
  if (auto made = make_dir(path + kNotifyFolder, proxy_group ? 0711 : 0700); !made) return made.error();
  out.folders_.push_back(path + kNotifyFolder);
  return out;
}

RuntimeDir::RuntimeDir(RuntimeDir&& other) noexcept
    : path_(std::exchange(other.path_, {})), proxy_group_(other.proxy_group_), folders_(std::move(other.folders_)) {}

RuntimeDir::~RuntimeDir() {
  if (path_.empty()) return;
  for (const std::string& folder : folders_) {
    if (DIR* dir = ::opendir(folder.c_str())) {
      while (const dirent* entry = ::readdir(dir)) {
        if (entry->d_name[0] != '.') ::unlinkat(::dirfd(dir), entry->d_name, 0);
      }
      ::closedir(dir);
    }
    ::rmdir(folder.c_str());
  }
  ::rmdir(path_.c_str());
}

base::Result<void> RuntimeDir::add_pool(const config::Pool& pool, const std::optional<Credentials>& user) {
  const std::string path = path_ + "/" + pool.name;
  if (auto made = make_dir(path, proxy_group_ ? 0710 : 0700); !made) return made.error();
  folders_.push_back(path);
  if (!proxy_group_) return {};
  if (::chown(path.c_str(), user ? user->uid : ::geteuid(), *proxy_group_) != 0) {
    return base::system_error("can't give the runtime folder " + path + " to the pool's user", errno);
  }
  return {};
}

std::string RuntimeDir::socket_path(const config::Pool& pool, std::uint32_t slot, base::Incarnation incarnation) const {
  return path_ + "/" + pool.name + "/" + std::to_string(slot) + "." + std::to_string(incarnation) + ".sock";
}

std::string RuntimeDir::notify_path(const config::Pool& pool, std::uint32_t slot, base::Incarnation incarnation) const {
  std::string name = pool.name;
  if (name.size() > kMaxNotifyName) name = std::to_string(std::hash<std::string>{}(pool.name));
  return path_ + kNotifyFolder + "/" + name + "." + std::to_string(slot) + "." + std::to_string(incarnation);
}

base::Result<void> RuntimeDir::share_socket(const std::string& path) const {
  if (!proxy_group_) return {};
  // By descriptor and not through a link: the folder is the worker's, and it may not point us at somebody else's file.
  const base::UniqueFd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return base::system_error("can't find the worker's socket " + path, errno);
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0 || !S_ISSOCK(found.st_mode) || found.st_nlink != 1) {
    return base::Error{"the worker's " + path + " is no socket of its own", ENOTSOCK};
  }
  if (::fchownat(fd.get(), "", static_cast<uid_t>(-1), *proxy_group_, AT_EMPTY_PATH) != 0) {
    return base::system_error("can't give the worker's socket to the proxy", errno);
  }
  const std::string by_fd = "/proc/self/fd/" + std::to_string(fd.get());
  if (::chmod(by_fd.c_str(), 0660) != 0) return base::system_error("can't open the worker's socket to the proxy", errno);
  return {};
}

}  // namespace drover::backends
