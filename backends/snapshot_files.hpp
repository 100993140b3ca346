// Role: what the proxy, which opens no file, is given of files: error pages, and the secret of each sticky pool.
// Thread: supervisor, once at its start: a proxy that takes another's place gets the same. Ownership: values.
#pragma once

#include "base/result.hpp"
#include "config/model.hpp"

#include <cstddef>
#include <map>
#include <string>

namespace drover::backends {

inline constexpr std::size_t kMadeKey = 32;  ///< bytes of a secret that drover makes itself

/// As ipc::Snapshot::files wants them. A sticky pool without key_file gets a secret by lot, so its cookies end with this supervisor.
base::Result<std::map<std::string, std::string>> snapshot_files(const config::Config& config);

}  // namespace drover::backends
