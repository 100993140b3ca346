// Role: a seeded world for the pure control side: fake clock, fake processes, fake probes, fake gates, an operator with bad habits,
//       and a judge that knows the rules by itself. One seed is one life of one pool: faults, peace, a roll and a scaling in peace,
//       then the stop.
// Thread: the test's. Ownership: owns everything in it.
#pragma once

#include "backends/pool_control.hpp"
#include "base/rng.hpp"

#include <boost/container/static_vector.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <vector>

namespace drover::backends::simulation {

/// What the world holds true of every run:
///  1  a gate is open only for an incarnation that lives, is ready, is not failing, is not held back and was not told to leave
///  2  such an incarnation's gate is open (so: enough healthy workers → the pool has an eligible one)
///  3  without a roll never two of a pool are being replaced, but for hard limits; one that serves is taken out only when no other
///     that should serve is missing; only what was asked for is replaced, recycling not while requests wait, a failing one not
///     before restart_after
///  4  no event has more than kMaxEffects effects for a life, and no run more events than its bound
///  5  an event of an incarnation that is gone has no effect and changes nothing
///  6  no process starts while one of that slot lives, unless it is a successor; numbers grow by one over all of a slot's lives
///  7  signals and probes go only to processes that are not known to be gone; one probe at a time; none of a starting one that
///     gives its word instead
///  8  deaths and delays obey the restart policy: counted ones, growth, jitter, failed, given up; likewise failed successors
///  9  a worker told to leave is signalled within its drain, and killed within its grace
/// 10  within a bounded time after the last fault every slot that is wanted serves (or is given up), and no roll goes on
/// 11  the stop ends within its bound; then no process lives, every row is free and every gate is closed
/// 12  each life is released once, when nothing is left of it; there are never more of them than rows
/// 13  no more lives serve or start than wanted ones and max_surge; in a roll no more are missing than max_unavailable; in peace a
///     roll is done within its bound, and then every slot has a new incarnation
/// 14  a successor takes the place only when it has been fit for `soak`, or the old one is lost; its failure changes nothing for the
///     old one and stops a roll
/// 15  within a bounded time after a scaling in peace exactly the wanted slots serve
/// 16  a Node worker is told once to finish, when it drains and nobody is inside (at once, if its clients come past the proxy), and not
///     signalled before its time is over; one that goes of its own will is no death, and the next one follows at once, but never sooner
///     than restart.delay after its start; after either nothing brings it back to work
/// 17  one that gets work for the first time, or again after it had failed or been ejected, begins with a tenth of its share, has the part of
///     slow_start that has passed if that is more, and the whole when it is over
class World {
 public:
  explicit World(std::uint64_t seed);

  /// The first rule broken, or none.
  std::optional<std::string> run();

