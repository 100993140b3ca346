// Role: dispatch = "handoff": accepts on the pool's public listeners, reads no byte, and passes each connection to the worker that the
//       strategy chooses. A connection is ours until its worker says that it has accepted it; refused, or its worker dead before that, it
//       goes to another one.
// Thread: supervisor's loop. Ownership: owns accepted connections until they are taken; borrows the listening sockets.
//
// Bounds: at most kAcceptsPerTurn accepts a turn; nothing is accepted while kWaitingMost wait for a worker or no worker is free to take it
// (they wait in the kernel's queue); a connection that nobody took for queue.wait is closed; no worker has more than kUnansweredMost unanswered.
#pragma once

#include "backends/node_worker.hpp"
#include "base/rng.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"
#include "config/model.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace drover::backends {

class Handoff {
 public:
  static constexpr int kAcceptsPerTurn = 32;
  static constexpr std::size_t kWaitingMost = 64;
  static constexpr std::size_t kUnansweredMost = 64;  ///< of one worker: each holds a descriptor of ours until it is answered

  struct Outlet {
    std::uint32_t slot = 0;
    base::Incarnation incarnation = 0;
    auto operator<=>(const Outlet&) const = default;
  };
  /// What the strategy is told of a worker beside the connections that it has been given and not answered.
  struct Load {
    std::uint32_t open = 0;  ///< connections that it has, as far as that is known
    std::uint64_t memory_bytes = 0;
    std::uint32_t share = 100;
  };
  struct Hooks {
    /// Returns the number under which the worker will answer; 0: it can't be given any more, and is closed.
    std::function<std::uint64_t(const Outlet&, base::UniqueFd connection)> give;
    std::function<Load(const Outlet&)> load;
  };

  Handoff(boost::asio::io_context& io, const config::Pool& pool, std::uint64_t seed, Hooks hooks);
  ~Handoff();
  Handoff(const Handoff&) = delete;

  void add_listener(int socket);
  /// May get connections; one descriptor at a time, the next after settled().
  void open(const Outlet& outlet);
  void close(const Outlet& outlet);
  void settled(const Outlet& outlet);
  void answered(const Outlet& outlet, std::uint64_t number, bool accepted);
  /// Dead, and all that it ever said was heard: what it did not accept goes to others.
  void gone(const Outlet& outlet);
  /// Accepts what waits in the kernel's queue, up to kWaitingMost, then no more; what waits is still given.
  void stop();
  /// A connection of drover's own for that worker alone (a probe's): not counted, closed if it is refused. False: it can't get one now.
  bool give_own(const Outlet& outlet, base::UniqueFd connection);

  struct Counts {
    std::uint64_t accepted = 0;  ///< from clients
    std::uint64_t given = 0;     ///< to workers, again ones too
    std::uint64_t taken = 0;
    std::uint64_t refused = 0;  ///< by a worker; given to another
    std::uint64_t rescued = 0;  ///< from dead workers
    std::uint64_t dropped = 0;  ///< nobody took it in time
  };
  const Counts& counts() const;
  std::size_t waiting() const;
  /// Given to that worker and not answered yet.
  std::size_t under_way(const Outlet& outlet) const;
  /// Since when a descriptor is on its way to that worker, which has not taken it: it may hang. None: nothing is.
  std::optional<base::TimePoint> passing_since(const Outlet& outlet) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace drover::backends
