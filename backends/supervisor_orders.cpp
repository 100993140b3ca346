// What operators order: who is meant, whether it is possible now, and the beginning of it. order_tracker.hpp follows it to its end.
#include "backends/supervisor.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>

namespace drover::backends {

namespace {

constexpr const char* kSubject = "supervisor";

std::string workers(std::uint32_t count) { return std::to_string(count) + (count == 1 ? " worker" : " workers"); }

const char* verb_text(Order::Verb verb) {
  switch (verb) {
    case Order::Verb::restart: return "restart";
    case Order::Verb::drain: return "drain";
    case Order::Verb::resume: return "resume";
    case Order::Verb::scale: return "scale";
    case Order::Verb::stop: return "stop";
    case Order::Verb::hold: return "hold";
    case Order::Verb::maintenance: return "maintenance";
  }
  return "";
}

}  // namespace

base::Result<OrderId> Supervisor::order(const Order& order, OrderWatcher watcher) {
  if (orders_.full(order.verb)) {
    return base::Error{"too many orders are under way (" + std::to_string(OrderTracker::kMaxOrders) + "); wait until some are done", EBUSY};
  }
  const base::TimePoint now = base::Clock::now();
  if (order.verb == Order::Verb::stop) {
    if (phase_ == Phase::stopped) return base::Error{"the cluster has stopped", EBUSY};
    const OrderId id = orders_.begin(order, 0, std::move(watcher), now);
    if (stop_why_.empty()) stop_why_ = "by the operator";
    // Not before order() has returned: a stop may tell, and end, at once.
    boost::asio::post(io_, [this, force = order.force] {
      base::log::info(kSubject, "the operator stops the cluster{}", force ? " at once" : "");
      request_stop(force);
    });
    return id;
  }
  if (phase_ != Phase::serving) return base::Error{"the cluster is stopping: nothing else can be ordered", EBUSY};
  const auto index = find_target(order.target);
  if (!index) return index.error();
  const OrderId id = orders_.begin(order, *index, std::move(watcher), now);
  if (auto done = obey(order, pools_[*index]); !done) {
    orders_.forget(id);
    return done.error();
  }
  base::log::info(kSubject, "ordered: {} {}{}{}", verb_text(order.verb), order.target.text(),
                  order.verb == Order::Verb::scale ? "=" + std::to_string(order.count) : "", order.off ? " off" : "");
  plan();
  return id;
}

void Supervisor::forget(OrderId id) { orders_.forget(id); }

/// "shop, shop.1 … shop.4, blog, blog.1"
std::string Supervisor::known_targets() const {
  std::string out;
  for (const PoolRunner& pool : pools_) {
    const std::uint32_t size = pool.control().size();
    out += (out.empty() ? "" : ", ") + pool.config().name;
    if (size > 0) out += ", " + pool.name_of(1);
    if (size > 1) out += " … " + pool.name_of(size);
  }
  return out;
}

base::Result<std::uint32_t> Supervisor::find_target(const Target& target) const {
  const auto found = std::ranges::find(pools_, target.pool, [](const PoolRunner& pool) { return pool.config().name; });
  if (found == pools_.end()) return base::Error{"unknown pool \"" + target.pool + "\"; known: " + known_targets(), ENOENT};
  if (target.slot && (*target.slot == 0 || *target.slot > found->control().size())) {
    return base::Error{"unknown worker \"" + target.text() + "\"; known: " + known_targets(), ENOENT};
  }
  return static_cast<std::uint32_t>(found - pools_.begin());
}

base::Result<void> Supervisor::obey(const Order& order, PoolRunner& pool) {
  const auto& slot = order.target.slot;
  switch (order.verb) {
    case Order::Verb::restart: return slot ? restart_worker(pool, *slot) : restart_pool(pool);
    case Order::Verb::drain:
    case Order::Verb::resume: {
      const Intent intent = order.verb == Order::Verb::drain ? Intent::drained : Intent::enabled;
      const std::uint32_t last = slot ? *slot : pool.control().size();
      if (!slot && intent == Intent::enabled) {
        pool.let_through("operator");
        pool.set_maintenance(std::nullopt);
      }
      for (std::uint32_t each = slot.value_or(1); each <= last; ++each) pool.set_intent(each, intent);
      return {};
    }
    case Order::Verb::scale:
      if (slot) return base::Error{"a pool can be scaled, not one worker: scale " + pool.config().name + "=N", EINVAL};
      return scale_pool(pool, order.count);
    case Order::Verb::hold:
    case Order::Verb::maintenance:
      if (slot)
        return base::Error{
            std::string(verb_text(order.verb)) + " is of a pool, not of one worker; to spare that one: drover drain " + pool.name_of(*slot), EINVAL};
      return order.verb == Order::Verb::hold ? hold_pool(pool, order) : maintain_pool(pool, order);
    case Order::Verb::stop: break;
  }
  return base::Error{"not an order for a pool", EINVAL};
}

base::Result<void> Supervisor::hold_pool(PoolRunner& pool, const Order& order) {
  if (auto sees = sees_requests(pool); !sees) return sees;
  if (order.off) {
    pool.let_through("operator");
    return {};
  }
  if (order.most <= base::Millis(0) || order.most > kHoldMost) {
    return base::Error{
        "a pool can be held for more than nothing and for " + base::to_text(kHoldMost) + " at most, not for " + base::to_text(order.most), EINVAL};
  }
  pool.hold(order.most);
  return {};
}

base::Result<void> Supervisor::maintain_pool(PoolRunner& pool, const Order& order) {
  if (auto sees = sees_requests(pool); !sees) return sees;
  constexpr std::size_t kMost = board::SupervisorBoard::kMaxMessage;
  if (order.message.size() > kMost) {
    return base::Error{"the message has " + std::to_string(order.message.size()) + " bytes; " + std::to_string(kMost) + " are the most", EINVAL};
  }
  if (std::ranges::any_of(order.message, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return base::Error{"the message has a control character (a line end, a tab …): give one line of text", EINVAL};
  }
  pool.set_maintenance(order.off ? std::nullopt : std::optional(order.message));
  return {};
}

/// What does not pass the proxy can neither be held nor answered.
base::Result<void> Supervisor::sees_requests(const PoolRunner& pool) {
  const char* how = pool.config().dispatch == config::Dispatch::handoff ? "handoff" : "shared";
  if (pool.config().dispatch == config::Dispatch::proxy) return {};
  return base::Error{"the requests of " + pool.config().name + " do not pass through the proxy (dispatch = \"" + how +
                         "\"): they can be neither held nor answered by it; drover drain " + pool.config().name + " takes its workers away",
                     EINVAL};
}

base::Result<void> Supervisor::restart_pool(PoolRunner& pool) {
  const PoolControl& control = pool.control();
  const std::string& name = pool.config().name;
  if (control.desired() == 0) {
    return base::Error{name + " is asleep (idle_stop) and has no worker to restart: the next request starts fresh ones", EBUSY};
  }
  if (control.last_roll().phase == Roll::Phase::running) {
    return base::Error{"a rolling restart of " + name + " is running (" + std::to_string(control.last_roll().done) + " of " +
                           std::to_string(control.last_roll().total) + "); wait until it is done",
                       EBUSY};
  }
  if (!pool.roll("operator")) {
    return base::Error{"nothing can be restarted in " + name + ": all its workers are drained; resume them (drover resume " + name + ")", EBUSY};
  }
  return {};
}

base::Result<void> Supervisor::restart_worker(PoolRunner& pool, std::uint32_t slot) {
  const std::string name = pool.name_of(slot);
  if (!pool.control().wanted(slot)) {
    return base::Error{name + " is not wanted: " + pool.config().name + " has " + workers(pool.control().desired()), EBUSY};
  }
  if (pool.control().slot(slot).intent == Intent::drained) return base::Error{name + " is drained; resume it (drover resume " + name + ")", EBUSY};
  pool.replace(slot);
  return {};
}

base::Result<void> Supervisor::scale_pool(PoolRunner& pool, std::uint32_t count) {
  const std::string& name = pool.config().name;
  const std::uint32_t most = pool.control().capacity();
  if (count == 0) {
    return base::Error{name + " needs at least 1 worker; to have none: drover drain " + name + ", or let it sleep with idle_stop", EINVAL};
  }
  if (count > most) {
    return base::Error{name + " can have at most " + workers(most) + " while drover runs: room for twice the configured number, and for " +
                           std::to_string(board::kSlotsAtLeast) + " at least, is made at start; for more set workers of pool." + name +
                           " in the file and start drover anew",
                       EINVAL};
  }
  pool.scale(count, "operator");
  return {};
}

/// TTIN: one worker more; TTOU: one fewer.
void Supervisor::scale_by_signal(int number) {
  if (phase_ != Phase::serving) return;
  const char* signal = ::sigabbrev_np(number);
  if (pools_.size() != 1) {
    base::log::warn(kSubject, "{} ignored: it does not say which of {} pools is meant; use drover scale POOL=N", signal, pools_.size());
    return;
  }
  PoolRunner& pool = pools_.front();
  const std::uint32_t now = pool.control().desired();
  const std::uint32_t wanted = number == SIGTTIN ? now + 1 : now - (now > 0 ? 1 : 0);
  if (wanted < 1 || wanted > pool.control().capacity()) {
    base::log::warn(kSubject, "{} ignored: {} has {}, and can have 1 to {}", signal, pool.config().name, workers(now), pool.control().capacity());
    return;
  }
  pool.scale(wanted, "signal");
}

}  // namespace drover::backends
