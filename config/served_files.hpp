// Role: files whose content the proxy needs, read by the supervisor: error pages and the secrets of sticky cookies.
// Thread: supervisor, at `check` and at start. Ownership: values. Bounded: each file's bytes.
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <string>

namespace drover::config {

inline constexpr std::size_t kShortestKey = 16;  ///< bytes of a secret
inline constexpr std::size_t kLongestKey = 4096;
inline constexpr std::size_t kMaxAllPages = std::size_t{16} * 1024 * 1024;  ///< bytes of all pools' error pages: each proxy is given them

/// At most kMaxResponse bytes. Error: "PATH can't be read: …", "PATH is a folder", "PATH has more than 64 KiB".
base::Result<std::string> read_page(const std::string& path);
/// Without the end of its last line. Error: as above, or too short or too long; never what it holds.
base::Result<std::string> read_key(const std::string& path);
/// May others than its owner read or write it? A file that can't be looked at: no.
bool open_to_others(const std::string& path);

}  // namespace drover::config
