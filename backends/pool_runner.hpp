// Role: carries out what the control side of one pool decides: starts, probes, signals and forgets workers, takes rows and ports,
//       samples, and tells the control side what happened. Decides nothing itself.
// Thread: supervisor's deciding thread. Ownership: owns the pool's slots and running probes; shares Services with the other pools.
#pragma once

#include "backends/board_writer.hpp"
#include "backends/pool_control.hpp"
#include "backends/ports.hpp"
#include "backends/prober.hpp"
#include "backends/process_host.hpp"
#include "backends/status.hpp"
#include "backends/worker_launch.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// What all pools use.
struct Services {
  boost::asio::io_context& io;
  ProcessHost& host;
  BoardWriter& boards;
  Ports& ports;
  RuntimeDir* runtime_dir = nullptr;                              ///< where a pool uses Unix endpoints
  std::function<void(std::uint32_t row, base::Incarnation)> cut;  ///< idle connections to a dead worker
  std::function<void()> changed;                                  ///< something may have to be done at another time than planned
  std::uint64_t created = 0;
  std::uint64_t died = 0;
  std::uint64_t health_checks = 0;
  bool killed = false;  ///< something had to be killed while stopping
};

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
  void exited(const ChildKey& key, ExitStatus status);
  void paused(const ChildKey& key, bool paused);
  void sample(base::TimePoint now);
  /// Workers leave for good; who has been drained as long as he may is not waited for again.
  void stop();
  void kill();

  bool any_eligible() const { return control_.any_eligible(); }
  bool stopped() const { return control_.stopped(); }
  bool given_up() const { return control_.given_up(); }
  std::uint64_t restarted() const;
  PoolStatus status() const;
  /// Notes for `status`: what does not hold here and why.
  bool owner_unknowable() const;

 private:
  enum class Owner : std::uint8_t { known, unknowable };
  struct Alerts {
    bool memory = false;
    bool cpu = false;
  };
  /// What the present incarnation has, and what the slot keeps over all of them.
  struct Seat {
    base::Incarnation incarnation = 0;  ///< 0: nothing is held
    std::optional<std::uint32_t> row;
    WorkerEndpoint endpoint;
    base::TimePoint started{};
    double start_time = 0;
    std::unique_ptr<Probe> probe;
    std::optional<Report> report;
    base::TimePoint reported_at{};
    std::optional<Usage> usage;
    base::TimePoint sampled_at{};
    double cpu_percent = 0;
    Owner owner = Owner::known;
    Alerts alerts;

    std::string note;
    double cpu_before = 0;  ///< of earlier incarnations
    std::map<std::string, std::uint64_t> exits;
  };

  void tell(std::uint32_t slot, Event event);
  void run_pending();
  void carry_out(const std::vector<SlotEffect>& effects);
  void carry_out(std::uint32_t slot, const Effect& effect);
  void spawn(std::uint32_t slot, base::Incarnation incarnation);
  base::Result<WorkerEndpoint> make_endpoint(std::uint32_t slot, base::Incarnation incarnation);
  base::Result<void> launch(std::uint32_t slot, base::Incarnation incarnation);
  void probe(std::uint32_t slot, base::Incarnation incarnation);
  bool may_connect(std::uint32_t slot, const ChildKey& key);
  void answered(std::uint32_t slot, base::Incarnation incarnation, ProbeAnswer answer);
  void release(std::uint32_t slot);
  void announce(std::uint32_t slot, Notice notice);
  void became_ready(std::uint32_t slot);
  bool port_lost(std::uint32_t slot, const ChildKey& key) const;
  void sample_one(std::uint32_t slot, base::TimePoint now);
  void watch_alerts(std::uint32_t slot);
  bool report_is_fresh(const Seat& seat, base::TimePoint now) const;
  WorkerStatus worker_status(std::uint32_t slot) const;
  std::string name_of(std::uint32_t slot) const { return pool_.name + "." + std::to_string(slot); }
  ChildKey key_of(std::uint32_t slot) const { return {{index_, slot}, seats_[slot - 1].incarnation}; }
  Seat& seat(std::uint32_t slot) { return seats_[slot - 1]; }

  Services& services_;
  const config::Pool& pool_;
  std::uint32_t index_;
  WorkerLaunch launch_;
  PoolControl control_;
  std::vector<Seat> seats_;
  std::vector<SlotEffect> effects_;
  std::vector<std::pair<std::uint32_t, Event>> pending_;  ///< what effects have brought about
  bool running_ = false;
  board::HistogramTotals start_duration_;
};

}  // namespace drover::backends
