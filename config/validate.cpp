#include "config/validate.hpp"

#include "base/text.hpp"
#include "config/admin_socket.hpp"
#include "config/expand.hpp"
#include "config/judge.hpp"
#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace drover::config {

namespace {

class Validator : private Judge {
 public:
  using Judge::Judge;

  void pools();
  void listeners();

 private:
  void pool(const Pool& pool);
  void ports();
  void addresses();
};

void Validator::pools() {
  if (config.pools.empty() && !given("pool")) {
    mistake({}, "no pool: there is nothing to start", "the smallest file: [pool.web], and under it command = [\"program\", \"argument\"]");
  }
  if (config.pools.size() > kMaxPools) mistake(place_of(config, "pool"), "more than 256 pools", "run a second drover with a file of its own");
  for (const Pool& each : config.pools) pool(each);
  ports();
}

void Validator::pool(const Pool& pool) {
  const std::string path = "pool." + pool.name;
  const std::string shown = "[" + path + "]";
  if (!given(path + ".command")) {
    mistake(place_of(config, path), shown + " has no command", "like command = [\"php\", \"-S\", \"127.0.0.1:${PORT}\"]");
  }
  if (clean(path + ".command")) validate_variables(config, pool, mistakes);
  validate_pool(*this, pool);
  validate_resilience(*this, pool);
}

/// Every worker on a tcp endpoint needs a port of its own, successors in a rolling restart too.
void Validator::ports() {
  std::uint64_t workers = 0;
  std::uint64_t successors = 0;
  for (const Pool& pool : config.pools) {
    if (pool.endpoint != Endpoint::tcp) continue;
    const std::uint32_t most = pool.workers_max.value_or(pool.workers);
    workers += most;
    successors += std::min(pool.rolling.max_surge, most);
  }
  const std::uint64_t there = config.cluster.ports.last - config.cluster.ports.first + 1U;
  if (!clean("cluster.ports") || workers + successors <= there) return;
  mistake(place_of(config, "cluster.ports"),
          "ports: " + std::to_string(there) + (there == 1 ? " port" : " ports") + " for " + std::to_string(workers) +
              (workers == 1 ? " worker" : " workers") + " and " + std::to_string(successors) + (successors == 1 ? " successor" : " successors") +
              " (rolling.max_surge)",
          "twice as many as workers leave room for replacements");
}

bool same_address(const Bind& a, const Bind& b) {
  if (a.unix_path != b.unix_path) return false;
  if (a.unix_path) return a.path == b.path;
  const auto everywhere = [](const Bind& each) { return each.host.empty() || each.host == "0.0.0.0" || each.host == "::"; };
  const auto host = [](const Bind& each) { return each.host == "localhost" ? std::string("127.0.0.1") : each.host; };
  return a.port != 0 && a.port == b.port && (everywhere(a) || everywhere(b) || host(a) == host(b));
}

void Validator::listeners() {
  if (config.listeners.empty() && !given("listener")) {
    Listener only;
    only.name = "default";
    only.bind = Bind{.unix_path = false, .host = "127.0.0.1", .port = 3000, .path = {}, .text = "127.0.0.1:3000"};
    config.listeners.push_back(std::move(only));
  } else if (config.listeners.empty() && clean("listener")) {
    mistake(place_of(config, "listener"), "[listener] is empty", "write [listener.web], or take it out for one on 127.0.0.1:3000");
  }
  if (config.listeners.size() > kMaxListeners)
    mistake(place_of(config, "listener"), "more than 64 listeners", "run a second drover with a file of its own");
  for (const Listener& each : config.listeners) {
    if (each.per_client.burst > 0 && each.per_client.requests == 0 && clean("listener." + each.name + ".per_client.requests")) {
      warn("listener." + each.name + ".per_client.burst", "per_client.burst does nothing without requests");
    }
    const std::string path = "listener." + each.name + ".limits.";
    if (!clean(path + "target") || !clean(path + "head") || each.limits.target <= each.limits.head) continue;
    mistake(either(path + "head", path + "target"),
            "target (" + base::to_text(each.limits.target) + ") is larger than head (" + base::to_text(each.limits.head) + ")",
            "the target is a part of the head: raise head or lower target");
  }
  if (config.admin.socket.size() > kMaxSocketPath && clean("admin.socket")) {
    mistake(place_of(config, "admin.socket"), "socket: " + quoted(config.admin.socket) + " is too long for a Unix socket",
            "a path of at most 107 bytes");
  }
  addresses();
}

void Validator::addresses() {
  struct Taken {
    std::string section;
    std::string key;
    const Bind* bind;
  };
  std::vector<Taken> taken;
  const auto claim = [&](const std::string& section, const char* key, const Bind& bind) {
    const std::string full = section + "." + key;
    if (!clean(full)) return;
    for (const Taken& other : taken) {
      if (!same_address(*other.bind, bind)) continue;
      return mistake(place_of(config, given(full) ? full : other.key),
                     std::string(key) + ": " + quoted(bind.text) + " is already taken by [" + other.section + "] (" + quoted(other.bind->text) + ")",
                     bind.unix_path ? "give each its own path" : "give each its own port");
    }
    taken.push_back({section, full, &bind});
  };
  for (const Listener& each : config.listeners) claim("listener." + each.name, "bind", each.bind);
  if (config.admin.listen) claim("admin", "listen", *config.admin.listen);
  const Bind socket{.unix_path = true, .host = {}, .port = 0, .path = config.admin.socket, .text = config.admin.socket};
  if (!socket.path.empty()) claim("admin", "socket", socket);
}

/// One text with ${…}: its syntax, and names that the endpoint leaves without a value.
void check_text(const Pool& pool, const char* key, const std::string& text, Place place, std::vector<Mistake>& mistakes,
                std::set<std::string>& used) {
  const auto names = names_in(text);
  if (!names) {
    mistakes.push_back({place.line, place.column, std::string(key) + ": " + names.error().message, ""});
    return;
  }
  for (const std::string& name : *names) {
    used.insert(name);
    if (name == "SOCKET" && pool.endpoint == Endpoint::tcp) {
      mistakes.push_back(
          {place.line, place.column, std::string(key) + ": \"${SOCKET}\" has no value on a tcp endpoint", "use ${PORT}, or add endpoint = \"unix\""});
    } else if ((name == "PORT" || name == "HOST") && pool.endpoint == Endpoint::unix_path) {
      mistakes.push_back({place.line, place.column, std::string(key) + ": \"${" + name + "}\" has no value on a unix endpoint",
                          "use ${SOCKET}, or take endpoint = \"unix\" out"});
    }
  }
}

}  // namespace

