// Role: host + path → route → pool. Host exact before "*.suffix" (longest first) before "*"; paths match on segment boundaries, longest wins.
// Thread: any, read-only after construction. No allocation in match(). Ownership: copies what it needs from the config.
#pragma once

#include "config/model.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::balancer {

class Routes {
 public:
  explicit Routes(const config::Config& config);

  struct Match {
    std::uint32_t pool = 0;
    std::uint32_t route = 0;  ///< position in Config::routes; 0 also for the one that goes without saying
  };
  /// `host`: the Host header's value, port allowed, any case. `path`: the target's path, without query.
  std::optional<Match> match(std::string_view host, std::string_view path) const;

 private:
  enum class HostKind : std::uint8_t { exact, suffix, any };  // in order of preference
  struct Entry {
    HostKind kind;
    std::string host;  ///< lower case, no port; IPv6 in its shortest form, no brackets; suffix: with its dot, ".example.com"
    std::string path;
    Match match;
  };
  std::vector<Entry> entries_;  ///< best first
};

}  // namespace drover::balancer
