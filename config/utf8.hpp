// Role: the few questions config asks of UTF-8 text: where is it broken, which line and column is a byte at.
// Thread: any. Ownership: plain values.
#pragma once

#include "config/model.hpp"

#include <string_view>

namespace drover::config {

/// Offset of the first byte that doesn't belong to valid UTF-8, or npos.
std::size_t first_bad_utf8(std::string_view text);
/// Line and column (both from 1; a column is one character) of the byte at `offset`.
Place place_at(std::string_view text, std::size_t offset);

}  // namespace drover::config
