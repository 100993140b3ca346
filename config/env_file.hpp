// Role: a pool's env_file: NAME=value lines → variables. Nothing is expanded; what could be read in two ways is refused.
// Thread: supervisor, at `check` and at each start of a worker. Ownership: values.
// Bounded: the file's bytes, the number of its variables, and each one's bytes.
#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace drover::config {

inline constexpr std::size_t kMaxEnvFile = 1024 * 1024;
inline constexpr std::size_t kMaxEnvEntries = 4096;
inline constexpr std::size_t kMaxEnvEntry = 128 * 1024 - 1;  ///< bytes of "NAME=value": what execve(2) takes as one string

/// Lines: NAME=value, "export NAME=value", empty, or a comment that begins with '#'. A value ends with its line and may stand in
/// 'single quotes' (as it is) or "double quotes" (with \n, \t, \", \\ and \$). Error: "file:line: reason; fix", never a value.
base::Result<std::map<std::string, std::string>> read_env_file(const std::string& path);
/// The same of a text that was read from `path`.
base::Result<std::map<std::string, std::string>> parse_env(std::string_view text, const std::string& path);

}  // namespace drover::config
