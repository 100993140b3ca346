// Role: strategies: named pure algorithms that say which worker should be tried next. Adding one is one file and one row in the table.
// Thread: any proxy thread. No I/O, no clock, no allocation in propose(). Ownership: candidates belong to the caller.
#pragma once

#include "base/rng.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace drover::balancer {

/// A worker whose gate was open when looked at. Candidates stand in order of (slot, row).
struct Candidate {
  std::uint32_t row = 0;
  std::uint32_t slot = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t in_flight = 0;     ///< exchanges now (the gate's count)
  std::uint64_t memory_bytes = 0;  ///< 0: unknown
  std::uint32_t load_epoch = 0;    ///< grows with each new memory figure
  std::uint64_t claims = 0;        ///< claims of this incarnation so far
};

/// What a strategy may keep between picks. `position` is a word shared by all threads of a proxy; `memory` is this thread's own.
struct Turn {
  std::uint64_t position = 0;  ///< in: as read before; out: what to write (compare-exchange) if the candidate is admitted
  base::Rng* rng = nullptr;
  std::span<struct LoadNote> notes;  ///< by row, this thread's: what least-memory knew at the last figure
};

/// least-memory's note on a row: the figure it last saw, to estimate growth per claim and to damp.
struct LoadNote {
  std::uint32_t incarnation = 0;
  std::uint32_t epoch = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t claims_at_figure = 0;
  double growth_per_claim = 0;
};

struct Strategy {
  std::string_view name;
  std::string_view help;
  /// Index into `candidates` (never empty). Called again without the refused one when a gate turns it down.
  std::size_t (*propose)(std::span<const Candidate> candidates, Turn& turn);
};

std::span<const Strategy> strategies();
/// nullptr: no such strategy (a config error, caught by `check`).
const Strategy* find_strategy(std::string_view name);

}  // namespace drover::balancer
