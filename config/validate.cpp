#include "config/validate.hpp"

#include "base/text.hpp"
#include "config/expand.hpp"
#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace drover::config {

namespace {

class Validator {
 public:
  Validator(Config& config, std::vector<Mistake>& mistakes) : config_(config), mistakes_(mistakes) {}

  void pools();
  void listeners();
  void routes(const std::vector<RouteNote>& notes);

 private:
  /// Given without a mistake of its own, or not given.
  bool clean(const std::string& name) const {
    const auto found = config_.places.find(name);
    return found == config_.places.end() || std::none_of(mistakes_.begin(), mistakes_.end(), [&](const Mistake& each) {
             return Place{each.line, each.column} == found->second;
           });
  }
  bool given(const std::string& name) const { return config_.places.contains(name); }
  void mistake(Place place, std::string what, std::string hint) { mistakes_.push_back({place.line, place.column, std::move(what), std::move(hint)}); }
  /// The one of two keys that was given; the second if both were.
  Place either(const std::string& first, const std::string& second) const { return place_of(config_, given(second) ? second : first); }

  void pool(const Pool& pool);
  void ports();
  void addresses();
  void route(const RouteNote& note);
  void no_route();
  std::string pool_names() const;

  Config& config_;
  std::vector<Mistake>& mistakes_;
};

void Validator::pools() {
  if (config_.pools.empty() && !given("pool")) {
    mistake({}, "no pool: there is nothing to start", "the smallest file: [pool.web], and under it command = [\"program\", \"argument\"]");
  }
  if (config_.pools.size() > kMaxPools) mistake(place_of(config_, "pool"), "more than 256 pools", "run a second drover with a file of its own");
  for (const Pool& each : config_.pools) pool(each);
  ports();
}

void Validator::pool(const Pool& pool) {
  const std::string path = "pool." + pool.name;
  const std::string shown = "[" + path + "]";
  if (!given(path + ".command")) {
    mistake(place_of(config_, path), shown + " has no command", "like command = [\"php\", \"-S\", \"127.0.0.1:${PORT}\"]");
  }
  if (clean(path + ".command")) validate_variables(config_, pool, mistakes_);
  const std::string delay = path + ".restart.delay";
  const std::string max_delay = path + ".restart.max_delay";
  if (clean(delay) && clean(max_delay) && pool.restart.delay > pool.restart.max_delay) {
    mistake(either(delay, max_delay),
            "delay (" + base::to_text(pool.restart.delay) + ") is longer than max_delay (" + base::to_text(pool.restart.max_delay) + ")",
            "delay doubles until it is max_delay: raise max_delay or lower delay");
  }
  for (const auto& [table, http] : {std::pair("ready", &pool.ready.http), std::pair("health", &pool.health.http)}) {
    const std::string status = path + "." + table + ".status";
    if (given(status) && !given(path + "." + table + ".http")) {
      config_.warnings.push_back(warning_text(config_, place_of(config_, status), std::string(table) + ".status does nothing without http = \"/…\""));
    }
  }
}

/// Every worker on a tcp endpoint needs a port of its own.
void Validator::ports() {
  std::uint64_t wanted = 0;
  for (const Pool& pool : config_.pools) wanted += pool.endpoint == Endpoint::tcp ? pool.workers : 0;
  const std::uint64_t there = config_.cluster.ports.last - config_.cluster.ports.first + 1U;
  if (!clean("cluster.ports") || wanted <= there) return;
  mistake(place_of(config_, "cluster.ports"),
          "ports: " + std::to_string(there) + (there == 1 ? " port" : " ports") + " for " + std::to_string(wanted) + " workers",
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
  if (config_.listeners.empty() && !given("listener")) {
    Listener only;
    only.name = "default";
    only.bind = Bind{.unix_path = false, .host = "127.0.0.1", .port = 3000, .path = {}, .text = "127.0.0.1:3000"};
    config_.listeners.push_back(std::move(only));
  } else if (config_.listeners.empty() && clean("listener")) {
    mistake(place_of(config_, "listener"), "[listener] is empty", "write [listener.web], or take it out for one on 127.0.0.1:3000");
  }
  if (config_.listeners.size() > kMaxListeners)
    mistake(place_of(config_, "listener"), "more than 64 listeners", "run a second drover with a file of its own");
  for (const Listener& each : config_.listeners) {
    const std::string path = "listener." + each.name + ".limits.";
    if (!clean(path + "target") || !clean(path + "head") || each.limits.target <= each.limits.head) continue;
    mistake(either(path + "head", path + "target"),
            "target (" + base::to_text(each.limits.target) + ") is larger than head (" + base::to_text(each.limits.head) + ")",
            "the target is a part of the head: raise head or lower target");
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
      return mistake(place_of(config_, given(full) ? full : other.key),
                     std::string(key) + ": " + quoted(bind.text) + " is already taken by [" + other.section + "] (" + quoted(other.bind->text) + ")",
                     "give each its own port");
    }
    taken.push_back({section, full, &bind});
  };
  for (const Listener& each : config_.listeners) claim("listener." + each.name, "bind", each.bind);
  if (config_.admin.listen) claim("admin", "listen", *config_.admin.listen);
}

std::string Validator::pool_names() const {
  std::string all;
  for (const Pool& pool : config_.pools) all += (all.empty() ? "" : ", ") + pool.name;
  return base::printable(all, 200);
}

void Validator::routes(const std::vector<RouteNote>& notes) {
  if (notes.empty()) return no_route();
  if (notes.size() > kMaxRoutes) mistake(place_of(config_, notes[kMaxRoutes].name), "more than 4096 routes", "join routes that lead to one pool");
  for (const RouteNote& note : notes) route(note);
  std::map<std::pair<std::string, std::string>, Place> seen;
  for (const RouteNote& note : notes) {
    if (note.misread) continue;
    const auto [first, fresh] = seen.try_emplace({note.route.host, note.route.path}, place_of(config_, note.name));
    if (fresh) continue;
    mistake(
        place_of(config_, note.name),
        "host " + quoted(note.route.host) + " path " + quoted(note.route.path) + " is already routed in line " + std::to_string(first->second.line),
        "one route for each host and path");
  }
  std::set<std::uint32_t> reached;
  for (const Route& each : config_.routes) reached.insert(each.pool);
  for (std::uint32_t i = 0; mistakes_.empty() && i < config_.pools.size(); ++i) {
    if (reached.contains(i)) continue;
    config_.warnings.push_back(warning_text(config_, place_of(config_, "pool." + config_.pools[i].name),
                                            "no route leads to [pool." + config_.pools[i].name + "]: its workers run and get no request"));
  }
}

void Validator::route(const RouteNote& note) {
  if (note.route.path.find('?') != std::string::npos) {
    mistake(place_of(config_, note.name + ".path"), "path: " + quoted(note.route.path) + " has a query",
            "routes look at the path alone: end it before the '?'");
  }
  Route route = note.route;
  if (note.pool.empty()) {
    if (!given(note.name + ".pool") && config_.pools.size() != 1)
      mistake(place_of(config_, note.name), "this route has no pool", "pool = one of: " + pool_names());
  } else {
    std::vector<std::string_view> names;
    for (const Pool& pool : config_.pools) names.push_back(pool.name);
    const auto found = std::find(names.begin(), names.end(), note.pool);
    if (found == names.end()) {
      mistake(place_of(config_, note.name + ".pool"), "there is no pool " + quoted(note.pool), names.empty() ? "" : suggest(note.pool, names));
      return;
    }
    route.pool = static_cast<std::uint32_t>(found - names.begin());
  }
  config_.routes.push_back(std::move(route));
}

void Validator::no_route() {
  if (config_.pools.size() == 1) {
    config_.routes.push_back(Route{});
  } else if (config_.pools.size() > 1) {
    mistake(place_of(config_, "pool." + config_.pools[1].name), "more than one pool, and no [[route]] says which gets what",
            "add [[route]] with path = \"/\" and pool = " + quoted(config_.pools[0].name) + ", and one for each further pool");
  }
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

void validate(Config& config, const std::vector<RouteNote>& routes, std::vector<Mistake>& mistakes) {
  Validator validator(config, mistakes);
  validator.pools();
  validator.listeners();
  validator.routes(routes);
}

}  // namespace drover::config
