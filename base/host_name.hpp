// Role: a host as routes compare it: the router and the check of a configuration must mean the same.
// Thread: any; pure. Ownership: holds its text; no allocation, since one is made for each request.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace drover::base {

/// Of a Host header's value or a configured name: lower case, without port, brackets and the root's dot; IPv6 in its shortest form. One that
/// is longer than any name can be is "", which no configured host is.
class HostName {
 public:
  explicit HostName(std::string_view given);
  std::string_view text() const { return {buffer_.data(), size_}; }

 private:
  static constexpr std::size_t kLongest = 255;  ///< bytes; DNS has no longer name

  void take(std::string_view name);
  void take_address(std::string_view name);

  std::array<char, kLongest> buffer_;  // not cleared: `size_` says what counts
  std::size_t size_ = 0;
};

}  // namespace drover::base
