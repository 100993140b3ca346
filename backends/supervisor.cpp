#include "backends/supervisor.hpp"

#include "backends/exit_words.hpp"
#include "backends/histogram.hpp"
#include "backends/init.hpp"
#include "backends/oom.hpp"
#include "backends/snapshot_files.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "ipc/snapshot.hpp"

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
constexpr base::Millis kRowPoll{250};       ///< rows that rest wait for nobody: no hurry
constexpr std::uint64_t kTrafficEvery = 5;  ///< seconds

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
      start_time_(unix_now()),
      signals_(io.get_executor()),
      init_(io.get_executor()),
      host_(io, {[this](const ChildKey& key, ExitStatus status) { child_exited(key, status); },
                 [this](const ChildKey& key, bool stopped) { child_stopped(key, stopped); },
                 [this](const ChildKey& key, base::TimePoint learnt) { child_dying(key, learnt); },
                 [this](const ChildKey& key, std::string_view line) { child_wrote(key, line); }}),
      ports_(config_.cluster.ports, random_seed()),
      pss_(io),
      switchboard_(io, {[this](std::string_view name) { return find_pool(name); },
                        [this](std::uint32_t pool, std::uint32_t slot) { return present(pool, slot); }}),
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
  own_oom_count();  // from here on kills are counted
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
    const bool by_workers = !config::proxied(listener) && config_.pools[*listener.pool].dispatch == config::Dispatch::shared;
    auto opened = Listening::open(listener.bind, "listener " + listener.name, by_workers ? Listening::Accepts::by_others : Listening::Accepts::here);
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
  auto made = RuntimeDir::create(proxy_group);
  if (!made) return made.error();
  runtime_dir_.emplace(std::move(*made));
  cgroups_.emplace(Cgroups::create());
  services_.emplace(Services{.io = io_,
                             .host = host_,
                             .boards = *boards_,
                             .ports = ports_,
                             .runtime_dir = *runtime_dir_,
                             .cgroups = *cgroups_,
                             .pss = pss_,
                             .switchboard = switchboard_,
                             .events = events_,
                             .obituaries = obituaries_,
                             .cut =
                                 [this](std::uint32_t row, base::Incarnation incarnation, ipc::Cut why) {
                                   if (proxy_) proxy_->cut(row, incarnation, why);
                                 },
                             .changed = [this] { plan(); },
                             .blocked_changed = [this] { write_blocked(); }});
  const std::vector<std::string> env = base_environment();
  for (std::uint32_t index = 0; index < config_.pools.size(); ++index) {
    const config::Pool& pool = config_.pools[index];
    auto launch = WorkerLaunch::create(pool, env, options_.executable, options_.is_root, &*cgroups_);
    if (!launch) return launch.error();
    if (pool.endpoint == config::Endpoint::unix_path) {
      if (auto done = runtime_dir_->add_pool(pool, launch->user()); !done) return done.error();
    }
    pools_.emplace_back(*services_, pool, index, std::move(*launch), random_seed());
  }
  hand_out_listeners();
  return {};
}

/// Each pool is told of those whose connections are all its own.
void Supervisor::hand_out_listeners() {
  std::vector<int> all;
  for (const Listening& listener : listeners_) all.push_back(listener.fd());
  for (std::uint32_t index = 0; index < pools_.size(); ++index) {
    std::vector<PublicListener> own;
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      if (config_.listeners[i].pool == index) own.push_back(public_listener(listeners_[i].fd(), config_.listeners[i].name, listeners_[i].address()));
    }
    pools_[index].take_listeners(std::move(own), all);
  }
}

base::Result<void> Supervisor::make_proxy(std::optional<Credentials> user) {
  if (const std::string& path = config_.log.access.path; !path.empty()) {
    auto opened = AccessFile::open(path);
    if (!opened) return opened.error();
    access_log_.emplace(std::move(*opened));
  }
  auto files = snapshot_files(config_);
  if (!files) return files.error();
  auto text = sealed_text(ipc::encode({config_.text, std::move(*files)}));
  if (!text) return text.error();
  config_fd_ = std::move(*text);
  ProxyKeeper::Launch launch;
  launch.executable = options_.executable;
  launch.env = base_environment();
  launch.user = std::move(user);
  launch.config_fd = config_fd_.get();
  launch.cpus = config_.cpus;
  if (access_log_) launch.access_log = access_log_->fd();
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (config::proxied(config_.listeners[i])) launch.listeners.push_back(listeners_[i].fd());
  }
  proxy_.emplace(io_, host_, *boards_, std::move(launch),
                 ProxyKeeper::Hooks{.ready =
                                        [this] {
                                          emit("proxyReady", {{"pid", proxy_->status().pid}});
                                          check_ready();
                                        },
                                    .drained = [this] { drained(); },
                                    .ended =
                                        [this] {
                                          if (phase_ == Phase::stopping_proxy) finish();
                                        },
                                    .rung = [this] { doorbell_rung(); }});
  return {};
}

