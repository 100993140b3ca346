// Role: what does a worker that gives no byte do? Read from /proc: thread states, wait channels, system calls, its listening
//       socket's queue.
// Thread: supervisor's deciding thread; bounded (kMaxDiagnosed…). Ownership: values.
#pragma once

#include "backends/listening_sockets.hpp"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace drover::backends {

inline constexpr std::size_t kMaxDiagnosedProcesses = 64;
inline constexpr std::size_t kMaxDiagnosedThreads = 256;  ///< of them all together: some 3 ms

/// What stands above goes before what stands below, but that a main process that is stopped is stopped whatever its children do.
enum class Condition : std::uint8_t {
  busy,        ///< a thread runs or wants to: slow but computing
  stopped,     ///< by a signal or a debugger
  blocked,     ///< waits for something outside: disk (state D), a socket, a pipe, a lock's time limit
  deadlocked,  ///< threads wait for locks (futex) without a time limit, and no thread for anything that could make it wake them:
               ///< the others wait for locks, new connections, signals or children
};
const char* to_text(Condition condition);

struct Diagnosis {
  Condition condition = Condition::busy;
  /// "deadlocked: 3 threads wait in futex, 1 in accept4; 12 connections wait in its accept queue". Says so where /proc may not be read.
  std::string text;
};

/// What one moment shows; nothing that could be read: busy, so that nobody is harmed. `tree`: its living processes, main first. `port`, `host`
/// (IPv4): where clients find its listening socket; port 0: none to ask about.
Diagnosis diagnose(std::span<const pid_t> tree, std::uint16_t port, std::uint32_t host = kLoopback);

}  // namespace drover::backends
