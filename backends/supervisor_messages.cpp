// Messages and shared state on behalf of the operator.
#include "backends/supervisor.hpp"

#include "ipc/message.hpp"

#include <algorithm>
#include <cerrno>

namespace drover::backends {

namespace {

namespace json = boost::json;

constexpr std::size_t kStateWatchesMost = 64;

/// "": all keys; "a*": those that begin with a.
bool matches(const std::string& pattern, const std::string& key) {
  if (pattern.empty()) return true;
  if (pattern.back() != '*') return pattern == key;
  return key.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
}

}  // namespace

std::optional<std::uint32_t> Supervisor::find_pool(std::string_view name) const {
  const auto found = std::ranges::find(pools_, name, [](const PoolRunner& pool) -> std::string_view { return pool.config().name; });
  return found == pools_.end() ? std::nullopt : std::optional(static_cast<std::uint32_t>(found - pools_.begin()));
}

std::optional<base::Incarnation> Supervisor::present(std::uint32_t pool, std::uint32_t slot) const {
  if (pool >= pools_.size() || slot == 0 || slot > pools_[pool].control().size()) return std::nullopt;
  return pools_[pool].control().slot(slot).incarnation;
}

base::Result<std::size_t> Supervisor::send_message(const Target& target, const std::string& type, const json::value& data) {
  if (const auto known = find_target(target); !known) return known.error();
  return switchboard_.send(target, type, data);
}

base::Result<RequestNumber> Supervisor::request(const Target& target, const std::string& type, const json::value& data, base::Millis timeout,
                                                AnswerWatcher watcher) {
  if (const auto known = find_target(target); !known) return known.error();
  return switchboard_.request(target, type, data, timeout, std::move(watcher));
}

void Supervisor::forget_request(RequestNumber number) { switchboard_.forget(number); }

base::Result<json::value> Supervisor::state(const std::string& pool, const json::object& request) {
  const auto index = find_target({pool, {}});
  if (!index) return index.error();
  const ipc::Message message{ipc::MessageKind::state, request};
  if (message.type() == "state:subscribe" || message.type() == "state:unsubscribe") {
    return base::Error{"only a worker can subscribe to shared state; an operator watches it", EINVAL};
  }
  auto answer = pools_[*index].state().handle(0, message, base::Clock::now());
  plan();  // it may expire sooner than anything did before
  return answer;
}

base::Result<StateWatchId> Supervisor::watch_state(const std::string& pool, const std::string& key, StateWatcher watcher) {
  const auto index = find_target({pool, {}});
  if (!index) return index.error();
  if (state_watches_.size() >= kStateWatchesMost) {
    return base::Error{"shared state is watched " + std::to_string(kStateWatchesMost) + " times already; end one of them", EBUSY};
  }
  const std::uint64_t watch = pools_[*index].state().store().watch([key, watcher = std::move(watcher)](const ipc::StateChange& change) {
    if (!matches(key, change.key)) return;
    json::object told{{"key", change.key}};
    if (change.value != nullptr) told["value"] = *change.value;
    if (change.old_value != nullptr) told["oldValue"] = *change.old_value;
    watcher(told);
  });
  state_watches_[++last_state_watch_] = {*index, watch};
  return last_state_watch_;
}

void Supervisor::unwatch_state(StateWatchId id) {
  const auto found = state_watches_.find(id);
  if (found == state_watches_.end()) return;
  pools_[found->second.pool].state().store().unwatch(found->second.watch);
  state_watches_.erase(found);
}

}  // namespace drover::backends
