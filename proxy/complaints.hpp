// Role: one short line for a request that its worker failed, so that a 502 or 504 can be found by its id in drover's log: the
//       supervisor captures a proxy's standard error. Never waits: what the pipe does not take is left out and counted.
// Thread: one proxy thread's own. Ownership: borrows the descriptor.
#pragma once

#include "base/units.hpp"

#include <cstdint>
#include <string>

namespace drover::proxy {

class Complaints {
 public:
  static constexpr std::uint64_t kPerSecond = 10;

  /// `fd`: a non-blocking pipe; -1: nobody listens, nothing is said.
  explicit Complaints(int fd) : fd_(fd) {}

  /// May one more line be said now? If not, it counts as left out.
  bool allowed(base::TimePoint now);
  void say(std::string line);
  /// At each tick: how many were left out before this second, if any.
  void tell_left_out(base::TimePoint now);

 private:
  bool write(std::string line) const;

  int fd_;
  base::TimePoint second_{};
  std::uint64_t said_ = 0;  ///< in this second
  std::uint64_t left_out_ = 0;
};

/// Standard error made fit for Complaints, once per process; -1: it is no pipe, and a terminal or file could make a thread wait.
int complaints_pipe();

}  // namespace drover::proxy
