// Role: what this process itself uses, for process_*.
// Thread: supervisor; a few small reads of /proc. Ownership: values.
#pragma once

#include <cstdint>
#include <optional>

namespace drover::admin {

/// What can't be read is none and is left out.
struct ProcessUsage {
  double cpu_seconds = 0;
  std::optional<std::uint64_t> resident_bytes;
  std::optional<std::uint64_t> virtual_bytes;
  std::optional<std::uint64_t> open_fds;
  std::optional<std::uint64_t> max_fds;
  std::optional<double> start_time;  ///< Unix time
};

ProcessUsage process_usage();

}  // namespace drover::admin
