#include "backends/handoff.hpp"

#include "balancer/strategy.hpp"
#include "base/log.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace drover::backends {

namespace {

namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
using Timer = asio::basic_waitable_timer<base::Clock, asio::wait_traits<base::Clock>, Executor>;
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using Code = boost::system::error_code;

constexpr base::Millis kNoDescriptors{100};  // until accepting is tried again
constexpr base::Millis kAskAgain{50};        // those who have refused a connection, when all have
constexpr std::size_t kOwnMost = 4;          // probes under way of one worker

struct Connection {
  base::UniqueFd socket;
  base::TimePoint until{};                 ///< when it is dropped
  std::vector<Handoff::Outlet> refused;    ///< by these; asked again after kAskAgain
  std::optional<base::TimePoint> again{};  ///< all have refused it
  bool own = false;
};

struct Door {
  Door(asio::io_context& io, int fd) : descriptor(io.get_executor(), fd) {}
  Descriptor descriptor;
  bool waiting = false;
};

struct Worker {
  bool open = false;
  std::uint32_t passing = 0;                  ///< descriptors of which settled() has not come
  base::TimePoint passing_since{};            ///< the oldest of them is the first
  std::map<std::uint64_t, Connection> given;  ///< not answered, by number
  std::uint32_t index = 0;                    ///< of its note
  std::uint64_t claims = 0;
  std::uint64_t memory = 0;
  std::uint32_t memory_epoch = 0;
};

bool free(const Worker& worker) { return worker.open && worker.passing == 0 && worker.given.size() < Handoff::kUnansweredMost; }

}  // namespace

struct Handoff::Impl {
  Impl(asio::io_context& io_context, const config::Pool& config, std::uint64_t seed, Hooks given_hooks)
      : io(io_context),
        pool(config),
        hooks(std::move(given_hooks)),
        strategy(balancer::find_strategy(config.strategy)),
        rng(seed),
        timer(io_context.get_executor()),
        pause(io_context.get_executor()) {}

  void fill();
  void take_last();
  void await(Door& door);
  void accept_from(Door& door);
  void rest(int code);
  void distribute();
  bool give_one(Connection& connection);
  std::optional<Outlet> choose(const Connection& connection);
  void collect(const Connection& connection);
  bool refused_by_all(const Connection& connection) const;
  bool hand(const Outlet& outlet, Connection connection);
  void set_timer();
  void expire();
  Worker& worker(const Outlet& outlet);
  bool any_free() const;
  bool may_accept() const;
  asio::io_context& io;
  const config::Pool& pool;
  Hooks hooks;
  const balancer::Strategy* strategy;
  base::Rng rng;
  std::shared_ptr<int> life = std::make_shared<int>();  ///< handlers may be on their way when they are cancelled
  Timer timer;                                          ///< of what waits
  std::optional<base::TimePoint> armed;
  Timer pause;  ///< no descriptor was left
  bool resting = false;
  bool told = false;  ///< that no descriptor is left, in this spell
  bool stopped = false;
  bool distributing = false;
  std::list<Door> doors;
  std::map<Outlet, Worker> workers;
  std::deque<Connection> waiting;  ///< oldest first
  std::uint64_t position = 0;
  std::vector<balancer::LoadNote> notes;
  // Used by one choice at a time.
  std::vector<balancer::Candidate> candidates;
  std::vector<balancer::Candidate> spared;
  std::vector<balancer::Candidate> unwilling;
  Counts counts;
};

bool Handoff::Impl::any_free() const {
  return std::ranges::any_of(workers, [](const auto& each) { return free(each.second); });
}

/// Nobody is accepted whom no worker is free to take: the kernel's queue holds him at no cost, not even that of waking up for him.
void Handoff::Impl::fill() {
  for (Door& door : doors) {
    if (!door.waiting) accept_from(door);
  }
}

void Handoff::Impl::await(Door& door) {
  if (door.waiting) return;
  door.waiting = true;
  door.descriptor.async_wait(Descriptor::wait_read, [this, &door, alive = std::weak_ptr(life)](const Code& code) {
    if (code || alive.expired() || stopped) return;
    door.waiting = false;
    accept_from(door);
  });
}

