#include "proxy/trace_context.hpp"

#include <algorithm>
#include <cstddef>

namespace drover::proxy {

namespace {

constexpr std::size_t kTraceAt = 3;  // "00-" before it
constexpr std::size_t kTrace = 32;
constexpr std::size_t kParentAt = kTraceAt + kTrace + 1;
constexpr std::size_t kParent = 16;
constexpr std::size_t kFlagsAt = kParentAt + kParent + 1;
constexpr std::size_t kLevelOne = kFlagsAt + 2;

/// Lower case only: section 3.2.2.1 of the standard has no other.
bool all_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

std::optional<TraceParent> read_traceparent(std::string_view value) {
  if (value.size() < kLevelOne) return {};
  const std::string_view version = value.substr(0, 2);
  if (!all_hex(version) || version == "ff") return {};
  if (version == "00" ? value.size() != kLevelOne : value.size() > kLevelOne && value[kLevelOne] != '-') return {};
  if (value[kTraceAt - 1] != '-' || value[kParentAt - 1] != '-' || value[kFlagsAt - 1] != '-') return {};
  const TraceParent found{value.substr(kTraceAt, kTrace), value.substr(kParentAt, kParent)};
  if (!all_hex(found.trace_id) || !all_hex(found.parent_id) || !all_hex(value.substr(kFlagsAt, 2))) return {};
  if (all_zero(found.trace_id) || all_zero(found.parent_id)) return {};
  return found;
}

}  // namespace drover::proxy
