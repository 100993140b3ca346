// Role: the ways in which one request path may be read by whoever resolves it: routes are chosen only where all of them agree (docs/adr/0007).
// Thread: any; pure. Ownership: appends to the caller's text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace drover::base {

enum class Reading : std::uint8_t {
  plain,     ///< escapes of unreserved characters decoded, the others in upper case (RFC 3986 section 6.2.2): what routes are matched with
  resolved,  ///< plain, and dot segments taken out (section 5.2.4)
  lenient    ///< as the most obliging server does it: every escape of visible ASCII decoded, '\' is '/', what follows a ';' in a
             ///< segment is nothing, empty segments are none, dot segments taken out
};

/// Is there more than one reading? Without any of % ; \ // /. there is not.
bool ambiguous(std::string_view path);

/// Replaces `out`. True: a dot segment was resolved. A path that does not begin with '/' stays as it is.
bool read_path(std::string_view path, Reading how, std::string& out);

/// How many bytes of `path` are, both read plainly, `prefix`, up to a segment's boundary; 0: it is none.
std::size_t prefix_length(std::string_view path, std::string_view prefix);

}  // namespace drover::base