void Handoff::Impl::accept_from(Door& door) {
  for (int turns = 0; may_accept(); ++turns) {
    if (turns == kAcceptsPerTurn) return await(door);
    base::UniqueFd socket(::accept4(door.descriptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      const int code = errno;
      if (code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM) return rest(code);
      if (code == EAGAIN || code == EBADF || code == EINVAL) return await(door);
      continue;  // its client has gone meanwhile
    }
    told = false;
    ++counts.accepted;
    waiting.push_back({std::move(socket), base::Clock::now() + pool.queue.wait, {}, {}, false});
    distribute();
  }
}

/// The listeners are about to be closed, and with them goes whoever still waits in the kernel's queue.
void Handoff::Impl::take_last() {
  for (Door& door : doors) {
    while (!stopped && !resting && waiting.size() < kWaitingMost) {
      base::UniqueFd socket(::accept4(door.descriptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket) break;
      ++counts.accepted;
      waiting.push_back({std::move(socket), base::Clock::now() + pool.queue.wait, {}, {}, false});
    }
  }
  distribute();
}

bool Handoff::Impl::may_accept() const { return !stopped && !resting && waiting.size() < kWaitingMost && any_free(); }

/// The queue stays readable: without a pause this would spin.
void Handoff::Impl::rest(int code) {
  if (!std::exchange(told, true)) {
    base::log::error(pool.name, "handoff: can't accept: {}; tried again every {} ms (raise the limit of open files, or lower the load)",
                     std::strerror(code), kNoDescriptors.count());
  }
  resting = true;
  pause.expires_after(kNoDescriptors);
  pause.async_wait([this, alive = std::weak_ptr(life)](const Code& error) {
    if (error || alive.expired()) return;
    resting = false;
    fill();
  });
}

/// Gives what waits, oldest first, as long as somebody can take it.
void Handoff::Impl::distribute() {
  if (std::exchange(distributing, true)) return;  // a hook called back: the loop below goes on
  for (bool given = true; given && any_free();) {
    given = false;
    for (std::size_t i = 0; i < waiting.size() && !given; ++i) given = give_one(waiting[i]);
    if (given) std::erase_if(waiting, [](const Connection& each) { return !each.socket; });
  }
  distributing = false;
  set_timer();
}

bool Handoff::Impl::give_one(Connection& connection) {
  if (connection.again) return false;
  const auto outlet = choose(connection);
  if (!outlet) {
    if (refused_by_all(connection)) connection.again = base::Clock::now() + kAskAgain;
    return false;
  }
  if (hand(*outlet, std::move(connection))) ++counts.given;
  return true;
}

bool Handoff::Impl::refused_by_all(const Connection& connection) const {
  if (connection.refused.empty()) return false;
  return std::ranges::all_of(workers, [&](const auto& each) { return !each.second.open || std::ranges::count(connection.refused, each.first) > 0; });
}

/// As balancer::Claimer sees rows: whoever wants less than his even part is left out by chance, whoever wants nothing comes last.
void Handoff::Impl::collect(const Connection& connection) {
  for (auto* list : {&candidates, &spared, &unwilling}) list->clear();
  constexpr std::uint32_t kWhole = 100;
  for (auto& [outlet, each] : workers) {
    if (!free(each) || std::ranges::count(connection.refused, outlet) > 0) continue;
    const Load load = hooks.load(outlet);
    if (load.memory_bytes != each.memory) {
      each.memory = load.memory_bytes;
      ++each.memory_epoch;
    }
    auto& list = load.share >= kWhole ? candidates : load.share == 0 ? unwilling : spared;
    list.push_back({.row = each.index,
                    .index = each.index,
                    .slot = outlet.slot,
                    .incarnation = outlet.incarnation,
                    .in_flight = load.open + static_cast<std::uint32_t>(each.given.size()),
                    .memory_bytes = each.memory,
                    .load_epoch = each.memory_epoch,
                    .claims = each.claims,
                    .share = load.share == 0 ? kWhole : load.share});
  }
  std::uint32_t most = candidates.empty() ? 0 : kWhole;
  for (const auto& each : spared) most = std::max(most, each.share);
  for (std::size_t i = 0; i < spared.size(); ++i) {
    if (rng.below(most) < spared[i].share) candidates.push_back(spared[i]);
  }
  if (candidates.empty()) candidates.swap(unwilling);
}

std::optional<Handoff::Outlet> Handoff::Impl::choose(const Connection& connection) {
  collect(connection);
  if (candidates.empty()) return std::nullopt;
  balancer::Turn turn{position, &rng, notes};
  const std::size_t chosen = strategy->propose(candidates, turn);
  position = turn.position;
  if (strategy->admitted != nullptr) strategy->admitted(candidates, chosen, turn);
  return Outlet{candidates[chosen].slot, candidates[chosen].incarnation};
}

/// What travels is a copy: ours is kept until the worker has taken it. False: there is none, or the worker can't be given it.
bool Handoff::Impl::hand(const Outlet& outlet, Connection connection) {
  base::UniqueFd copy(::fcntl(connection.socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) {
    rest(errno);
    if (connection.own) return false;
    connection.again = base::Clock::now() + kNoDescriptors;
    waiting.push_front(std::move(connection));
    return false;
  }
  Worker& to = worker(outlet);
  if (to.passing++ == 0) to.passing_since = base::Clock::now();
  ++to.claims;
  const std::uint64_t number = hooks.give(outlet, std::move(copy));
  const auto found = workers.find(outlet);  // its channel may have broken at this very write
  if (number != 0 && found != workers.end()) {
    found->second.given.emplace(number, std::move(connection));
    return true;
  }
  if (found != workers.end()) {
    found->second.open = false;
    --found->second.passing;
  }
  if (!connection.own) waiting.push_front(std::move(connection));
  return false;
}

Worker& Handoff::Impl::worker(const Outlet& outlet) {
  const auto found = workers.find(outlet);
  if (found != workers.end()) return found->second;
  std::uint32_t index = 0;
  while (std::ranges::any_of(workers, [&](const auto& each) { return each.second.index == index; })) ++index;
  if (index >= notes.size()) notes.resize(index + 1);
  Worker& made = workers[outlet];
  made.index = index;
  return made;
}

void Handoff::Impl::set_timer() {
  std::optional<base::TimePoint> next;
  for (const Connection& each : waiting) {
    const base::TimePoint at = each.again ? std::min(*each.again, each.until) : each.until;
    if (!next || at < *next) next = at;
  }
  if (!next || (armed && *armed <= *next)) return;
  armed = next;
  timer.expires_at(*next);
  timer.async_wait([this, alive = std::weak_ptr(life)](const Code& error) {
    if (!error && !alive.expired()) expire();
  });
}

void Handoff::Impl::expire() {
  const base::TimePoint now = base::Clock::now();
  armed.reset();
  counts.dropped += std::erase_if(waiting, [&](const Connection& each) { return each.until <= now; });
  for (Connection& each : waiting) {
    if (!each.again || *each.again > now) continue;
    each.again.reset();
    each.refused.clear();
  }
  distribute();
  fill();
}

Handoff::Handoff(asio::io_context& io, const config::Pool& pool, std::uint64_t seed, Hooks hooks)
    : impl_(std::make_unique<Impl>(io, pool, seed, std::move(hooks))) {}

/// The listening sockets are not ours to close.
Handoff::~Handoff() { stop(); }

void Handoff::add_listener(int socket) {
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  impl_->doors.emplace_back(impl_->io, socket);
  impl_->fill();
}

void Handoff::open(const Outlet& outlet) {
  impl_->worker(outlet).open = true;
  impl_->distribute();
  impl_->fill();
}

void Handoff::close(const Outlet& outlet) {
  const auto found = impl_->workers.find(outlet);
  if (found != impl_->workers.end()) found->second.open = false;
}

void Handoff::settled(const Outlet& outlet) {
  const auto found = impl_->workers.find(outlet);
  if (found == impl_->workers.end() || found->second.passing == 0) return;
  --found->second.passing;
  found->second.passing_since = base::Clock::now();
  impl_->distribute();
  impl_->fill();
}

void Handoff::answered(const Outlet& outlet, std::uint64_t number, bool accepted) {
  const auto found = impl_->workers.find(outlet);
  if (found == impl_->workers.end()) return;
  auto given = found->second.given.extract(number);
  if (given.empty() || given.mapped().own) return;
  if (accepted) {
    ++impl_->counts.taken;
  } else {
    ++impl_->counts.refused;
    given.mapped().refused.push_back(outlet);
    impl_->waiting.push_front(std::move(given.mapped()));
  }
  impl_->distribute();
  impl_->fill();
}

void Handoff::gone(const Outlet& outlet) {
  auto worker = impl_->workers.extract(outlet);
  if (worker.empty()) return;
  auto& given = worker.mapped().given;
  for (auto each = given.rbegin(); each != given.rend(); ++each) {  // the oldest comes to stand first
    if (each->second.own) continue;
    ++impl_->counts.rescued;
    each->second.until = base::Clock::now() + impl_->pool.queue.wait;  // how long the dead one had it is not its client's fault
    impl_->waiting.push_front(std::move(each->second));
  }
  impl_->distribute();
  impl_->fill();
}

void Handoff::stop() {
  impl_->take_last();
  impl_->stopped = true;
  impl_->pause.cancel();
  for (Door& door : impl_->doors) door.descriptor.release();
  impl_->doors.clear();
}

bool Handoff::give_own(const Outlet& outlet, base::UniqueFd connection) {
  const auto& to = impl_->worker(outlet);
  if (std::ranges::count_if(to.given, [](const auto& each) { return each.second.own; }) >= static_cast<std::ptrdiff_t>(kOwnMost)) return false;
  return impl_->hand(outlet, {std::move(connection), {}, {}, {}, true});
}

const Handoff::Counts& Handoff::counts() const { return impl_->counts; }

std::size_t Handoff::waiting() const { return impl_->waiting.size(); }

std::size_t Handoff::under_way(const Outlet& outlet) const {
  const auto found = impl_->workers.find(outlet);
  return found == impl_->workers.end() ? 0 : found->second.given.size();
}

std::optional<base::TimePoint> Handoff::passing_since(const Outlet& outlet) const {
  const auto found = impl_->workers.find(outlet);
  if (found == impl_->workers.end() || found->second.passing == 0) return std::nullopt;
  return found->second.passing_since;
}

}  // namespace drover::backends
