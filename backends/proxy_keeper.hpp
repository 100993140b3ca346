// Role: keeps one proxy process alive: spawns it with a fresh board, hands it descriptors over the control pipe, watches its
//       threads' heartbeats, replaces it when it dies or hangs, and ends it at the stop. Never two at once.
// Thread: supervisor's deciding thread. Ownership: owns the live proxy's board, wake-ups and pipe; borrows the listening sockets.
#pragma once

#include "backends/board_writer.hpp"
#include "backends/process_host.hpp"
#include "backends/status.hpp"
#include "ipc/control.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

class ProxyKeeper {
 public:
  static constexpr base::Millis kHeartbeatSilence{3000};
  static constexpr base::Millis kStartTime{10'000};  ///< from spawn to `ready`, at most
  static constexpr base::Millis kYoung{1000};        ///< a proxy that dies younger than this waits before its next start
  static constexpr base::Millis kFirstDelay{100};
  static constexpr base::Millis kMaxDelay{5000};

  struct Launch {
    int executable = -1;
    std::vector<std::string> env;
    std::optional<Credentials> user;
    int config_fd = -1;
    unsigned cpus = 1;  ///< of the configuration
    std::vector<int> listeners;
    int access_log = -1;  ///< none: no access log
  };
  struct Hooks {
    std::function<void()> ready;
    std::function<void()> drained;  ///< after drain(): no client is left, or the proxy itself has gone
    std::function<void()> ended;    ///< after stop(): the last process is gone
    std::function<void()> rung;     ///< a request stands in line for a pool that is asleep; none: nobody sleeps
  };

  ProxyKeeper(boost::asio::io_context& io, ProcessHost& host, BoardWriter& boards, Launch launch, Hooks hooks);
  ~ProxyKeeper();
  ProxyKeeper(const ProxyKeeper&) = delete;

  void start();
  void exited(const ChildKey& key, ExitStatus status);
  /// Once a second: heartbeats and the start's deadline. Time in which the supervisor itself did not run is not counted.
  void check(base::TimePoint now);
  void drain(base::Millis limit);
  /// The proxy ends; none follows.
  void stop();
  void kill();
  /// From now on this one and those that follow write their access log there.
  void take_access_log(int fd);
  void cut(std::uint32_t row, base::Incarnation incarnation, ipc::Cut why = ipc::Cut::gone);

  bool ready() const { return live_ && live_->ready; }
  bool gone() const { return !live_; }
  std::uint64_t restarts() const { return restarts_; }
  ProxyStatus status() const;

 private:
  using Executor = boost::asio::io_context::executor_type;
  using Timer = boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, Executor>;
  using Pipe = boost::asio::posix::basic_stream_descriptor<Executor>;
  enum class Aim : std::uint8_t { serve, drain, leave };

  struct Live {
    ChildKey key;
    pid_t pid = 0;
    board::ProxyBoard board;
    std::vector<base::UniqueFd> wakeups;
    std::shared_ptr<Pipe> pipe;
    std::shared_ptr<Pipe> doorbell;  ///< an eventfd; the proxy has its own descriptor of it
    base::TimePoint started;
    bool ready = false;
    bool draining = false;
    bool killed = false;
    std::vector<std::uint64_t> beats;       ///< last seen, by thread
    std::vector<base::TimePoint> moved_at;  ///< when they were seen to move
  };

  base::Result<void> spawn();
  base::Result<void> hand_over(Live& live);
  base::Result<void> hand_over_access_log(Live& live) const;
  void listen(const std::shared_ptr<Pipe>& pipe);
  void watch(const std::shared_ptr<Pipe>& doorbell);
  bool read_one(const std::shared_ptr<Pipe>& pipe);
  void start_later(base::Millis delay);
  void replace(const std::string& why);
  base::Millis next_delay(base::Millis lived);

  boost::asio::io_context& io_;
  ProcessHost& host_;
  BoardWriter& boards_;
  Launch launch_;
  Hooks hooks_;
  Timer timer_;
  Aim aim_ = Aim::serve;
  std::optional<Live> live_;
  base::Incarnation incarnation_ = 0;
  base::Millis delay_{0};
  base::TimePoint checked_{};
  std::uint64_t restarts_ = 0;
};

}  // namespace drover::backends
