#include "backends/board_writer.hpp"

#include "balancer/capacity.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace drover::backends {

namespace {

/// A proxy's word is not believed further than it can be understood.
constexpr auto kLastBreakerState = static_cast<std::uint32_t>(balancer::BreakerState::half_open);

std::uint64_t to_ns(base::TimePoint time) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

base::TimePoint from_ns(std::uint64_t ns) {
  return base::TimePoint(std::chrono::duration_cast<base::Clock::duration>(std::chrono::nanoseconds(static_cast<std::int64_t>(ns))));
}

/// What only grows, and the latest byte.
void add_counts(const board::ProxyRow& row, BoardWriter::RowFigures& to) {
  to.claims += row.claims.load(std::memory_order_acquire);
  to.errors += row.errors.load(std::memory_order_relaxed);
  to.refused += row.refused.load(std::memory_order_relaxed);
  to.gateway += row.gateway.load(std::memory_order_relaxed);
  to.moved = std::max(to.moved, from_ns(row.moved_ns.load(std::memory_order_relaxed)));
}

}  // namespace

base::Result<BoardWriter> BoardWriter::create(const config::Config& config) {
  board::Shape shape = balancer::shape_of(config, config.proxy.threads, static_cast<std::uint32_t>(config.listeners.size()));
  auto made = board::SupervisorBoard::create(shape);
  if (!made) return made.error();
  return BoardWriter(std::move(*made), std::move(shape), config);
}

BoardWriter::BoardWriter(board::SupervisorBoard board, board::Shape shape, const config::Config& config)
    : board_(std::move(board)), shape_(std::move(shape)), config_(&config), rows_(shape_.rows) {
  for (std::uint32_t pool = 0; pool < config.pools.size(); ++pool) {
    totals_.emplace_back(board::Shape::slots_for(balancer::most_workers(config.pools[pool])));
    board_.write_rows_used(pool, 0);
  }
  traffic_.pools.resize(config.pools.size());
  traffic_.listeners.resize(shape_.listeners);
}

void BoardWriter::beat(base::TimePoint now) { board_.beat(to_ns(now)); }

void BoardWriter::add(const board::ProxyBoard& proxy, std::vector<int> wakeups) {
  proxies_.push_back({&proxy, std::move(wakeups)});
  for (std::uint32_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].open) proxy.gate(row).open(rows_[row].incarnation);
  }
}

void BoardWriter::remove(const board::ProxyBoard& proxy) {
  const auto found = std::ranges::find(proxies_, &proxy, &LiveProxy::board);
  if (found == proxies_.end()) return;
  for (std::uint32_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].use == Use::free) continue;
    count(proxy, row);
    add_counts(proxy.row(row), rows_[row].dead);
  }
  board::fold(proxy, traffic_);
  for (std::uint32_t thread = 0; thread < shape_.threads; ++thread) proxy.sketch(thread).add_to(*sketch_);
  proxies_.erase(found);
}

/// Adds what a row of one proxy's board has counted to its slot's base.
void BoardWriter::count(const board::ProxyBoard& proxy, std::uint32_t row) {
  const base::SlotId id = rows_[row].id;
  SlotTotals& totals = totals_[id.pool][id.slot - 1];
  totals.requests += proxy.row(row).claims.load(std::memory_order_acquire);
  totals.errors += proxy.row(row).errors.load(std::memory_order_acquire);
}

std::optional<std::uint32_t> BoardWriter::take_row(base::SlotId id, base::Incarnation incarnation, const board::EndpointAddress& endpoint) {
  sweep();
  const board::PoolRows range = shape_.pools[id.pool];
  std::optional<std::uint32_t> chosen;
  for (std::uint32_t row = range.first; row < range.first + range.count && !chosen; ++row) {
    if (rows_[row].use == Use::free) chosen = row;
  }
  for (std::uint32_t row = range.first; row < range.first + range.count && !chosen; ++row) {
    if (rows_[row].use != Use::resting || in_flight(row) != 0) continue;  // only idle connections are still counted there
    free(row);
    chosen = row;
  }
  if (!chosen) return std::nullopt;
  rows_[*chosen] = {Use::taken, id, incarnation, false, {}};
  for (const LiveProxy& proxy : proxies_) {
    board::ProxyRow& cell = proxy.board->row(*chosen);
    cell.claims.store(0, std::memory_order_relaxed);
    cell.moved_ns.store(0, std::memory_order_relaxed);
    for (auto* word : {&cell.errors, &cell.refused, &cell.gateway, &cell.streak}) word->store(0, std::memory_order_relaxed);
  }
  use(*chosen);
  const std::uint32_t limit = config_->pools[id.pool].concurrency;
  board_.write_connection_share(*chosen, limit == 0 ? std::numeric_limits<std::uint32_t>::max() : limit);
  board_.write_row(*chosen, {id.slot, incarnation, endpoint});
  return chosen;
}

