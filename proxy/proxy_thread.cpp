#include "proxy/proxy_thread.hpp"

#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

namespace drover::proxy {

namespace {

constexpr base::Millis kTick{250};
constexpr base::Millis kPassOver{1000};
constexpr base::Millis kGentleClose{1000};
constexpr std::size_t kGentleBytes = std::size_t{1024} * 1024;
constexpr int kAcceptsPerTurn = 8;
constexpr std::uint64_t kLeadBeforeRest = 8;  ///< connections: below it an uneven spread costs nothing
constexpr std::size_t kMaxPassedOver = 8;
constexpr int kNearShortage = 16;  ///< descriptors: more than the threads of a proxy accept between two looks
constexpr base::Millis kWatchful{2'000};

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = static_cast<std::uint64_t>(base::Clock::now().time_since_epoch().count());
  return seed;
}

std::string peer_text(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text.data(), text.size());
  } else if (address.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
      ::inet_ntop(AF_INET, &six.s6_addr[12], text.data(), text.size());
    } else {
      ::inet_ntop(AF_INET6, &six, text.data(), text.size());
    }
  }
  return text.data();
}

/// Ends our side, waits (bounded) until the worker has ended its own, then gives back what the connection held.
Detached end_gently(ProxyThread& thread, std::uint32_t pool, Grant grant, WorkerConnectionPtr connection, std::size_t& count) {
  Fiber fiber;
  Loop& loop = thread.loop();
  ++count;
  Watch& watch = connection->stream.watch();
  watch.fiber = &fiber;
  loop.want(watch, kWantRead);
  watch.readable = true;
  connection->stream.end_sending();
  connection->in.clear();
  connection->in.reserve(Buffer::kSmall);
  loop.set_deadline(fiber, loop.now() + kGentleClose);
  std::size_t dropped = 0;
  while (!fiber.timed_out && dropped < kGentleBytes) {
    if (!watch.readable) {
      co_await loop.wait(fiber);
      continue;
    }
    const IoResult got = connection->stream.read(connection->in.tail(), connection->in.room());
    if (got.what == Io::eof || got.what == Io::failed) break;
    dropped += got.bytes;
    co_await loop.yield(fiber);  // a worker that sends faster than this reads must not keep the thread
  }
  loop.remove(fiber);
  --count;
  Permit permit = std::move(connection->permit);
  connection.reset();
  if (grant.lease.incarnation != 0) {
    grant.permit = std::move(permit);
    thread.queue(pool).give_back(thread.claimer(pool), std::move(grant));
  } else {
    permit = {};
    thread.queue(pool).retry(thread.claimer(pool), loop.now());
  }
}

}  // namespace

void Shared::furnish() {
  for (std::uint32_t pool = 0; pool < config.pools.size(); ++pool) {
    queues.push_back(std::make_unique<PoolQueue>(config.pools[pool], pool, supervisor, board));
    breakers.emplace_back(config.pools[pool].breaker, board.pool(pool));
  }
  for (const config::Listener& listener : config.listeners) {
    const bool limited = listener.per_client.connections > 0 || listener.per_client.requests > 0;
    client_limits.push_back(limited ? std::make_unique<ClientLimits>(listener.per_client, listener.limits.connections, random_seed()) : nullptr);
  }
}

base::Result<std::unique_ptr<ProxyThread>> ProxyThread::create(Shared& shared, std::uint32_t index, int board_changed) {
  auto loop = Loop::create();
  if (!loop) return loop.error();
  return std::unique_ptr<ProxyThread>(new ProxyThread(shared, index, std::move(*loop), board_changed));
}

