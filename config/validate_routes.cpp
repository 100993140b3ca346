// Where requests go: each route's pools exist, and each pool's requests come by some route.
#include "base/text.hpp"
#include "config/judge.hpp"
#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

namespace drover::config {

namespace {

class RouteJudge : private Judge {
 public:
  explicit RouteJudge(const Judge& judge) : Judge(judge) {}

  void routes(const std::vector<RouteNote>& notes);

 private:
  void unreached();
  void route(const RouteNote& note);
  void targets(const RouteNote& note, Route& route);
  void by_proxy(const RouteNote& note, const std::string& key, std::uint32_t pool);
  std::optional<std::uint32_t> find(const RouteNote& note, const std::string& key, const std::string& pool);
  bool one_answer(const RouteNote& note);
  void no_route();
  std::string pool_names() const;
};

std::string RouteJudge::pool_names() const {
  std::string all;
  for (const Pool& pool : config.pools) all += (all.empty() ? "" : ", ") + pool.name;
  return base::printable(all, 200);
}

void RouteJudge::routes(const std::vector<RouteNote>& notes) {
  if (notes.empty()) return no_route();
  if (notes.size() > kMaxRoutes) {
    return mistake(place_of(config, notes[kMaxRoutes].name), "more than 4096 routes", "join routes that lead to one pool");
  }
  for (const RouteNote& note : notes) route(note);
  validate_route_pairs(*this, notes);
  unreached();
}

void RouteJudge::unreached() {
  if (!mistakes.empty()) return;
  std::set<std::uint32_t> reached;
  for (const Route& each : config.routes) {
    for (const Route::Part& part : each.split) reached.insert(part.pool);
    if (!each.answered_here() && each.split.empty()) reached.insert(each.pool);
  }
  for (std::size_t rounds = 0; rounds < kMaxSpills; ++rounds) {
    for (const Pool& each : config.pools) {
      if (each.spill_to && reached.contains(static_cast<std::uint32_t>(&each - config.pools.data()))) reached.insert(*each.spill_to);
    }
  }
  for (std::uint32_t i = 0; i < config.pools.size(); ++i) {
    if (reached.contains(i) || config.pools[i].dispatch != Dispatch::proxy) continue;
    config.warnings.push_back(warning_text(config, place_of(config, "pool." + config.pools[i].name),
                                           "no route leads to [pool." + config.pools[i].name + "]: its workers run and get no request"));
  }
}

/// Does the route say in one way only what happens to its requests?
bool RouteJudge::one_answer(const RouteNote& note) {
  const std::array<std::pair<const char*, bool>, 4> ways{{{"pool", given(note.name + ".pool")},
                                                          {"split", !note.split.empty()},
                                                          {"redirect", given(note.name + ".redirect.to")},
                                                          {"respond", given(note.name + ".respond.status")}}};
  const char* first = nullptr;
  for (const auto& [key, said] : ways) {
    if (said && first != nullptr) {
      mistake(place_of(config, note.name + "." + key), std::string(key) + ": this route has " + first + " already",
              "a route has one of: pool, split, redirect, respond");
      return false;
    }
    if (said) first = key;
  }
  return true;
}

std::optional<std::uint32_t> RouteJudge::find(const RouteNote& note, const std::string& key, const std::string& pool) {
  std::vector<std::string_view> names;
  for (const Pool& each : config.pools) names.push_back(each.name);
  const auto found = std::ranges::find(names, pool);
  if (found != names.end()) return static_cast<std::uint32_t>(found - names.begin());
  mistake(place_of(config, note.name + "." + key), "there is no pool " + quoted(pool), names.empty() ? "" : suggest(pool, names));
  return std::nullopt;
}

void RouteJudge::by_proxy(const RouteNote& note, const std::string& key, std::uint32_t pool) {
  if (pool >= config.pools.size()) return;
  const Pool& target = config.pools[pool];
  if (target.dispatch == Dispatch::proxy || !clean("pool." + target.name + ".dispatch")) return;
  mistake(place_of(config, note.name + "." + key), "no request of [pool." + target.name + "] passes the proxy: nothing can be routed to it",
          "take this [[route]] out: all that comes by its listener is the pool's, or write dispatch = \"proxy\"");
}

void RouteJudge::targets(const RouteNote& note, Route& route) {
  if (given(note.name + ".redirect") || given(note.name + ".respond")) return;
  if (given(note.name + ".split")) {
    if (!clean(note.name + ".split")) return;
    for (const auto& [name, weight] : note.split) {
      const auto pool = find(note, "split." + name, name);
      if (!pool) continue;
      by_proxy(note, "split." + name, *pool);
      route.split.push_back({*pool, weight});
    }
    return;
  }
  if (note.pool.empty()) {
    if (!given(note.name + ".pool") && config.pools.size() != 1)
      mistake(place_of(config, note.name), "this route has no pool", "pool = one of: " + pool_names());
  } else if (const auto pool = find(note, "pool", note.pool)) {
    route.pool = *pool;
  } else {
    return;
  }
  by_proxy(note, "pool", route.pool);
}

void RouteJudge::route(const RouteNote& note) {
  Route route = note.route;
  if (one_answer(note)) targets(note, route);
  validate_route(*this, note);
  config.routes.push_back(std::move(route));
}

/// Only of pools that the proxy brings requests to.
void RouteJudge::no_route() {
  std::vector<std::uint32_t> routed;
  for (std::uint32_t i = 0; i < config.pools.size(); ++i) {
    if (config.pools[i].dispatch == Dispatch::proxy) routed.push_back(i);
  }
  if (routed.size() == 1) {
    config.routes.push_back(Route{.pool = routed[0]});
  } else if (routed.size() > 1) {
    mistake(place_of(config, "pool." + config.pools[routed[1]].name), "more than one pool, and no [[route]] says which gets what",
            "add [[route]] with path = \"/\" and pool = " + quoted(config.pools[routed[0]].name) + ", and one for each further pool");
  }
}

}  // namespace

void validate_routes(Judge& judge, const std::vector<RouteNote>& notes) { RouteJudge(judge).routes(notes); }

}  // namespace drover::config
