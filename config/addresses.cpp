#include "config/values.hpp"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace drover::config {

namespace {

constexpr const char* kBindForms = "\"127.0.0.1:3000\", \":3000\" (all addresses), \"[::1]:3000\" or \"unix:/path\"";

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::optional<std::uint16_t> read_port(std::string_view text) {
  std::uint32_t port = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (!is_number(text) || error != std::errc{} || stop != text.data() + text.size() || port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

bool is_ipv4(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

/// Letters, digits, '-' and '_' in parts of 1 to 63, joined by dots.
bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t part = 0;
  for (const char c : name) {
    if (c == '.') {
      if (part == 0) return false;
      part = 0;
      continue;
    }
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_') return false;
    if (++part > 63) return false;
  }
  return part > 0;
}

bool looks_like_ipv4(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](unsigned char c) { return std::isdigit(c) != 0 || c == '.'; });
}

Read<Bind> read_unix(std::string_view text) {
  Bind bind;
  bind.unix_path = true;
  bind.path = text.substr(5);
  bind.text = text;
  if (!bind.path.starts_with('/')) return Complaint{quoted(text) + " names no absolute path", "like \"unix:/run/drover/web.sock\""};
  if (bind.path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Complaint{quoted(text) + " is too long for a Unix socket", "a path of at most 107 bytes"};
  }
  return bind;
}

/// "[::1]" of a route, in lower case.
Read<std::string> read_bracketed(const std::string& host) {
  const std::size_t end = host.find(']');
  const std::string inside = host.substr(1, end == std::string::npos ? end : end - 1);
  if (!is_ipv6(inside)) return Complaint{quoted(host) + " holds no IPv6 address between [ and ]", "like \"[::1]\""};
  const std::string whole = "[" + inside + "]";
  if (end == std::string::npos) return Complaint{quoted(host) + " has no ']'", "write " + quoted(whole)};
  if (host == whole) return taken(std::string(host));
  if (host[end + 1] == ':' && read_port(std::string_view(host).substr(end + 2))) {
    return Complaint{quoted(host) + " has a port", "ports don't count in a route: write " + quoted(whole)};
  }
  return Complaint{quoted(host) + " has something behind its ']'", "write " + quoted(whole)};
}

}  // namespace

Read<Bind> read_bind(std::string_view text) {
  const std::string forms = std::string("one of the forms ") + kBindForms;
  if (text.starts_with("unix:")) return read_unix(text);
  if (text.starts_with('/')) return Complaint{quoted(text) + " is not an address", "write " + quoted("unix:" + std::string(text))};
  if (text.find("://") != std::string_view::npos) {
    return Complaint{quoted(text) + " is a URL, not an address", forms};
  }
  if (is_number(text))
    return Complaint{quoted(text) + " has no host",
                     "write " + quoted("127.0.0.1:" + std::string(text)) + ", or " + quoted(":" + std::string(text)) + " for all addresses"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Complaint{quoted(text) + " has no port", "write " + quoted(std::string(text) + ":3000")};
  const auto port = read_port(text.substr(colon + 1));
  if (!port) return Complaint{quoted(text) + " has no usable port", "a number from 1 to 65535 after the last ':', or 0 for any free port"};
  Bind bind;
  bind.host = text.substr(0, colon);
  bind.port = *port;
  bind.text = text;
  if (bind.host == "*") return Complaint{quoted(text) + " is not an address", "for all addresses write " + quoted(text.substr(1))};
  if (bind.host.starts_with('[')) {
    bind.host = bind.host.ends_with(']') ? bind.host.substr(1, bind.host.size() - 2) : "";
    if (!is_ipv6(bind.host)) return Complaint{quoted(text) + " holds no IPv6 address between [ and ]", "like \"[::1]:3000\""};
    return bind;
  }
  if (is_ipv6(std::string(text))) {
    const std::string with_port = bind.host.size() > 1 && is_ipv6(bind.host) ? quoted("[" + bind.host + "]:" + std::to_string(*port)) + " or " : "";
    return Complaint{quoted(text) + " is an IPv6 address without brackets", "write " + with_port + quoted("[" + std::string(text) + "]:3000")};
  }
  if (bind.host.find(':') != std::string::npos) {
    return Complaint{quoted(text) + " is not an address", "an IPv6 address stands in brackets, like \"[::1]:3000\""};
  }
  if (bind.host.empty() || is_ipv4(bind.host)) return bind;
  if (looks_like_ipv4(bind.host)) return Complaint{quoted(bind.host) + " is not an IPv4 address", "four numbers from 0 to 255"};
  if (!is_host_name(bind.host)) return Complaint{quoted(bind.host) + " is not a host", forms};
  return bind;
}

Read<std::string> read_host(std::string_view text) {
  std::string host(text);
  std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) { return std::tolower(c); });
  if (host == "*") return taken(std::move(host));
  if (host.find("://") != std::string::npos) return Complaint{quoted(text) + " is a URL, not a host", "the name alone, like \"example.org\""};
  if (host.starts_with('[')) return read_bracketed(host);
  if (is_ipv6(host)) return Complaint{quoted(text) + " is an IPv6 address without brackets", "write " + quoted("[" + host + "]")};
  const std::size_t colon = host.find(':');
  if (colon != std::string::npos && read_port(std::string_view(host).substr(colon + 1))) {
    return Complaint{quoted(text) + " has a port", "ports don't count in a route: write " + quoted(colon == 0 ? "*" : text.substr(0, colon))};
  }
  if (host.size() > 1 && host.ends_with('.')) host.pop_back();  // the root: nothing differs by it
  if (is_host_name(host.starts_with("*.") ? host.substr(2) : host)) return taken(std::move(host));
  const bool colons = colon != std::string::npos && host.find(':', colon + 1) != std::string::npos;
  return Complaint{quoted(text) + " is not a host",
                   colons ? "an IPv6 address stands in brackets, like \"[::1]\"" : "\"*\", \"*.example.org\" or \"example.org\""};
}

}  // namespace drover::config
