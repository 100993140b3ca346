// Role: how many of each thing the boards hold. Computed from the config by both sides with the same code and
//       checked against the first page at attach.
// Thread: any. Ownership: plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace drover::board {

inline constexpr std::uint32_t kLayoutVersion = 1;
inline constexpr std::uint32_t kMaxRowsPerPool = 1024;
inline constexpr std::uint32_t kDrainReserve = 4;
/// The largest pool whose every slot has its row, one for its replacement, and the reserve.
inline constexpr std::uint32_t kMaxWorkersPerPool = (kMaxRowsPerPool - kDrainReserve) / 2;

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
  /// Never above kMaxRowsPerPool: a pool of more than kMaxWorkersPerPool has fewer spare rows, and the config refuses it.
  static constexpr std::uint32_t rows_for(std::uint32_t workers) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{workers} * 2 + kDrainReserve, kMaxRowsPerPool));
  }
};

/// Pools in the config's order, their rows one after another.
Shape make_shape(std::span<const std::uint32_t> workers_per_pool, std::uint32_t threads, std::uint32_t listeners);

}  // namespace drover::board
