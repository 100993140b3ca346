// Role: how many of each thing the boards hold. Computed from the config by both sides with the same code and
//       checked against the first page at attach.
// Thread: any. Ownership: plain values.
#pragma once

#include <cstdint>
#include <vector>

namespace drover::board {

inline constexpr std::uint32_t kLayoutVersion = 1;
inline constexpr std::uint32_t kMaxRowsPerPool = 1024;

struct PoolRows {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

struct Shape {
  std::vector<PoolRows> pools;  ///< each pool's rows stand together
  std::uint32_t rows = 0;
  std::uint32_t threads = 1;
  std::uint32_t listeners = 1;

  /// Rows of a pool: one for each slot, as many again for their replacements, and a reserve for those that still drain.
  static std::uint32_t rows_for(std::uint32_t workers) { return workers * 2 + 4; }
};

}  // namespace drover::board
