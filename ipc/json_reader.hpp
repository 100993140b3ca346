// Role: JSON text into a value, exactly: Boost.JSON's own reader (1.81) gets the last digit of one in ten long fractions wrong, so that a
//       number would change on its way from worker to worker, and compare-and-set never meet what it read.
// Thread: any; pure. Ownership: the value owns its memory.
#pragma once

#include "base/result.hpp"

#include <boost/json/value.hpp>

#include <cstddef>
#include <string_view>

namespace drover::ipc {

/// Numbers, texts, arrays, … in one text: a value takes 16 bytes and more, however short it is written, so that a line of "[],[],…" would
/// need thirty times its length.
inline constexpr std::size_t kMostJsonValues = 16 * 1024;

/// Error: EBADMSG no JSON, or nested deeper than `depth`, the message says where; ERANGE a number that no double can hold;
/// E2BIG more than kMostJsonValues.
base::Result<boost::json::value> read_json(std::string_view text, std::size_t depth);

}  // namespace drover::ipc
