#include "backends/proxy_keeper.hpp"

#include "backends/exit_words.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <csignal>

namespace drover::backends {

namespace {

constexpr const char* kSubject = "proxy";
constexpr int kControlInChild = 3;
constexpr int kMessagesPerTurn = 16;
constexpr base::Millis kOwnPause{1500};  // checks come each second: a longer gap is time in which the supervisor did not run

}  // namespace

ProxyKeeper::ProxyKeeper(boost::asio::io_context& io, ProcessHost& host, BoardWriter& boards, Launch launch, Hooks hooks)
    : io_(io), host_(host), boards_(boards), launch_(std::move(launch)), hooks_(std::move(hooks)), timer_(io.get_executor()) {}

ProxyKeeper::~ProxyKeeper() {
  if (live_) boards_.remove(live_->board);
}

void ProxyKeeper::start() {
  if (aim_ != Aim::serve || live_) return;
  if (auto done = spawn(); !done) {
    base::log::error(kSubject, "not started: {}", done.error().message);
    start_later(next_delay(base::Millis(0)));
  }
}

base::Result<void> ProxyKeeper::spawn() {
  auto board = board::ProxyBoard::create(boards_.shape());
  if (!board) return board.error();
  auto ends = ipc::control_pair();
  if (!ends) return ends.error();
  std::vector<base::UniqueFd> wakeups;
  for (std::uint32_t thread = 0; thread < boards_.shape().threads; ++thread) {
    wakeups.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wakeups.back()) return base::system_error("eventfd for a proxy thread", errno);
  }
  base::UniqueFd doorbell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!doorbell) return base::system_error("eventfd for the proxy's doorbell", errno);
  LaunchSpec spec;
  spec.key = {{ChildKey::kProxy, 1}, ++incarnation_};
  spec.subject = kSubject;
  spec.argv = {"drover", "proxy"};
  spec.executable = launch_.executable;
  spec.env = launch_.env;
  spec.user = launch_.user;
  spec.descriptors = {{ends->second.get(), kControlInChild}};
  const auto pid = host_.start(spec);
  if (!pid) return pid.error();

  const base::TimePoint now = base::Clock::now();
  auto pipe = std::make_shared<Pipe>(io_.get_executor(), ends->first.release());
  auto bell = std::make_shared<Pipe>(io_.get_executor(), doorbell.release());
  const std::uint32_t threads = boards_.shape().threads;
  live_.emplace(Live{spec.key, *pid, std::move(*board), std::move(wakeups), std::move(pipe), std::move(bell), now, false, false, false,
                     std::vector<std::uint64_t>(threads), std::vector<base::TimePoint>(threads, now)});
  std::vector<int> wakeup_fds;
  for (const auto& fd : live_->wakeups) wakeup_fds.push_back(fd.get());
  boards_.add(live_->board, std::move(wakeup_fds));
  if (auto done = hand_over(*live_); !done) {
    replace(done.error().message);  // its exit is reported like any other
    return {};
  }
  listen(live_->pipe);
  watch(live_->doorbell);
  return {};
}

/// The order of descriptors is written down at ipc::ControlType::start.
base::Result<void> ProxyKeeper::hand_over(Live& live) {
  std::vector<int> lent{launch_.config_fd, boards_.supervisor_board().fd(), live.board.fd(), live.doorbell->native_handle()};
  for (const auto& fd : live.wakeups) lent.push_back(fd.get());
  lent.insert(lent.end(), launch_.listeners.begin(), launch_.listeners.end());
  auto sent = ipc::send(live.pipe->native_handle(), ipc::ControlType::start, boards_.shape().threads,
                        static_cast<std::uint32_t>(launch_.listeners.size()), lent, launch_.cpus);
  return sent ? hand_over_access_log(live) : sent;
}

base::Result<void> ProxyKeeper::hand_over_access_log(Live& live) const {
  if (launch_.access_log < 0) return {};
  return ipc::send(live.pipe->native_handle(), ipc::ControlType::access_log, 0, 0, {launch_.access_log});
}

void ProxyKeeper::take_access_log(int fd) {
  launch_.access_log = fd;
  if (!live_) return;
  if (auto sent = hand_over_access_log(*live_); !sent) base::log::error(kSubject, "goes on with the old access log: {}", sent.error().message);
}

void ProxyKeeper::listen(const std::shared_ptr<Pipe>& pipe) {
  pipe->async_wait(Pipe::wait_read, [this, pipe](const boost::system::error_code& code) {
    if (code || !live_ || live_->pipe != pipe) return;
    for (int i = 0; i < kMessagesPerTurn; ++i) {
      if (!read_one(pipe)) return;
      if (!live_ || live_->pipe != pipe) return;
    }
    listen(pipe);
  });
}

/// However often it was rung, one look at the pools answers it.
void ProxyKeeper::watch(const std::shared_ptr<Pipe>& doorbell) {
  doorbell->async_wait(Pipe::wait_read, [this, doorbell](const boost::system::error_code& code) {
    if (code || !live_ || live_->doorbell != doorbell) return;
    eventfd_t rings = 0;
    if (::eventfd_read(doorbell->native_handle(), &rings) == 0 && hooks_.rung) hooks_.rung();
    if (live_ && live_->doorbell == doorbell) watch(doorbell);
  });
}

