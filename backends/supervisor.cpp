#include "backends/supervisor.hpp"

#include "backends/histogram.hpp"
#include "backends/init.hpp"
#include "backends/oom.hpp"
#include "base/log.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <random>

namespace drover::backends {

namespace {

constexpr const char* kSubject = "supervisor";
constexpr std::array<int, 9> kSignals{SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU};
constexpr base::Millis kSecond{1000};
constexpr base::Millis kRowPoll{250};  ///< rows that rest wait for nobody: no hurry

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32U) | device();
}

/// The text that every proxy parses again, in a file that nobody can change.
base::Result<base::UniqueFd> sealed_text(const std::string& text) {
  base::UniqueFd fd(::memfd_create("drover cluster.toml", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return base::system_error("memfd for the config", errno);
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0) return base::system_error("write the config's memfd", errno);
    done += static_cast<std::size_t>(wrote);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return base::system_error("seal the config's memfd", errno);
  }
  return fd;
}

}  // namespace

Supervisor::Supervisor(boost::asio::io_context& io, config::Config config, SupervisorOptions options, SupervisorHooks hooks)
    : io_(io),
      config_(std::move(config)),
      options_(options),
      hooks_(std::move(hooks)),
      started_(base::Clock::now()),
      start_time_(std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count()),
      signals_(io.get_executor()),
      init_(io.get_executor()),
      host_(io, {[this](const ChildKey& key, ExitStatus status) { child_exited(key, status); },
                 [this](const ChildKey& key, bool stopped) { child_stopped(key, stopped); }}),
      ports_(config_.cluster.ports, random_seed()),
      control_(io.get_executor()),
      second_(io.get_executor()),
      stop_timer_(io.get_executor()),
      beat_(started_) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : kSignals) ::sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Supervisor::~Supervisor() = default;

base::Result<void> Supervisor::watch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : kSignals) ::sigaddset(&set, number);
  ::signal(SIGPIPE, SIG_IGN);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return base::system_error("signalfd", errno);
  signals_.assign(fd);
  read_signals();
  if (options_.init == 0) return {};
  auto watched = watch_init(options_.init);
  if (!watched) return watched.error();
  init_.assign(watched->release());
  wait_init();
  return {};
}

base::Result<void> Supervisor::start() {
  if (auto done = watch_signals(); !done) return done.error();
  new_oom_kill();  // from here on kills are counted
  auto user = proxy_user();
  if (!user) return user.error();
  if (auto done = bind_all(); !done) return done.error();
  auto boards = BoardWriter::create(config_);
  if (!boards) return boards.error();
  boards_.emplace(std::move(*boards));
  const std::optional<gid_t> proxy_group = *user ? std::optional<gid_t>((*user)->gid) : std::nullopt;
  if (auto done = make_pools(proxy_group); !done) return done.error();
  if (auto done = make_proxy(std::move(*user)); !done) return done.error();

  phase_ = Phase::serving;
  boards_->beat(base::Clock::now());
  proxy_->start();
  for (PoolRunner& pool : pools_) pool.start();
  second_turn();
  return {};
}

base::Result<std::optional<Credentials>> Supervisor::proxy_user() const {
  if (!options_.is_root) return std::optional<Credentials>{};
  if (!config_.proxy.user.empty()) {
    auto found = find_user(config_.proxy.user);
    if (!found) return base::Error{"proxy: " + found.error().message, found.error().code};
    return std::optional(std::move(*found));
  }
  for (const char* name : {"drover", "nobody"}) {
    if (auto found = find_user(name)) return std::optional(std::move(*found));
  }
  return base::Error{"proxy: there is neither a user \"drover\" nor \"nobody\"; make one or name another in [proxy] user", 0};
}

