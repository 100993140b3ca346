// Role: reads a plain file that a configuration names, as far as it may be large.
// Thread: supervisor, at `check`, at start, and at each start of a worker. Ownership: values.
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <string>

namespace drover::config {

/// At most one byte more than `most`: that one shows that the file is too large. Error: the path and why, also for what is no plain file.
base::Result<std::string> read_bounded(const std::string& path, std::size_t most);

}  // namespace drover::config