ProxyThread::ProxyThread(Shared& shared, std::uint32_t index, std::unique_ptr<Loop> loop, int board_changed)
    : shared_(shared),
      index_(index),
      loop_(std::move(loop)),
      idle_(shared.board.shape().rows),
      flights_(shared.board.flights(index)),
      complaints_(shared.complaints),
      ids_(random_seed()) {
  if (shared_.access != nullptr) access_.emplace(*shared_.access, index, shared_.config.log.access.format, thread_tally());
  for (std::uint32_t pool = 0; pool < shared_.config.pools.size(); ++pool) {
    const auto& config = shared_.config.pools[pool];
    claimers_.emplace_back(shared_.supervisor, shared_.board, pool, *balancer::find_strategy(config.strategy), random_seed(), config.hash.bound);
    budgets_.emplace_back(config.retry.budget, shared_.board.shape().threads);
    const auto key = shared_.files.find("pool." + config.name + ".sticky.key_file");
    sticky_keys_.push_back(key != shared_.files.end() ? std::string_view(key->second) : std::string_view());
  }
  board_changed_.fd = board_changed;
  board_changed_.on_readable = [this] { hear_of_change(); };
  loop_->arm(board_changed_, false);
  for (std::uint32_t i = 0; i < shared_.listeners.size(); ++i) {
    Accepting& accepting = accepting_.emplace_back();
    accepting.listener = i;
    accepting.callback.fd = shared_.listeners[i];
    accepting.callback.on_readable = [this, &accepting] { accept_some(accepting); };
  }
}

ProxyThread::~ProxyThread() = default;

void ProxyThread::run() {
  // Here, so that a thread that never runs never holds a client.
  for (Accepting& accepting : accepting_) open_door(accepting);
  loop_->every(kTick, [this] { tick(); });
  tick();
  board::Histogram& turns = thread_tally().loop_turn;
  loop_->run([&turns](base::Clock::duration turn) {
    turns.observe(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(turn).count()));
  });
}

void ProxyThread::accept_some(Accepting& accepting) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    // The kernel wakes one thread for a client: who is woken takes it, and rests only then. When all are full, the end of a session
    // or the next tick looks again.
    const Share now = share(accepting.listener);
    if (draining_ || now == Share::full) {
      accepting.left_clients = true;
      return leave_door(accepting);
    }
    if (now == Share::ahead && i > 0 && may_rest(accepting.listener)) return loop_->disarm(accepting.callback);
    if (!descriptors_left(accepting.callback.fd)) {
      accepting.left_clients = true;
      return leave_door(accepting);
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    base::UniqueFd fd(::accept4(accepting.callback.fd, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      // Out of descriptors or memory: the connection stays in the kernel's queue until the next tick.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        note_shortage();
        accepting.left_clients = true;
        leave_door(accepting);
      }
      return;
    }
    admit(accepting.listener, std::move(fd), address);
  }
}

void ProxyThread::admit(std::uint32_t listener, base::UniqueFd fd, const sockaddr_storage& address) {
  if (fd.get() >= shared_.accept_below - kNearShortage) watchful_until_ = loop_->now() + kWatchful;
  auto& count = shared_.board.client_connections(index_, listener);
  count.set(count.get() + 1);
  ClientSession::Client client{peer_text(address)};
  if (ClientLimits* limits = client_limits(listener); limits != nullptr) {
    client.address = ClientAddress::of(address);
    client.open = limits->opened(client.address, loop_->now());
    if (client.open == ClientLimits::Open::over) {
      listener_tally(listener).limited[static_cast<std::size_t>(board::LimitReason::connections)].add();
    }
  }
  ClientSession::start(*this, listener, std::move(fd), std::move(client));
}

/// Clients alone could take every descriptor, and then no request of theirs could reach a worker. A new descriptor is always the lowest
/// free number, so one probe tells; it is made only when they were nearly short a moment ago.
bool ProxyThread::descriptors_left(int probe) {
  if (!short_of_descriptors_ && loop_->now() >= watchful_until_) return true;
  const base::UniqueFd lowest(::fcntl(probe, F_DUPFD_CLOEXEC, 0));
  if (lowest && lowest.get() < shared_.accept_below) {
    short_of_descriptors_ = false;
    return true;
  }
  note_shortage();
  return false;
}