base::Result<void> Supervisor::bind_all() {
  for (const config::Listener& listener : config_.listeners) {
    auto opened = Listening::open(listener.bind, "listener " + listener.name);
    if (!opened) return opened.error();
    base::log::info(kSubject, "listener {} listens on {}", listener.name, opened->address());
    listener_names_.push_back({listener.name, opened->address(), 0});
    listeners_.push_back(std::move(*opened));
  }
  if (!config_.admin.listen) return {};
  auto opened = Listening::open(*config_.admin.listen, "admin");
  if (!opened) return opened.error();
  admin_address_ = opened->address();
  base::log::info(kSubject, "admin listens on {}", admin_address_);
  admin_.emplace(std::move(*opened));
  return {};
}

base::Result<void> Supervisor::make_pools(std::optional<gid_t> proxy_group) {
  const auto unix_sockets = [](const config::Pool& pool) { return pool.endpoint == config::Endpoint::unix_path; };
  if (std::ranges::any_of(config_.pools, unix_sockets)) {
    auto made = RuntimeDir::create(proxy_group);
    if (!made) return made.error();
    runtime_dir_.emplace(std::move(*made));
  }
  services_.emplace(Services{io_, host_, *boards_, ports_, runtime_dir_ ? &*runtime_dir_ : nullptr,
                             [this](std::uint32_t row, base::Incarnation incarnation) {
                               if (proxy_) proxy_->cut(row, incarnation);
                             },
                             [this] { plan(); }});
  const std::vector<std::string> env = base_environment();
  for (std::uint32_t index = 0; index < config_.pools.size(); ++index) {
    const config::Pool& pool = config_.pools[index];
    auto launch = WorkerLaunch::create(pool, env, options_.executable, options_.is_root);
    if (!launch) return launch.error();
    if (unix_sockets(pool)) {
      if (auto done = runtime_dir_->add_pool(pool, launch->user()); !done) return done.error();
    }
    pools_.emplace_back(*services_, pool, index, std::move(*launch), random_seed());
  }
  return {};
}

base::Result<void> Supervisor::make_proxy(std::optional<Credentials> user) {
  auto text = sealed_text(config_.text);
  if (!text) return text.error();
  config_fd_ = std::move(*text);
  ProxyKeeper::Launch launch;
  launch.executable = options_.executable;
  launch.env = base_environment();
  launch.user = std::move(user);
  launch.config_fd = config_fd_.get();
  launch.cpus = config_.cpus;
  for (const Listening& listener : listeners_) launch.listeners.push_back(listener.fd());
  proxy_.emplace(io_, host_, *boards_, std::move(launch),
                 ProxyKeeper::Hooks{[this] { check_ready(); }, [this] { drained(); },
                                    [this] {
                                      if (phase_ == Phase::stopping_proxy) finish();
                                    }});
  return {};
}

std::optional<base::UniqueFd> Supervisor::take_admin_socket() {
  if (!admin_) return std::nullopt;
  base::UniqueFd fd = admin_->take();
  return fd ? std::optional(std::move(fd)) : std::nullopt;
}

void Supervisor::child_exited(const ChildKey& key, ExitStatus status) {
  if (key.id.pool == ChildKey::kProxy) {
    if (proxy_) proxy_->exited(key, status);
  } else if (key.id.pool < pools_.size()) {
    pools_[key.id.pool].exited(key, status);
  }
}

void Supervisor::child_stopped(const ChildKey& key, bool stopped) {
  // A stopped proxy is seen by its heartbeats, like one that hangs.
  if (key.id.pool < pools_.size()) pools_[key.id.pool].paused(key, stopped);
}

/// Called by whatever may have changed what comes next; the work is done once, at the loop's next turn.
void Supervisor::plan() {
  if (planning_) return;
  planning_ = true;
  control_.expires_at(base::Clock::now());
  control_.async_wait([this](const boost::system::error_code& code) {
    if (!code) control_turn();
  });
}

