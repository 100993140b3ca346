// Role: carries out what the control side of one pool decides: starts, probes, signals and forgets workers, takes rows and ports,
//       samples, looks for evidence, hears reports, and tells the control side what happened. Decides nothing itself.
// Thread: supervisor's deciding thread. Ownership: owns the pool's seats with all that is held for their incarnations; shares
//         Services with the other pools.
//
// Its parts by topic: pool_runner.cpp (events and effects), pool_launch.cpp (start and end of a life), pool_probes.cpp, pool_announce.cpp
// (log and events), pool_obituary.cpp, pool_reports.cpp, pool_channel.cpp, pool_node.cpp, pool_dispatch.cpp, pool_evidence.cpp,
// pool_memory.cpp, pool_scale.cpp, pool_doors.cpp, pool_status.cpp.
#pragma once

#include "backends/autoscale.hpp"
#include "backends/dispatch.hpp"
#include "backends/handoff.hpp"
#include "backends/killer.hpp"
#include "backends/livelock.hpp"
#include "backends/node_sockets.hpp"
#include "backends/outlier.hpp"
#include "backends/pool_control.hpp"
#include "backends/recent_latency.hpp"
#include "backends/services.hpp"
#include "backends/status.hpp"
#include "backends/worker_holding.hpp"
#include "backends/worker_launch.hpp"
#include "ipc/pending.hpp"
#include "ipc/state_service.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace drover::backends {

class PoolRunner {
 public:
  PoolRunner(Services& services, const config::Pool& pool, std::uint32_t index, WorkerLaunch launch, std::uint64_t seed);
  PoolRunner(const PoolRunner&) = delete;

  void start();
  void tick(base::TimePoint now);
  std::optional<base::TimePoint> next_tick() const { return control_.next_tick(); }
  /// Asks what nothing tells: is a draining gate empty, is the tree of an ended worker gone?
  void poll();
  /// none: there is nothing to ask.
  std::optional<base::Millis> poll_every() const;
  /// Looks for evidence, and weighs workers near their limits, where it is time.
  void look(base::TimePoint now);
  /// none: the look of each second will do.
  std::optional<base::TimePoint> next_look() const;
  /// Once a second: samples all, looks, and whatever has no hurry.
  void second(base::TimePoint now);
  /// What all proxies have counted for this pool, now and then: p99, waiting, requests.
  void take_traffic(const board::PoolTotals& totals, base::TimePoint now);
  /// Does it want take_traffic() each second?
  bool scales_by_itself() const { return pool_.workers_max || pool_.idle_stop; }

  /// The very first that follows a worker's end: its gate is closed. `known`: when the loop learned of it.
  void dying(const ChildKey& key, base::TimePoint known);
  void exited(const ChildKey& key, ExitStatus status);
  void paused(const ChildKey& key, bool paused);
  /// A proxy needs a worker of a pool that is asleep.
  void rung(base::TimePoint now);
  /// The public listeners whose connections are all this pool's, and all that drover has: before start().
  void take_listeners(std::vector<PublicListener> own, std::vector<int> all);
  /// The supervisor closes them now.
  void drop_listeners();
  /// Workers leave for good; who has been drained as long as he may is not waited for again.
  void stop();
  void kill();

  /// Shared state: none: nothing expires.
  std::optional<base::TimePoint> next_expiry() const;
  /// True: more has expired; again at once.
  bool expire_state(base::TimePoint now);
  ipc::StateService& state() { return state_; }

  // Orders.
  /// False: a roll is running, or there is nothing to roll.
  bool roll(const std::string& why);
  void replace(std::uint32_t slot);
  void set_intent(std::uint32_t slot, Intent intent);
  /// `why`: operator, signal.
  void scale(std::uint32_t desired, const char* why);
  /// Every request waits in line from now on, for so long at most; one that is held already: from now on so long.
  void hold(base::Millis most);
  std::optional<base::TimePoint> held_until() const { return held_until_; }
  /// It is, and whoever was on the way past its line when that began is inside or gone.
  bool held() const;
  /// Exchanges that its workers have now.
  std::uint32_t in_flight() const;
  /// `why`: operator, time, stopping. Nothing is done if it is not held.
  void let_through(const char* why);
  /// Every request is answered 503 with that text; none: no longer.
  void set_maintenance(std::optional<std::string> message);

