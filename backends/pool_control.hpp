// Role: the slots of one pool together: hands events to step(), ticks those that are due, and holds the one token by which
//       workers are replaced one at a time. Pure like step(): no clock, no I/O; the caller carries out the effects.
// Thread: the supervisor's deciding thread (or a simulation). Ownership: owns the slots' states; borrows the pool's config.
#pragma once

#include "backends/lifecycle.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace drover::backends {

struct SlotEffect {
  std::uint32_t slot = 0;
  Effect effect;
};

class PoolControl {
 public:
  PoolControl(const config::Pool& pool, std::uint64_t seed);

  /// Effects are appended to `out`, in the order in which they must be carried out. `slot` counts from 1.
  void handle(std::uint32_t slot, const Event& event, base::TimePoint now, std::vector<SlotEffect>& out);
  void tick(base::TimePoint now, std::vector<SlotEffect>& out);
  std::optional<base::TimePoint> next_tick() const;

  std::uint32_t size() const { return static_cast<std::uint32_t>(seats_.size()); }
  const SlotState& slot(std::uint32_t slot) const { return seats_[slot - 1].state; }
  const config::Pool& config() const { return *pool_; }

  /// How many workers are about to be ready.
  std::uint32_t expected(base::TimePoint now) const;
  bool any_eligible() const;
  /// Every slot is given up (give_up = true and restarts exhausted).
  bool given_up() const;
  /// Every slot has stopped for good and nothing of it lives.
  bool stopped() const;

 private:
  struct Seat {
    SlotState state;
    bool replace_asked = false;  ///< by the operator, waiting for the token
  };
  void apply(std::uint32_t slot, const Event& event, base::TimePoint now, std::vector<SlotEffect>& out);
  void grant(base::TimePoint now, std::vector<SlotEffect>& out);
  bool token_free() const;
  bool others_serve(std::uint32_t slot) const;

  const config::Pool* pool_;
  std::vector<Seat> seats_;
  std::uint32_t replacing_ = 0;  ///< the token's holder; 0: nobody
};

}  // namespace drover::backends
