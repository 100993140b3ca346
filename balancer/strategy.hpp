// Role: strategies: named pure algorithms that say which worker should be tried next. Adding one is one file and one row:
//       docs/STRATEGIES.md.
// Thread: any proxy thread. No I/O, no clock, no allocation in propose(). Ownership: candidates and notes belong to the caller.
#pragma once

#include "base/rng.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace drover::balancer {

/// A worker whose gate was open when looked at. Candidates stand in no order; a turn goes by key(), see next_in_turn().
struct Candidate {
  std::uint32_t row = 0;
  std::uint32_t index = 0;  ///< the row's place in its pool
  std::uint32_t slot = 0;
  std::uint32_t incarnation = 0;
  std::uint32_t in_flight = 0;     ///< exchanges now (the gate's count)
  std::uint64_t memory_bytes = 0;  ///< 0: unknown
  std::uint32_t load_epoch = 0;    ///< grows with each new memory figure
  std::uint64_t claims = 0;        ///< claims of this incarnation so far
  std::uint32_t share = 100;       ///< percent of its even part; already thinned out by chance, see Claimer
  std::uint64_t latency_us = 0;    ///< peak EWMA of its time to the first byte, decayed to now; 0: unknown

  /// Its place in the rotation: by slot, then row.
  std::uint64_t key() const { return (static_cast<std::uint64_t>(slot) << 32U) | row; }
  /// Exchanges now, as they weigh for one that wants less than its even part: at half a share each counts twice.
  std::uint64_t load() const { return share >= 100 ? in_flight : std::uint64_t{in_flight} * 100 / (share > 0 ? share : 1); }
};

/// least-memory's note on a row, one thread's own: what it saw at the last figure, to estimate growth per claim and to damp.
struct LoadNote {
  std::uint32_t incarnation = 0;
  std::uint32_t epoch = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t claims_at_figure = 0;
  double growth_per_claim = 0;  ///< bytes
  bool growth_known = false;    ///< two figures with claims between them were seen
  double share = 0;             ///< what an even split would have given it since the last figure
  double used = 0;              ///< what it was given since
};

/// What a strategy may keep between picks.
struct Turn {
  /// Shared by all threads of a proxy. In: as read before; out: what to write. It is compare-exchanged *before* the gate is asked, and
  /// when another thread was faster, propose() runs again: a turn belongs to one thread. Left as it was: nothing is written.
  std::uint64_t position = 0;
  base::Rng* rng = nullptr;
  std::span<LoadNote> notes;  ///< by Candidate::index, this thread's
  std::uint64_t hash = 0;     ///< of what the pool's `hash.by` names in this request; 0: it has none
  double bound = 1.25;        ///< the pool's `hash.bound`
};

/// A row of the table, config/strategies.def.
struct Strategy {
  std::string_view name;
  std::string_view help;
  /// Index into `candidates` (never empty). Called again without the refused one when a gate turns it down.
  std::size_t (*propose)(std::span<const Candidate> candidates, Turn& turn);
  /// The proposed one was admitted, with these candidates beside it. nullptr: it doesn't care.
  void (*admitted)(std::span<const Candidate> candidates, std::size_t chosen, Turn& turn) = nullptr;
  bool wants_latency = false;  ///< Candidate::latency_us: nobody measures it for the others
  bool wants_hash = false;     ///< Turn::hash: nobody computes it for the others
};

std::span<const Strategy> strategies();
/// nullptr: no such strategy (a config error, caught by `check`).
const Strategy* find_strategy(std::string_view name);

// One file each: propose_round_robin() and so on, by the table.
#define DROVER_STRATEGY(name, help, function, ...) std::size_t propose_##function(std::span<const Candidate> candidates, Turn& turn);
#include "config/strategies.def"
#undef DROVER_STRATEGY

void admitted_least_memory(std::span<const Candidate> candidates, std::size_t chosen, Turn& turn);

}  // namespace drover::balancer