  const PoolControl& control() const { return control_; }
  const config::Pool& config() const { return pool_; }
  /// How the slot's last incarnation that never got ready ended.
  const StartFailure& last_failure(std::uint32_t slot) const { return seats_[slot - 1].failure; }
  /// Of the last roll that failed.
  const std::string& roll_failure() const { return roll_failure_; }
  std::string name_of(std::uint32_t slot) const { return pool_.name + "." + std::to_string(slot); }

  /// Has a worker, or will have one as soon as somebody asks.
  bool serves() const { return asleep_ || control_.any_eligible(); }
  bool stopped() const { return control_.stopped(); }
  bool given_up() const { return control_.given_up(); }
  std::uint64_t restarted() const;
  const std::vector<Killer>& blocked() const { return hunt_.blocked(); }
  PoolStatus status() const;
  /// What does not hold here and why.
  void add_degraded(std::vector<std::string>& out) const;

 private:
  static constexpr base::Millis kLookEvery{250};

  // Events and effects: pool_runner.cpp.
  using Decision = std::function<void(base::TimePoint now, std::vector<SlotEffect>& out)>;
  void decide(const Decision& what);
  void tell(std::uint32_t slot, Event event);
  void run_pending();
  void carry_out(const std::vector<SlotEffect>& effects);
  void carry_out(std::uint32_t slot, const Effect& effect);
  std::uint32_t expected() const;
  void write_expected();
  void watch();
  void watch_roll();
  std::string roll_failure_of(const Roll& roll) const;
  void ask(std::uint32_t slot, base::Incarnation incarnation, Why why);

  // A life: pool_launch.cpp.
  void spawn(std::uint32_t slot, base::Incarnation incarnation);
  base::Result<WorkerEndpoint> make_endpoint(std::uint32_t slot, base::Incarnation incarnation);
  base::Result<void> launch(std::uint32_t slot, Holding& it);
  void open_notify(std::uint32_t slot, Holding& it);
  void release(std::uint32_t slot, base::Incarnation incarnation);

  // Probes: pool_probes.cpp.
  void probe(std::uint32_t slot, base::Incarnation incarnation);
  bool may_connect(std::uint32_t slot, Holding& it);
  void answered(std::uint32_t slot, base::Incarnation incarnation, ProbeAnswer answer);
  void probed(std::uint32_t slot, Holding& it, bool passed, const std::string& reason);

  // Log and events: pool_announce.cpp.
  void announce(std::uint32_t slot, base::Incarnation incarnation, Notice notice);
  void announce_evidence(std::uint32_t slot, base::Incarnation incarnation, Notice notice);
  void announce_replacement(std::uint32_t slot, base::Incarnation incarnation, Notice notice);
  void announce_end(std::uint32_t slot, base::Incarnation incarnation, Notice notice);
  void became_ready(std::uint32_t slot, base::Incarnation incarnation);
  void began_draining(std::uint32_t slot, base::Incarnation incarnation);
  void failed_start(std::uint32_t slot, base::Incarnation incarnation, std::string reason);
  std::string why_it_leaves(std::uint32_t slot, const SlotState& state) const;
  void emit(const char* name, std::uint32_t slot, base::Incarnation incarnation, boost::json::object data = {});

  // Ends: pool_obituary.cpp.
  struct Ending {
    ExitStatus status;
    bool asked_for = false;
    bool was_ready = false;
    std::vector<board::Flight> flights;
    Obituary record;
  };
  bool port_lost(const ChildKey& key, const Holding& it) const;
  Obituary write_obituary(std::uint32_t slot, const Holding& it, const SlotState& state, const Ending& ending, Cause cause);
  std::string what_follows(std::uint32_t slot, base::Incarnation incarnation) const;
  void say_end(std::uint32_t slot);
  void hunt(const std::vector<board::Flight>& flights);
  void release_killers(base::TimePoint now);

