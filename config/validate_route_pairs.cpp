// What only a comparison of routes can tell: which two are for the same requests, and which order nobody will have meant.
#include "base/host_name.hpp"
#include "base/path_readings.hpp"
#include "base/text.hpp"
#include "config/judge.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace drover::config {

namespace {

using Conditions = std::vector<std::pair<std::string, std::string>>;

/// A route as the router (balancer/routes.hpp) will see it.
struct Seen {
  const RouteNote* note = nullptr;
  std::string host;
  std::string path;
  Conditions conditions;  ///< neither their order nor the case of their names means anything
};

std::string host_of(const Route& route) {
  const bool suffix = route.host.starts_with("*.");
  return (suffix ? "*" : "") + std::string(base::HostName(std::string_view(route.host).substr(suffix ? 1 : 0)).text());
}

Seen seen(const RouteNote& note) {
  Seen out{.note = &note, .host = host_of(note.route), .path = {}, .conditions = {}};
  base::read_path(note.route.path, base::Reading::plain, out.path);
  for (const Field& each : note.route.headers) out.conditions.emplace_back(base::lowered(each.name), each.value);
  std::ranges::sort(out.conditions);
  return out;
}

class RoutePairs {
 public:
  RoutePairs(Judge& judge, const std::vector<RouteNote>& notes) : judge_(judge) {
    for (const RouteNote& note : notes) {
      if (!note.misread) routes_.push_back(seen(note));
    }
  }

  void run() {
    twins();
    by_alphabet();
    circles();
    cookies();
  }

 private:
  void twins();
  void by_alphabet();
  void circles();
  bool leads_back(const Seen& route) const;
  void cookies();
  void cookies_of(const std::vector<std::uint32_t>& pools);
  Place place(const RouteNote& note) const { return place_of(judge_.config, note.name); }

  Judge& judge_;
  std::vector<Seen> routes_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> cookies_told_;
};

/// Two routes of one rank that are both for some request: neither would go before the other. Fewer methods go before more (balancer/routes.hpp).
void RoutePairs::twins() {
  using Rank = std::tuple<std::string, std::string, bool, Conditions, std::size_t, std::string>;
  std::map<Rank, const RouteNote*> known;
  for (const Seen& each : routes_) {
    const Route& route = each.note->route;
    std::vector<std::string> methods = route.methods;
    if (methods.empty()) methods.emplace_back();
    for (const std::string& method : methods) {
      const auto [first, fresh] = known.try_emplace({each.host, each.path, route.exact, each.conditions, route.methods.size(), method}, each.note);
      if (fresh) continue;
      const RouteNote& other = *first->second;
      judge_.mistake(place(*each.note),
                     "host " + quoted(route.host) + " path " + quoted(route.path) + (method.empty() ? "" : " method " + method) +
                         (route.headers.empty() ? "" : " with the same headers") + " is already routed in line " + std::to_string(place(other).line) +
                         (other.route.host == route.host ? "" : ", as host " + quoted(other.route.host)) +
                         (other.route.path == route.path ? "" : ", as path " + quoted(other.route.path)),
                     "one route for each host and path; more by exact, methods or headers");
      break;
    }
  }
}

/// May one request have all of both? Not where they want two values of one field.
bool together(const Conditions& a, const Conditions& b) {
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() && right != b.end()) {
    if (left->first == right->first) {
      if (left->second != right->second && left->second != "*" && right->second != "*") return false;
      ++left;
      ++right;
    } else {
      ++(left->first < right->first ? left : right);
    }
  }
  return true;
}

bool share_a_method(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return (a.empty() && b.empty()) || std::ranges::any_of(a, [&](const std::string& each) { return std::ranges::find(b, each) != b.end(); });
}

