#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "config/env_file.hpp"
#include "config/expand.hpp"
#include "config/parse.hpp"
#include "config/served_files.hpp"
#include "config/validate.hpp"
#include "config/values.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>

namespace drover::config {

namespace {

constexpr std::array kWorkerNames{std::string_view("PORT"), std::string_view("HOST"), std::string_view("SOCKET"), std::string_view("WORKER")};

bool is_worker_name(std::string_view name) { return std::find(kWorkerNames.begin(), kWorkerNames.end(), name) != kWorkerNames.end(); }

bool is_withheld(std::string_view name) { return std::find(kWithheldNames.begin(), kWithheldNames.end(), name) != kWithheldNames.end(); }

/// What a worker that runs as another user is given by that user's entry.
bool is_user_name(std::string_view name) { return name == "HOME" || name == "USER" || name == "LOGNAME"; }

std::optional<std::string> from_environment(std::string_view name) {
  const char* value = ::secure_getenv(std::string(name).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<uid_t> find_uid(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 * 1024);
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return std::nullopt;
  return entry.pw_uid;
}

// capabilities(7)
constexpr unsigned kSetUid = 7;
constexpr unsigned kSysNice = 23;
constexpr unsigned kSysResource = 24;

bool has_capability(unsigned number) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) return (std::strtoull(line.c_str() + 7, nullptr, 16) >> number & 1U) != 0;
  }
  return ::geteuid() == 0;
}

/// May this process start others as another user?
bool may_change_user() { return ::geteuid() == 0 || has_capability(kSetUid); }

std::string folder_with(const std::string& folder, const std::string& name) { return folder + (folder.ends_with('/') ? "" : "/") + name; }

class MachineCheck {
 public:
  explicit MachineCheck(const Config& config) : config_(config) {}

  std::vector<Mistake> run() {
    if (!config_.proxy.user.empty()) user("proxy.user", config_.proxy.user, false);
    if (!config_.admin.token_file.empty()) token();
    if (!config_.log.access.path.empty() && config_.log.access.path != "-") access_log();
    for (const Pool& each : config_.pools) pool(each);
    return std::move(mistakes_);
  }

 private:
  enum class Found : std::uint8_t { yes, no, not_executable, folder };

  void mistake(const std::string& key, std::string what, std::string hint) {
    const Place place = place_of(config_, key);
    mistakes_.push_back({place.line, place.column, std::move(what), std::move(hint)});
  }

  void token();
  void access_log();
  void only_its_owners(const std::string& key, const std::string& file);
  void pool(const Pool& pool);
  void env_file(const Pool& pool, const std::string& path);
  void limits(const Pool& pool, const std::string& path);
  void user(const std::string& key, const std::string& name, bool needed);
  bool folder(const Pool& pool, const std::string& path);
  void served_files(const Pool& pool, const std::string& path);
  void page(const std::string& key, const std::string& file);
  void variables(const Pool& pool, const std::string& path);
  /// The pool's own value of a variable, as its workers will have it.
  std::optional<std::string> own_value(const Pool& pool, std::string_view name) const;
  void names(const Pool& pool, const std::string& key, const std::string& shown, const std::string& text, bool in_env);
  void program(const Pool& pool, const std::string& path);
  std::string search_path(const Pool& pool) const;
  static Found look(const std::string& file);

  const Config& config_;
  std::vector<Mistake> mistakes_;
  std::map<std::string, std::string> from_file_;  ///< the present pool's env_file
  std::size_t page_bytes_ = 0;                    ///< of the error pages so far
};

void MachineCheck::token() {
  const std::string& file = config_.admin.token_file;
  const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    mistake("admin.token_file", "token_file: " + quoted(file) + " can't be read: " + std::strerror(errno),
            "it must exist before drover starts and be readable by its user");
  } else if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    mistake("admin.token_file", "token_file: " + quoted(file) + (S_ISREG(info.st_mode) ? " is empty" : " is not a plain file"),
            "one line with the token, like that of: openssl rand -hex 32");
  } else {
    only_its_owners("admin.token_file", file);
  }
}

/// A secret that others may read is none, and one that they may write is theirs.
void MachineCheck::only_its_owners(const std::string& key, const std::string& file) {
  if (!open_to_others(file)) return;
  mistake(key, key.substr(key.rfind('.') + 1) + ": " + quoted(file) + " may be opened by others than its owner",
          "chmod 600 " + base::printable(file, 200));
}

