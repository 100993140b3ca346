// Role: what the threads of a proxy share of one pool beyond its board: the line of those who wait for a worker, and, where
//       `concurrency` bounds the connections, the idle connections, so that any thread can use or hand on any of them.
// Thread: any proxy thread; one mutex, touched only while the pool is saturated or bounded. Ownership: the process owns one per
//         pool; Waiters belong to their exchanges, which leave() before they end.
#pragma once

#include "balancer/claim.hpp"
#include "config/model.hpp"
#include "proxy/loop.hpp"
#include "proxy/worker_connection.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace drover::proxy {

/// How another thread wakes a fiber that may end meanwhile: only the fiber's own thread touches `fiber`.
struct WakeTicket {
  Loop& loop;
  Fiber* fiber;
};

/// A lease and, in a bounded pool, an idle connection or the permit to open one.
struct Grant {
  balancer::Lease lease;
  ParkedConnection connection;
  Permit permit;
};

struct Waiter {
  enum class State : std::uint8_t { outside, waiting, granted, hopeless };
  State state = State::outside;  ///< under the queue's mutex while waiting
  std::shared_ptr<WakeTicket> ticket;
  Grant grant;
};

class PoolQueue {
 public:
  PoolQueue(const config::Pool& config, std::uint32_t pool, const board::SupervisorBoard& supervisor, const board::ProxyBoard& proxy);

  bool bounded() const { return config_.concurrency > 0; }
  /// Is any worker of the pool eligible?
  bool any_open() const;
  bool anyone_waiting() const { return proxy_.pool(pool_).queued.load(std::memory_order_relaxed) > 0; }

  enum class Entry : std::uint8_t { granted, queued, full, nobody };
  /// Claims if nobody stands before; else stands in line if there is hope and room.
  Entry enter(Waiter& waiter, balancer::Claimer& claimer, const balancer::Avoid& avoid, Loop& loop, Fiber& fiber);
  Waiter::State state(const Waiter& waiter) const;
  /// Out of the line. A grant that came meanwhile stays in the waiter for its owner to use or return.
  void leave(Waiter& waiter);

  /// Returns a lease of a bounded pool with its connection (or only the permit): to the head of the line, else to the pool. A worker that
  /// wants no share of the work is not handed on: the line is served by the rules of a claim.
  void give_back(balancer::Claimer& claimer, Grant grant);
  /// This worker has just failed an exchange: for a moment those who wait are not sent after it, which would use up everybody's tries
  /// between a death and its news.
  void pass_over(const balancer::Lease& lease, base::TimePoint now);

  /// The board changed: tries for those who wait, in their order.
  void retry(balancer::Claimer& claimer, base::TimePoint now);
  /// Each quarter second, on every thread: tries again, and sends everybody away once there has been nothing to hope for for a while.
  void tick(balancer::Claimer& claimer, base::TimePoint now);

  /// Takes out parked connections whose time is over or whose worker's gate has closed.
  std::vector<ParkedConnection> take_expired(base::TimePoint now);
  void cut(std::uint32_t row, base::Incarnation incarnation);

 private:
  static bool admit(void* context, const balancer::Lease& lease);
  bool admit_bounded(const balancer::Lease& lease, Grant& grant);
  balancer::ClaimResult try_claim(balancer::Claimer& claimer, const balancer::Avoid& avoid, Grant& grant);
  void hand(Waiter& waiter, Grant grant);
  static void wake(const Waiter& waiter);
  void retry_locked(balancer::Claimer& claimer, base::TimePoint now);
  void serve_line(balancer::Claimer& claimer);
  bool hope() const;
  bool passed_over(const balancer::Lease& lease) const;
  bool hopeless(base::TimePoint now) const { return nothing_since_ && now - *nothing_since_ >= kHopePause; }
  void pop_front();
  std::vector<ParkedConnection>& parked(std::uint32_t row) { return parked_[row - proxy_.shape().pools[pool_].first]; }

  const config::Pool& config_;
  std::uint32_t pool_;
  const board::SupervisorBoard& supervisor_;
  const board::ProxyBoard& proxy_;
  mutable std::mutex mutex_;
  std::deque<Waiter*> line_;
  struct Failed {
    balancer::Lease lease;
    base::TimePoint until;
  };
  static constexpr base::Millis kPassOver{250};  ///< ample for the supervisor to see a death and close its gate
  static constexpr std::size_t kMaxFailed = 16;
  std::vector<Failed> failed_;  ///< oldest first

  /// A moment's gap between a death and the news of its successor is no loss of hope.
  static constexpr base::Millis kHopePause{250};
  /// Since when every tick of every thread found no gate open and nothing to hope for.
  std::optional<base::TimePoint> nothing_since_;
  std::vector<std::vector<ParkedConnection>> parked_;  ///< by row of the pool
};

}  // namespace drover::proxy
