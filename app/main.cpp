// drover's command line: verbs to functions, nothing else.
#include "admin/catalogue.hpp"
#include "app/compose.hpp"
#include "app/demo_worker.hpp"
#include "base/text.hpp"
#include "config/reference.hpp"
#include "proxy/proxy_process.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <optional>
#include <string>

namespace {

constexpr int kUsage = 2;
constexpr int kControlDescriptor = 3;  // where the supervisor puts a proxy's end of the control pipe

constexpr const char* kFooter =
    "Exit codes: 0 fine, 1 it failed or had to kill something, 2 wrong usage, 78 the configuration is wrong.\n"
    "Signals to a running drover: TERM, INT, QUIT stop gracefully; a second INT or TERM at once.";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"drover: the load balancer that owns its backends. Starts, watches and restarts the copies of a server and balances HTTP over them."};
  app.footer(kFooter);
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("drover ") + std::string(drover::base::version()));

  std::string file = "cluster.toml";
  CLI::App* run = app.add_subcommand("run", "run the cluster that FILE describes, in the foreground");
  run->add_option("FILE", file, "configuration")->capture_default_str();
  CLI::App* check = app.add_subcommand("check", "tell every mistake in FILE; start nothing");
  check->add_option("FILE", file, "configuration")->capture_default_str();
  bool keys = false;
  bool metrics = false;
  check->add_flag("--keys", keys, "instead: print the reference of every key of cluster.toml, as Markdown");
  check->add_flag("--metrics", metrics, "instead: print the table of all metrics, as Markdown");
  CLI::App* version = app.add_subcommand("version", "print the version");

  drover::app::DemoWorkerOptions demo_options;
  std::uint16_t port = 0;
  CLI::App* demo = app.add_subcommand("demo-worker", "a small HTTP server to try drover with; usually started by drover itself");
  demo->add_option("--host", demo_options.host, "IP address to listen on")->capture_default_str();
  CLI::Option* port_option = demo->add_option("--port", port, "port to listen on; default $PORT");
  demo->add_option("--socket", demo_options.socket, "Unix socket to listen on instead; default $SOCKET");
  CLI::App* proxy = app.add_subcommand("proxy", "");
  proxy->group("");  // started by the supervisor only

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsage;
  }
  if (*run) return drover::app::run_cluster(file);
  if (keys || metrics) {
    if (keys) std::fputs(drover::config::reference().c_str(), stdout);
    if (metrics) std::fputs(drover::admin::catalogue_table().c_str(), stdout);
    return 0;
  }
  if (*check) return drover::app::check_file(file);
  if (*demo) {
    if (port_option->count() > 0) demo_options.port = port;
    return drover::app::run_demo_worker(demo_options);
  }
  if (*proxy) return drover::proxy::run_proxy(kControlDescriptor);
  if (*version) std::printf("drover %s\n", std::string(drover::base::version()).c_str());
  return 0;
}
