// Role: finds the end of a message head and refuses, at the first wrong byte, what no parser downstream may be left to guess about:
//       bare CR, bare LF, NUL and other control characters (RFC 9112 sections 2.2 and 11.1, RFC 9110 section 5.5).
// Thread: any; pure. Ownership: keeps only a position, so that bytes are looked at once however they arrive.
#pragma once

#include <cstddef>
#include <string_view>

namespace drover::proxy {

class HeadScan {
 public:
  enum class State : unsigned char { incomplete, complete, bad_byte };

  /// `bytes`: everything of the head so far, from its first byte, what was there before included.
  State feed(std::string_view bytes);
  /// Length with the empty line, once complete.
  std::size_t length() const { return position_; }
  /// Has the first line ended?
  bool first_line_done() const { return first_line_done_; }
  void reset() { *this = HeadScan{}; }

 private:
  std::size_t position_ = 0;
  bool first_line_done_ = false;
  bool line_empty_ = true;
};

}  // namespace drover::proxy