/// As backends::AccessFile will open it: for appending, made if it is not there.
void MachineCheck::access_log() {
  const std::string& file = config_.log.access.path;
  const std::string folder = file.substr(0, std::max<std::size_t>(file.rfind('/'), 1));
  const auto refuse = [&](const std::string& what, std::string fix) { mistake("log.access.path", "access: " + what, std::move(fix)); };
  struct stat info {};
  if (::stat(file.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return refuse(quoted(file) + " is a folder", "name a file in it, like " + quoted(folder_with(file, "access.log")));
    if (::faccessat(AT_FDCWD, file.c_str(), W_OK, AT_EACCESS) != 0)
      refuse(quoted(file) + " can't be written: " + std::strerror(errno), "drover's user needs the right to");
    return;
  }
  if (errno != ENOENT && errno != ENOTDIR)
    return refuse(quoted(file) + " can't be looked at: " + std::strerror(errno), "drover's user needs the right to");
  if (::stat(folder.c_str(), &info) != 0) {
    return refuse("the folder of " + quoted(file) + " can't be used: " + std::strerror(errno),
                  "make it before drover starts: mkdir -p " + base::printable(folder, 200));
  }
  if (!S_ISDIR(info.st_mode)) return refuse(quoted(folder) + " is not a folder", "name a file in a folder");
  if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
    refuse(quoted(folder) + " can't be written: " + std::strerror(errno), "drover's user needs the right to make a file there");
}

void MachineCheck::env_file(const Pool& pool, const std::string& path) {
  from_file_.clear();
  if (pool.env_file.empty()) return;
  auto read = read_env_file(pool.env_file);
  if (read) {
    from_file_ = std::move(*read);
  } else {
    mistake(path + ".env_file", "env_file: " + read.error().message,
            read.error().code == ENOENT ? "a relative path is taken from where drover starts" : "lines of NAME=value, comments begin with '#'");
  }
}

/// What would keep every worker from starting.
void MachineCheck::limits(const Pool& pool, const std::string& path) {
  rlimit open_files{};
  if (pool.limits.files && ::getrlimit(RLIMIT_NOFILE, &open_files) == 0 && *pool.limits.files > open_files.rlim_max &&
      !has_capability(kSysResource)) {
    mistake(path + ".limits.files",
            "files: " + std::to_string(*pool.limits.files) + " is more than drover itself may open: " + std::to_string(open_files.rlim_max),
            "raise drover's own limit (ulimit -Hn, LimitNOFILE=), or start it as root");
  }
  errno = 0;
  const int own = ::getpriority(PRIO_PROCESS, 0);
  rlimit niceness{};
  if (!pool.limits.nice || errno != 0 || *pool.limits.nice >= own || has_capability(kSysNice)) return;
  if (::getrlimit(RLIMIT_NICE, &niceness) == 0 && static_cast<rlim_t>(20 - *pool.limits.nice) <= niceness.rlim_cur) return;
  mistake(path + ".limits.nice",
          "nice: " + std::to_string(*pool.limits.nice) + " is below drover's own " + std::to_string(own) + ", which needs a right",
          "start drover as root, or with LimitNICE= (ulimit -e)");
}

std::optional<std::string> MachineCheck::own_value(const Pool& pool, std::string_view name) const {
  for (const auto* all : {&pool.env, &from_file_}) {
    const auto found = all->find(std::string(name));
    if (found != all->end()) return found->second;
  }
  return std::nullopt;
}

void MachineCheck::pool(const Pool& pool) {
  const std::string path = "pool." + pool.name;
  env_file(pool, path);
  limits(pool, path);
  served_files(pool, path);
  if (!pool.user.empty()) user(path + ".user", pool.user, true);
  const bool dir_good = pool.dir.empty() || folder(pool, path + ".dir");
  variables(pool, path);
  if (dir_good && !pool.command.empty()) program(pool, path + ".command");
}

std::string fix_of_page(const base::Error& error) {
  switch (error.code) {
    case EFBIG: return "shorten it";
    case EINVAL: return "name the page itself, a plain file";
    default: return "it is read when drover starts, by drover's user";
  }
}

/// Each use counts, as it does where they are sent to the proxy. Told once, where the sum is passed.
void MachineCheck::page(const std::string& key, const std::string& file) {
  const auto text = read_page(file);
  if (!text) return mistake(key, "errors: " + text.error().message, fix_of_page(text.error()));
  const bool full = page_bytes_ > kMaxAllPages;
  page_bytes_ += text->size();
  if (full || page_bytes_ <= kMaxAllPages) return;
  mistake(key, "errors: with " + quoted(file) + " the error pages of all pools have more than 16 MiB", "shorten them, or have fewer");
}

void MachineCheck::served_files(const Pool& pool, const std::string& path) {
  for (const auto& [status, file] : pool.errors) page(path + ".errors." + std::to_string(status), file);
  if (pool.sticky.key_file.empty()) return;
  const auto key = read_key(pool.sticky.key_file);
  if (!key) {
    mistake(path + ".sticky.key_file", "key_file: " + key.error().message, "a secret, like that of: openssl rand -hex 32");
  } else {
    only_its_owners(path + ".sticky.key_file", pool.sticky.key_file);
  }
}

void MachineCheck::user(const std::string& key, const std::string& name, bool needed) {
  const auto uid = find_uid(name);
  if (!uid) {
    mistake(key, "user: there is no user " + quoted(name) + " on this machine",
            "create it (useradd --system " + base::printable(name, 40) + "), or name another");
  } else if (needed && *uid != ::geteuid() && !may_change_user()) {
    mistake(key, "user: only root can start workers as " + quoted(name), "start drover as root, or take the line out");
  }
}

bool MachineCheck::folder(const Pool& pool, const std::string& path) {
  struct stat info {};
  if (::stat(pool.dir.c_str(), &info) != 0) {
    mistake(path, "dir: " + quoted(pool.dir) + ": " + std::strerror(errno), "the folder must exist before drover starts");
    return false;
  }
  if (S_ISDIR(info.st_mode)) return true;
  mistake(path, "dir: " + quoted(pool.dir) + " is not a folder", "");
  return false;
}

void MachineCheck::variables(const Pool& pool, const std::string& path) {
  for (std::size_t i = 0; i < pool.command.size(); ++i) names(pool, path + ".command." + std::to_string(i), "command", pool.command[i], false);
  for (const auto& [name, value] : pool.env) names(pool, path + ".env." + name, "env", value, true);
}

void MachineCheck::names(const Pool& pool, const std::string& key, const std::string& shown, const std::string& text, bool in_env) {
  const auto used = names_in(text);
  if (!used) return;  // parse() has said it
  for (const std::string& name : *used) {
    if (is_worker_name(name) || (!in_env && pool.env.contains(name)) || (!pool.user.empty() && is_user_name(name))) continue;
    if (is_withheld(name)) {
      mistake(key, shown + ": ${" + name + "} is not passed on to workers", "take it out");
      continue;
    }
    if (from_file_.contains(name) || from_environment(name)) continue;
    std::string hint = "set it before drover starts";
    std::string upper(name);
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
    const std::string_view near = base::nearest(upper, kWorkerNames);
    if (!near.empty() && name.size() <= 16) hint = "did you mean '${" + std::string(near) + "}'? else " + hint;
    mistake(key, shown + ": ${" + base::printable(name, 80) + "} is not set in the environment", std::move(hint));
  }
}

MachineCheck::Found MachineCheck::look(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return errno == EACCES ? Found::not_executable : Found::no;
  if (S_ISDIR(info.st_mode)) return Found::folder;
  return ::faccessat(AT_FDCWD, file.c_str(), X_OK, AT_EACCESS) == 0 ? Found::yes : Found::not_executable;
}

std::string MachineCheck::search_path(const Pool& pool) const {
  const auto own = pool.env.find("PATH");
  if (own != pool.env.end()) {
    const auto outer = [this](std::string_view name) -> std::optional<std::string> {
      const auto found = from_file_.find(std::string(name));
      return found != from_file_.end() ? std::optional(found->second) : from_environment(name);
    };
    if (auto path = expand(own->second, outer)) return *path;
  }
  const auto listed = from_file_.find("PATH");
  if (listed != from_file_.end()) return listed->second;
  return from_environment("PATH").value_or("/usr/local/bin:/usr/bin:/bin");
}

void MachineCheck::program(const Pool& pool, const std::string& path) {
  const std::string key = path + ".0";
  const auto lookup = [&](std::string_view name) -> std::optional<std::string> {
    const auto own = own_value(pool, name);
    return own ? own : from_environment(name);
  };
  const auto name = expand(pool.command[0], lookup);
  if (!name || *name == "drover") return;
  Found found = Found::no;
  std::string where;
  const auto in_dir = [&](const std::string& file) { return file.starts_with('/') || pool.dir.empty() ? file : pool.dir + "/" + file; };
  if (name->find('/') != std::string::npos) {
    where = in_dir(*name);
    found = look(where);
  } else {
    const std::string folders = search_path(pool);
    for (std::size_t at = 0; at <= folders.size() && found != Found::yes;) {
      const std::size_t end = std::min(folders.find(':', at), folders.size());
      const std::string candidate = in_dir((end > at ? folders.substr(at, end - at) : ".") + "/" + *name);
      const Found here = look(candidate);
      if (here == Found::yes || (here == Found::not_executable && found == Found::no)) {
        found = here;
        where = candidate;
      }
      at = end + 1;
    }
  }
  const bool searched = name->find('/') == std::string::npos;
  if (found == Found::no && searched) {
    mistake(key, "command: " + quoted(*name) + " is not found in PATH", "install it, or give its full path");
  } else if (found == Found::no) {
    mistake(key, "command: " + quoted(where) + " does not exist", "a relative path is taken from the pool's dir, else from where drover starts");
  } else if (found == Found::folder) {
    mistake(key, "command: " + quoted(where) + " is a folder", "the first part is the program");
  } else if (found == Found::not_executable) {
    mistake(key, "command: " + quoted(where) + " is not executable", "chmod +x, or put its interpreter before it, like [\"python3\", …]");
  }
}

}  // namespace

