#include "proxy/head_scan.hpp"

#include <array>
#include <cstdint>

namespace drover::proxy {

namespace {

// Bytes that may stand in a line: HTAB, SP, VCHAR, obs-text.
constexpr auto kOrdinary = [] {
  std::array<bool, 256> table{};
  for (std::size_t c = 0x20; c < 256; ++c) table[c] = c != 0x7F;
  table['\t'] = true;
  return table;
}();

}  // namespace

HeadScan::State HeadScan::feed(std::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t i = position_;
  const std::size_t end = bytes.size();
  while (i < end) {
    const std::size_t start = i;
    while (i < end && kOrdinary[p[i]]) ++i;
    if (i != start) line_empty_ = false;
    if (i == end) break;
    if (p[i] != '\r') return State::bad_byte;
    if (i + 1 == end) break;  // the CR is looked at again with its successor
    if (p[i + 1] != '\n') return State::bad_byte;
    i += 2;
    if (line_empty_ && first_line_done_) {
      position_ = i;
      return State::complete;
    }
    first_line_done_ = true;
    line_empty_ = true;
  }
  position_ = i;
  return State::incomplete;
}

}  // namespace drover::proxy
