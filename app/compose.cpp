#include "app/compose.hpp"

#include "admin/command_socket.hpp"
#include "admin/server.hpp"
#include "admin/token.hpp"
#include "app/status_printer.hpp"
#include "backends/init.hpp"
#include "backends/supervisor.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "config/admin_socket.hpp"
#include "config/effective.hpp"
#include "config/parse.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace drover::app {

namespace {

constexpr int kBadConfig = 78;  // EX_CONFIG of sysexits.h
constexpr int kFailure = 1;

/// On `out`: standard error where standard output is the access log.
void print_addresses(std::FILE* out, const backends::ClusterStatus& status, const std::string& socket) {
  for (const auto& listener : status.listeners) {
    const bool path = listener.address.starts_with("unix:");
    std::fprintf(out, "listener %-8s %s%s\n", listener.name.c_str(), path ? "" : "http://", listener.address.c_str());
  }
  if (!status.admin_address.empty()) {
    std::fprintf(out, "admin             http://%s/status\n", status.admin_address.c_str());
    std::fprintf(out, "metrics           http://%s/metrics\n", status.admin_address.c_str());
  }
  std::fprintf(out, "socket            %s\n", socket.c_str());
  std::fflush(out);
}

/// The file as a configuration that this machine can run; none: the mistakes are printed.
std::optional<config::Config> load(const std::string& file) {
  auto loaded = config::load(file);
  config::Mistakes mistakes;
  if (!loaded) {
    mistakes = std::move(loaded.error());
  } else {
    mistakes = {loaded->file, loaded->text, config::check_machine(*loaded)};
  }
  if (!mistakes.list.empty()) {
    std::fprintf(stderr, "%s", config::render(mistakes).c_str());
    return std::nullopt;
  }
  for (const auto& warning : loaded->warnings) std::fprintf(stderr, "%s\n", warning.c_str());
  for (const auto& warning : config::warnings_for_machine(*loaded, config::this_machine())) std::fprintf(stderr, "%s\n", warning.c_str());
  return std::move(*loaded);
}

}  // namespace

namespace {

/// What the operator's side needs before anything is started: a failure here starts nothing.
struct OperatorSide {
  admin::CommandSocket socket;
  std::string token;
};

base::Result<OperatorSide> open_operator_side(const config::Config& config) {
  const bool root = ::geteuid() == 0;
  std::string token;
  if (!config.admin.token_file.empty()) {
    auto read = admin::read_token(config.admin.token_file);
    if (!read) return std::move(read.error());
    token = std::move(*read);
  }
  const std::string path = config::admin_socket_path(config, root, ::geteuid(), std::getenv("XDG_RUNTIME_DIR"));
  auto socket = admin::CommandSocket::open(path, config.admin.socket.empty());
  if (!socket) return std::move(socket.error());
  return OperatorSide{std::move(*socket), std::move(token)};
}

admin::ClusterDoor door_to(backends::Supervisor& supervisor) {
  admin::ClusterDoor door;
  door.status = [&supervisor] { return supervisor.status(); };
  door.events = &supervisor.events();
  door.output = &supervisor.output();
  door.deaths = [&supervisor](const backends::Target& target) {
    boost::json::array deaths;
    for (const auto* record : supervisor.obituaries().of(target.pool, target.slot.value_or(0))) deaths.push_back(to_json(*record));
    return deaths;
  };
  door.file = supervisor.config().file;
  door.effective = [&supervisor] { return config::effective(supervisor.config()); };
  door.order = [&supervisor](const backends::Order& order, backends::OrderWatcher watcher) { return supervisor.order(order, std::move(watcher)); };
  door.forget = [&supervisor](backends::OrderId id) { supervisor.forget(id); };
  door.send = [&supervisor](const auto& target, const auto& type, const auto& data) { return supervisor.send_message(target, type, data); };
  door.request = [&supervisor](const auto& target, const auto& type, const auto& data, base::Millis timeout, backends::AnswerWatcher watcher) {
    return supervisor.request(target, type, data, timeout, std::move(watcher));
  };
  door.forget_request = [&supervisor](backends::RequestNumber number) { supervisor.forget_request(number); };
  door.state = [&supervisor](const auto& pool, const auto& request) { return supervisor.state(pool, request); };
  door.watch_state = [&supervisor](const auto& pool, const auto& key, backends::StateWatcher watcher) {
    return supervisor.watch_state(pool, key, std::move(watcher));
  };
  door.unwatch_state = [&supervisor](backends::StateWatchId id) { supervisor.unwatch_state(id); };
  return door;
}

using Doors = std::list<admin::AdminServer>;

/// The last lines of every stream, then `then`.
void finish(Doors& doors, const std::function<void()>& then) {
  const auto left = std::make_shared<std::size_t>(doors.size());
  for (auto& door : doors) {
    door.finish([left, then] {
      if (--*left == 0) then();
    });
  }
}

}  // namespace