  // Reports: pool_reports.cpp.
  void heard(std::uint32_t slot, base::Incarnation incarnation, ReportSource source, const Report& report);
  void note_word(Holding& it, ReportSource source, const Report& report);
  void heard_ready(std::uint32_t slot, Holding& it);
  std::uint32_t share_of(std::uint32_t slot, const Holding& it) const;
  void write_share(std::uint32_t slot, const Holding& it);
  void warm_up(base::TimePoint now);
  void watch_silence(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now);
  template <class T>
  const OwnWord::Said<T>* fresh(const std::optional<OwnWord::Said<T>>& said, base::TimePoint now) const;

  // The channel: pool_channel.cpp.
  base::UniqueFd open_channel(std::uint32_t slot, Holding& it, LaunchSpec& spec);
  void said(std::uint32_t slot, base::Incarnation incarnation, std::string_view line);
  void said_report(std::uint32_t slot, Holding& it, const ipc::Message& message);
  void said_metrics(std::uint32_t slot, Holding& it, const ipc::Message& message);
  void said_state(std::uint32_t slot, const Holding& it, const ipc::Message& message);
  void said_message(std::uint32_t slot, base::Incarnation incarnation, std::string_view line, ipc::Message message);
  void note_fault(std::uint32_t slot, base::Incarnation incarnation, ipc::ChannelFault fault, std::uint64_t count, std::string_view line);
  void say_faults(std::uint32_t slot, Holding& it, base::TimePoint now);
  void channel_ended(std::uint32_t slot, base::Incarnation incarnation, ipc::ChannelEnd end);
  void close_channel(std::uint32_t slot, Holding& it, ipc::ChannelEnd why);
  void read_last_words(std::uint32_t slot, base::Incarnation incarnation);
  ipc::PeerId peer_of(std::uint32_t slot, base::Incarnation incarnation) const { return {index_, slot, incarnation}; }
  static ipc::StateService::Member member_of(std::uint32_t slot, base::Incarnation incarnation) {
    return (static_cast<ipc::StateService::Member>(slot) << 32U) | incarnation;
  }
  ipc::PeerId peer_of(ipc::StateService::Member member) const { return {index_, static_cast<std::uint32_t>(member >> 32U), member & UINT32_MAX}; }

  // Node programs, and pools whose clients do not come through the proxy: pool_node.cpp, pool_dispatch.cpp.
  void make_node(std::uint32_t slot, Holding& it);
  ListenAnswer node_asks(std::uint32_t slot, base::Incarnation incarnation, const ListenQuery& query);
  void node_listens(std::uint32_t slot, base::Incarnation incarnation, const ListenQuery& query);
  void node_closed(std::uint32_t slot, base::Incarnation incarnation, const ListenQuery& query);
  void node_leaves(std::uint32_t slot, base::Incarnation incarnation);
  void node_passed(std::uint32_t slot, base::Incarnation incarnation);
  bool is_main(const ListenQuery& query) const;
  const PublicListener* listener_for(const ListenQuery& query) const;
  ListenAnswer give_private(std::uint32_t slot, Holding& it, const ListenQuery& query);
  ListenAnswer give_connections(Holding& it, const ListenQuery& query);
  ListenAnswer give_listener(Holding& it, const ListenQuery& query, const PublicListener& listener);
  ListenAnswer refuse_port(std::uint32_t slot, Holding& it, const ListenQuery& query);
  void tell_listeners(WorkerEndpoint& endpoint) const;
  void pass_listeners(LaunchSpec& spec) const;
  std::uint64_t hand_over(const Handoff::Outlet& to, base::UniqueFd connection);
  Handoff::Load load_of(const Handoff::Outlet& of);
  void handed_gone(std::uint32_t slot, base::Incarnation incarnation);
  bool takes_nothing(std::uint32_t slot, const Holding& it) const;
  bool probe_by_word(std::uint32_t slot, Holding& it, bool starting);
  base::UniqueFd probing_end(std::uint32_t slot, base::Incarnation incarnation);
  void dismiss(std::uint32_t slot, base::Incarnation incarnation);

