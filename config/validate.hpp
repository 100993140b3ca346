// Role: what only the whole file can tell: relations between keys, names that must exist, what may stand only once.
// Thread: any; pure. Ownership: refers to the caller's Config and list.
#pragma once

#include "config/parse.hpp"

#include <map>
#include <string>
#include <vector>

namespace drover::config {

/// A route as read, before its pool is known.
struct RouteNote {
  Route route;
  std::string name;  ///< "route.0": its places stand under it
  std::string pool;  ///< "" = not given
  std::vector<std::pair<std::string, std::uint32_t>> split;
  bool misread = false;  ///< has a mistake of its own: not compared with others, or one mistake would make two
};

/// What names pools, as written, until all pools are known.
struct Written {
  std::map<std::string, std::string> listener_pools;  ///< by listener
  std::map<std::string, std::string> spills;          ///< `spill_to` by pool
  std::vector<RouteNote> routes;
};

/// Completes `config` (routes, default listener, whose listener is whose) and adds mistakes and warnings. Relations that involve a key with a mistake
/// of its own are not judged.
void validate(Config& config, const Written& written, std::vector<Mistake>& mistakes);

/// Mistakes of ${…} in a pool's command and environment that are knowable from the file alone.
void validate_variables(const Config& config, const Pool& pool, std::vector<Mistake>& mistakes);

/// "file:line:column: warning: what (hint)".
std::string warning_text(const Config& config, Place place, const std::string& what);
/// Where `name` was given, or where the nearest thing around it was; line 0: nowhere.
Place place_of(const Config& config, const std::string& name);

}  // namespace drover::config
