// Role: units that every room shares: time points, byte counts, worker names.
// Thread: any. Ownership: plain values.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

namespace drover::base {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Millis = std::chrono::milliseconds;

struct Bytes {
  std::uint64_t value = 0;
  auto operator<=>(const Bytes&) const = default;
};

/// One life of the process in a slot; grows by one with each, from 1; fits 31 bits (the gate's word). 0: none.
using Incarnation = std::uint32_t;

/// A seat in a pool: pool by its position in the config, slot from 1.
struct SlotId {
  std::uint32_t pool = 0;
  std::uint32_t slot = 0;
  auto operator<=>(const SlotId&) const = default;
};

}  // namespace drover::base
