// Role: the supervisor's glue: listening sockets, the proxy, the pools, signals, sampling and the order of start and stop.
//       What is decided is decided in pool_control.hpp; this carries time and events to it.
//       In parts: supervisor.cpp (start, turns), supervisor_orders.cpp, supervisor_messages.cpp, supervisor_status.cpp (and what is
//       only told), supervisor_stop.cpp (signals, stop).
// Thread: one, the deciding one, that runs `io`. No signal that it reads may be unblocked in any thread: make it (or run under
//         init, which blocks them) before the log or any other thread is started. Ownership: owns all it makes; borrows `io`.
#pragma once

#include "backends/access_file.hpp"
#include "backends/board_writer.hpp"
#include "backends/endpoint.hpp"
#include "backends/events.hpp"
#include "backends/limits.hpp"
#include "backends/messages.hpp"
#include "backends/obituary.hpp"
#include "backends/order_tracker.hpp"
#include "backends/orders.hpp"
#include "backends/pool_runner.hpp"
#include "backends/ports.hpp"
#include "backends/process_host.hpp"
#include "backends/proxy_keeper.hpp"
#include "backends/pss.hpp"
#include "backends/services.hpp"
#include "backends/status.hpp"
#include "backends/switchboard.hpp"
#include "backends/worker_launch.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "config/model.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/signalfd.h>

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::backends {

struct SupervisorOptions {
  int executable = -1;  ///< this binary, opened at start; stays the caller's
  pid_t init = 0;       ///< the process above that forwards signals; 0: none
  bool is_root = false;
};

struct SupervisorHooks {
  std::function<void()> first_ready;           ///< proxy ready and every pool has an eligible worker, for the first time
  std::function<void(int exit_code)> stopped;  ///< nothing is left but the admin: once
};

class Supervisor {
 public:
  Supervisor(boost::asio::io_context& io, config::Config config, SupervisorOptions options, SupervisorHooks hooks);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;

  /// Binds listeners and admin, starts the proxy and all workers. Error: a port in use, a user that does not exist …: exit 1.
  base::Result<void> start();
  /// The bound admin socket, once; none: `[admin] listen = "off"`.
  std::optional<base::UniqueFd> take_admin_socket();

  ClusterStatus status() const;
  const config::Config& config() const { return config_; }
  EventJournal& events() { return events_; }
  OutputJournal& output() { return output_; }
  const Obituaries& obituaries() const { return obituaries_; }

  /// Begins what the operator asks for; `watcher` hears of each step, at last with `done`, and is not called before order() returns.
  /// Error: unknown target (ENOENT; the message names the known ones), not possible now (EBUSY), out of range (EINVAL): nothing changes.
  base::Result<OrderId> order(const Order& order, OrderWatcher watcher);
  /// The watcher is gone; what was begun goes on.
  void forget(OrderId id);
  // Messages and shared state on behalf of the operator (supervisor_messages.cpp); errors as admin/door.hpp names them.
  base::Result<std::size_t> send_message(const Target& target, const std::string& type, const boost::json::value& data);
  base::Result<RequestNumber> request(const Target& target, const std::string& type, const boost::json::value& data, base::Millis timeout,
                                      AnswerWatcher watcher);
  void forget_request(RequestNumber number);
  base::Result<boost::json::value> state(const std::string& pool, const boost::json::object& request);
  base::Result<StateWatchId> watch_state(const std::string& pool, const std::string& key, StateWatcher watcher);
  void unwatch_state(StateWatchId id);
  /// Graceful; `forced`: everything is killed now.
  void request_stop(bool forced);
  /// One signal as the loop reads it (public so that a test can send one without a process of its own).
  void on_signal(const signalfd_siginfo& info);

 private:
  using Executor = boost::asio::io_context::executor_type;
  using Timer = boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, Executor>;
  using Descriptor = boost::asio::posix::basic_stream_descriptor<Executor>;
  enum class Phase : std::uint8_t { idle, serving, draining, stopping_workers, stopping_proxy, stopped };

  struct StopSignal {
    int number = 0;
    base::TimePoint at;
  };

  base::Result<void> watch_signals();
  base::Result<void> bind_all();
  base::Result<void> make_pools(std::optional<gid_t> proxy_group);
  void hand_out_listeners();
  void close_listeners();
  base::Result<void> make_proxy(std::optional<Credentials> user);
  base::Result<std::optional<Credentials>> proxy_user() const;

  void read_signals();
  void reopen_logs();
  void stop_signal(const signalfd_siginfo& info);
  void wait_init();
  void child_exited(const ChildKey& key, ExitStatus status);
  void child_stopped(const ChildKey& key, bool stopped);
  void child_dying(const ChildKey& key, base::TimePoint learnt);
  void child_wrote(const ChildKey& key, std::string_view line);
  void write_blocked();
  void doorbell_rung();
  void emit(const char* name, boost::json::object data = {});

  void plan();  ///< sets the control timer to whatever comes next
  void control_turn();
  void second_turn();
  void watch_descriptors(base::TimePoint now);
  void check_ready();
  void hand_out_traffic(base::TimePoint now);
  bool ready() const;
  bool all_stopped() const;

  std::optional<std::uint32_t> find_pool(std::string_view name) const;
  std::optional<base::Incarnation> present(std::uint32_t pool, std::uint32_t slot) const;
  base::Result<std::uint32_t> find_target(const Target& target) const;
  std::string known_targets() const;
  base::Result<void> obey(const Order& order, PoolRunner& pool);
  base::Result<void> restart_pool(PoolRunner& pool);
  base::Result<void> restart_worker(PoolRunner& pool, std::uint32_t slot);
  base::Result<void> scale_pool(PoolRunner& pool, std::uint32_t count);
  base::Result<void> hold_pool(PoolRunner& pool, const Order& order);
  base::Result<void> maintain_pool(PoolRunner& pool, const Order& order);
  static base::Result<void> sees_requests(const PoolRunner& pool);
  void scale_by_signal(int number);

  void begin_stop();
  void drained();
  void stop_workers();
  void stop_proxy();
  void force();
  void finish();
  void init_gone();

  boost::asio::io_context& io_;
  config::Config config_;
  SupervisorOptions options_;
  SupervisorHooks hooks_;
  Phase phase_ = Phase::idle;
  base::TimePoint started_;
  double start_time_;

  Descriptor signals_;
  Descriptor init_;
  std::optional<BoardWriter> boards_;
  std::optional<RuntimeDir> runtime_dir_;
  std::optional<Cgroups> cgroups_;
  std::vector<Listening> listeners_;
  std::vector<ListenerStatus> listener_names_;
  std::optional<Listening> admin_;
  std::string admin_address_;
  base::UniqueFd config_fd_;
  std::optional<AccessFile> access_log_;  ///< none: not configured
  ProcessHost host_;
  Ports ports_;
  std::optional<Services> services_;
  PssReader pss_;
  Switchboard switchboard_;
  std::deque<PoolRunner> pools_;
  OrderTracker orders_{pools_};
  std::optional<ProxyKeeper> proxy_;

  Timer control_;
  Timer second_;
  Timer stop_timer_;           ///< of the present phase of the stop
  bool planning_ = false;      ///< a plan() is queued in the loop
  std::uint64_t seconds_ = 0;  ///< turns of the second's timer
  bool was_ready_ = false;
  bool forced_ = false;
  int exit_code_ = 0;
  std::optional<StopSignal> first_stop_;
  std::optional<base::TimePoint> stop_by_;
  std::string stop_why_;
  base::TimePoint beat_;
  std::uint64_t accept_pauses_ = 0;  ///< as last told
  std::optional<base::TimePoint> pauses_told_;
  EventJournal events_{kEventsKept, kEventBytesKept, kChatterKept};
  OutputJournal output_{kLinesKept, kLineBytesKept};
  Obituaries obituaries_;
  struct StateWatch {
    std::uint32_t pool = 0;
    std::uint64_t watch = 0;
  };
  std::map<StateWatchId, StateWatch> state_watches_;
  StateWatchId last_state_watch_ = 0;
};

}  // namespace drover::backends
