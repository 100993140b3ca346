// Role: what the supervisor gives a proxy to read at its start, in one sealed memfd: the configuration's text, and what stands in files that
//       the proxy, which opens none, needs the content of (error pages, the secret of sticky cookies).
// Thread: any; pure. Ownership: plain values.
#pragma once

#include "base/result.hpp"

#include <map>
#include <string>
#include <string_view>

namespace drover::ipc {

struct Snapshot {
  std::string config;
  /// By the key's full name: "pool.shop.errors.503" (the page), "pool.shop.sticky.key_file" (the secret; there for each sticky pool).
  std::map<std::string, std::string> files;
};

std::string encode(const Snapshot& snapshot);
base::Result<Snapshot> decode_snapshot(std::string_view bytes);

}  // namespace drover::ipc
