// Role: what an operator may ask of a running cluster, and how it goes on.
// Thread: supervisor's deciding thread. Ownership: an order lives in the supervisor until it is done; its watcher may leave earlier.
#pragma once

#include "base/result.hpp"
#include "base/units.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace drover::backends {

/// "shop" or "shop.3".
struct Target {
  std::string pool;
  std::optional<std::uint32_t> slot;
  std::string text() const { return slot ? pool + "." + std::to_string(*slot) : pool; }
};
/// Error (code EINVAL): not of that form.
base::Result<Target> parse_target(std::string_view text);

struct Order {
  enum class Verb : std::uint8_t {
    restart,      ///< pool: rolling; slot: that one; replaced first, then drained
    drain,        ///< pool or slot: no new work, finish, stop, stay away
    resume,       ///< the opposite; of a pool also the end of its hold and maintenance
    scale,        ///< pool: to `count` workers
    stop,         ///< the whole cluster, gracefully; `force`: at once. Has no target.
    hold,         ///< pool: whoever comes waits in line, for `most` at most, done when nobody is inside; `off`: no longer
    maintenance,  ///< pool: whoever comes is answered 503 with `message`; `off`: no longer
  };
  Verb verb = Verb::restart;
  Target target;
  std::uint32_t count = 0;
  bool force = false;
  base::Millis most{0};
  std::string message;
  bool off = false;
};
inline constexpr base::Millis kHoldDefault{30'000};
inline constexpr base::Millis kHoldMost{3'600'000};

struct OrderProgress {
  std::string line;   ///< for people: "shop.2 is ready (2 of 4)"
  bool done = false;  ///< the last one
  bool ok = true;     ///< of the last one: all that was asked for has come about
};
using OrderWatcher = std::function<void(const OrderProgress&)>;
using OrderId = std::uint64_t;

}  // namespace drover::backends