std::vector<Mistake> check_machine(const Config& config) { return MachineCheck(config).run(); }

Machine this_machine() {
  Machine machine;
  machine.root = ::geteuid() == 0;
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  unsigned first = 0;
  unsigned last = 0;
  if (file >> first >> last && first <= last && last <= 65535) {
    machine.ephemeral = {static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)};
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY) machine.files = files.rlim_max;
  return machine;
}

namespace {

constexpr std::uint64_t kProxysOwnFiles = 15;  ///< pipes, boards, wake-ups …
constexpr std::uint64_t kFilesPerThread = 8;

/// Clients that its listeners take, and connections to workers as far as `concurrency` bounds them: at least that much.
std::uint64_t files_of_proxy(const Config& config) {
  std::uint64_t files = kProxysOwnFiles + config.proxy.threads * (kFilesPerThread + config.listeners.size());
  for (const Listener& listener : config.listeners) files += proxied(listener) ? listener.limits.connections : 0;
  for (const Pool& pool : config.pools) {
    const std::uint64_t workers = std::max(pool.workers, pool.workers_max.value_or(0));
    files += pool.dispatch == Dispatch::proxy ? workers * pool.concurrency : 0;
  }
  return files;
}

}  // namespace

std::vector<std::string> warnings_for_machine(const Config& config, const Machine& machine) {
  std::vector<std::string> warnings;
  const PortRange& ports = config.cluster.ports;
  const PortRange& kernel = machine.ephemeral;
  const bool any_tcp = std::any_of(config.pools.begin(), config.pools.end(), [](const Pool& pool) { return pool.endpoint == Endpoint::tcp; });
  if (any_tcp && ports.first <= kernel.last && kernel.first <= ports.last) {
    warnings.push_back(warning_text(config, place_of(config, "cluster.ports"),
                                    "ports " + std::to_string(ports.first) + "-" + std::to_string(ports.last) + " overlap " +
                                        std::to_string(kernel.first) + "-" + std::to_string(kernel.last) +
                                        ", which the kernel hands out by itself (net.ipv4.ip_local_port_range): a worker may lose its port to a "
                                        "stranger; choose a range outside"));
  }
  for (const Pool& pool : config.pools) {
    if (!machine.root || !pool.user.empty()) continue;
    warnings.push_back(warning_text(config, place_of(config, "pool." + pool.name),
                                    "[pool." + pool.name + "] has no user: its workers run as root; add user = \"…\""));
  }
  if (const std::uint64_t files = files_of_proxy(config); files > machine.files) {
    warnings.push_back(
        warning_text(config, Place{},
                     "the proxy may need " + std::to_string(files) +
                         " open files (limits.connections of the listeners and concurrency of the "
                         "pools) and can have " +
                         std::to_string(machine.files) +
                         ": raise the limit (ulimit -Hn, systemd: LimitNOFILE=), or lower limits.connections; when none is left, new clients wait"));
  }
  return warnings;
}

}  // namespace drover::config
