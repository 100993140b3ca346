// Role: follows what operators have ordered until it is done: compares what the pools are with what was asked for, and tells each
//       order's watcher of every step. Changes nothing in the pools.
// Thread: supervisor's deciding thread. Ownership: owns the orders under way; borrows the pools.
#pragma once

#include "backends/orders.hpp"
#include "backends/pool_runner.hpp"
#include "base/result.hpp"
#include "base/units.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace drover::backends {

class OrderTracker {
 public:
  static constexpr std::size_t kMaxOrders = 64;  ///< under way; further ones are refused

  explicit OrderTracker(const std::deque<PoolRunner>& pools) : pools_(pools) {}

  /// A stop finds room when others no longer do.
  bool full(Order::Verb verb) const { return orders_.size() >= (verb == Order::Verb::stop ? 2 * kMaxOrders : kMaxOrders); }
  /// To be called before anything is changed: what is now is what it starts from. `pool`: position; of a stop none matters.
  OrderId begin(const Order& order, std::uint32_t pool, OrderWatcher watcher, base::TimePoint now);
  /// It was not obeyed, or its watcher is gone.
  void forget(OrderId id);
  /// After each change: tells what is new, ends what is done. Watchers may forget, and order anew.
  void look();
  /// The cluster stops: whatever is under way, but a stop itself, has come to nothing.
  void cluster_stops();
  /// Nothing is left: the stop is done.
  void stopped(int exit_code);

 private:
  /// One slot of an order.
  struct Step {
    std::uint32_t slot = 0;
    base::Incarnation from = 0;  ///< the incarnation at the start
    bool done = false;
    std::string last;  ///< line told last
  };
  struct Running {
    OrderId id = 0;
    Order order;
    std::uint32_t pool = 0;
    OrderWatcher watcher;
    base::TimePoint began{};
    std::uint64_t roll = 0;  ///< number of its roll
    std::vector<Step> steps;
    std::string said;  ///< hold: line told last
    bool gone = false;
  };
  /// What one slot has come to.
  struct Outcome {
    enum class Is : std::uint8_t { under_way, done, failed };
    Is is = Is::under_way;
    std::string line;  ///< under_way: "" = nothing to say
  };

  void look_at(Running& order);
  void look_at_roll(Running& order);
  void look_at_hold(Running& order);
  void look_at_steps(Running& order);
  Outcome judge(const Running& order, const Step& step) const;
  Outcome judge_restart(const Running& order, const Step& step) const;
  Outcome judge_drain(const Running& order, const Step& step) const;
  Outcome judge_ready(const Running& order, const Step& step) const;
  Outcome judge_gone(const Running& order, const Step& step) const;
  std::string failure_since(const Running& order, const Step& step) const;
  static void tell(Running& order, std::string line);
  static void end(Running& order, bool ok, std::string line);
  const PoolRunner& pool_of(const Running& order) const { return pools_[order.pool]; }

  const std::deque<PoolRunner>& pools_;
  std::deque<Running> orders_;
  OrderId last_ = 0;
};

}  // namespace drover::backends
