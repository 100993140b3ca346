#include "balancer/routes.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <tuple>

namespace drover::balancer {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_but_case(std::string_view given, std::string_view lowered) {
  return given.size() == lowered.size() && std::equal(given.begin(), given.end(), lowered.begin(), [](char a, char b) { return lower(a) == b; });
}

/// A host as it is compared: without port, brackets and the root's dot; IPv6 in its shortest form. Views `given` or its own buffer.
class HostName {
 public:
  explicit HostName(std::string_view given) {
    if (given.starts_with('[')) {
      const std::size_t end = given.find(']');
      name_ = given.substr(1, end == std::string_view::npos ? end : end - 1);
      shorten();
      return;
    }
    const std::size_t colon = given.find(':');
    if (colon != std::string_view::npos && given.find(':', colon + 1) != std::string_view::npos) {
      name_ = given;  // an IPv6 literal as a config may write it
      shorten();
      return;
    }
    name_ = given.substr(0, colon);
    if (name_.size() > 1 && name_.ends_with('.')) name_.remove_suffix(1);
  }
  HostName(const HostName&) = delete;
  HostName& operator=(const HostName&) = delete;

  std::string_view text() const { return name_; }

 private:
  void shorten() {
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    in6_addr binary{};
    if (name_.size() >= terminated.size()) return;
    std::copy(name_.begin(), name_.end(), terminated.begin());
    if (::inet_pton(AF_INET6, terminated.data(), &binary) != 1) return;
    if (::inet_ntop(AF_INET6, &binary, buffer_.data(), buffer_.size()) != nullptr) name_ = buffer_.data();
  }

  std::array<char, INET6_ADDRSTRLEN> buffer_{};
  std::string_view name_;
};

/// "/api" covers "/api" and "/api/x", not "/apix"; "/api/" what lies below; "/" everything, also the "*" of OPTIONS.
bool covers(std::string_view prefix, std::string_view path) {
  if (prefix == "/" || prefix.empty()) return true;
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/';
}

}  // namespace

Routes::Routes(const config::Config& config) {
  entries_.reserve(config.routes.size() + 1);
  for (const config::Route& route : config.routes) {
    Entry entry{HostKind::exact, {}, route.path, {route.pool, static_cast<std::uint32_t>(entries_.size())}};
    if (route.host.empty() || route.host == "*") {
      entry.kind = HostKind::any;
    } else if (route.host.starts_with("*.")) {
      entry.kind = HostKind::suffix;
      entry.host = HostName(std::string_view(route.host).substr(1)).text();
    } else {
      entry.host = HostName(route.host).text();
    }
    std::transform(entry.host.begin(), entry.host.end(), entry.host.begin(), lower);
    entries_.push_back(std::move(entry));
  }
  // One pool and no route given: everything goes to it.
  if (entries_.empty() && config.pools.size() == 1) entries_.push_back({HostKind::any, {}, "/", {}});
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tuple(a.kind, b.host.size(), b.path.size()) < std::tuple(b.kind, a.host.size(), a.path.size());
  });
}

std::optional<Routes::Match> Routes::match(std::string_view host, std::string_view path) const {
  const HostName name(host);
  const std::string_view given = name.text();
  for (const Entry& entry : entries_) {
    const std::size_t length = entry.host.size();
    const bool host_fits =
        entry.kind == HostKind::any || (entry.kind == HostKind::exact && equal_but_case(given, entry.host)) ||
        (entry.kind == HostKind::suffix && given.size() > length && equal_but_case(given.substr(given.size() - length), entry.host));
    if (host_fits && covers(entry.path, path)) return entry.match;
  }
  return std::nullopt;
}

}  // namespace drover::balancer
