// Role: host, path, method and headers → route. Of all routes that fit the first by this order wins, wherever they stand in the file:
//       1. host: the exact one, then "*.suffix" (the longest first), then "*"
//       2. path: the whole one (`exact`), then prefixes on segment boundaries, the longest first
//       3. methods: routes that name methods before those that take any, fewer before more
//       4. headers: more conditions before fewer; then more with a value before more "*"
//       5. what is left, by the alphabet: methods, then headers. Two routes that agree in all of it are an error of the configuration.
//       A route whose methods or headers do not fit is passed over, and with it nothing else.
// Thread: any, read-only after construction. No allocation in match(). Ownership: copies what it needs from the config.
#pragma once

#include "config/model.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace drover::balancer {

/// Of one request. Header conditions ask for fields by name.
struct RouteAsk {
  std::string_view host;  ///< the Host header's value, port allowed, any case
  std::string_view path;  ///< the target's path, without query
  std::string_view method{};
  /// Calls `seen` with each value of that field (any case) until it returns true; returns whether one did. nullptr: no fields.
  using Seen = bool (*)(const void* wanted, std::string_view value);
  bool (*fields)(const void* request, std::string_view name, Seen seen, const void* wanted) = nullptr;
  const void* request = nullptr;
};

class Routes {
 public:
  explicit Routes(const config::Config& config);

  /// Position in Config::routes. The path is taken in its plain reading (base/path_readings.hpp).
  std::optional<std::uint32_t> match(const RouteAsk& ask) const;

  struct Choice {
    enum class Kind : std::uint8_t {
      none,     ///< no route fits
      found,    ///< `route`
      doubtful  ///< which one depends on who reads the path: it is for nobody
    };
    Kind kind = Kind::none;
    std::uint32_t route = 0;
  };
  /// For a path as sent. `scratch` is written only where the path has more than one reading.
  Choice choose(const RouteAsk& ask, std::string& scratch) const;

 private:
  /// One route at its host and path: what else it asks for.
  struct Candidate {
    std::uint32_t route = 0;
    std::vector<std::string> methods;    ///< sorted; empty: any
    std::vector<config::Field> headers;  ///< sorted
    bool rewrites = false;               ///< the path that the worker gets is not the client's
    bool fits(const RouteAsk& ask) const;
  };
  struct PathNode {
    std::string path;
    std::vector<Candidate> candidates;     ///< best first
    std::optional<std::uint32_t> shorter;  ///< prefixes: the longest other one that this one begins with
  };
  /// All paths of one host.
  struct Paths {
    std::vector<PathNode> whole;     ///< by path
    std::vector<PathNode> prefixes;  ///< by path
    const Candidate* find(const RouteAsk& ask) const;
    void put_in_order();
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Hosts = std::unordered_map<std::string, Paths, Hash, std::equal_to<>>;

  Paths& paths_of(const std::string& host);
  const Candidate* find(const RouteAsk& ask) const;

  Hosts exact_;                              ///< lower case, no port; IPv6 in its shortest form, no brackets
  Hosts suffix_;                             ///< with its dot, ".example.com"
  std::vector<std::size_t> suffix_lengths_;  ///< each once, the longest first
  Paths any_;
  bool by_path_ = false;  ///< does the choice, or what becomes of it, depend on the path?
};

/// Which pool of a route's split; `lot` is uniform over 64 bits.
std::uint32_t pool_of(const config::Route& route, std::uint64_t lot);

}  // namespace drover::balancer
