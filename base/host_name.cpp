#include "base/host_name.hpp"

#include "base/text.hpp"

#include <arpa/inet.h>

#include <algorithm>

namespace drover::base {

HostName::HostName(std::string_view given) {
  if (given.starts_with('[')) {
    const std::size_t end = given.find(']');
    take_address(given.substr(1, end == std::string_view::npos ? end : end - 1));
    return;
  }
  // More than one colon without brackets is no host, and must not become one when the second goes.
  const std::size_t colon = given.find(':');
  if (colon != std::string_view::npos && given.find(':', colon + 1) == std::string_view::npos) given = given.substr(0, colon);
  if (given.size() > 1 && given.ends_with('.')) given.remove_suffix(1);
  take(given);
}

void HostName::take(std::string_view name) {
  if (name.size() > buffer_.size()) return;
  std::transform(name.begin(), name.end(), buffer_.begin(), lower);
  size_ = name.size();
}

void HostName::take_address(std::string_view name) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  in6_addr binary{};
  if (name.size() >= text.size()) return take(name);
  std::copy(name.begin(), name.end(), text.begin());
  const bool valid = ::inet_pton(AF_INET6, text.data(), &binary) == 1;
  take(valid && ::inet_ntop(AF_INET6, &binary, text.data(), text.size()) != nullptr ? std::string_view(text.data()) : name);
}

}  // namespace drover::base
