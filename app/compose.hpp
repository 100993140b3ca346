// Role: the one place where rooms are wired together: a checked configuration becomes a running cluster.
// Thread: the supervisor's process, before any thread exists, then its deciding thread. Ownership: everything lives inside the call.
#pragma once

#include "config/model.hpp"

#include <sys/types.h>

namespace drover::app {

/// How often `drover run` prints its table; 0: never.
struct StatusTable {
  base::Millis every{0};
};

/// Runs the supervisor until it has stopped. `executable`: this binary, for proxies and demo workers. Returns the exit code.
int run_supervisor(config::Config config, int executable, pid_t init, StatusTable table);

/// `drover run`: checks the file and the machine (78), then init above a supervisor.
int run_cluster(const std::string& file, StatusTable table);

/// `drover check`: the same checks, and nothing is started.
int check_file(const std::string& file);

}  // namespace drover::app