/// Counted once, however often somebody comes and goes in it.
void ProxyThread::note_shortage() {
  if (!short_of_descriptors_ && loop_->now() >= counted_until_) thread_tally().accept_pauses.add();
  short_of_descriptors_ = true;
  watchful_until_ = loop_->now() + kWatchful;
  counted_until_ = watchful_until_;
}

/// Ahead: by more than a quarter of the mean; then the others accept.
void ProxyThread::open_door(Accepting& accepting) {
  if (draining_ || accepting.callback.armed || accepting.callback.fd < 0) return;
  accepting.left_clients = false;
  loop_->arm(accepting.callback, true);
  if (accepting.callback.armed) shared_.at_the_door[accepting.listener].fetch_add(1, std::memory_order_relaxed);
}

void ProxyThread::leave_door(Accepting& accepting) {
  if (!accepting.callback.armed) return;
  loop_->disarm(accepting.callback);
  shared_.at_the_door[accepting.listener].fetch_sub(1, std::memory_order_relaxed);
}

/// Is it this thread's turn to accept again? Whoever left somebody at the door comes back for him, even if it is ahead: the kernel
/// told nobody else of him.
void ProxyThread::look_again(Accepting& accepting) {
  if (accepting.callback.armed || (short_of_descriptors_ && !descriptors_left(accepting.callback.fd))) return;
  const Share now = share(accepting.listener);
  if (now == Share::fair || (now == Share::ahead && accepting.left_clients)) open_door(accepting);
}

