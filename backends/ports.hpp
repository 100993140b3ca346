// Role: chooses ports for workers and tells whose listening socket answers on one.
// Thread: supervisor. Ownership: keeps the list of ports in use and of those that rest after use (60 s).
#pragma once

#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/units.hpp"
#include "config/model.hpp"

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace drover::backends {

class Ports {
 public:
  static constexpr auto kRest = std::chrono::seconds(60);

  Ports(config::PortRange range, std::uint64_t seed);

  /// A port of the range that is not in use, does not rest and passes a test bind on 127.0.0.1; random start.
  base::Result<std::uint16_t> take(base::TimePoint now);
  void give_back(std::uint16_t port, base::TimePoint now);

 private:
  config::PortRange range_;
  base::Rng rng_;
  std::map<std::uint16_t, std::optional<base::TimePoint>> taken_;  ///< none: in use; else: rests until
};

/// Who listens on a local TCP port (IPv4 and IPv6 are asked).
enum class Listener : std::uint8_t {
  nobody,
  ours,       ///< a process of the given tree has the listening socket
  stranger,   ///< someone else's
  unknowable  ///< /proc/PID/fd could not be read: `status` says so
};
Listener who_listens(std::uint16_t port, const std::vector<pid_t>& tree);

}  // namespace drover::backends
