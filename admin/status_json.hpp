// Role: ClusterStatus → the JSON of /status. Its shape is a promise: fields are added, never renamed.
// Thread: supervisor. Ownership: values.
#pragma once

#include "backends/status.hpp"

#include <string>

namespace drover::admin {

std::string status_json(const backends::ClusterStatus& status);

}  // namespace drover::admin
