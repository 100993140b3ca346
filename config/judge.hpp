// Role: what the checks of a whole file share: what was given, which of it has a mistake of its own, and where to complain.
// Thread: any; one per parse. Ownership: refers to the caller's Config and list.
#pragma once

#include "config/parse.hpp"
#include "config/validate.hpp"

#include <map>
#include <string>
#include <vector>

namespace drover::config {

class Judge {
 public:
  Judge(Config& of, std::vector<Mistake>& into) : config(of), mistakes(into) {}

  /// Given without a mistake of its own, or not given.
  bool clean(const std::string& name) const;
  bool given(const std::string& name) const { return config.places.contains(name); }
  void mistake(Place place, std::string what, std::string hint);
  void warn(const std::string& name, const std::string& what);
  /// The one of two keys that was given; the second if both were.
  Place either(const std::string& first, const std::string& second) const { return place_of(config, given(second) ? second : first); }

  Config& config;
  std::vector<Mistake>& mistakes;
};

/// Relations between the keys of one pool.
void validate_pool(Judge& judge, const Pool& pool);
/// The same for breaker, sticky, hash and what comes with them.
void validate_resilience(Judge& judge, const Pool& pool);
/// Who accepts each pool's clients; sets Listener::pool. `listener_pools`: the pool's name as written, by listener.
/// Sets Pool::spill_to. `spills`: the other pool's name as written, by pool.
void validate_spills(Judge& judge, const std::map<std::string, std::string>& spills);
/// Relations between the keys of one route, its pools apart.
void validate_route(Judge& judge, const RouteNote& note);
/// Relations between routes: twins, orders that only the alphabet decides, circles, cookies that collide. After validate_routes().
void validate_route_pairs(Judge& judge, const std::vector<RouteNote>& notes);
/// Makes Config::routes of what was read.
void validate_routes(Judge& judge, const std::vector<RouteNote>& notes);
void validate_dispatch(Judge& judge, const std::map<std::string, std::string>& listener_pools);

}  // namespace drover::config
