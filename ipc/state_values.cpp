// What every store does alike with keys and values.
#include "base/text.hpp"
#include "ipc/state_store.hpp"

#include <boost/json/serializer.hpp>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace drover::ipc {

namespace {

namespace json = boost::json;

constexpr std::int64_t kExact = 1LL << 53U;  // beyond it neighbouring whole numbers are one double
constexpr std::size_t kShownKey = 64;

/// A number without a fraction, whatever its type.
std::optional<std::int64_t> whole(const json::value& number) {
  if (const std::int64_t* integer = number.if_int64()) return *integer;
  if (const std::uint64_t* integer = number.if_uint64())
    return std::in_range<std::int64_t>(*integer) ? std::optional(static_cast<std::int64_t>(*integer)) : std::nullopt;
  const double figure = number.get_double();
  if (!(std::abs(figure) <= static_cast<double>(kExact)) || figure != std::floor(figure)) return std::nullopt;
  return static_cast<std::int64_t>(figure);
}

bool same_number(const json::value& one, const json::value& other) {
  const auto left = whole(one);
  const auto right = whole(other);
  if (left || right) return left == right;
  if (one.is_uint64() && other.is_uint64()) return one.get_uint64() == other.get_uint64();
  return one.to_number<double>() == other.to_number<double>();
}

bool same_members(const json::object& one, const json::object& other) {
  if (one.size() != other.size()) return false;
  for (const auto& member : one) {
    const json::value* counterpart = other.if_contains(member.key());
    if (counterpart == nullptr || !same(member.value(), *counterpart)) return false;
  }
  return true;
}

base::Error beyond(std::string_view key, const char* what) {
  return {"state key \"" + base::printable(key, kShownKey) + "\": " + what + " beyond 2^53, where counting is not exact any more; set it anew", EDOM};
}

}  // namespace

base::Result<void> check_key(std::string_view key, const StateLimits& limits) {
  if (key.empty()) return base::Error{"a state key is empty; give it a name", EINVAL};
  if (key.size() > limits.key_bytes) {
    return base::Error{"state key \"" + base::printable(key, kShownKey) + "\" has " + std::to_string(key.size()) + " bytes; the limit is " +
                           std::to_string(limits.key_bytes) + ": use a shorter name",
                       ENAMETOOLONG};
  }
  for (std::string_view rest = key; !rest.empty();) {
    const std::size_t length = base::utf8_length(rest);
    const auto lead = static_cast<unsigned char>(rest[0]);
    const bool c1 = length == 2 && lead == 0xC2 && static_cast<unsigned char>(rest[1]) < 0xA0;
    if (length == 0 || lead < 0x20 || lead == 0x7F || c1) {
      return base::Error{"state key \"" + base::printable(key, kShownKey) + "\" has a control character or is not UTF-8; use printable text", EINVAL};
    }
    rest.remove_prefix(length);
  }
  return {};
}

std::size_t text_bytes(const json::value& value) {
  std::array<char, 1024> room{};
  json::serializer serializer;
  serializer.reset(&value);
  std::size_t bytes = 0;
  while (!serializer.done()) bytes += serializer.read(room.data(), room.size()).size();
  return bytes;
}

bool same(const json::value& one, const json::value& other) {
  if (one.is_number() && other.is_number()) return same_number(one, other);
  if (one.kind() != other.kind()) return false;
  if (const json::object* members = one.if_object()) return same_members(*members, other.get_object());
  const json::array* elements = one.if_array();
  if (elements == nullptr) return one == other;
  const json::array& others = other.get_array();
  if (elements->size() != others.size()) return false;
  for (std::size_t i = 0; i < elements->size(); ++i) {
    if (!same((*elements)[i], others[i])) return false;
  }
  return true;
}

base::Result<json::value> sum(std::string_view key, const json::value& present, const json::value& amount) {
  if (!amount.is_number()) {
    return base::Error{"state key \"" + base::printable(key, kShownKey) + "\" can't be raised by what is no number; give a number", EINVAL};
  }
  if (!present.is_number()) {
    return base::Error{"state key \"" + base::printable(key, kShownKey) + "\" holds no number that could be raised; set it to a number first", EDOM};
  }
  const auto left = whole(present);
  const auto right = whole(amount);
  if (left && right) {
    std::int64_t total = 0;
    if (__builtin_add_overflow(*left, *right, &total) || total > kExact || total < -kExact) return beyond(key, "the sum is");
    return json::value(total);
  }
  const auto a = present.to_number<double>();
  const auto b = amount.to_number<double>();
  constexpr auto kMost = static_cast<double>(kExact);
  if (!(std::abs(a) <= kMost)) return beyond(key, "its number is");
  if (!(std::abs(b) <= kMost)) return beyond(key, "the number to add is");
  if (!(std::abs(a + b) <= kMost)) return beyond(key, "the sum is");
  const json::value total(a + b);
  const auto rounded = whole(total);
  return rounded ? json::value(*rounded) : total;
}

}  // namespace drover::ipc