std::optional<base::UniqueFd> Supervisor::take_admin_socket() {
  if (!admin_) return std::nullopt;
  base::UniqueFd fd = admin_->take();
  return fd ? std::optional(std::move(fd)) : std::nullopt;
}

void Supervisor::child_dying(const ChildKey& key, base::TimePoint learnt) {
  if (key.id.pool < pools_.size()) pools_[key.id.pool].dying(key, learnt);
}

void Supervisor::child_exited(const ChildKey& key, ExitStatus status) {
  if (key.id.pool == ChildKey::kProxy) {
    boost::json::object data;
    if (status.signaled) {
      data["signal"] = signal_name(status.value);
    } else {
      data["code"] = status.value;
    }
    emit("proxyExit", std::move(data));
    if (proxy_) proxy_->exited(key, status);
  } else if (key.id.pool < pools_.size()) {
    pools_[key.id.pool].exited(key, status);
  }
}

void Supervisor::child_stopped(const ChildKey& key, bool stopped) {
  // A stopped proxy is seen by its heartbeats, like one that hangs.
  if (key.id.pool < pools_.size()) pools_[key.id.pool].paused(key, stopped);
}

void Supervisor::child_wrote(const ChildKey& key, std::string_view line) {
  if (key.id.pool >= config_.pools.size()) return;  // the proxy's are log lines already
  output_.add({unix_now(), config_.pools[key.id.pool].name, key.id.slot, key.incarnation, std::string(line)});
}

void Supervisor::emit(const char* name, boost::json::object data) { events_.add({unix_now(), name, "", 0, 0, std::move(data), ""}); }

/// The board has one list of all pools' killers.
void Supervisor::write_blocked() {
  std::vector<board::SupervisorBoard::Blocked> list;
  for (const PoolRunner& pool : pools_) {
    for (const Killer& each : pool.blocked()) {
      list.push_back({each.fingerprint, static_cast<std::uint64_t>(std::chrono::nanoseconds(each.until.time_since_epoch()).count())});
    }
  }
  boards_->write_blocked(list);
}

void Supervisor::doorbell_rung() {
  if (phase_ != Phase::serving) return;
  for (PoolRunner& pool : pools_) pool.rung(base::Clock::now());
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
    if (const auto at = pool.next_look(); at && *at <= began) pool.look(began);
    if (const auto at = pool.next_expiry(); at && *at <= began) pool.expire_state(began);
    if (const auto at = pool.held_until(); at && *at <= began) pool.let_through("time");
  }
  const bool rows_rest = boards_->sweep();
  planning_ = false;
  orders_.look();
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
    if (const auto at = pool.next_look()) consider(*at);
    if (const auto at = pool.next_expiry()) consider(*at);
    if (const auto at = pool.held_until()) consider(*at);
    if (const auto every = pool.poll_every()) consider(now + *every);
  }
  if (rows_rest) consider(now + kRowPoll);
  observe(services_->turns, now - began);
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
  hand_out_traffic(now);
  watch_descriptors(now);
  for (PoolRunner& pool : pools_) pool.second(now);
  check_ready();
  const bool given_up = phase_ == Phase::serving && std::ranges::all_of(pools_, [](const PoolRunner& pool) { return pool.given_up(); });
  if (given_up) {
    base::log::error(kSubject, "every pool has failed and is given up (restart.give_up): stopping");
    exit_code_ = 1;
    stop_why_ = "every pool is given up";
    request_stop(false);
  }
  if (phase_ == Phase::stopped) return;
  plan();  // what was seen may have to be looked at sooner than in a second
  observe(services_->turns, base::Clock::now() - now);
  second_.expires_after(kSecond);
  second_.async_wait([this](const boost::system::error_code& code) {
    if (!code) second_turn();
  });
}

void Supervisor::hand_out_traffic(base::TimePoint now) {
  const bool turn = seconds_++ % kTrafficEvery == 0;
  if (!turn && std::ranges::none_of(pools_, [](const PoolRunner& pool) { return pool.scales_by_itself(); })) return;
  const board::Totals totals = boards_->traffic();
  for (std::size_t i = 0; i < pools_.size(); ++i) pools_[i].take_traffic(totals.pools[i], now);
}

bool Supervisor::ready() const {
  return phase_ == Phase::serving && proxy_ && proxy_->ready() && std::ranges::all_of(pools_, [](const PoolRunner& pool) { return pool.serves(); });
}

void Supervisor::check_ready() {
  if (was_ready_ || !ready()) return;
  was_ready_ = true;
  emit("clusterReady");
  if (hooks_.first_ready) hooks_.first_ready();
}

bool Supervisor::all_stopped() const {
  return std::ranges::all_of(pools_, [](const PoolRunner& pool) { return pool.stopped(); });
}

}  // namespace drover::backends
