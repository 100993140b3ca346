// Role: how many of each thing the boards hold. Computed from the config by both sides with the same code and
//       checked against the first page at attach.
// Thread: any. Ownership: plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace drover::board {

inline constexpr std::uint32_t kLayoutVersion = 3;
inline constexpr std::uint32_t kMaxRowsPerPool = 1024;
inline constexpr std::uint32_t kDrainReserve = 4;
/// The largest pool whose every slot has its row, one for its replacement, and the reserve.
inline constexpr std::uint32_t kMaxWorkersPerPool = (kMaxRowsPerPool - kDrainReserve) / 2;
inline constexpr std::uint32_t kSlotsAtLeast = 16;  ///< room to grow for the smallest pool

struct PoolRows {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

struct Shape {
  std::vector<PoolRows> pools;  ///< each pool's rows stand together
  std::uint32_t rows = 0;
  std::uint32_t threads = 1;
  std::uint32_t listeners = 1;

  /// Slots that a pool can be scaled to while it runs, for the most workers its configuration names.
  static constexpr std::uint32_t slots_for(std::uint32_t workers) {
    return std::clamp(std::min(workers, kMaxWorkersPerPool) * 2, kSlotsAtLeast, kMaxWorkersPerPool);
  }
  /// Rows of a pool: one for each slot, as many again for their replacements, and a reserve for those that still drain.
  static constexpr std::uint32_t rows_for(std::uint32_t workers) { return slots_for(workers) * 2 + kDrainReserve; }
};

/// Pools in the config's order, their rows one after another. `most_workers`: the most that the configuration names for each.
Shape make_shape(std::span<const std::uint32_t> most_workers, std::uint32_t threads, std::uint32_t listeners);

}  // namespace drover::board
