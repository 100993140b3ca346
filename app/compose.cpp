#include "app/compose.hpp"

#include "admin/server.hpp"
#include "backends/init.hpp"
#include "backends/supervisor.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "config/parse.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

namespace drover::app {

namespace {

constexpr int kBadConfig = 78;  // EX_CONFIG of sysexits.h
constexpr int kFailure = 1;

void print_addresses(const backends::ClusterStatus& status) {
  for (const auto& listener : status.listeners) {
    const bool path = listener.address.starts_with("unix:");
    std::printf("listener %-8s %s%s\n", listener.name.c_str(), path ? "" : "http://", listener.address.c_str());
  }
  if (!status.admin_address.empty()) {
    std::printf("admin             http://%s/status\n", status.admin_address.c_str());
    std::printf("metrics           http://%s/metrics\n", status.admin_address.c_str());
  }
  std::fflush(stdout);
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

int run_supervisor(config::Config config, int executable, pid_t init) {
  boost::asio::io_context io(1);
  const std::string admin_host = config.admin.listen ? config.admin.listen->host : std::string();
  const auto level = static_cast<base::log::Level>(config.log.level);
  const auto format = config.log.format == config::LogFormat::json ? base::log::Format::json : base::log::Format::text;
  int exit_code = kFailure;
  std::unique_ptr<admin::AdminServer> admin;
  std::optional<backends::Supervisor> supervisor;
  backends::SupervisorHooks hooks;
  hooks.first_ready = [&] { print_addresses(supervisor->status()); };
  hooks.stopped = [&](int code) {
    exit_code = code;
    admin.reset();
    io.stop();
  };
  supervisor.emplace(io, std::move(config), backends::SupervisorOptions{executable, init, ::geteuid() == 0}, std::move(hooks));
  base::log::start(level, format);
  if (const auto started = supervisor->start(); !started) {
    base::log::error("supervisor", "can't start: {}", started.error().message);
    base::log::stop();
    return kFailure;
  }
  if (auto socket = supervisor->take_admin_socket()) {
    admin = std::make_unique<admin::AdminServer>(io, std::move(*socket), admin_host, [&] { return supervisor->status(); });
  }
  io.run();
  admin.reset();
  supervisor.reset();
  base::log::stop();
  return exit_code;
}

int run_cluster(const std::string& file) {
  auto config = load(file);
  if (!config) return kBadConfig;
  // Opened before anything else changes: as another user, or after an upgrade, its path may lead elsewhere.
  const int executable = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (executable < 0) {
    base::log::error("drover", "can't open its own executable through /proc/self/exe: {}; mount /proc", std::strerror(errno));
    return kFailure;
  }
  return backends::run_init([&](pid_t init) { return run_supervisor(std::move(*config), executable, init); });
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
