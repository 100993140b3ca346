// Role: the tiny process above the supervisor: forwards each signal once, reaps, and leaves nothing alive when the supervisor ends.
// Thread: one process of its own, before any thread exists; also fit to be PID 1. Ownership: parent of the supervisor, last reaper of all below.
//
// Either of the two killed with -9 leaves nothing: when the supervisor ends, its orphans become init's, which kills until none is
// left; when init ends, the supervisor sees it by watch_init() and by a SIGTERM whose sender (ssi_pid) is init's pid.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"

#include <sys/types.h>

#include <functional>

namespace drover::backends {

/// Sent along with each forwarded signal (ssi_code SI_QUEUE, ssi_int): a hang-up of the terminal stops, kill -HUP reloads.
enum class SignalOrigin : int { terminal = 1, user = 2 };

/// Runs `supervisor` in a child with a process group of its own (a Ctrl-C reaches init alone and arrives once), and returns the
/// exit code for main: the supervisor's, or 1 when a signal ended it. The supervisor begins with the forwarded signals (TERM, INT,
/// QUIT, HUP, USR1, USR2, TTIN, TTOU) and SIGCHLD blocked, so that none is lost before it reads them from its signalfd.
int run_init(const std::function<int(pid_t init)>& supervisor);

/// For the supervisor: readable when init has ended, which means: kill all now. Error: it has ended already. Before anything is
/// killed, has_ended() of process_table.hpp must say so too: Asio's waits may come back early.
base::Result<base::UniqueFd> watch_init(pid_t init);

}  // namespace drover::backends
