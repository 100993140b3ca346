#include "app/command_line.hpp"

#include "admin/catalogue.hpp"
#include "app/completion.hpp"
#include "app/compose.hpp"
#include "backends/orders.hpp"
#include "base/text.hpp"
#include "config/reference.hpp"
#include "config/values.hpp"
#include "proxy/proxy_process.hpp"

#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>

namespace drover::app {

namespace {

constexpr int kControlDescriptor = 3;  // where the supervisor puts a proxy's end of the control pipe
constexpr base::Millis kLeastInterval{100};
constexpr base::Millis kLeastStatusTable{1000};
constexpr base::Millis kLeastHold{1};
constexpr base::Millis kDefaultStatusTable{10'000};
constexpr std::chrono::milliseconds kRateSample{500};

constexpr const char* kFooter =
    "Exit codes: 0 fine; 1 it failed, or had to kill something; 2 wrong usage; 78 the configuration is wrong; 130 interrupted while it\n"
    "waited (what was begun goes on).\n"
    "Signals to a running drover: TERM, INT, QUIT stop gracefully, a second INT or TERM at once; USR1 opens the access log anew;\n"
    "TTIN, TTOU one worker more, one less, where there is one pool.\n"
    "A running drover is found by --socket, or the [admin] socket of --config, else at the default place:\n"
    "/run/drover/drover.sock as root, $XDG_RUNTIME_DIR/drover.sock or /tmp/drover-UID/drover.sock otherwise.";

std::string version() { return std::string(base::version()); }

/// An answer that has not been written whole is none: the disk may be full.
int written(int exit_code) {
  const bool whole = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  return whole || exit_code != 0 ? exit_code : fail("standard output did not take the whole answer");
}

}  // namespace

base::Millis duration(const std::string& option, const std::string& text, base::Millis least) {
  const auto read = config::read_duration(text);
  if (!read) throw CLI::ValidationError(option, text + " " + read.error().what + (read.error().hint.empty() ? "" : "; " + read.error().hint));
  if (*read < least) throw CLI::ValidationError(option, text + " is less than " + base::to_text(least));
  return *read;
}

CommandLine::CommandLine()
    : app_("drover: the load balancer that owns its backends. Starts, watches and restarts the copies of a server and balances HTTP over them.",
           "drover") {
  app_.footer(kFooter);
  app_.require_subcommand(1);
  app_.set_version_flag("--version", "drover " + version());
  add_starting_verbs();
  add_looking_verbs();
  add_changing_verbs();
  add_door_verbs();
  add_message_verbs();
  add_other_verbs();
}

CLI::App* CommandLine::verb(const std::string& name, const std::string& help, std::function<int()> action) {
  CLI::App* sub = app_.add_subcommand(name, help);
  sub->callback([this, action = std::move(action)] { action_ = action; });
  return sub;
}

CLI::App* CommandLine::asking_verb(const std::string& name, const std::string& help, std::function<int()> action) {
  CLI::App* sub = verb(name, help, [action = std::move(action)] {
    std::signal(SIGPIPE, SIG_DFL);  // `drover events | head` ends without a word
    return written(action());
  });
  CLI::Option* socket = sub->add_option("--socket", common_.socket, "the Unix socket of the running drover")->type_name("PATH");
  sub->add_option("--config", common_.config, "the cluster.toml that names its socket")->type_name("FILE")->excludes(socket);
  sub->add_flag("--json", common_.json, "JSON on standard output");
  return sub;
}

void CommandLine::add_starting_verbs() {
  CLI::App* run = verb("run", "run the cluster that FILE describes, in the foreground", [this] {
    StatusTable table;
    if (status_every_.empty() && ::isatty(STDOUT_FILENO) == 1) table.every = kDefaultStatusTable;
    if (!status_every_.empty() && status_every_ != "off") table.every = *config::read_duration(status_every_);
    return run_cluster(file_, table);
  });
  run->add_option("FILE", file_, "configuration")->capture_default_str();
  run->add_option("--status", status_every_, "how often to print the status table: 10s, off; default: 10s on a terminal, else off")
      ->type_name("TIME")
      ->each([](const std::string& text) {
        if (text != "off") duration("--status", text, kLeastStatusTable);
      });
  CLI::App* check = verb("check", "tell every mistake in FILE; start nothing", [this] { return run_check(); });
  check->add_option("FILE", file_, "configuration")->capture_default_str();
  check->add_flag("--keys", keys_, "instead: print the reference of every key of cluster.toml, as Markdown");
  check->add_flag("--metrics", metrics_, "instead: print the table of all metrics, as Markdown");
}

void CommandLine::add_looking_verbs() {
  asking_verb("status", "the running cluster in a few lines, and its workers", [this] { return show_status(common_); });
  asking_verb("ps", "the table of workers", [this] { return show_workers(common_, kRateSample); });
  CLI::App* top = asking_verb("top", "the status, live; q ends it", [this] { return show_top(common_, top_); });
  top->add_option_function<std::string>(
         "--interval", [this](const std::string& text) { top_.interval = duration("--interval", text, kLeastInterval); },
         "time between two looks; default 1s")
      ->type_name("TIME");
  top->add_flag("--once", top_.once, "one table, then end");
  CLI::App* events = asking_verb("events", "what happens and has happened, as JSON lines", [this] { return show_events(common_, events_); });
  events->add_flag("-f,--follow", events_.follow, "stay, and tell what comes");
  events->add_option("--after", events_.after, "only those after this number; now: only new ones")->type_name("N");
  events->add_flag("--names", events_.names, "instead: which events there are, and what they say");
  CLI::App* logs = asking_verb("logs", "what workers have written; TARGET: of a pool or of one worker", [this] {
    logs_.target = target_;
    return show_logs(common_, logs_);
  });
  logs->add_flag("-f,--follow", logs_.follow, "stay, and tell what comes");
  logs->add_option("-n,--lines", logs_.lines, "how many of the last lines")->type_name("N")->capture_default_str();
  logs->add_option("TARGET", target_, "pool or pool.N; default: all");
  asking_verb("why", "why the last processes of TARGET died", [this] { return show_why(common_, target_); })
      ->add_option("TARGET", target_, "pool or pool.N")
      ->required();
  CLI::App* config =
      asking_verb("config", "the configuration of the running drover, or of FILE", [this] { return show_config(common_, config_file_, effective_); });
  config->add_flag("--effective", effective_, "every key with the value that holds, as TOML; without it: only which file it is");
  config->add_option("FILE", config_file_, "ask this file instead of a running drover");
  asking_verb("targets", "the names of all pools and workers", [this] { return show_targets(common_); })->group("");
}

void CommandLine::add_waiting(CLI::App* sub) {
  CLI::Option* wait = sub->add_flag("--wait", said_wait_, "wait until it is done, and tell how it goes on (the default)");
  sub->add_flag("--no-wait{false}", wait_, "only begin it")->excludes(wait);
}

void CommandLine::add_changing_verbs() {
  CLI::App* restart = asking_verb("restart", "replace the workers of a pool one by one, or one worker; no request is lost",
                                  [this] { return change(common_, Change::restart, target_, wait_); });
  CLI::App* drain = asking_verb("drain", "give no new work to TARGET, let it finish, stop it, and keep it away",
                                [this] { return change(common_, Change::drain, target_, wait_); });
  CLI::App* resume = asking_verb("resume", "bring back what was drained; of a pool also: end its hold and its maintenance",
                                 [this] { return change(common_, Change::resume, target_, wait_); });
  for (CLI::App* sub : {restart, drain, resume}) {
    sub->add_option("TARGET", target_, "pool or pool.N")->required();
    add_waiting(sub);
  }
  CLI::App* scale = asking_verb("scale", "change how many workers a pool has: scale shop=6", [this] { return run_scale(); });
  scale->add_option("POOL=N", scale_words_, "pool and number of workers; also: POOL N")->required()->expected(1, 2);
  add_waiting(scale);
  CLI::App* stop = asking_verb("stop", "stop the whole cluster gracefully", [this] { return drover::app::stop(common_, force_, wait_); });
  stop->add_flag("--force", force_, "kill everything at once");
  add_waiting(stop);
}

void CommandLine::add_door_verbs() {
  CLI::App* hold = asking_verb("hold", "let every new request of a pool wait, until drover resume POOL; done when nobody is inside",
                               [this] { return drover::app::hold(common_, door_, wait_); });
  hold->add_option("POOL", door_.pool, "pool")->required();
  CLI::Option* most = hold->add_option_function<std::string>(
      "--max",
      [this](const std::string& text) {
        door_.most = duration("--max", text, kLeastHold);
        if (door_.most > backends::kHoldMost) throw CLI::ValidationError("--max", text + " is more than " + base::to_text(backends::kHoldMost));
      },
      "for so long at most; default 30s, at most 1h");
  most->type_name("TIME");
  hold->add_flag("--off", door_.off, "end it, and nothing else")->excludes(most);
  add_waiting(hold);
  CLI::App* maintenance = asking_verb("maintenance", "answer every request of a pool with 503, until drover resume POOL",
                                      [this] { return drover::app::maintenance(common_, door_); });
  maintenance->add_option("POOL", door_.pool, "pool")->required();
  CLI::Option* message = maintenance->add_option("--message", door_.message, "what clients are told; one line of at most 240 bytes");
  message->type_name("TEXT");
  maintenance->add_flag("--off", door_.off, "end it, and nothing else")->excludes(message);
}

void CommandLine::add_other_verbs() {
  CLI::App* completion = verb("completion", "print the completion script for a shell", [this] { return run_completion(); });
  completion->add_option("SHELL", shell_, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  CLI::App* print_version = verb("version", "print the version", [this] {
    std::printf(common_.json ? "{\"version\":\"%s\"}\n" : "drover %s\n", version().c_str());
    return 0;
  });
  print_version->add_flag("--json", common_.json, "JSON on standard output");
  CLI::App* demo =
      verb("demo-worker", "a small HTTP server to try drover with; usually started by drover itself", [this] { return run_demo_worker(demo_); });
  demo->add_option("--host", demo_.host, "IP address to listen on")->capture_default_str();
  demo->add_option_function<std::uint16_t>(
      "--port", [this](const std::uint16_t& port) { demo_.port = port; }, "port to listen on; default $PORT");
  demo->add_option("--socket", demo_.socket, "Unix socket to listen on instead; default $SOCKET")->type_name("PATH");
  verb("proxy", "", [] { return proxy::run_proxy(kControlDescriptor); })->group("");  // started by the supervisor only
}

int CommandLine::run_check() const {
  if (keys_) std::fputs(config::reference().c_str(), stdout);
  if (metrics_) std::fputs(admin::catalogue_table().c_str(), stdout);
  return keys_ || metrics_ ? 0 : check_file(file_);
}

int CommandLine::run_completion() const {
  const auto verbs = shape_of(app_);
  std::fputs((shell_ == "bash" ? bash_completion(verbs) : shell_ == "zsh" ? zsh_completion(verbs) : fish_completion(verbs)).c_str(), stdout);
  return 0;
}

int CommandLine::run_scale() {
  std::string pool = scale_words_[0];
  std::string count = scale_words_.size() > 1 ? scale_words_[1] : "";
  if (const auto equals = pool.find('='); count.empty() && equals != std::string::npos) {
    count = pool.substr(equals + 1);
    pool.resize(equals);
  }
  std::uint32_t workers = 0;
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), workers);
  if (pool.empty() || count.empty() || error != std::errc{} || end != count.data() + count.size()) {
    fail("scale: give a pool and a whole number of workers: drover scale shop=6");
    return kUsage;
  }
  return scale(common_, pool, workers, wait_);
}

int CommandLine::run(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app_.exit(error) == 0 ? 0 : kUsage;
  }
  return action_();
}

}  // namespace drover::app