bool BoardWriter::move_row(std::uint32_t row, const board::EndpointAddress& endpoint) {
  const Row& it = rows_[row];
  if (it.open || it.use != Use::taken) return false;
  board_.write_row(row, {it.id.slot, it.incarnation, endpoint});
  return true;
}

void BoardWriter::open(std::uint32_t row) {
  rows_[row].open = true;
  for (const LiveProxy& proxy : proxies_) proxy.board->gate(row).open(rows_[row].incarnation);
  changed();
}

void BoardWriter::close(std::uint32_t row) {
  if (!rows_[row].open) return;
  for (const LiveProxy& proxy : proxies_) proxy.board->gate(row).close();
  rows_[row].open = false;
  changed();
}

void BoardWriter::release(std::uint32_t row) {
  close(row);
  if (rows_[row].use == Use::taken) rows_[row].use = Use::resting;
  if (quiet(row)) free(row);
}

bool BoardWriter::quiet(std::uint32_t row) const { return in_flight(row) == 0 && connections(row) == 0; }

void BoardWriter::free(std::uint32_t row) {
  for (const LiveProxy& proxy : proxies_) count(*proxy.board, row);
  const board::PoolRows range = shape_.pools[rows_[row].id.pool];
  const std::uint32_t pool = rows_[row].id.pool;
  rows_[row] = {};
  board_.clear_row(row);
  std::uint32_t used = board_.rows_used(pool);
  while (used > 0 && rows_[range.first + used - 1].use == Use::free) --used;
  board_.write_rows_used(pool, used);
}

/// Who looks for a worker looks no further than the last row in use: written long before the row is opened.
void BoardWriter::use(std::uint32_t row) {
  const std::uint32_t pool = rows_[row].id.pool;
  const std::uint32_t index = row - shape_.pools[pool].first;
  if (index >= board_.rows_used(pool)) board_.write_rows_used(pool, index + 1);
}

bool BoardWriter::sweep() {
  bool left = false;
  for (std::uint32_t row = 0; row < rows_.size(); ++row) {
    if (rows_[row].use != Use::resting) continue;
    if (quiet(row)) {
      free(row);
    } else {
      left = true;
    }
  }
  return left;
}

void BoardWriter::write_load(std::uint32_t row, std::uint64_t memory_bytes) { board_.write_load(row, memory_bytes); }

void BoardWriter::write_expected(std::uint32_t pool, std::uint32_t workers) {
  if (board_.expected(pool) == workers) return;
  board_.write_expected(pool, workers);
  changed();
}

void BoardWriter::write_asleep(std::uint32_t pool, bool asleep) {
  if (board_.asleep(pool) == asleep) return;
  board_.write_asleep(pool, asleep);
  changed();
}

void BoardWriter::write_hold(std::uint32_t pool, std::optional<base::TimePoint> until) {
  board_.write_hold(pool, until ? to_ns(*until) : 0);
  changed();
}

void BoardWriter::write_maintenance(std::uint32_t pool, const std::optional<std::string>& message) {
  board_.write_maintenance(pool, message.has_value(), message.value_or(""));
  changed();
}

/// The epoch says it to threads that look, the eventfds to those that sleep.
void BoardWriter::changed() {
  board_.bump_epoch();
  for (const LiveProxy& proxy : proxies_) {
    for (const int fd : proxy.wakeups) ::eventfd_write(fd, 1);
  }
}

std::uint32_t BoardWriter::in_flight(std::uint32_t row) const {
  std::uint32_t sum = 0;
  for (const LiveProxy& proxy : proxies_) sum += proxy.board->gate(row).view().count;
  return sum;
}