/// True: this thread is counted out already and must disarm.
bool ProxyThread::may_rest(std::uint32_t listener) {
  auto& there = shared_.at_the_door[listener];
  std::uint32_t seen = there.load(std::memory_order_relaxed);
  while (seen > 1) {
    if (there.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

ProxyThread::Share ProxyThread::share(std::uint32_t listener) const {
  const std::uint32_t threads = shared_.board.shape().threads;
  std::uint64_t total = 0;
  for (std::uint32_t t = 0; t < threads; ++t) total += shared_.board.client_connections(t, listener).get();
  if (total >= shared_.config.listeners[listener].limits.connections) return Share::full;
  const std::uint64_t mine = shared_.board.client_connections(index_, listener).get();
  return threads > 1 && mine > kLeadBeforeRest && mine * threads * 4 > total * 5 ? Share::ahead : Share::fair;
}

void ProxyThread::hear_of_change() {
  std::uint64_t drained = 0;
  [[maybe_unused]] const ssize_t got = ::read(board_changed_.fd, &drained, sizeof drained);
  idle_.close_behind_gates(shared_.board);
  for (std::uint32_t pool = 0; pool < claimers_.size(); ++pool) {
    if (queue(pool).bounded()) sweep_parked(pool);
    if (queue(pool).anyone_waiting()) queue(pool).retry(claimer(pool), loop_->now());
    ring_if_needed(pool);
  }
}

void ProxyThread::tick() {
  const auto now = loop_->now();
  thread_tally().heartbeat_ns.set(now_ns());
  idle_.sweep(now);
  for (std::uint32_t pool = 0; pool < claimers_.size(); ++pool) {
    queue(pool).tick(claimer(pool), now);
    ring_if_needed(pool);
    if (queue(pool).bounded()) sweep_parked(pool);
  }
  for (Accepting& accepting : accepting_) look_again(accepting);
  for (Exchange* exchange : exchanges_) exchange->tick();
  complaints_.tell_left_out(now);
  if (access_) access_->set_clock();
  if (draining_) end_overdue();
  finish_if_drained();
}

/// Who stood in line before the pool fell asleep has not rung.
void ProxyThread::ring_if_needed(std::uint32_t pool) {
  if (queue(pool).anyone_waiting() && shared_.supervisor.asleep(pool)) ring_doorbell();
}

void ProxyThread::ring_doorbell() const { ::eventfd_write(shared_.doorbell, 1); }

void ProxyThread::sweep_parked(std::uint32_t pool) {
  for (ParkedConnection& parked : queue(pool).take_expired(loop_->now())) {
    const balancer::Lease none{};
    end_gently(*this, pool, Grant{}, std::make_unique<WorkerConnection>(*loop_, std::move(parked.fd), none, std::move(parked.permit)), closing_);
  }
}

void ProxyThread::close_gently(std::uint32_t pool, Grant grant, WorkerConnectionPtr connection) {
  end_gently(*this, pool, std::move(grant), std::move(connection), closing_);
}

/// IMF-fixdate (RFC 9110 section 5.6.7). The C library's gmtime would open the time zone's file: the proxy opens none.
std::string_view ProxyThread::date() {
  const std::time_t now = std::time(nullptr);
  if (now == date_second_) return date_;
  date_second_ = now;
  constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::chrono::sys_seconds moment{std::chrono::seconds(now)};
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(moment - day);
  date_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[std::chrono::weekday(day).c_encoding()], static_cast<unsigned>(date.day()),
                      kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                      time.seconds().count());
  return date_;
}

std::uint64_t ProxyThread::unix_ms() const {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

void ProxyThread::make_request_id(std::array<char, 32>& id) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t bits = ids_.next();
    for (std::size_t i = 0; i < 16; ++i, bits >>= 4U) id[half * 16 + i] = kDigits[bits & 15U];
  }
}

void ProxyThread::pass_over(const balancer::Lease& lease) {
  if (refused_.size() >= kMaxPassedOver) refused_.erase(refused_.begin());
  refused_.push_back(lease);
  refused_until_ = loop_->now() + kPassOver;
}

std::span<const balancer::Lease> ProxyThread::passed_over() {
  if (!refused_.empty() && loop_->now() >= refused_until_) refused_.clear();
  return refused_;
}

void ProxyThread::session_started(ClientSession& session) {
  session.index = sessions_.size();
  sessions_.push_back(&session);
}

void ProxyThread::session_ended(ClientSession& session) {
  ClientSession* last = sessions_.back();
  sessions_[session.index] = last;
  last->index = session.index;
  sessions_.pop_back();
  auto& count = shared_.board.client_connections(index_, session.listener_index());
  count.set(count.get() - 1);
  look_again(accepting_[session.listener_index()]);
}

void ProxyThread::exchange_began(Exchange& exchange) {
  exchange.index = exchanges_.size();
  exchanges_.push_back(&exchange);
}

void ProxyThread::exchange_ended(Exchange& exchange) {
  Exchange* last = exchanges_.back();
  exchanges_[exchange.index] = last;
  last->index = exchange.index;
  exchanges_.pop_back();
}

void ProxyThread::drain() {
  loop_->post([this] { begin_drain(); });
}

void ProxyThread::begin_drain() {
  draining_ = true;
  drain_began_ = loop_->now();
  for (Accepting& accepting : accepting_) leave_door(accepting);
  for (ClientSession* session : sessions_) session->nudge();
}

/// Requests and tunnels have clocks of their own; the supervisor waits for the longer one.
void ProxyThread::end_overdue() {
  const auto passed = loop_->now() - drain_began_;
  for (Exchange* exchange : exchanges_) {
    if (const auto limit = exchange->drain_limit(); limit && passed >= *limit) exchange->expire();
  }
}

void ProxyThread::finish_if_drained() {
  if (draining_ && sessions_.empty() && closing_ == 0) drained_.store(true, std::memory_order_release);
}

void ProxyThread::cut(std::uint32_t row, base::Incarnation incarnation, ipc::Cut why) {
  loop_->post([this, row, incarnation, why] {
    idle_.cut(row, incarnation);
    for (std::uint32_t pool = 0; pool < claimers_.size(); ++pool) {
      const auto rows = shared_.board.shape().pools[pool];
      if (row >= rows.first && row < rows.first + rows.count) queue(pool).cut(row, incarnation);
    }
    for (Exchange* exchange : exchanges_) {
      if (exchange->uses(row, incarnation)) exchange->cut(why);
    }
  });
}

}  // namespace drover::proxy
