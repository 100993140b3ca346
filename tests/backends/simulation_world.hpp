// Role: a seeded world for the pure control side: fake clock, fake processes, fake probes, fake gates, an operator with bad habits,
//       and a judge that knows the rules by itself. One seed is one life of one pool: faults, peace, then the stop.
// Thread: the test's. Ownership: owns everything in it.
#pragma once

#include "backends/pool_control.hpp"
#include "base/rng.hpp"

#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <vector>

namespace drover::backends::simulation {

/// What the world holds true of every run:
///  1  a gate is open only for an incarnation that lives, is ready, is not failing, is not paused and was not told to leave
///  2  such an incarnation's gate is open (so: enough healthy workers → the pool has an eligible one)
///  3  never two of a pool are being replaced; one that serves is taken out only when no other that should serve is missing;
///     a failing one not before restart_after
///  4  no event has more than kMaxEffects effects for a slot, and no run more events than its bound
///  5  an event of a stale incarnation has no effect and changes nothing
///  6  no process starts while one of that slot lives, and incarnations grow by one
///  7  signals and probes go only to processes that are not known to be gone; one probe at a time
///  8  deaths and delays obey the restart policy: counted ones, growth, jitter, failed, given up
///  9  a worker told to leave is signalled within its drain, and killed within its grace
/// 10  within a bounded time after the last fault every slot serves (or is given up)
/// 11  the stop ends within its bound; then no process lives, every row is free and every gate is closed
class World {
 public:
  explicit World(std::uint64_t seed);

  /// The first rule broken, or none.
  std::optional<std::string> run();

 private:
  enum class Kind : std::uint8_t { deliver, main_dies, tree_dies, fault };
  struct Happening {
    base::TimePoint at;
    std::uint64_t order = 0;
    Kind kind = Kind::deliver;
    std::uint32_t slot = 0;
    Event event;
    bool operator>(const Happening& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  /// A slot's process as it is, whatever the control side has been told.
  struct Child {
    base::Incarnation incarnation = 0;
    bool main = false;
    bool tree = false;  ///< descendants, besides the main process
    bool paused = false;
    bool hung = false;
    bool deaf = false;  ///< ends by KILL only
    bool deaf_tree = false;
    bool told_to_end = false;
    bool failed_start = false;
    base::TimePoint ready_at{};
  };
  /// What the judge holds of a slot: only from what was told and what was answered.
  struct Ledger {
    base::Incarnation incarnation = 0;
    bool gate = false;
    bool row = false;
    bool known_alive = false;
    bool ready = false;
    bool paused = false;
    bool failing = false;
    bool probe_out = false;
    bool drained = false;  ///< the operator's last word
    bool told_to_stop = false;
    bool replace_asked = false;  ///< by the operator
    bool taken = false;          ///< out of service with the token
    std::uint32_t fails = 0;
    std::uint32_t passes = 0;
    base::TimePoint ready_since{};
    base::TimePoint failing_since{};
    base::TimePoint ended{};
    base::TimePoint entered{};  ///< its present lifecycle
    bool killed = false;
    Cause cause = Cause::exit_zero;
    std::vector<base::TimePoint> counted;
    std::uint32_t series = 0;
    std::uint32_t ports_lost = 0;
    std::optional<base::TimePoint> earliest;  ///< of the next start after a death; none: no rule
    std::optional<base::TimePoint> latest;
  };
  /// What a slot's state was before an event, as far as the rules ask.
  struct Before {
    Lifecycle lifecycle = Lifecycle::stopped;
    Process process = Process::none;
    Leaving leaving = Leaving::no;
    Health health = Health::unknown;
    base::Incarnation incarnation = 0;
    bool paused = false;
    bool open = false;
    std::optional<base::TimePoint> due;
    bool operator==(const Before&) const = default;
  };

  void roll_config();
  void faults_phase();
  void peace_phase();
  void stop_phase();
  void make_peace();
  bool advance(base::TimePoint until, bool until_served = false);
  void happen(const Happening& happening);
  void fault();
  void noise(std::uint32_t slot);
  void operator_acts(std::uint32_t slot);
  void pause(std::uint32_t slot, bool paused);

  void tell(std::uint32_t slot, Event event);
  void tick();
  void carry_out();
  void carry_out(std::uint32_t slot, const Effect& effect);
  void spawn(std::uint32_t slot, const Effect& effect);
  void probe(std::uint32_t slot, const Effect& effect);
  void signal_main(std::uint32_t slot, const Effect& effect);
  void signal_tree(std::uint32_t slot, const Effect& effect);
  void main_dies(std::uint32_t slot, const Event& event);

  // the judge (simulation_judge.cpp)
  static Before brief(const SlotState& state);
  void remember();
  void note(std::uint32_t slot, const Event& event);
  void note_probe(std::uint32_t slot, bool passed);
  void note_spawn(std::uint32_t slot, const Effect& effect);
  void note_release(std::uint32_t slot);
  void note_death(std::uint32_t slot, bool never_ready);
  void check();
  void check_gate(std::uint32_t slot);
  void check_times(std::uint32_t slot);
  void check_taken(std::uint32_t slot);
  bool serves_or_may_be_missing(std::uint32_t slot) const;
  bool all_serve() const;
  void check_all_gone();
  void violate(int rule, std::uint32_t slot, const std::string& what);

  void later(base::Millis after, Kind kind, std::uint32_t slot, Event event = {});
  base::Millis between(std::int64_t low, std::int64_t high) {
    return base::Millis(low + static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(high - low + 1))));
  }
  bool chance(unsigned percent) { return rng_.below(100) < percent; }
  Child& child(std::uint32_t slot) { return children_[slot - 1]; }
  Ledger& ledger(std::uint32_t slot) { return ledgers_[slot - 1]; }
  const Before& before(std::uint32_t slot) const { return before_[slot - 1]; }
  std::uint32_t any_slot() { return static_cast<std::uint32_t>(rng_.below(config_.workers)) + 1; }

  std::uint64_t seed_;
  base::Rng rng_;
  config::Pool config_;
  std::optional<PoolControl> control_;
  base::TimePoint now_{std::chrono::seconds(1000)};
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> ahead_;
  std::uint64_t order_ = 0;
  std::uint64_t events_ = 0;
  std::vector<Child> children_;
  std::vector<Ledger> ledgers_;
  std::vector<SlotEffect> effects_;
  std::vector<Before> before_;
  EventType told_ = EventType::tick;        ///< the present event
  std::optional<base::TimePoint> tick_at_;  ///< before the present event
  bool faulty_ = true;
  bool stopping_ = false;
  bool trace_ = false;
  std::optional<std::string> violation_;
};

}  // namespace drover::backends::simulation
