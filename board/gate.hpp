// Role: the gate: a closed-or-counting cell that guards one incarnation of a worker. One 64-bit word
//       {incarnation:31, closed:1, count:32}, in shared memory between one proxy process and the supervisor.
// Thread: proxy threads enter and leave; the supervisor alone opens and closes. Lock-free; never waits.
// Ownership: the word lives on a proxy's board; a Gate is a view of it.
//
// Promise: after close() returned, no enter() of that incarnation succeeds, and count() tells who is still inside.
// The endpoint of a row must be read after entering. A proxy killed inside leaves its count behind: the board dies with it.
#pragma once

#include "base/units.hpp"

#include <atomic>
#include <cstdint>

namespace drover::board {

using GateWord = std::atomic<std::uint64_t>;
static_assert(GateWord::is_always_lock_free);

struct GateView {
  base::Incarnation incarnation = 0;
  bool closed = true;
  std::uint32_t count = 0;
};

/// The algorithm over any word that has std::atomic's operations: tests run it over one that yields before each of them.
template <class Word>
class BasicGate {
 public:
  explicit BasicGate(Word& word) : word_(&word) {}

  static constexpr std::uint64_t kClosed = 1ULL << 32U;
  static constexpr std::uint64_t kCount = kClosed - 1;
  static constexpr std::uint64_t pack(base::Incarnation incarnation, bool closed, std::uint32_t count) {
    return (static_cast<std::uint64_t>(incarnation) << 33U) | (closed ? kClosed : 0) | count;
  }
  static constexpr GateView unpack(std::uint64_t word) {
    return {static_cast<base::Incarnation>(word >> 33U), (word & kClosed) != 0, static_cast<std::uint32_t>(word & kCount)};
  }

  GateView view() const { return unpack(word_->load(std::memory_order_acquire)); }

  /// Proxy. False: closed, another incarnation, or (never in practice) a full count.
  bool enter(base::Incarnation incarnation) {
    std::uint64_t word = word_->load(std::memory_order_acquire);
    for (;;) {
      const GateView seen = unpack(word);
      if (seen.closed || seen.incarnation != incarnation || seen.count == kCount) return false;
      if (word_->compare_exchange_weak(word, word + 1, std::memory_order_acq_rel, std::memory_order_acquire)) return true;
    }
  }

  /// Proxy, once per successful enter.
  void leave() { word_->fetch_sub(1, std::memory_order_acq_rel); }

  /// Proxy, holding a lease: may it be passed on to another exchange?
  bool still_open(base::Incarnation incarnation) const {
    const GateView seen = view();
    return !seen.closed && seen.incarnation == incarnation;
  }

  /// Supervisor. The incarnation that is in already (after a passed probe): let in again, whatever the count. Another one: only
  /// on a closed and empty row. False: still open for another, or somebody of another is inside; nothing changed.
  bool open(base::Incarnation incarnation) {
    std::uint64_t word = word_->load(std::memory_order_acquire);
    const GateView seen = unpack(word);
    if (seen.incarnation == incarnation) {  // only the supervisor changes it, so it can't turn under our hands
      word_->fetch_and(~kClosed, std::memory_order_acq_rel);
      return true;
    }
    if (!seen.closed || seen.count != 0) return false;
    // Closed and empty: no honest proxy moves such a word, so one try is enough and a dishonest one can't hold us in a loop.
    return word_->compare_exchange_strong(word, pack(incarnation, false, 0), std::memory_order_acq_rel, std::memory_order_acquire);
  }

  /// Supervisor. Returns how many are still inside.
  std::uint32_t close() { return unpack(word_->fetch_or(kClosed, std::memory_order_acq_rel)).count; }

 private:
  Word* word_;
};

using Gate = BasicGate<GateWord>;

}  // namespace drover::board
