// Role: where the command line's Unix socket is, for the side that listens there and the side that asks.
// Thread: any; pure. Ownership: values.
#pragma once

#include "config/model.hpp"

#include <cstddef>
#include <string>

namespace drover::config {

inline constexpr std::size_t kMaxSocketPath = 107;  ///< bytes of a Unix socket's path (unix(7): 108 with its end)

/// Root: /run/drover/drover.sock. Else: drover.sock in $XDG_RUNTIME_DIR when that is an absolute path and not too long, else in
/// /tmp/drover-UID. `xdg_runtime_dir`: its value, or null.
std::string default_admin_socket(bool root, unsigned uid, const char* xdg_runtime_dir);

/// [admin] socket when it is given, else the default.
std::string admin_socket_path(const Config& config, bool root, unsigned uid, const char* xdg_runtime_dir);

}  // namespace drover::config
