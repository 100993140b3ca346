#include "proxy/pool_queue.hpp"

#include <algorithm>
#include <array>

namespace drover::proxy {

namespace {

struct AdmitContext {
  PoolQueue* queue;
  Grant* grant;
};

}  // namespace

void WaitingLine::push_back(Waiter& waiter) {
  lowest_ = empty() ? waiter.priority : std::min(lowest_, waiter.priority);
  waiter.before = last_;
  waiter.behind = nullptr;
  (last_ != nullptr ? last_->behind : first_) = &waiter;
  last_ = &waiter;
  ++size_;
}

void WaitingLine::take_out(Waiter& waiter) {
  (waiter.before != nullptr ? waiter.before->behind : first_) = waiter.behind;
  (waiter.behind != nullptr ? waiter.behind->before : last_) = waiter.before;
  waiter.before = waiter.behind = nullptr;
  --size_;
}

Waiter* WaitingLine::lowest_below(int priority) {
  if (empty() || priority <= lowest_) return nullptr;
  Waiter* found = last_;
  for (Waiter* each = last_; each != nullptr; each = each->before) {
    if (each->priority < found->priority) found = each;
  }
  lowest_ = found->priority;
  return found->priority < priority ? found : nullptr;
}

PoolQueue::PoolQueue(const config::Pool& config, std::uint32_t pool, const board::SupervisorBoard& supervisor, const board::ProxyBoard& proxy)
    : config_(config), pool_(pool), supervisor_(supervisor), proxy_(proxy), parked_(proxy.shape().pools[pool].count) {}

bool PoolQueue::admit(void* context, const balancer::Lease& lease) {
  auto& asked = *static_cast<AdmitContext*>(context);
  return asked.queue->admit_bounded(lease, *asked.grant);
}

/// Under the mutex. An idle connection of any thread, else the right to open one.
bool PoolQueue::admit_bounded(const balancer::Lease& lease, Grant& grant) {
  auto& idle = parked(lease.row);
  while (!idle.empty()) {
    ParkedConnection connection = std::move(idle.back());
    idle.pop_back();
    if (connection.incarnation != lease.incarnation) continue;
    grant.connection = std::move(connection);
    return true;
  }
  const std::uint32_t most = std::min(config_.concurrency, supervisor_.connection_share(lease.row));
  grant.permit = Permit::take(proxy_.row(lease.row), most);
  return static_cast<bool>(grant.permit);
}

balancer::ClaimResult PoolQueue::try_claim(balancer::Claimer& claimer, const balancer::Ask& ask, Grant& grant) {
  if (!bounded()) return claimer.claim(ask);
  AdmitContext context{this, &grant};
  return claimer.claim(ask, &PoolQueue::admit, &context);
}

base::TimePoint PoolQueue::hold_ends(base::TimePoint now) const {
  const std::uint64_t until = supervisor_.hold_until(pool_);
  return until == 0 ? now : base::TimePoint(std::chrono::nanoseconds(until));
}

/// True: a hold is over. Those who waited for that are to be served, and have their time to wait from now on.
bool PoolQueue::note_hold(base::TimePoint now) {
  const bool over = std::exchange(held_, held(now)) && !held_;
  if (over) hold_over_ = now;
  return over;
}

base::TimePoint PoolQueue::wait_counts_from(base::TimePoint since, base::TimePoint now) const {
  const std::lock_guard lock(mutex_);
  return std::max(since, held(now) ? hold_ends(now) : hold_over_);
}

PoolQueue::Entry PoolQueue::enter(Waiter& waiter, balancer::Claimer& claimer, const balancer::Ask& ask, Loop& loop, Fiber& fiber) {
  const std::lock_guard lock(mutex_);
  if (note_hold(loop.now())) release_line(claimer);
  if (line_.empty() && !held_) {
    const auto result = try_claim(claimer, ask, waiter.grant);
    if (result.lease) {
      waiter.grant.lease = *result.lease;
      waiter.state = Waiter::State::granted;
      return Entry::granted;
    }
    if (result.why == balancer::NoLease::nobody && hopeless(loop.now()) && !hope()) return Entry::nobody;
  }
  if (line_.size() >= config_.queue.max) {
    Waiter* gives_way = line_.lowest_below(waiter.priority);
    if (gives_way == nullptr) return Entry::full;
    send_away(*gives_way, Waiter::State::shed);
  }
  waiter.state = Waiter::State::waiting;
  waiter.ask = ask;
  waiter.ask.avoid = {};
  waiter.ticket = std::make_shared<WakeTicket>(WakeTicket{loop, &fiber});
  line_.push_back(waiter);
  proxy_.pool(pool_).queued.fetch_add(1, std::memory_order_relaxed);
  return Entry::queued;
}

Waiter::State PoolQueue::state(const Waiter& waiter) const {
  const std::lock_guard lock(mutex_);
  return waiter.state;
}

void PoolQueue::leave(Waiter& waiter) {
  const std::lock_guard lock(mutex_);
  if (waiter.state == Waiter::State::waiting) {
    take_out(waiter);
    waiter.state = Waiter::State::outside;
  }
  if (waiter.ticket) waiter.ticket->fiber = nullptr;
  waiter.ticket.reset();
}

void PoolQueue::take_out(Waiter& waiter) {
  line_.take_out(waiter);
  proxy_.pool(pool_).queued.fetch_sub(1, std::memory_order_relaxed);
}

void PoolQueue::send_away(Waiter& waiter, Waiter::State why) {
  take_out(waiter);
  waiter.state = why;
  wake(waiter);
}

void PoolQueue::wake(const Waiter& waiter) {
  waiter.ticket->loop.post([ticket = waiter.ticket] {
    if (ticket->fiber != nullptr) ticket->loop.wake(*ticket->fiber);
  });
}

void PoolQueue::hand(Waiter& waiter, Grant grant) {
  take_out(waiter);
  waiter.grant = std::move(grant);
  waiter.state = Waiter::State::granted;
  wake(waiter);
}

void PoolQueue::give_back(balancer::Claimer& claimer, Grant grant) {
  const std::lock_guard lock(mutex_);
  const bool willing = supervisor_.share(grant.lease.row) > 0;
  if (!line_.empty() && !held_ && willing && !passed_over(grant.lease) && claimer.transferable(grant.lease)) {
    // One exchange more that is given to it, as by a claim: who counts what a worker has served counts claims.
    proxy_.row(grant.lease.row).claims.fetch_add(1, std::memory_order_relaxed);
    hand(*next(), std::move(grant));
    return;
  }
  claimer.release(grant.lease);
  if (grant.connection.fd) parked(grant.lease.row).push_back(std::move(grant.connection));
  // Under the mutex: whoever enters next must find the place free, or would wait for it in vain.
  grant.permit = {};
  if (!willing) serve_line(claimer);
}

void PoolQueue::pass_over(const balancer::Lease& lease, base::TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (passed_over(lease)) return;
  if (failed_.size() >= kMaxFailed) failed_.erase(failed_.begin());
  failed_.push_back({lease, now + kPassOver});
}

bool PoolQueue::passed_over(const balancer::Lease& lease) const {
  return std::any_of(failed_.begin(), failed_.end(),
                     [&](const Failed& failed) { return failed.lease.row == lease.row && failed.lease.incarnation == lease.incarnation; });
}

void PoolQueue::retry(balancer::Claimer& claimer, base::TimePoint now) {
  const std::lock_guard lock(mutex_);
  retry_locked(claimer, now);
}

void PoolQueue::retry_locked(balancer::Claimer& claimer, base::TimePoint now) {
  std::erase_if(failed_, [&](const Failed& failed) { return now >= failed.until; });
  if (note_hold(now)) return release_line(claimer);
  serve_line(claimer);
}

/// After a hold: whoever gets nothing sets his clock anew.
void PoolQueue::release_line(balancer::Claimer& claimer) {
  serve_line(claimer);
  for (const Waiter* each = line_.first(); each != nullptr; each = each->behind) wake(*each);
}

void PoolQueue::serve_line(balancer::Claimer& claimer) {
  if (held_) return;
  std::array<balancer::Lease, kMaxFailed> avoided;
  const auto end = std::transform(failed_.begin(), failed_.end(), avoided.begin(), [](const Failed& failed) { return failed.lease; });
  while (!line_.empty()) {
    Grant grant;
    balancer::Ask ask = next()->ask;
    ask.avoid = {{avoided.begin(), end}};
    const auto result = try_claim(claimer, ask, grant);
    if (!result.lease) return;
    grant.lease = *result.lease;
    hand(*next(), std::move(grant));
  }
}

bool PoolQueue::any_open() const {
  const auto rows = proxy_.shape().pools[pool_];
  const std::uint32_t used = std::min(supervisor_.rows_used(pool_), rows.count);
  for (std::uint32_t row = rows.first; row < rows.first + used; ++row) {
    if (!proxy_.gate(row).view().closed) return true;
  }
  return false;
}

/// Is a worker about to come, if only because somebody asks?
bool PoolQueue::hope() const { return supervisor_.expected(pool_) > 0 || supervisor_.asleep(pool_); }

void PoolQueue::tick(balancer::Claimer& claimer, base::TimePoint now) {
  const std::lock_guard lock(mutex_);
  retry_locked(claimer, now);
  if (held_ || any_open() || hope()) {
    nothing_since_.reset();
  } else if (!nothing_since_) {
    nothing_since_ = now;
  }
  while (hopeless(now) && !line_.empty()) send_away(*line_.first(), Waiter::State::hopeless);
}

std::vector<ParkedConnection> PoolQueue::take_expired(base::TimePoint now) {
  std::vector<ParkedConnection> expired;
  const std::lock_guard lock(mutex_);
  for (std::uint32_t i = 0; i < parked_.size(); ++i) {
    auto& idle = parked_[i];
    if (idle.empty()) continue;
    const board::Gate gate = proxy_.gate(proxy_.shape().pools[pool_].first + i);
    for (auto& connection : idle) {
      if (now >= connection.idle_until || !gate.still_open(connection.incarnation)) expired.push_back(std::move(connection));
    }
    std::erase_if(idle, [](const ParkedConnection& connection) { return !connection.fd; });
  }
  return expired;
}

void PoolQueue::cut(std::uint32_t row, base::Incarnation incarnation) {
  const std::lock_guard lock(mutex_);
  std::erase_if(parked(row), [&](const ParkedConnection& connection) { return connection.incarnation == incarnation; });
}

}  // namespace drover::proxy
