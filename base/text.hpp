// Role: small text helpers: durations and byte counts for people, nearest name for "did you mean", printable escapes.
// Thread: any. Ownership: plain values.
#pragma once

#include "base/units.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace drover::base {

/// "1.5s", "250ms", "10m".
std::string to_text(Millis duration);
/// "400MiB", "1.5GiB", "12B".
std::string to_text(Bytes bytes);

/// The name in `known` nearest to `given`, or "" when none is near enough to be a likely slip of the hand.
std::string_view nearest(std::string_view given, std::span<const std::string_view> known);

/// Of ASCII letters alone, whatever the locale: names of header fields, hosts and methods are made of these.
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
std::string lowered(std::string_view text);
inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

/// Length of the UTF-8 sequence at the start of `bytes` (not empty); 0: not UTF-8 (RFC 3629).
std::size_t utf8_length(std::string_view bytes);

/// Control characters and invalid UTF-8 as \xNN, so that hostile bytes can stand in a log line; cut at `limit` bytes.
std::string printable(std::string_view bytes, std::size_t limit = 1024);

/// The version of this build, "0.1.0".
std::string_view version();

}  // namespace drover::base