/// As many methods, conditions and values, so that only the alphabet says which of two goes first. Each route is told of one.
void RoutePairs::by_alphabet() {
  using Rank = std::tuple<std::string, std::string, bool, std::size_t, std::size_t, std::ptrdiff_t>;
  std::map<Rank, std::vector<const Seen*>> even;
  for (const Seen& each : routes_) {
    if (each.conditions.empty()) continue;
    const Route& route = each.note->route;
    const auto values = std::ranges::count_if(each.conditions, [](const auto& condition) { return condition.second != "*"; });
    auto& others = even[{each.host, each.path, route.exact, route.methods.size(), each.conditions.size(), values}];
    const auto rival = std::ranges::find_if(others, [&](const Seen* other) {
      return other->conditions != each.conditions && together(other->conditions, each.conditions) &&
             share_a_method(other->note->route.methods, route.methods);
    });
    if (rival != others.end()) {
      judge_.warn(each.note->name + ".headers",
                  "headers: a request can have these and those of the route in line " + std::to_string(place(*(*rival)->note).line) +
                      ", and only the alphabet decides which goes first: give the one that should win the other's, too");
    }
    others.push_back(&each);
  }
}

bool covers(const Seen& route, const std::string& path) {
  if (route.note->route.exact || !path.starts_with(route.path)) return path == route.path;
  return path.size() == route.path.size() || route.path.ends_with('/') || path[route.path.size()] == '/';
}

/// For some of the requests that both are for.
bool may_go_before(const Seen& other, const Seen& route) {
  const Route& rival = other.note->route;
  if (other.host != route.host) return route.host.starts_with('*') && other.host != "*";
  if (rival.exact != route.note->route.exact) return rival.exact;
  if (other.path.size() != route.path.size()) return other.path.size() > route.path.size();
  return !rival.methods.empty() || !rival.headers.empty();
}

/// As far as the text tells: to a path of drover's own that no longer route takes. Which headers the next request has nobody knows.
bool RoutePairs::leads_back(const Seen& route) const {
  const Route& own = route.note->route;
  const std::string& to = own.redirect.to;
  if (!own.headers.empty() || !(own.methods.empty() || std::ranges::find(own.methods, "GET") != own.methods.end())) return false;
  const std::string address = to.substr(0, std::min(to.find('?'), to.find("${query}")));
  if (address == "${path}") return own.strip.empty() && own.prefix.empty();
  if (!address.starts_with('/') || address.find("${") != std::string::npos) return false;
  std::string path;
  base::read_path(address, base::Reading::plain, path);
  return covers(route, path) &&
         std::ranges::none_of(routes_, [&](const Seen& other) { return &other != &route && covers(other, path) && may_go_before(other, route); });
}

void RoutePairs::circles() {
  for (const Seen& each : routes_) {
    if (each.note->route.redirect.to.empty() || !leads_back(each)) continue;
    judge_.warn(each.note->name + ".redirect.to",
                "redirect.to: " + quoted(each.note->route.redirect.to) + " leads back to this route: clients would go round in a circle");
  }
}

/// Pools that one client may meet by turns must not take each other's cookie for a forged one.
void RoutePairs::cookies() {
  const auto& pools = judge_.config.pools;
  for (const Route& route : judge_.config.routes) {
    if (route.answered_here()) continue;
    std::vector<std::uint32_t> met;
    if (route.split.empty() && route.pool < pools.size()) met.push_back(route.pool);
    for (const Route::Part& part : route.split) met.push_back(part.pool);
    for (std::size_t i = 0; i < met.size(); ++i) {
      const auto next = pools[met[i]].spill_to;
      if (next && std::ranges::find(met, *next) == met.end()) met.push_back(*next);
    }
    cookies_of(met);
  }
}

void RoutePairs::cookies_of(const std::vector<std::uint32_t>& pools) {
  for (std::size_t i = 0; i < pools.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto [first, second] = std::minmax(pools[i], pools[j]);
      const Pool& a = judge_.config.pools[first];
      const Pool& b = judge_.config.pools[second];
      if (a.sticky.cookie.empty() || a.sticky.cookie != b.sticky.cookie || !cookies_told_.emplace(first, second).second) continue;
      judge_.warn("pool." + b.name + ".sticky.cookie", "sticky.cookie: " + quoted(b.sticky.cookie) + " is also that of [pool." + a.name +
                                                           "], and one route leads to both (split, spill_to): each would end the other's sessions; "
                                                           "give each a name of its own");
    }
  }
}

}  // namespace

void validate_route_pairs(Judge& judge, const std::vector<RouteNote>& notes) { RoutePairs(judge, notes).run(); }

}  // namespace drover::config
