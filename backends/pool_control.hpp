// Role: the slots of one pool together: hands events to step(), ticks those that are due, holds the tokens by which workers are
//       replaced, runs rolling restarts and scaling. Pure like step(): no clock, no I/O; the caller carries out the effects.
// Thread: the supervisor's deciding thread (or a simulation). Ownership: owns the slots' states; borrows the pool's config.
//
// Replacement. Everything that wants a worker replaced says so with ask(); grant() decides whose turn it is:
//   - a roll goes by rolling.max_surge and rolling.max_unavailable; everything else replaces one worker of the pool at a time, and
//     while a roll goes on only what can't wait (hung, hard memory) comes between;
//   - with surge a successor is started beside the old incarnation; once it is ready (and has stayed so for rolling.soak) it takes the
//     place, and the old one is superseded: drained, stopped, forgotten. A successor that dies, fails or is never ready is
//     superseded itself: the old one stays (successor_failed), and a roll stops there;
//   - in place (no surge allowed, a worker that serves nobody, or no time): drain, stop, start, as before.
#pragma once

#include "backends/lifecycle.hpp"

#include <boost/container/static_vector.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace drover::backends {

struct SlotEffect {
  std::uint32_t slot = 0;
  Effect effect;
};

/// Why a worker is to be replaced, by rising urgency: a later one overrides an earlier one of the same slot.
enum class Why : std::uint8_t {
  none,
  requests,     ///< recycle.requests
  age,          ///< recycle.age
  memory,       ///< recycle.memory, or the forecast for it
  rolling,      ///< its turn in a roll
  by_operator,  ///< one slot
  failing,      ///< health.restart_after
  silent,       ///< it reported and fell silent
  hard_memory,  ///< recycle.hard_memory: in place, no waiting for anybody
  hung,         ///< in place, no waiting; diagnostic signal first
};
const char* to_text(Why why);

/// One rolling restart of a pool, running or the last one.
struct Roll {
  enum class Phase : std::uint8_t { none, running, done, failed };
  Phase phase = Phase::none;
  std::uint64_t number = 0;  ///< grows with each roll
  std::uint32_t total = 0;
  std::uint32_t done = 0;
  std::uint32_t failed_slot = 0;  ///< 0: the pool was stopped meanwhile
  base::Incarnation failed_incarnation = 0;
  base::TimePoint began{};
  base::TimePoint ended{};
};

class PoolControl {
 public:
  /// `capacity`: slots it can be scaled to (board::Shape::slots_for). `rows`: incarnations that may exist at a time.
  PoolControl(const config::Pool& pool, std::uint64_t seed, std::uint32_t capacity, std::uint32_t rows);

  /// Effects are appended to `out`, in the order in which they must be carried out. `slot` counts from 1. Events of an incarnation
  /// go to that incarnation, whichever of the slot's it is; EventType::replace means ask(by_operator).
  void handle(std::uint32_t slot, const Event& event, base::TimePoint now, std::vector<SlotEffect>& out);
  void tick(base::TimePoint now, std::vector<SlotEffect>& out);
  std::optional<base::TimePoint> next_tick() const;

  /// Wants one worker replaced; obeyed when it can be. Of an incarnation that is not the slot's present one: nothing.
  void ask(std::uint32_t slot, base::Incarnation incarnation, Why why, base::TimePoint now, std::vector<SlotEffect>& out);
  /// Replaces every worker that is wanted and enabled. False: one is running already, or nothing is left to roll; nothing changes.
  bool roll(base::TimePoint now, std::vector<SlotEffect>& out);
  const Roll& last_roll() const { return roll_; }
  /// Wanted workers from now on: 0 … capacity(). Fewer: the highest slots are drained and stop.
  void scale(std::uint32_t desired, base::TimePoint now, std::vector<SlotEffect>& out);
  std::uint32_t desired() const { return desired_; }
  std::uint32_t capacity() const { return capacity_; }
  /// Recycling (not hard limits) waits while requests wait.
  void set_queue_waiting(bool waiting) { queue_waiting_ = waiting; }
  /// For RollOrder::largest: bytes by slot; asked when a roll picks its next.
  void set_memory(std::uint32_t slot, std::uint64_t bytes) { seats_[slot - 1].memory = bytes; }

