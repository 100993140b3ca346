// Role: the built-in demo worker behind `drover demo-worker`: a tiny HTTP/1.1 server, so that a first run needs no other program.
// Thread: a process of its own, one thread. Ownership: everything belongs to the call; it returns when the process should end.
// Bounded: 1 MiB a body (else 413), 32 KiB a head, 1024 connections, 60 s of silence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace drover::app {

struct DemoWorkerOptions {
  std::string host = "127.0.0.1";     ///< an IP address
  std::optional<std::uint16_t> port;  ///< none: $PORT; 0: any free one, printed
  std::string socket;                 ///< Unix path instead of a port; "": $SOCKET where neither is given
};

/// Serves until SIGTERM or SIGINT, finishes what it has and returns the exit code: 0, or 1 when it can't listen.
int run_demo_worker(const DemoWorkerOptions& options);

}  // namespace drover::app
