// Role: the pieces that heads are written of. Thread: one proxy thread; pure but for the buffer.
// Ownership: appends to the caller's buffer.
#pragma once

#include "proxy/buffer.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

namespace drover::proxy {

inline void append_number(Buffer& out, std::uint64_t number) {
  std::array<char, 20> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

inline void append_field(Buffer& out, std::string_view name, std::string_view value) {
  out.reserve(name.size() + value.size() + 4);
  out.append(name);
  out.append(": ");
  out.append(value);
  out.append("\r\n");
}

}  // namespace drover::proxy
