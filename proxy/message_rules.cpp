// What a request or response must keep beyond the parser's syntax. RFC 9112 sections 3.2, 6; RFC 9110 sections 7.2, 7.8, 15.
#include "proxy/message.hpp"

#include <algorithm>
#include <charconv>

namespace drover::proxy {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool valid_port(std::string_view port) { return port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit); }

/// uri-host [ ":" port ] (RFC 3986 section 3.2.2), without userinfo; registered names without anything but what names are made of.
bool valid_host(std::string_view host) {
  if (host.empty()) return false;
  if (host.front() == '[') {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    const auto literal = host.substr(1, end - 1);
    if (!std::all_of(literal.begin(), literal.end(), [](char c) { return is_hex(c) || c == ':' || c == '.'; })) return false;
    const auto rest = host.substr(end + 1);
    return rest.empty() || (rest.front() == ':' && valid_port(rest.substr(1)));
  }
  const std::size_t colon = host.find(':');
  const auto name = host.substr(0, colon);
  if (name.empty() || !std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~'; })) {
    return false;
  }
  return colon == std::string_view::npos || valid_port(host.substr(colon + 1));
}

/// Sets origin and, for an absolute target, host.
std::string_view check_target(RequestHead& head) {
  const std::string_view target = head.target;
  if (std::any_of(target.begin(), target.end(), [](char c) { return c <= 0x20 || c >= 0x7F || c == '#'; })) {
    return "the request target has a character that is not allowed";
  }
  if (target.front() == '/') {
    head.origin = target;
    return {};
  }
  if (target == "*" && head.method == http::verb::options) {
    head.origin = target;
    return {};
  }
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return "the request target is neither a path nor an absolute http address";
  const auto name = target.substr(0, scheme);
  const bool https = equal_ignoring_case(name, "https");
  if (!https && !equal_ignoring_case(name, "http")) return "the request target's scheme is not http";
  const auto rest = target.substr(scheme + 3);
  const std::size_t slash = rest.find_first_of("/?");
  const auto authority = rest.substr(0, slash);
  if (!valid_host(authority)) return "the request target's host is malformed";
  if (https) return kMisdirected;  // RFC 9110 section 7.4
  head.host = authority;           // whatever Host says (RFC 9112 section 3.2.2)
  if (slash == std::string_view::npos) {
    head.origin = head.method == http::verb::options ? "*" : "/";  // RFC 9112 section 3.2.4
  } else {
    head.origin = rest.substr(slash);
  }
  return {};
}

/// HTTP/2 in a tunnel would carry requests past every rule of this proxy; the offer may be ignored (RFC 9110 section 7.8).
bool offers_h2c(std::string_view upgrade) {
  bool found = false;
  for_each_token(upgrade, [&](std::string_view token) { found = found || equal_ignoring_case(token, "h2c"); });
  return found;
}

std::string_view check_host(RequestHead& head) {
  const Field* host = nullptr;
  for (const Field& field : head.fields()) {
    if (field.id != http::field::host) continue;
    if (host != nullptr) return "Host stands there twice";
    host = &field;
  }
  if (host == nullptr) return head.version >= 11 ? "Host is missing" : std::string_view{};
  if (!valid_host(host->value)) return "Host is malformed";
  head.host = host->value;
  return {};
}

/// Takes the number of hops that are left of the methods that count them (RFC 9110 section 7.6.2). One too large for us is our largest.
std::string_view take_max_forwards(RequestHead& head) {
  for (const Field& field : head.fields()) {
    if (field.id != http::field::max_forwards) continue;
    const bool number = !field.value.empty() && std::all_of(field.value.begin(), field.value.end(), is_digit);
    if (!number || head.max_forwards) return "Max-Forwards is not one decimal number";
    std::uint32_t hops = UINT32_MAX;
    std::from_chars(field.value.data(), field.value.data() + field.value.size(), hops);
    head.max_forwards = hops;
  }
  return {};
}

}  // namespace

std::string_view check_request(RequestHead& head) {
  if (const auto reason = check_host(head); !reason.empty()) return reason;
  if (const auto reason = check_target(head); !reason.empty()) return reason;
  for (const Field& field : head.fields()) {
    if (field.id != http::field::expect || head.version < 11) continue;
    if (!equal_ignoring_case(field.value, "100-continue")) return kUnknownExpectation;
    head.expect_continue = head.framing != Framing::none;
  }
  if (head.method == http::verb::options || head.method == http::verb::trace) {
    if (const auto reason = take_max_forwards(head); !reason.empty()) return reason;
  }
  // A server that reads no body there would take it for the next request (RFC 9110 section 9.3.8).
  if (head.method == http::verb::trace && head.framing != Framing::none) return "TRACE has a body";
  if (head.connection_upgrade && head.version >= 11 && head.framing == Framing::none) {
    if (const Field* upgrade = head.find(http::field::upgrade); upgrade != nullptr && !offers_h2c(upgrade->value)) head.upgrade = upgrade->value;
  }
  return {};
}

std::string_view check_response(ResponseHead& head, http::verb method) {
  if (head.status < 100 || head.status > 599) return "the worker's status code is not between 100 and 599";
  if (head.status < 200 || head.status == 204) {
    // RFC 9110 section 8.6: no length there; RFC 9112 section 6.1: no coding either.
    if (head.framing == Framing::chunked || head.content_length > 0) return "the worker's response has a body where none may be";
    head.framing = Framing::none;
  } else if (head.status == 304 || method == http::verb::head) {
    head.body_left_out = head.framing == Framing::chunked || head.content_length > 0;
    head.framing = Framing::none;
  }
  return {};
}

}  // namespace drover::proxy
