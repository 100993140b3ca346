// Role: what the fuzz targets share: a property that must hold, and numbers that an input brings along by itself.
// Thread: any; pure. Ownership: none.
#pragma once

#include "base/rng.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace drover::fuzz {

inline void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

/// The same numbers for the same input, so that a corpus file is nothing but the bytes it stands for.
inline base::Rng numbers_of(std::string_view input) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : input) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return base::Rng(hash);
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace drover::fuzz