  // Evidence: pool_evidence.cpp.
  void forgive_gap(base::TimePoint now);
  void gather(base::TimePoint now);
  void look_at_outcomes(base::TimePoint now);
  void look_at_progress(base::TimePoint now);
  void look_for_hang(std::uint32_t slot, base::TimePoint now);
  void diagnose_one(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now);
  void cut_stopped(base::TimePoint now);

  // Figures: pool_memory.cpp.
  void sample(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now);
  void weigh(std::uint32_t slot, Holding& it, std::uint64_t rss, base::TimePoint now);
  void want_pss(std::uint32_t slot, Holding& it);
  void took_pss(std::uint32_t slot, base::Incarnation incarnation, std::uint64_t rss, std::optional<std::uint64_t> bytes);
  void watch_alerts(std::uint32_t slot, Holding& it);
  void recycle(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now);
  base::Millis start_takes(std::uint32_t slot) const;
  std::uint64_t requests_of(const Holding& it) const;

  // Scaling: pool_scale.cpp.
  void autoscale(base::TimePoint now);
  std::uint32_t with_enabled(std::uint32_t count) const;
  void set_desired(std::uint32_t desired, const char* why);
  void set_asleep(bool asleep);
  bool requests_wait() const;

  // The operator's hand on the doors, and the proxy's: pool_doors.cpp.
  void add_doors(PoolStatus& out, base::TimePoint now) const;
  void watch_breaker();

  WorkerStatus worker_status(std::uint32_t slot) const;
  void add_life(WorkerStatus& out, std::uint32_t slot, const Holding& it) const;
  void add_channel(WorkerStatus& out, std::uint32_t slot) const;
  void add_channels(PoolStatus& out) const;

  Seat& seat(std::uint32_t slot) { return seats_[slot - 1]; }
  Holding* find(std::uint32_t slot, base::Incarnation incarnation);
  const Holding* present(std::uint32_t slot) const;
  ChildKey key_of(std::uint32_t slot, base::Incarnation incarnation) const { return {{index_, slot}, incarnation}; }
  using Life = std::pair<std::uint32_t, base::Incarnation>;
  std::vector<Life> lives() const;

  Services& services_;
  const config::Pool& pool_;
  std::uint32_t index_;
  WorkerLaunch launch_;
  PoolControl control_;
  Outliers outliers_;
  Livelock livelock_;
  KillerHunt hunt_;
  Autoscale autoscale_;
  std::uint64_t seed_;
  ipc::StateService state_;
  ChannelTotals channels_;  ///< of channels that are closed
  base::Rng rng_;
  NodeServerData node_data_;
  SharedSockets shared_sockets_;
  std::vector<PublicListener> public_;
  std::vector<int> all_listeners_;
  std::unique_ptr<Handoff> handoff_;  ///< dispatch = "handoff"
  std::vector<Seat> seats_;
  std::vector<SlotEffect> effects_;
  std::vector<std::pair<std::uint32_t, Event>> pending_;  ///< what effects have brought about
  bool running_ = false;
  std::uint32_t dying_ = 0;  ///< dying() was called and exited() not yet, of workers that end unasked

  std::optional<Ending> ending_;  ///< what is being told of an end, until the control side has spoken

  base::TimePoint looked_{};
  base::TimePoint warmed_{};
  bool warming_ = false;  ///< a worker's share grows
  bool busy_ = false;     ///< something was in flight, or held back by evidence, at the last look
  bool asleep_ = false;
  std::optional<base::TimePoint> held_until_;
  base::TimePoint held_since_{};
  base::TimePoint held_at_{};  ///< the newest order to hold
  std::optional<std::string> maintenance_;
  bool breaker_open_ = false;         ///< as last told
  std::uint64_t breaker_opened_ = 0;  ///< times, likewise
  RecentLatency latency_;
  LoadFigures load_;
  Roll seen_roll_;
  std::string roll_why_;
  std::string roll_failure_;
  board::HistogramTotals start_duration_;
  std::map<std::string, std::uint64_t> replaced_;
  std::map<std::string, std::uint64_t> rolls_;
  std::uint64_t ejections_ = 0;
  std::uint64_t suspicions_ = 0;
  std::uint64_t killers_found_ = 0;
};

}  // namespace drover::backends
