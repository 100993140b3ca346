// Who accepts a pool's clients, and what follows for its listeners and for keys that only the proxy knows.
#include "base/text.hpp"
#include "config/judge.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>

namespace drover::config {

namespace {

const char* name_of(Dispatch dispatch) {
  switch (dispatch) {
    case Dispatch::proxy: return "proxy";
    case Dispatch::handoff: return "handoff";
    case Dispatch::shared: return "shared";
  }
  return "";
}

std::string_view program_of(const Pool& pool) {
  std::string_view program = pool.command.empty() ? std::string_view() : pool.command.front();
  program.remove_prefix(program.rfind('/') + 1);  // npos + 1 is 0
  return program;
}

/// Of one pool; `path` is "pool.shop.".
class DispatchJudge {
 public:
  DispatchJudge(Judge& judge, const Pool& pool) : judge_(judge), pool_(pool), path_("pool." + pool.name + ".") {}

  void run() {
    node();
    if (pool_.dispatch == Dispatch::proxy || !clean("dispatch")) return;
    if (pool_.dispatch == Dispatch::handoff) handoff();
    if (pool_.dispatch == Dispatch::shared) shared();
    only_by_proxy();
    silent_keys();
  }

 private:
  bool clean(const std::string& key) const { return judge_.clean(path_ + key); }
  Place place(const std::string& key) const { return place_of(judge_.config, path_ + key); }
  std::string dispatch() const { return "dispatch = \"" + std::string(name_of(pool_.dispatch)) + "\""; }
  void refuse(const std::string& key, const std::string& why, std::string fix) {
    if (clean(key)) judge_.mistake(place(key), key + ": " + why, std::move(fix));
  }
  void vain(const std::string& key, bool said) {
    if (said && clean(key)) judge_.warn(path_ + key, key + " does nothing with " + dispatch() + ": no request passes the proxy");
  }

  void node();
  void swallowed_channel();
  void handoff();
  void shared();
  void only_by_proxy();
  void silent_keys();

  Judge& judge_;
  const Pool& pool_;
  std::string path_;
};

void DispatchJudge::node() {
  if (!clean("node") || !clean("command")) return;
  if (pool_.node_port && node_mode(pool_) != NodeMode::cluster) {
    refuse("node_port", "only Node's cluster module asks drover for its ports",
           pool_.node == "auto" || pool_.node == "off" ? "add node = \"cluster\" if the command runs a Node program, or take node_port out"
                                                       : "take node_port out, or write node = \"cluster\"");
  }
  if (pool_.node == "cluster" || pool_.node == "fork") swallowed_channel();
}

/// The channel is a descriptor that the program itself has to inherit.
void DispatchJudge::swallowed_channel() {
  constexpr std::array<std::string_view, 7> kShells{"sh", "bash", "dash", "ash", "ksh", "zsh", "env"};
  constexpr std::array<std::string_view, 5> kRunners{"npm", "npx", "yarn", "pnpm", "corepack"};
  const std::string_view program = program_of(pool_);
  const bool runner = std::ranges::find(kRunners, program) != kRunners.end();
  const bool shell = std::ranges::find(kShells, program) != kShells.end() && program != "env";
  const bool becomes_it = std::ranges::any_of(pool_.command, [](const std::string& each) { return each.find("exec ") != std::string::npos; });
  if (!runner && (!shell || becomes_it)) return;
  judge_.warn(path_ + "node", "node: " + quoted(program) +
                                  " starts the program as its own child, which hears nothing of the channel: write command = " +
                                  (runner ? "[\"node\", \"server.js\"]" : "[\"node\", \"server.js\"], or let the shell exec it"));
}

void DispatchJudge::handoff() {
  if (!clean("node") || !clean("command") || node_mode(pool_) == NodeMode::cluster) return;
  judge_.mistake(place("dispatch"), "dispatch: \"handoff\" passes connections over Node's cluster protocol, and node is not \"cluster\"",
                 "add node = \"cluster\" if the command runs a Node program; any other server that takes a listening socket: \"shared\"");
}

/// Nobody can say which worker answers a request on a socket that all of them accept on.
void DispatchJudge::shared() {
  const auto probe = [this](const std::string& key, const std::string& http) {
    if (!http.empty()) refuse(key, "can't ask one worker alone: with dispatch = \"shared\" any of them would answer", "take http out");
  };
  probe("ready.http", pool_.ready.http);
  probe("health.http", pool_.health.http);
  if (pool_.strategy != Pool{}.strategy && clean("strategy")) {
    judge_.warn(path_ + "strategy", "strategy does nothing with " + dispatch() + ": the kernel chooses");
  }
}

void DispatchJudge::only_by_proxy() {
  const std::string with = "can't be with " + dispatch();
  if (pool_.endpoint == Endpoint::unix_path) refuse("endpoint", with + ": clients come by the listener's socket", "take endpoint out");
  if (pool_.concurrency > 0) refuse("concurrency", with + ": drover does not count these workers' connections", "take concurrency out");
  if (pool_.idle_stop) refuse("idle_stop", with + ": drover does not see their requests", "take idle_stop out");
  if (pool_.workers_max) {
    refuse("workers", "a range " + with + ": there is no load seen to scale by", "one number, like workers = " + std::to_string(*pool_.workers_max));
  }
}

/// Values, not words: a default that is said aloud is nobody's mistake.
void DispatchJudge::silent_keys() {
  const Pool usual;
  vain("keepalive", pool_.keepalive != usual.keepalive);
  vain("drain.tunnel", pool_.drain.tunnel != usual.drain.tunnel);
  vain("timeouts", pool_.timeouts != usual.timeouts);
  vain("retry", pool_.retry != usual.retry);
  vain("queue.max", pool_.queue.max != usual.queue.max);
  if (pool_.dispatch == Dispatch::shared) vain("queue.wait", pool_.queue.wait != usual.queue.wait);
  vain("recycle.requests", pool_.recycle.requests.has_value());
  vain("hang", pool_.hang != usual.hang);
  vain("outlier", pool_.outlier != usual.outlier);
  vain("killer", pool_.killer != usual.killer);
}

/// Which listener is whose.
class Doors {
 public:
  Doors(Judge& judge, const std::map<std::string, std::string>& written) : judge_(judge), written_(written) {}

