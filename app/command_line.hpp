// Role: drover's command line: verbs, options and help, and what each verb calls.
// Thread: the process's first. Ownership: owns the values that options are read into, as long as the verb runs.
#pragma once

#include "app/demo_worker.hpp"
#include "app/message_verbs.hpp"
#include "app/top.hpp"
#include "app/verbs.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

namespace drover::app {

inline constexpr int kUsage = 2;

/// What an option says. Throws what CLI11 makes a usage error of.
base::Millis duration(const std::string& option, const std::string& text, base::Millis least);

class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;

  /// Parses and runs; the exit code.
  int run(int argc, const char* const* argv);
  const CLI::App& app() const { return app_; }

 private:
  CLI::App* verb(const std::string& name, const std::string& help, std::function<int()> action);
  /// One that asks a running drover.
  CLI::App* asking_verb(const std::string& name, const std::string& help, std::function<int()> action);
  void add_starting_verbs();
  void add_looking_verbs();
  void add_changing_verbs();
  void add_door_verbs();
  void add_message_verbs();
  void add_other_verbs();
  void add_waiting(CLI::App* verb);
  int run_scale();
  int run_check() const;
  int run_completion() const;

  CLI::App app_;
  std::function<int()> action_;
  Common common_;
  std::string file_ = "cluster.toml";
  std::string config_file_;
  std::string target_;
  std::vector<std::string> scale_words_;
  DoorAsked door_;
  std::string shell_;
  std::string status_every_;
  TopAsked top_;
  EventsAsked events_;
  LogsAsked logs_;
  MessageAsked message_;
  StateAsked state_;
  DemoWorkerOptions demo_;
  std::uint16_t demo_port_ = 0;
  bool keys_ = false;
  bool metrics_ = false;
  bool effective_ = false;
  bool wait_ = true;
  bool said_wait_ = false;  ///< --wait is the default: taken, and nothing more
  bool force_ = false;
};

}  // namespace drover::app
