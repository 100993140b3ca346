#include "config/utf8.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace drover::config {

std::size_t first_bad_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t step = base::utf8_length(text.substr(at));
    if (step == 0) return at;
    at += step;
  }
  return std::string_view::npos;
}

Place place_at(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  Place place;
  place.line = static_cast<std::uint32_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  place.column = 1;
  for (std::size_t at = line_start; at < offset; ++place.column) at += std::max<std::size_t>(1, base::utf8_length(text.substr(at)));
  return place;
}

}  // namespace drover::config
