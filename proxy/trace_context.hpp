// Role: reads a traceparent field (W3C Trace Context level 1), so that a line of the access log can be found by its trace. drover starts no
//       trace and changes none: the field goes on to the worker as it came.
// Thread: any; pure. Ownership: views into the caller's bytes.
#pragma once

#include <optional>
#include <string_view>

namespace drover::proxy {

struct TraceParent {
  std::string_view trace_id;   ///< 32 hexadecimal digits
  std::string_view parent_id;  ///< 16: the caller's span
};

/// None: not a valid value. Of a later version than 00 the parts that level 1 knows are read (section 4.3 of it).
std::optional<TraceParent> read_traceparent(std::string_view value);

}  // namespace drover::proxy