/// One turn of control: polls what must be asked, ticks what is due, and sets the timer to what comes next.
void Supervisor::control_turn() {
  const base::TimePoint began = base::Clock::now();
  planning_ = true;  // what the turn itself changes is seen below
  for (PoolRunner& pool : pools_) {
    if (pool.poll_every()) pool.poll();
    if (const auto at = pool.next_tick(); at && *at <= began) pool.tick(began);
  }
  const bool rows_rest = boards_->sweep();
  planning_ = false;
  check_ready();
  if (phase_ == Phase::stopping_workers && all_stopped()) stop_proxy();
  if (phase_ == Phase::stopped) return;

  const base::TimePoint now = base::Clock::now();
  std::optional<base::TimePoint> next;
  const auto consider = [&next](base::TimePoint at) {
    if (!next || at < *next) next = at;
  };
  for (PoolRunner& pool : pools_) {
    if (const auto at = pool.next_tick()) consider(*at);
    if (const auto every = pool.poll_every()) consider(now + *every);
  }
  if (rows_rest) consider(now + kRowPoll);
  observe(turns_, now - began);
  if (planning_ || !next) return;
  control_.expires_at(*next);
  control_.async_wait([this](const boost::system::error_code& code) {
    if (!code) control_turn();
  });
}

void Supervisor::second_turn() {
  const base::TimePoint now = base::Clock::now();
  beat_ = now;
  boards_->beat(now);
  proxy_->check(now);
  for (PoolRunner& pool : pools_) pool.sample(now);
  check_ready();
  const bool given_up = phase_ == Phase::serving && std::ranges::all_of(pools_, [](const PoolRunner& pool) { return pool.given_up(); });
  if (given_up) {
    base::log::error(kSubject, "every pool has failed and is given up (restart.give_up): stopping");
    exit_code_ = 1;
    request_stop(false);
  }
  if (phase_ == Phase::stopped) return;
  observe(turns_, base::Clock::now() - now);
  second_.expires_after(kSecond);
  second_.async_wait([this](const boost::system::error_code& code) {
    if (!code) second_turn();
  });
}

bool Supervisor::ready() const {
  return phase_ == Phase::serving && proxy_ && proxy_->ready() &&
         std::ranges::all_of(pools_, [](const PoolRunner& pool) { return pool.any_eligible(); });
}

void Supervisor::check_ready() {
  if (was_ready_ || !ready()) return;
  was_ready_ = true;
  if (hooks_.first_ready) hooks_.first_ready();
}

bool Supervisor::all_stopped() const {
  return std::ranges::all_of(pools_, [](const PoolRunner& pool) { return pool.stopped(); });
}

ClusterStatus Supervisor::status() const {
  ClusterStatus out;
  out.supervisor = ::getpid();
  out.pid = options_.init != 0 ? options_.init : out.supervisor;
  const base::TimePoint now = base::Clock::now();
  out.uptime_seconds = std::chrono::duration<double>(now - started_).count();
  out.start_time = start_time_;
  out.stopping = phase_ > Phase::serving;
  out.ready = ready();
  out.supervisor_beat_age_seconds = std::chrono::duration<double>(now - beat_).count();
  out.admin_address = admin_address_;
  out.listeners = listener_names_;
  out.supervisor_turn = turns_;
  if (!boards_ || !services_ || !proxy_) return out;
  out.created = services_->created;
  out.died = services_->died;
  out.health_checks = services_->health_checks;
  out.proxy_restarts = proxy_->restarts();
  out.proxies.push_back(proxy_->status());
  for (std::uint32_t i = 0; i < out.listeners.size(); ++i) out.listeners[i].connections = boards_->client_connections(i);
  for (const PoolRunner& pool : pools_) {
    out.restarted += pool.restarted();
    out.pools.push_back(pool.status());
    if (pool.owner_unknowable()) {
      out.degraded.push_back("pool " + out.pools.back().name +
                             ": the owner of a worker's listening socket can't be read (/proc/PID/fd); "
                             "a stranger on its port would not be noticed");
    }
  }
  out.traffic = boards_->traffic();
  return out;
}

}  // namespace drover::backends