bool Judge::clean(const std::string& name) const {
  const auto found = config.places.find(name);
  return found == config.places.end() || std::none_of(mistakes.begin(), mistakes.end(), [&](const Mistake& each) {
           return Place{each.line, each.column} == found->second;
         });
}

void Judge::mistake(Place place, std::string what, std::string hint) {
  mistakes.push_back({place.line, place.column, std::move(what), std::move(hint)});
}

void Judge::warn(const std::string& name, const std::string& what) { config.warnings.push_back(warning_text(config, place_of(config, name), what)); }

Place place_of(const Config& config, const std::string& name) {
  for (std::string at = name; !at.empty();) {
    const auto found = config.places.find(at);
    if (found != config.places.end()) return found->second;
    const std::size_t dot = at.rfind('.');
    at.resize(dot == std::string::npos ? 0 : dot);
  }
  return {};
}

std::string warning_text(const Config& config, Place place, const std::string& what) {
  std::string text = base::printable(config.file, 200);
  if (place.line > 0) text += ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
  return text + ": warning: " + what;
}

void validate_variables(const Config& config, const Pool& pool, std::vector<Mistake>& mistakes) {
  const std::string path = "pool." + pool.name;
  std::set<std::string> used;
  const std::size_t before = mistakes.size();
  for (std::size_t i = 0; i < pool.command.size(); ++i) {
    check_text(pool, "command", pool.command[i], place_of(config, path + ".command." + std::to_string(i)), mistakes, used);
  }
  const bool command_uses_socket = used.contains("SOCKET");
  for (const auto& [name, value] : pool.env) check_text(pool, "env", value, place_of(config, path + ".env." + name), mistakes, used);
  if (pool.endpoint == Endpoint::unix_path && !pool.command.empty() && !command_uses_socket && mistakes.size() == before) {
    const Place place = place_of(config, path + ".command");
    mistakes.push_back({place.line, place.column, "command: doesn't use ${SOCKET}, and endpoint is \"unix\"",
                        "the worker must be told where to listen, like \"--socket=${SOCKET}\""});
  }
}

void validate(Config& config, const Written& written, std::vector<Mistake>& mistakes) {
  Validator validator(config, mistakes);
  validator.pools();
  validator.listeners();
  Judge judge(config, mistakes);
  validate_dispatch(judge, written.listener_pools);
  validate_spills(judge, written.spills);
  validate_routes(judge, written.routes);
}

}  // namespace drover::config