  void run() {
    for (Listener& each : judge_.config.listeners) named(each);
    only_one();
    for (std::uint32_t i = 0; i < judge_.config.pools.size(); ++i) has_one(i);
    for (const Listener& each : judge_.config.listeners) leads_somewhere(each);
  }

 private:
  void named(Listener& listener);
  void only_one();
  void has_one(std::uint32_t pool);
  void leads_somewhere(const Listener& listener);
  bool clean(const Pool& pool) const { return judge_.clean("pool." + pool.name + ".dispatch"); }

  Judge& judge_;
  const std::map<std::string, std::string>& written_;
  bool misnamed_ = false;
};

void Doors::named(Listener& listener) {
  const auto written = written_.find(listener.name);
  if (written == written_.end()) return;
  const auto& pools = judge_.config.pools;
  const Place place = place_of(judge_.config, "listener." + listener.name + ".pool");
  const auto found = std::ranges::find(pools, written->second, &Pool::name);
  misnamed_ = misnamed_ || found == pools.end() || !clean(*found);
  if (found == pools.end()) {
    std::vector<std::string_view> names;
    for (const Pool& each : pools) names.push_back(each.name);
    return judge_.mistake(place, "pool: there is no pool " + quoted(written->second), names.empty() ? "" : suggest(written->second, names));
  }
  if (found->dispatch != Dispatch::proxy) {
    listener.pool = static_cast<std::uint32_t>(found - pools.begin());
  } else if (clean(*found)) {
    misnamed_ = true;
    judge_.mistake(place, "pool: the proxy brings [pool." + found->name + "] its requests, by [[route]]",
                   "take pool out, or write dispatch = \"shared\" or \"handoff\" in [pool." + found->name + "]");
  }
}

void Doors::only_one() {
  Config& config = judge_.config;
  if (config.pools.size() != 1 || config.listeners.size() != 1 || misnamed_) return;
  if (config.pools[0].dispatch != Dispatch::proxy) config.listeners[0].pool = 0;
}

void Doors::has_one(std::uint32_t pool) {
  const Pool& it = judge_.config.pools[pool];
  const bool has = std::ranges::any_of(judge_.config.listeners, [pool](const Listener& each) { return each.pool == pool; });
  if (it.dispatch == Dispatch::proxy || has || misnamed_ || !clean(it)) return;
  judge_.mistake(place_of(judge_.config, "pool." + it.name + ".dispatch"),
                 "dispatch: [pool." + it.name + "] is \"" + name_of(it.dispatch) + "\", and no listener is its own",
                 "add pool = " + quoted(it.name) + " to a [listener.NAME]");
}

void Doors::leads_somewhere(const Listener& listener) {
  const std::string path = "listener." + listener.name;
  const auto& pools = judge_.config.pools;
  if (listener.pool) {
    const auto vain = [&](const char* key, bool said) {
      if (said) judge_.warn(path + "." + key, std::string(key) + " does nothing on a listener with a pool: its connections never come to the proxy");
    };
    Listener::Limits usual;
    usual.connections = listener.limits.connections;
    vain("timeouts", listener.timeouts != Listener::Timeouts{});
    vain("limits", listener.limits != usual);
    vain("rates", listener.rates != Listener::Rates{});
    vain("per_client", listener.per_client != Listener::PerClient{});
    return;
  }
  const auto by_proxy = [this](const Pool& each) { return each.dispatch == Dispatch::proxy || !clean(each); };
  if (pools.empty() || misnamed_ || std::ranges::any_of(pools, by_proxy)) return;
  judge_.mistake(place_of(judge_.config, path), "[" + path + "] has no pool, and no pool gets its requests by the proxy",
                 "add pool = " + quoted(pools.front().name) + ", or take the listener out");
}

}  // namespace

void validate_dispatch(Judge& judge, const std::map<std::string, std::string>& listener_pools) {
  for (const Pool& each : judge.config.pools) DispatchJudge(judge, each).run();
  Doors(judge, listener_pools).run();
}

}  // namespace drover::config
