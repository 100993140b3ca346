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
  /// `shed`: its place has gone to a request of a higher priority.
  enum class State : std::uint8_t { outside, waiting, granted, hopeless, shed };
  State state = State::outside;  ///< under the queue's mutex while waiting
  int priority = 0;              ///< its route's; set before it enters
  std::shared_ptr<WakeTicket> ticket;
  Grant grant;
  balancer::Ask ask;         ///< without what it avoids: that is the line's own matter
  Waiter* before = nullptr;  ///< its neighbours in the line, under the queue's mutex
  Waiter* behind = nullptr;
};

/// Waiters in the order of their coming. Each is taken out in one step, wherever it stands: a crowd of clients that leave costs no
/// more than their number.
class WaitingLine {
 public:
  bool empty() const { return first_ == nullptr; }
  std::size_t size() const { return size_; }
  Waiter* first() const { return first_; }
  Waiter* last() const { return last_; }
  void push_back(Waiter& waiter);
  void take_out(Waiter& waiter);
  /// Who gives way to a request of this priority: of those with the lowest, if that is lower, the last to come. None: nobody. Looks
  /// through the line only if there may be one.
  Waiter* lowest_below(int priority);

 private:
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
  std::size_t size_ = 0;
  int lowest_ = 0;  ///< none in the line has a lower priority
};

class PoolQueue {
 public:
  PoolQueue(const config::Pool& config, std::uint32_t pool, const board::SupervisorBoard& supervisor, const board::ProxyBoard& proxy);

  bool bounded() const { return config_.concurrency > 0; }
  /// Is any worker of the pool eligible?
  bool any_open() const;
  bool anyone_waiting() const { return proxy_.pool(pool_).queued.load(std::memory_order_relaxed) > 0; }

  /// `drover hold`: nobody gets a worker now.
  bool held(base::TimePoint now) const { return hold_ends(now) > now; }
  base::TimePoint hold_ends(base::TimePoint now) const;
  /// From when on the waiting of one who came at `since` counts: a hold is not held against anybody.
  base::TimePoint wait_counts_from(base::TimePoint since, base::TimePoint now) const;

  enum class Entry : std::uint8_t { granted, queued, full, nobody };
  /// Claims if nobody stands before; else stands in line if there is hope and room. In a full line it takes the place of one with a lower
  /// priority.
  Entry enter(Waiter& waiter, balancer::Claimer& claimer, const balancer::Ask& ask, Loop& loop, Fiber& fiber);
  Waiter::State state(const Waiter& waiter) const;
  /// Out of the line. A grant that came meanwhile stays in the waiter for its owner to use or return.
  void leave(Waiter& waiter);

  /// Returns a lease of a bounded pool with its connection (or only the permit): to the head of the line, else to the pool. A worker that
  /// wants no share of the work is not handed on: the line is served by the rules of a claim.
  void give_back(balancer::Claimer& claimer, Grant grant);
  /// This worker is dying or lets nobody in: for a moment those who wait are not sent after it, which would use up everybody's tries between
  /// a death and its news.
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
  balancer::ClaimResult try_claim(balancer::Claimer& claimer, const balancer::Ask& ask, Grant& grant);
  void hand(Waiter& waiter, Grant grant);
  static void wake(const Waiter& waiter);
  void retry_locked(balancer::Claimer& claimer, base::TimePoint now);
  void serve_line(balancer::Claimer& claimer);
  void release_line(balancer::Claimer& claimer);
  bool hope() const;
  bool passed_over(const balancer::Lease& lease) const;
  bool note_hold(base::TimePoint now);
  Waiter* next() const { return config_.queue.order == config::Pool::QueueOrder::newest ? line_.last() : line_.first(); }
  void take_out(Waiter& waiter);
  void send_away(Waiter& waiter, Waiter::State why);
  bool hopeless(base::TimePoint now) const { return nothing_since_ && now - *nothing_since_ >= kHopePause; }
  std::vector<ParkedConnection>& parked(std::uint32_t row) { return parked_[row - proxy_.shape().pools[pool_].first]; }

  const config::Pool& config_;
  std::uint32_t pool_;
  const board::SupervisorBoard& supervisor_;
  const board::ProxyBoard& proxy_;
  mutable std::mutex mutex_;
  WaitingLine line_;
  bool held_ = false;            ///< as last seen
  base::TimePoint hold_over_{};  ///< when the last hold was seen to be over
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
