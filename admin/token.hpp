// Role: the secret that lets the TCP side change things: read once at start, compared without telling how near a guess was.
// Thread: supervisor, at start. Ownership: values.
#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

namespace drover::admin {

inline constexpr std::size_t kShortestToken = 16;
inline constexpr std::size_t kLongestToken = 4096;

/// What the file holds, without the end of its line. Error: it can't be read, others than its owner may read or write it, it is too
/// short, or not visible ASCII.
base::Result<std::string> read_token(const std::string& path);

/// The time taken depends on the length of `given` alone.
bool same_token(std::string_view given, std::string_view token);

}  // namespace drover::admin