  /// Slots that exist: wanted ones, and higher ones that were wanted once.
  std::uint32_t size() const { return static_cast<std::uint32_t>(seats_.size()); }
  bool wanted(std::uint32_t slot) const { return slot <= desired_; }
  /// The slot's present incarnation: the one that serves, or should.
  const SlotState& slot(std::uint32_t slot) const { return seats_[slot - 1].state; }
  const std::optional<SlotState>& successor(std::uint32_t slot) const { return seats_[slot - 1].successor; }
  /// Old incarnations that still drain or stop.
  static constexpr std::size_t kMaxLeavers = 2;
  using Leavers = boost::container::static_vector<SlotState, kMaxLeavers>;
  const Leavers& leavers(std::uint32_t slot) const { return seats_[slot - 1].leavers; }
  /// The state of that incarnation, wherever it stands; nullptr: nothing is known of it.
  const SlotState* find(std::uint32_t slot, base::Incarnation incarnation) const;
  /// Why the slot's present incarnation is to be or is being replaced.
  Why asked(std::uint32_t slot) const { return seats_[slot - 1].asked; }
  const config::Pool& config() const { return *pool_; }

  /// How many workers are about to be ready.
  std::uint32_t expected(base::TimePoint now) const;
  bool any_eligible() const;
  /// Every wanted slot is given up (give_up = true and restarts exhausted), and there is one.
  bool given_up() const;
  /// Every slot has stopped for good and nothing of it lives.
  bool stopped() const;

 private:
  using Out = std::vector<SlotEffect>;

  struct Seat {
    /// In the roll. A slot that is taken stays so until its new incarnation has proved itself.
    enum class Part : std::uint8_t { none, waiting, taken };

    SlotState state;
    std::optional<SlotState> successor;
    Leavers leavers;
    Why asked = Why::none;
    std::uint64_t memory = 0;
    std::optional<base::TimePoint> fit_since;  ///< the newcomer has been eligible without a break since then
    RestartHistory tries;                      ///< of its successors that failed
    std::optional<base::TimePoint> pause;      ///< no successor before
    Part part = Part::none;
    base::Incarnation old = 0;  ///< the roll replaces incarnations up to this one

    /// Nobody wants the present incarnation replaced any more, but a roll that waits for its turn.
    void forget_ask() { asked = part == Part::waiting ? Why::rolling : Why::none; }
  };
  enum class Proof : std::uint8_t { pending, passed, failed };

  // pool_control.cpp: seats, events, time
  void add_seat();
  std::span<const Seat> wanted_seats() const { return std::span(seats_).first(desired_); }
  void apply(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out);
  void run(std::uint32_t slot, SlotState& state, const Event& event, base::TimePoint now, Out& out);
  void deliver(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out);
  void drain(std::uint32_t slot, base::TimePoint now, Out& out);
  void retire(std::uint32_t slot, base::TimePoint now, Out& out);
  void end(std::uint32_t slot, const Event& event, base::TimePoint now, Out& out);
  void tick_seat(std::uint32_t slot, base::TimePoint now, Out& out);

  // replacement.cpp: whose turn it is, successors
  void grant(base::TimePoint now, Out& out);
  bool token_free() const;
  bool others_serve(std::uint32_t slot) const;
  Why reason(std::uint32_t slot, base::TimePoint now) const;
  bool may_begin(std::uint32_t slot, Why why, base::TimePoint now) const;
  void begin(std::uint32_t slot, bool beside, base::TimePoint now, Out& out);
  bool may_start_successor(std::uint32_t slot, base::TimePoint now) const;
  std::uint32_t successors() const;
  void settle(std::uint32_t slot, base::TimePoint now, Out& out);
  const SlotState* newcomer(const Seat& seat) const;
  Proof prove(Seat& seat, base::TimePoint now) const;
  std::optional<base::TimePoint> proof_due(const Seat& seat) const;
  void take_seat(std::uint32_t slot, base::TimePoint now, Out& out);
  void drop_successor(std::uint32_t slot, EventType how, base::TimePoint now, Out& out);
  void successor_failed(std::uint32_t slot, base::TimePoint now, Out& out);

  // rollout.cpp: the roll
  bool rolling() const { return roll_.phase == Roll::Phase::running; }
  void advance_roll(base::TimePoint now, Out& out);
  void review_roll(base::TimePoint now, Out& out);
  void take_next(base::TimePoint now, Out& out);
  bool takes_part(std::uint32_t slot) const;
  std::vector<std::uint32_t> in_roll_order() const;
  bool may_be_missed(std::uint32_t slot) const;
  void fail_roll(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now, Out& out);
  base::Millis roll_patience() const;

  const config::Pool* pool_;
  std::uint32_t capacity_;
  std::uint32_t rows_;
  std::uint32_t desired_;
  std::uint64_t seed_;
  std::vector<Seat> seats_;
  std::uint32_t replacing_ = 0;  ///< holder of the pool's token; 0: nobody
  bool ending_ = false;          ///< told to stop for good
  bool queue_waiting_ = false;
  Roll roll_;
  base::TimePoint roll_moved_{};  ///< when something of the roll was last under way
};

}  // namespace drover::backends
