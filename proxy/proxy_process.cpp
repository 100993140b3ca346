#include "proxy/proxy_process.hpp"

#include "balancer/capacity.hpp"
#include "base/log.hpp"
#include "config/parse.hpp"
#include "ipc/control.hpp"
#include "ipc/snapshot.hpp"
#include "proxy/access_writer.hpp"
#include "proxy/proxy_thread.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <optional>
#include <string>
#include <thread>

namespace drover::proxy {

namespace {

constexpr int kDrainPollMs = 20;
constexpr int kKeepaliveIdleS = 60;
constexpr int kKeptForWorkers = 1024;
constexpr std::size_t kBoards = 3;       // configuration and both boards: they go before the descriptors that are kept
constexpr int kKeepaliveIntervalS = 15;  // nine unanswered ones (the kernel's default) end the connection

base::Result<std::string> read_memfd(int fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return base::system_error("fstat of the snapshot", errno);
  const auto size = static_cast<std::size_t>(facts.st_size);
  if (size == 0) return base::Error{"the snapshot is empty", 0};
  void* bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) return base::system_error("mmap of the snapshot", errno);
  std::string text(static_cast<const char*>(bytes), size);
  ::munmap(bytes, size);
  return base::Result<std::string>(boost::system::in_place_value, std::move(text));
}

/// As many descriptors as the system lets us have; what this process may not gain later, it gives up now.
void limit_rights() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_NAME, "drover-proxy", 0, 0, 0);
  // A terminal's Ctrl-C and the supervisor's signals are the supervisor's business: it says drain.
  for (const int signal : {SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_IGN);
}

/// A quarter of all descriptors, but no more than a busy proxy has connections to workers, is not for clients.
int accept_below() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur > INT_MAX) return INT_MAX;
  const auto all = static_cast<int>(files.rlim_cur);
  return all - std::clamp(all / 4, 8, kKeptForWorkers);
}

void prepare_listener(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  const int on = 1;
  // Accepted sockets inherit these: no call for each; no matter for Unix sockets.
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A tunnel whose sides may both still speak has no clock: a client that vanished without a word would hold its worker for ever.
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepaliveIdleS, sizeof kKeepaliveIdleS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepaliveIntervalS, sizeof kKeepaliveIntervalS);
}

class Process {
 public:
  static base::Result<std::unique_ptr<Process>> create(int control, ipc::ControlMessage start);
  int run();

 private:
  Process(int control, config::Config config, std::map<std::string, std::string> files, board::SupervisorBoard supervisor, board::ProxyBoard board,
          std::vector<base::UniqueFd> descriptors)
      : control_(control),
        config_(std::move(config)),
        files_(std::move(files)),
        supervisor_(std::move(supervisor)),
        board_(std::move(board)),
        descriptors_(std::move(descriptors)),
        shared_{config_, files_, balancer::Routes(config_), supervisor_, board_, {}, {}, descriptors_.front().get(), complaints_pipe()} {}

  base::Result<void> make_threads(std::uint32_t threads);
  bool obey();
  bool all_drained() const;

  int control_;
  config::Config config_;
  const std::map<std::string, std::string> files_;
  board::SupervisorBoard supervisor_;
  board::ProxyBoard board_;
  std::vector<base::UniqueFd> descriptors_;  ///< doorbell, eventfds, then listeners
  std::unique_ptr<AccessWriter> access_;     ///< none: no access log
  Shared shared_;
  std::vector<std::unique_ptr<ProxyThread>> threads_;
  std::optional<base::TimePoint> drain_until_;
};

base::Result<std::unique_ptr<Process>> Process::create(int control, ipc::ControlMessage start) {
  const std::uint32_t threads = start.a;
  const std::uint32_t listeners = start.b;
  if (start.descriptors.size() != kBoards + 1 + std::size_t{threads} + listeners)
    return base::Error{"the start message brought the wrong number of descriptors", EPROTO};
  auto text = read_memfd(start.descriptors[0].get());
  if (!text) return text.error();
  auto snapshot = ipc::decode_snapshot(*text);
  if (!snapshot) return snapshot.error();
  auto parsed = config::parse(snapshot->config, "cluster.toml", start.c);
  if (!parsed) return base::Error{"the configuration is not what the supervisor checked: " + config::render(parsed.error()), EPROTO};
  const auto proxied = static_cast<std::uint32_t>(std::ranges::count_if(parsed->listeners, config::proxied));
  if (proxied != listeners) return base::Error{"the start message brought the wrong number of listeners", EPROTO};
  const board::Shape shape = balancer::shape_of(*parsed, threads, static_cast<std::uint32_t>(parsed->listeners.size()));
  auto supervisor = board::SupervisorBoard::attach(start.descriptors[1].get(), shape);
  if (!supervisor) return supervisor.error();
  auto board = board::ProxyBoard::attach(start.descriptors[2].get(), shape);
  if (!board) return board.error();
  std::vector<base::UniqueFd> rest(std::make_move_iterator(start.descriptors.begin() + kBoards), std::make_move_iterator(start.descriptors.end()));
  std::unique_ptr<Process> process(
      new Process(control, std::move(*parsed), std::move(snapshot->files), std::move(*supervisor), std::move(*board), std::move(rest)));
  if (auto made = process->make_threads(threads); !made) return made.error();
  return process;
}

