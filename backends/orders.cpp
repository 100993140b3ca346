#include "backends/orders.hpp"

#include "base/text.hpp"

#include <cerrno>
#include <charconv>

namespace drover::backends {

namespace {

constexpr std::size_t kMaxName = 63;

/// As config/ allows a pool's name to be: no dot, so a target is read in one way only.
bool is_pool_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

/// A whole number from 1, written as people do: no sign, no leading zero.
std::optional<std::uint32_t> slot_number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.front() == '0') return std::nullopt;
  return value;
}

base::Error refused(std::string_view text, const char* reason) {
  return {"target \"" + base::printable(text, 2 * kMaxName) + "\": " + reason + "; give a pool (shop) or one worker of it (shop.3)", EINVAL};
}

}  // namespace

base::Result<Target> parse_target(std::string_view text) {
  if (text.empty()) return refused(text, "it is empty");
  const auto dot = text.find('.');
  const std::string_view pool = text.substr(0, dot);
  if (!is_pool_name(pool)) return refused(text, "no pool can have that name (1 to 63 of a-z, 0-9, _ and -)");
  if (dot == std::string_view::npos) return Target{std::string(pool), std::nullopt};
  const auto slot = slot_number(text.substr(dot + 1));
  if (!slot) return refused(text, "what follows the dot is no worker's number (1, 2, 3 …)");
  return Target{std::string(pool), slot};
}

}  // namespace drover::backends
