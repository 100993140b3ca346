// Role: how a process ended, in the words that logs, events and obituaries share.
// Thread: any. Ownership: values.
#pragma once

#include "backends/process_host.hpp"

#include <csignal>
#include <string>

namespace drover::backends {

/// "SEGV"; a signal without a name of its own: its number.
inline std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? name : std::to_string(number);
}

/// "status 3", "signal SEGV".
inline std::string in_words(ExitStatus status) {
  return status.signaled ? "signal " + signal_name(status.value) : "status " + std::to_string(status.value);
}

}  // namespace drover::backends
