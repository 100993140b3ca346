// Role: one thread of the proxy and all that is its own: loop, listeners' accepts, sessions, idle worker connections, claimers, tallies.
// Thread: its own; start-up and the functions marked so are called from the process's main thread. Ownership: owns its loop and
//         sessions; borrows the process-wide Shared.
#pragma once

#include "balancer/claim.hpp"
#include "balancer/retry_budget.hpp"
#include "balancer/routes.hpp"
#include "base/rng.hpp"
#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"
#include "config/model.hpp"
#include "ipc/control.hpp"
#include "proxy/access_sink.hpp"
#include "proxy/client_limits.hpp"
#include "proxy/complaints.hpp"
#include "proxy/error_pages.hpp"
#include "proxy/flights.hpp"
#include "proxy/loop.hpp"
#include "proxy/pool_breaker.hpp"
#include "proxy/pool_queue.hpp"
#include "proxy/worker_connection.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::proxy {

class ClientSession;
class Exchange;

/// What all threads of a proxy read, and the queues they share.
struct Shared {
  const config::Config& config;
  const std::map<std::string, std::string>& files;  ///< see ipc::Snapshot
  const balancer::Routes routes;
  const board::SupervisorBoard& supervisor;
  const board::ProxyBoard& board;
  std::vector<std::unique_ptr<PoolQueue>> queues;  ///< by pool
  std::vector<int> listeners;                      ///< descriptors, by listener; -1: a pool's own
  int doorbell = -1;                               ///< eventfd: somebody needs a worker of a pool that is asleep
  int complaints = -1;                             ///< see Complaints
  /// By listener: how many threads accept now. The last one never rests for being ahead: somebody must be at the door.
  std::deque<std::atomic<std::uint32_t>> at_the_door{};
  const ErrorPages error_pages{config, files};
  AccessWriter* access = nullptr;                              ///< none: no access log
  std::deque<PoolBreaker> breakers{};                          ///< by pool
  std::vector<std::unique_ptr<ClientLimits>> client_limits{};  ///< by listener; none: it has no such limits
  /// Clients get descriptors below this number only: what is above is for connections to workers.
  int accept_below = std::numeric_limits<int>::max();

  /// What each pool and listener needs, once, before the threads are made.
  void furnish();
};

class ProxyThread {
 public:
  static base::Result<std::unique_ptr<ProxyThread>> create(Shared& shared, std::uint32_t index, int board_changed);
  ~ProxyThread();

  /// The thread's function: until everything is drained after drain(), or for ever.
  void run();
  /// From the main thread.
  void drain();
  void cut(std::uint32_t row, base::Incarnation incarnation, ipc::Cut why);
  bool drained() const { return drained_.load(std::memory_order_acquire); }

  // For sessions and exchanges of this thread.
  Loop& loop() { return *loop_; }
  const config::Config& config() const { return shared_.config; }
  const balancer::Routes& routes() const { return shared_.routes; }
  const ErrorPages& error_pages() const { return shared_.error_pages; }
  const board::SupervisorBoard& supervisor_board() const { return shared_.supervisor; }
  const board::ProxyBoard& board() const { return shared_.board; }
  balancer::Claimer& claimer(std::uint32_t pool) { return claimers_[pool]; }
  balancer::RetryBudget& retry_budget(std::uint32_t pool) { return budgets_[pool]; }
  PoolQueue& queue(std::uint32_t pool) { return *shared_.queues[pool]; }
  /// What signs the pool's sticky cookies; empty: it has none.
  std::string_view sticky_key(std::uint32_t pool) const { return sticky_keys_[pool]; }
  PoolBreaker& breaker(std::uint32_t pool) { return shared_.breakers[pool]; }
  IdleConnections& idle() { return idle_; }
  board::PoolTally& tally(std::uint32_t pool) { return shared_.board.tally(index_, pool); }
  board::ThreadTally& thread_tally() { return shared_.board.thread(index_); }
  board::Sketch& sketch() { return shared_.board.sketch(index_); }
  Flights& flights() { return flights_; }
  Complaints& complaints() { return complaints_; }
  /// Null: no access log.
  AccessSink* access() { return access_ ? &*access_ : nullptr; }
  std::uint64_t now_ns() const { return static_cast<std::uint64_t>(loop_->now().time_since_epoch().count()); }
  /// Tells the supervisor that somebody needs a worker of a pool that is asleep.
  void ring_doorbell() const;
  bool draining() const { return draining_; }
  std::string_view date();
  std::uint64_t unix_ms() const;
  void make_request_id(std::array<char, 32>& id);
  std::uint64_t lot() { return ids_.next(); }
  /// Text to be put together within one step.
  std::string& scratch() { return scratch_; }

  /// Workers that refused a connection a moment ago: passed over without waiting to be told.
  void pass_over(const balancer::Lease& lease);
  std::span<const balancer::Lease> passed_over();

  ClientLimits* client_limits(std::uint32_t listener) { return shared_.client_limits[listener].get(); }
  board::ListenerTally& listener_tally(std::uint32_t listener) { return shared_.board.listener(index_, listener); }

  void session_started(ClientSession& session);
  void session_ended(ClientSession& session);
  void exchange_began(Exchange& exchange);
  void exchange_ended(Exchange& exchange);
  /// Closes a worker's connection so that it has seen the end before its place is free (pools with `concurrency`).
  void close_gently(std::uint32_t pool, Grant grant, WorkerConnectionPtr connection);

 private:
  struct Accepting {
    Loop::Callback callback;
    std::uint32_t listener = 0;
    bool left_clients = false;  ///< it went while somebody stood there, of whom no other thread knows
  };

  ProxyThread(Shared& shared, std::uint32_t index, std::unique_ptr<Loop> loop, int board_changed);
  void accept_some(Accepting& accepting);
  void open_door(Accepting& accepting);
  void leave_door(Accepting& accepting);
  void look_again(Accepting& accepting);
  bool may_rest(std::uint32_t listener);
  void admit(std::uint32_t listener, base::UniqueFd fd, const sockaddr_storage& address);
  void note_shortage();
  bool descriptors_left(int probe);
  enum class Share : std::uint8_t { fair, ahead, full };
  Share share(std::uint32_t listener) const;
  void tick();
  void hear_of_change();
  void sweep_parked(std::uint32_t pool);
  void ring_if_needed(std::uint32_t pool);
  void begin_drain();
  void end_overdue();
  void finish_if_drained();

  Shared& shared_;
  std::uint32_t index_;
  std::unique_ptr<Loop> loop_;
  Loop::Callback board_changed_;
  std::deque<Accepting> accepting_;
  std::deque<balancer::Claimer> claimers_;
  std::vector<balancer::RetryBudget> budgets_;
  std::vector<std::string_view> sticky_keys_;  ///< by pool
  IdleConnections idle_;
  std::vector<ClientSession*> sessions_;
  std::vector<Exchange*> exchanges_;
  std::size_t closing_ = 0;  ///< connections being closed gently
  std::vector<balancer::Lease> refused_;
  base::TimePoint refused_until_{};
  Flights flights_;
  Complaints complaints_;
  std::optional<AccessSink> access_;
  base::Rng ids_;
  std::string scratch_;
  std::string date_;
  std::int64_t date_second_ = -1;
  bool short_of_descriptors_ = false;  ///< when it looked last
  base::TimePoint counted_until_{};    ///< a shortage that comes again before is the same one
  base::TimePoint watchful_until_{};   ///< they were short a moment ago: each accept looks first
  bool draining_ = false;
  base::TimePoint drain_began_{};
  std::atomic<bool> drained_{false};
};

}  // namespace drover::proxy