/// False: the pipe is of no more use.
bool ProxyKeeper::read_one(const std::shared_ptr<Pipe>& pipe) {
  const auto message = ipc::receive(pipe->native_handle());
  if (!message) return false;  // its death is told by waitid, nothing else proves it
  if (!*message) {
    listen(pipe);
    return false;
  }
  switch ((*message)->type) {
    case ipc::ControlType::ready:
      live_->ready = true;
      std::ranges::fill(live_->moved_at, base::Clock::now());
      base::log::info(kSubject, "ready (pid {}, {} thread{})", live_->pid, boards_.shape().threads, boards_.shape().threads == 1 ? "" : "s");
      hooks_.ready();
      break;
    case ipc::ControlType::drained:
      if (live_->draining) hooks_.drained();
      break;
    case ipc::ControlType::start:
    case ipc::ControlType::drain:
    case ipc::ControlType::cut:
    case ipc::ControlType::access_log: base::log::warn(kSubject, "sent a message that only the supervisor sends; ignored"); break;
  }
  return true;
}

void ProxyKeeper::exited(const ChildKey& key, ExitStatus status) {
  if (!live_ || live_->key != key) return;
  const auto lived = std::chrono::duration_cast<base::Millis>(base::Clock::now() - live_->started);
  boards_.remove(live_->board);  // totals are folded once; counts in flight vanish with the board
  live_.reset();
  host_.signal_tree(key, SIGKILL);
  host_.forget(key);
  if (aim_ == Aim::leave) {
    hooks_.ended();
    return;
  }
  if (aim_ == Aim::drain) {
    const bool done = !status.signaled && status.value == 0;
    if (!done) base::log::error(kSubject, "ended with {} while draining", in_words(status));
    hooks_.drained();
    return;
  }
  ++restarts_;
  base::log::error(kSubject, "ended with {} after {}; a new one takes over the listening sockets", in_words(status), base::to_text(lived));
  const base::Millis delay = next_delay(lived);
  if (delay.count() == 0) {
    start();
  } else {
    start_later(delay);
  }
}

/// At once, unless it dies young again and again.
base::Millis ProxyKeeper::next_delay(base::Millis lived) {
  if (lived >= kYoung) {
    delay_ = base::Millis(0);
    return delay_;
  }
  const base::Millis now = delay_;
  delay_ = delay_.count() == 0 ? kFirstDelay : std::min(delay_ * 2, kMaxDelay);
  return now;
}

void ProxyKeeper::start_later(base::Millis delay) {
  timer_.expires_after(delay);
  timer_.async_wait([this](const boost::system::error_code& code) {
    if (!code) start();
  });
}

void ProxyKeeper::check(base::TimePoint now) {
  const bool we_paused = now - checked_ > kOwnPause;
  checked_ = now;
  if (!live_ || live_->killed) return;
  if (!live_->ready) {
    if (we_paused) live_->started = std::max(live_->started, now - kStartTime / 2);
    if (now - live_->started > kStartTime) replace("not ready after " + base::to_text(kStartTime));
    return;
  }
  for (std::uint32_t thread = 0; thread < live_->beats.size(); ++thread) {
    const std::uint64_t beat = live_->board.thread(thread).heartbeat_ns.get();
    if (beat != live_->beats[thread] || we_paused) {
      live_->beats[thread] = beat;
      live_->moved_at[thread] = now;
    } else if (now - live_->moved_at[thread] >= kHeartbeatSilence) {
      replace("thread " + std::to_string(thread) + " has been silent for " + base::to_text(kHeartbeatSilence));
      return;
    }
  }
}

void ProxyKeeper::replace(const std::string& why) {
  base::log::error(kSubject, "killed (pid {}): {}", live_->pid, why);
  live_->killed = true;
  host_.signal_tree(live_->key, SIGKILL);
}

void ProxyKeeper::drain(base::Millis limit) {
  aim_ = Aim::drain;
  timer_.cancel();
  if (!live_ || !live_->ready) return hooks_.drained();
  live_->draining = true;
  const auto ms = static_cast<std::uint32_t>(std::clamp<base::Millis::rep>(limit.count(), 0, UINT32_MAX));
  if (auto done = ipc::send(live_->pipe->native_handle(), ipc::ControlType::drain, ms); !done) base::log::warn(kSubject, "{}", done.error().message);
}

void ProxyKeeper::stop() {
  aim_ = Aim::leave;
  timer_.cancel();
  if (!live_) {
    hooks_.ended();
    return;
  }
  if (live_->killed) return;
  host_.signal(live_->key, SIGTERM);
  host_.signal(live_->key, SIGCONT);
}

void ProxyKeeper::kill() {
  aim_ = Aim::leave;
  timer_.cancel();
  if (live_) replace("the stop is forced");
}

void ProxyKeeper::cut(std::uint32_t row, base::Incarnation incarnation, ipc::Cut why) {
  if (!live_ || !live_->ready) return;
  // The gate is closed already, and a connection to a dead worker ends by itself: a full pipe costs the others their early answer.
  const auto sent = ipc::send(live_->pipe->native_handle(), ipc::ControlType::cut, row, incarnation, {}, static_cast<std::uint32_t>(why));
  if (!sent && why != ipc::Cut::gone) base::log::warn(kSubject, "was not told to cut a worker's connections: {}", sent.error().message);
}

ProxyStatus ProxyKeeper::status() const {
  if (!live_) return {0, boards_.shape().threads, false};
  return {live_->pid, boards_.shape().threads, live_->ready};
}

}  // namespace drover::backends
