// Role: what the files of the key table share: usual ranges, how a row is written, and each file's tables.
// Thread: any; constant. Ownership: static data; only config/keys*.cpp include this.
#pragma once

#include "config/access.hpp"

#include <array>
#include <limits>

namespace drover::config {

inline constexpr std::int64_t kSecond = 1000;
inline constexpr std::int64_t kDay = 24 * 3600 * kSecond;
inline constexpr Range kMayBeZero{0, 30 * kDay};
inline constexpr Range kPositive{1, 30 * kDay};
inline constexpr Range kTick{10, 30 * kDay};   ///< what repeats: not faster than a loop can bear
inline constexpr Range kLook{100, 30 * kDay};  ///< what is judged a few times a second
inline constexpr Range kAWhile{kSecond, 30 * kDay};
inline constexpr Range kWindow{100, kDay};  ///< what is remembered that long
inline constexpr std::int64_t kKiB = 1024;
inline constexpr std::int64_t kMiB = kKiB * 1024;
inline constexpr std::int64_t kGiB = kMiB * 1024;
inline constexpr Range kPieces{0, kMaxWorkers};
inline constexpr Range kAnyBytes{0, std::numeric_limits<std::int64_t>::max()};
inline constexpr std::int64_t kUnbounded = std::int64_t{1} << 50;  ///< an upper end beyond it is none

// Not yet: the name is reserved, so that a mistyped key can be told from one that comes later.
inline constexpr Key later(std::string_view name, std::string_view help) { return {.name = name, .help = help, .later = true}; }
inline constexpr Key table(std::string_view name, const Section& fields, void* (*target)(void*)) {
  return {.name = name, .type = Type::table, .help = fields.help, .fields = &fields, .inner = target};
}

/// With a value for hints: the first field of a table that has one shows what the table is for.
inline constexpr Key like(std::string_view example, Key key) {
  key.example = example;
  return key;
}

/// Of a table's field, without which the table says nothing.
inline constexpr Key needed(Key key) {
  key.needed = true;
  return key;
}

template <const auto& Keys>
std::span<const Key> as_span() {
  return Keys;
}

std::span<const Key> listener_keys();
std::span<const Key> pool_keys();
std::span<const Key> route_keys();

}  // namespace drover::config