std::uint32_t BoardWriter::connections(std::uint32_t row) const {
  std::uint32_t sum = 0;
  for (const LiveProxy& proxy : proxies_) sum += proxy.board->row(row).connections.load(std::memory_order_acquire);
  return sum;
}

BoardWriter::RowFigures BoardWriter::figures(std::uint32_t row) const {
  RowFigures out = rows_[row].dead;
  for (const LiveProxy& proxy : proxies_) {
    const board::ProxyRow& cell = proxy.board->row(row);
    add_counts(cell, out);
    out.streak = std::max(out.streak, cell.streak.load(std::memory_order_relaxed));
    out.client_bound += cell.client_bound.load(std::memory_order_relaxed);
  }
  out.in_flight = in_flight(row);
  out.client_bound = std::min(out.client_bound, out.in_flight);
  return out;
}

std::vector<board::Flight> BoardWriter::flights(std::uint32_t row, base::Incarnation incarnation, base::TimePoint since) const {
  std::vector<board::Flight> out;
  for (const LiveProxy& proxy : proxies_) {
    for (std::uint32_t thread = 0; thread < shape_.threads; ++thread) proxy.board->flights(thread).collect(row, incarnation, to_ns(since), out);
  }
  return out;
}

board::Sketch::Totals BoardWriter::sketch() const {
  board::Sketch::Totals out = *sketch_;
  for (const LiveProxy& proxy : proxies_) {
    for (std::uint32_t thread = 0; thread < shape_.threads; ++thread) proxy.board->sketch(thread).add_to(out);
  }
  return out;
}

std::uint64_t BoardWriter::requests(std::uint32_t pool) const {
  const board::Totals all = traffic();
  std::uint64_t sum = 0;
  for (const auto& codes : all.pools[pool].requests) sum = std::accumulate(codes.begin(), codes.end(), sum);
  return sum;
}

BoardWriter::SlotTotals BoardWriter::slot_totals(base::SlotId id) const {
  SlotTotals out = totals_[id.pool][id.slot - 1];
  const board::PoolRows range = shape_.pools[id.pool];
  for (std::uint32_t row = range.first; row < range.first + range.count; ++row) {
    if (rows_[row].use == Use::free || rows_[row].id != id) continue;
    for (const LiveProxy& proxy : proxies_) {
      out.requests += proxy.board->row(row).claims.load(std::memory_order_acquire);
      out.errors += proxy.board->row(row).errors.load(std::memory_order_acquire);
    }
  }
  return out;
}

BoardWriter::PoolFigures BoardWriter::pool_figures(std::uint32_t pool) const {
  PoolFigures out;
  out.breaker_opened = traffic_.pools[pool].breaker_opened;
  for (const LiveProxy& proxy : proxies_) {
    const board::PoolCell& cell = proxy.board->pool(pool);
    out.position = cell.position.load(std::memory_order_relaxed);
    out.queued += cell.queued.load(std::memory_order_relaxed);
    out.breaker = static_cast<balancer::BreakerState>(std::min(cell.breaker.load(std::memory_order_relaxed), kLastBreakerState));
    out.breaker_opened += cell.breaker_opened.load(std::memory_order_relaxed);
  }
  return out;
}

std::uint64_t BoardWriter::accept_pauses() const {
  std::uint64_t sum = traffic_.accept_pauses;
  for (const LiveProxy& proxy : proxies_) {
    for (std::uint32_t thread = 0; thread < shape_.threads; ++thread) sum += proxy.board->thread(thread).accept_pauses.get();
  }
  return sum;
}

std::uint64_t BoardWriter::client_connections(std::uint32_t listener) const {
  std::uint64_t sum = 0;
  for (const LiveProxy& proxy : proxies_) {
    for (std::uint32_t thread = 0; thread < shape_.threads; ++thread) sum += proxy.board->client_connections(thread, listener).get();
  }
  return sum;
}

board::Totals BoardWriter::traffic() const {
  board::Totals out = traffic_;
  for (const LiveProxy& proxy : proxies_) board::fold(*proxy.board, out);
  return out;
}

}  // namespace drover::backends