base::Result<void> Process::make_threads(std::uint32_t threads) {
  if (!config_.log.access.path.empty()) {
    auto writer = AccessWriter::create(threads, shared_.complaints);
    if (!writer) return writer.error();
    access_ = std::move(*writer);
    shared_.access = access_.get();
  }
  std::size_t next = 1 + std::size_t{threads};
  for (const config::Listener& listener : config_.listeners) {  // by their positions in the file: limits and tallies go by them
    shared_.listeners.push_back(config::proxied(listener) ? descriptors_[next++].get() : -1);
    shared_.at_the_door.emplace_back(0);
    if (shared_.listeners.back() >= 0) prepare_listener(shared_.listeners.back());
  }
  shared_.furnish();
  shared_.accept_below = accept_below();
  for (std::uint32_t i = 0; i < threads; ++i) {
    auto thread = ProxyThread::create(shared_, i, descriptors_[1 + i].get());
    if (!thread) return thread.error();
    threads_.push_back(std::move(*thread));
  }
  return {};
}

/// One message of the control pipe. False: the supervisor is gone.
bool Process::obey() {
  auto received = ipc::receive(control_);
  if (!received) return false;
  if (!*received) return true;
  switch ((*received)->type) {
    case ipc::ControlType::drain:
      drain_until_ = base::Clock::now() + base::Millis((*received)->a);
      for (auto& thread : threads_) thread->drain();
      break;
    case ipc::ControlType::cut:
      for (auto& thread : threads_) thread->cut((*received)->a, (*received)->b, static_cast<ipc::Cut>((*received)->c));
      break;
    case ipc::ControlType::access_log:
      if (access_ && (*received)->descriptors.size() == 1) access_->replace(std::move((*received)->descriptors.front()));
      break;
    default: break;
  }
  return true;
}

bool Process::all_drained() const {
  return std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) { return thread->drained(); });
}

int Process::run() {
  for (auto& thread : threads_) {
    std::thread([&thread = *thread] { thread.run(); }).detach();
  }
  if (!ipc::send(control_, ipc::ControlType::ready)) return 1;
  for (;;) {
    pollfd waiting{control_, POLLIN, 0};
    ::poll(&waiting, 1, drain_until_ ? kDrainPollMs : -1);
    if (waiting.revents != 0 && !obey()) {
      if (access_) access_->finish();
      return 0;
    }
    if (drain_until_ && (all_drained() || base::Clock::now() >= *drain_until_)) {
      if (access_) access_->finish();  // before the word that brings the TERM
      [[maybe_unused]] const auto told = ipc::send(control_, ipc::ControlType::drained);
      return 0;
    }
  }
}

base::Result<ipc::ControlMessage> wait_for_start(int control) {
  for (;;) {
    auto received = ipc::receive(control);
    if (!received) return received.error();
    if (*received) {
      if ((*received)->type != ipc::ControlType::start) return base::Error{"the first message was not start", EPROTO};
      return std::move(**received);
    }
    pollfd waiting{control, POLLIN, 0};
    ::poll(&waiting, 1, -1);
  }
}

}  // namespace

int run_proxy(int control) {
  limit_rights();
  auto start = wait_for_start(control);
  if (!start) {
    base::log::error("proxy", "can't start: {}; it is started by the supervisor, not by hand", start.error().message);
    return 1;
  }
  auto process = Process::create(control, std::move(*start));
  if (!process) {
    base::log::error("proxy", "can't start: {}", process.error().message);
    return 1;
  }
  const int code = (*process)->run();
  // Threads may still hold what they serve: the process ends as a whole, without taking it apart under them.
  ::_exit(code);
}

}  // namespace drover::proxy