 private:
  enum class Kind : std::uint8_t { deliver, main_dies, tree_dies, leaves, fault };
  struct Happening {
    base::TimePoint at;
    std::uint64_t order = 0;
    Kind kind = Kind::deliver;
    std::uint32_t slot = 0;
    Event event;
    bool operator>(const Happening& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  /// A process as it is, whatever the control side has been told.
  struct Child {
    bool main = false;
    bool tree = false;  ///< descendants, besides the main process
    bool paused = false;
    bool hung = false;
    bool deaf = false;  ///< ends by KILL only
    bool deaf_tree = false;
    bool told_to_end = false;
    // Node programs.
    bool told_to_finish = false;  ///< over its channel
    bool disobeys = false;
    bool lingers = false;  ///< closes its channel, but goes on
    base::TimePoint ready_at{};
  };
  /// What the judge holds of one life: only from what was told and what was answered.
  struct Book {
    bool gate = false;
    bool known_alive = true;
    bool ready = false;
    bool paused = false;
    bool suspect = false;
    bool ejected = false;
    bool declined = false;
    bool failing = false;
    bool probe_out = false;
    bool killed = false;
    bool hung = false;
    std::uint32_t fails = 0;
    std::uint32_t passes = 0;
    base::TimePoint ready_since{};
    base::TimePoint failing_since{};
    base::TimePoint ended{};
    base::TimePoint started{};
    base::TimePoint entered{};                   ///< its present lifecycle
    std::optional<base::TimePoint> told_finish;  ///< over its channel
    std::optional<base::TimePoint> left;         ///< of its own will, while it was in service
    std::optional<base::TimePoint> closed;       ///< its channel, after either of them
    bool knows = false;                          ///< it is to finish
    std::optional<base::TimePoint> fit_since;
    std::optional<base::TimePoint> fresh_since;
    Cause cause = Cause::exit_zero;
    bool fit() const { return known_alive && ready && !failing && !paused && !suspect && !ejected && !declined && !knows; }
  };
  struct Life {
    Child child;
    Book book;
  };
  /// A record of deaths as the documentation has it, and when the next start may be.
  struct Record {
    std::vector<base::TimePoint> counted;
    std::uint32_t series = 0;
    std::uint32_t ports_lost = 0;
    std::optional<base::TimePoint> earliest;  ///< none: no rule
    std::optional<base::TimePoint> latest;
  };
  struct Slot {
    std::map<base::Incarnation, Life> lives;  ///< those not yet released: each has a row
    base::Incarnation last = 0;
    bool drained = false;  ///< the operator's last word
    bool told_to_stop = false;
    unsigned asked = 0;  ///< a bit for each Why since its present life began
    bool taken = false;  ///< out of service with the token
    bool taken_by_roll = false;
    bool lost = false;  ///< in the present event its present life is lost: died, hung, beyond its hard limit
    bool died = false;  ///< in the present event
    Record record;
    Record tries;  ///< of successors
    base::Incarnation at_roll = 0;
  };
  /// What a life's state was before an event, as far as the rules ask.
  struct Before {
    Lifecycle lifecycle = Lifecycle::stopped;
    Process process = Process::none;
    Leaving leaving = Leaving::no;
    Health health = Health::unknown;
    base::Incarnation incarnation = 0;
    bool held = false;
    bool open = false;
    std::optional<base::TimePoint> due;
    bool operator==(const Before&) const = default;
  };
  struct SlotBefore {
    Before present;
    boost::container::static_vector<Before, PoolControl::kMaxLeavers + 1> others;  ///< successor and leavers
    base::Incarnation successor = 0;
    bool operator==(const SlotBefore&) const = default;
  };

  // phases (simulation_world.cpp)
  void roll_config();
  void faults_phase();
  void make_peace();
  void peace_phase();
  void roll_in_peace();
  void scale_in_peace();
  void stop_phase();
  base::Millis calm_bound() const;
  bool node() const { return config_.node != "off"; }
  bool cluster() const { return config_.node == "cluster"; }
  bool proxied() const { return config_.dispatch == config::Dispatch::proxy; }
  /// What one has to finish that is told when it has nothing to do.
  base::Millis finishing() const;
  bool advance(base::TimePoint until, const std::function<bool()>& done = {});
  void happen(const Happening& happening);
  void fault();
  void fault_of_supervision(std::uint32_t slot);
  void noise(std::uint32_t slot);
  void operator_acts(std::uint32_t slot);
  void tell(std::uint32_t slot, Event event);
  void tick();
  void ask(std::uint32_t slot, Why why);
  bool roll();
  void scale(std::uint32_t desired);
  void queue_waits(bool waiting);
  void begin(std::optional<EventType> told);
  void end();
  void later(base::Millis after, Kind kind, std::uint32_t slot, Event event = {});

  // processes, probes and gates (simulation_children.cpp)
  void carry_out();
  void carry_out(std::uint32_t slot, const Effect& effect);
  void spawn(std::uint32_t slot, const Effect& effect);
  void probe(std::uint32_t slot, const Effect& effect);
  void close_gate(std::uint32_t slot, const Effect& effect);
  void disconnect(std::uint32_t slot, const Effect& effect);
  void finish(std::uint32_t slot, base::Incarnation incarnation, Child& it);
  void leaves(std::uint32_t slot, base::Incarnation incarnation);
  void signal_main(std::uint32_t slot, const Effect& effect);
  void signal_tree(std::uint32_t slot, const Effect& effect);
  void main_dies(std::uint32_t slot, const Event& event);
  void tree_dies(std::uint32_t slot, const Event& event);
  void pause(std::uint32_t slot, base::Incarnation incarnation, bool paused);

  // the judge's books (simulation_books.cpp)
  static Before brief(const SlotState& state);
  SlotBefore brief(std::uint32_t slot) const;
  void remember();
  void note(std::uint32_t slot, const Event& event);
  void note_of_life(std::uint32_t slot, const Event& event, Life& life, const Before& was);
  void note_probe(Book& book, bool passed);
  void note_spawn(std::uint32_t slot, const Effect& effect);
  void note_release(std::uint32_t slot, const Effect& effect);
  void note_death(std::uint32_t slot, const Book& book, bool never_ready, bool followed);
  void note_own_leave(std::uint32_t slot, const Book& book, const Before& was);
  bool note_on(Record& record, const Book& book, bool never_ready);
  void note_notice(std::uint32_t slot, const Effect& effect);
  void note_promotion(std::uint32_t slot, base::Incarnation promoted);
  void note_failed_successor(std::uint32_t slot, base::Incarnation failed);
  void note_fitness();

  // the judge's rules (simulation_judge.cpp)
  void check();
  void check_share(std::uint32_t slot, const SlotState& state, Book& book);
  void check_gate(std::uint32_t slot, const SlotState& state, const Book& book);
  void check_times(std::uint32_t slot, const SlotState& state, const Book& book);
  void check_signal(std::uint32_t slot, base::Incarnation incarnation, const Book& book);
  base::TimePoint drain_end(const Book& book) const;
  void check_delay(std::uint32_t slot);
  void check_taken(std::uint32_t slot);
  void check_reason(std::uint32_t slot, const Book* book);
  void check_counts();
  bool serves_or_may_be_missing(std::uint32_t slot) const;
  std::uint32_t missing_beside(std::uint32_t slot) const;
  bool serves(std::uint32_t slot) const;
  bool calm() const;
  bool as_wanted() const;
  void check_all_gone();
  void violate(int rule, std::uint32_t slot, const std::string& what);

  base::Millis between(std::int64_t low, std::int64_t high) {
    return base::Millis(low + static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(high - low + 1))));
  }
  std::uint32_t number(std::int64_t low, std::int64_t high) { return static_cast<std::uint32_t>(between(low, high).count()); }
  bool chance(unsigned percent) { return rng_.below(100) < percent; }
  Slot& at(std::uint32_t slot) { return slots_[slot - 1]; }
  const Slot& at(std::uint32_t slot) const { return slots_[slot - 1]; }
  /// nullptr: released, or it never was.
  Life* life(std::uint32_t slot, base::Incarnation incarnation);
  const Book* present(std::uint32_t slot) const;
  const SlotBefore& before(std::uint32_t slot) const { return before_[slot - 1]; }
  std::uint32_t slots() const { return control_->size(); }
  std::uint32_t any_slot() { return static_cast<std::uint32_t>(rng_.below(slots())) + 1; }
  base::Incarnation any_life(std::uint32_t slot);
  bool rolling() const { return control_->last_roll().phase == Roll::Phase::running; }

  std::uint64_t seed_;
  base::Rng rng_;
  config::Pool config_;
  std::uint32_t capacity_ = 0;
  std::uint32_t rows_ = 0;
  std::optional<PoolControl> control_;
  base::TimePoint now_{std::chrono::seconds(1000)};
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> ahead_;
  std::uint64_t order_ = 0;
  std::uint64_t events_ = 0;
  std::vector<Slot> slots_;
  std::vector<SlotBefore> before_;
  std::vector<SlotEffect> effects_;
  std::optional<EventType> told_;           ///< the present event; none: the pool was spoken to, not a slot
  std::optional<base::TimePoint> tick_at_;  ///< before the present event
  base::Incarnation beside_ = 0;            ///< of the present effects: a successor was announced beside that one
  std::optional<std::uint32_t> floor_;      ///< so many slots must serve, always
  bool queue_waiting_ = false;
  bool faulty_ = true;
  bool stopping_ = false;
  bool trace_ = false;
  std::optional<std::string> violation_;
};

}  // namespace drover::backends::simulation
