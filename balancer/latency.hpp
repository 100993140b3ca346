// Role: a worker's latency as least-latency sees it, an exponentially weighted peak: the greatest of its answers' times, each halved for every
//       ten seconds that have passed since. A peak counts at once and in full; what no answer confirms falls.
// Thread: any proxy thread, several at once: one word, compare-exchanged. Time is passed in. Ownership: the cell lives on a proxy's board.
#pragma once

#include "base/units.hpp"
#include "board/proxy_board.hpp"

#include <cstdint>

namespace drover::balancer {

inline constexpr double kLatencyHalfLifeSeconds = 10;
/// A failure counts as an answer that took so long, or twice the figure: who refuses at once must not look fastest.
inline constexpr std::uint64_t kFailureUs = 1'000'000;

/// An exchange's time to its first byte, or until its client left without one: it takes that long at least. The first figure of an
/// incarnation replaces the last one's.
void note_latency(board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t us, std::uint64_t now_ns);
/// It broke one, after so long.
void note_failure(board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t us, std::uint64_t now_ns);

/// Microseconds, as of now; 0: unknown.
std::uint64_t latency_us(const board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t now_ns);

}  // namespace drover::balancer