int run_supervisor(config::Config config, int executable, pid_t init, StatusTable table) {
  const auto level = static_cast<base::log::Level>(config.log.level);
  const auto format = config.log.format == config::LogFormat::json ? base::log::Format::json : base::log::Format::text;
  const std::string admin_host = config.admin.listen ? config.admin.listen->host : std::string();
  auto operator_side = open_operator_side(config);
  if (!operator_side) {
    base::log::error("supervisor", "can't start: {}", operator_side.error().message);
    return kFailure;
  }
  std::FILE* const addresses_to = config.log.access.path == "-" ? stderr : stdout;
  boost::asio::io_context io(1);
  int exit_code = kFailure;
  std::optional<backends::Supervisor> supervisor;
  Doors doors;
  std::optional<StatusPrinter> printer;
  backends::SupervisorHooks hooks;
  hooks.first_ready = [&] { print_addresses(addresses_to, supervisor->status(), operator_side->socket.path()); };
  hooks.stopped = [&](int code) {
    exit_code = code;
    printer.reset();
    finish(doors, [&io] { io.stop(); });
  };
  supervisor.emplace(io, std::move(config), backends::SupervisorOptions{executable, init, ::geteuid() == 0}, std::move(hooks));
  base::log::start(level, format);
  if (const auto started = supervisor->start(); !started) {
    base::log::error("supervisor", "can't start: {}", started.error().message);
    base::log::stop();
    return kFailure;
  }
  admin::Rights local;
  local.everything = true;
  doors.emplace_back(io, operator_side->socket.take(), std::move(local), door_to(*supervisor));
  if (auto socket = supervisor->take_admin_socket()) {
    admin::Rights tcp;
    tcp.listen_host = admin_host;
    tcp.token = operator_side->token;
    doors.emplace_back(io, std::move(*socket), std::move(tcp), door_to(*supervisor));
  }
  if (table.every.count() > 0) printer.emplace(io, table.every, [&] { return supervisor->status(); });
  io.run();
  printer.reset();
  doors.clear();
  supervisor.reset();
  base::log::stop();
  return exit_code;
}

int run_cluster(const std::string& file, StatusTable table) {
  auto config = load(file);
  if (!config) return kBadConfig;
  // Opened before anything else changes: as another user, or after an upgrade, its path may lead elsewhere.
  const int executable = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (executable < 0) {
    base::log::error("drover", "can't open its own executable through /proc/self/exe: {}; mount /proc", std::strerror(errno));
    return kFailure;
  }
  return backends::run_init([&](pid_t init) { return run_supervisor(std::move(*config), executable, init, table); });
}

int check_file(const std::string& file) {
  const auto config = load(file);
  if (!config) return kBadConfig;
  std::size_t workers = 0;
  for (const auto& pool : config->pools) workers += pool.workers;
  std::printf("%s: fine: %zu pool%s, %zu worker%s, %zu listener%s\n", file.c_str(), config->pools.size(), config->pools.size() == 1 ? "" : "s",
              workers, workers == 1 ? "" : "s", config->listeners.size(), config->listeners.size() == 1 ? "" : "s");
  return 0;
}

}  // namespace drover::app
