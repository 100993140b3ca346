#include "proxy/own_answer.hpp"

#include "proxy/head_text.hpp"

#include <boost/beast/http/status.hpp>

namespace drover::proxy {

namespace {

/// RFC 3986 appendix A: what can't stand anywhere in a URI. '%' stays: the value was sent as part of one.
bool allowed_in_uri(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("-._~:/?[]@!$&'()*+,;=%").find(c) != std::string_view::npos;
}

void append_uri(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : text) {
    if (allowed_in_uri(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
  }
}

std::string_view without_port(std::string_view host) {
  const std::size_t bracket = host.find(']');
  return host.substr(0, host.find(':', bracket == std::string_view::npos ? 0 : bracket));
}

/// A body or its length can't follow these (RFC 9110 sections 8.6 and 15.4.5).
bool bodiless(unsigned status) { return status == 204 || status == 304; }

}  // namespace

std::string_view phrase(unsigned status) {
  const auto known = boost::beast::http::int_to_status(status);
  if (known == boost::beast::http::status::unknown) return {};
  const auto text = boost::beast::http::obsolete_reason(known);
  return {text.data(), text.size()};
}

void write_own(Buffer& out, const OwnAnswer& answer) {
  const auto append_own = [&](std::string_view name, std::string_view value) {
    if (!answer.edits.drops(name)) append_field(out, name, value);
  };
  const bool bare = bodiless(answer.status);
  out.append("HTTP/1.1 ");
  append_number(out, answer.status);
  out.append(" ");
  out.append(phrase(answer.status));
  out.append("\r\n");
  if (!answer.location.empty()) append_own("Location", answer.location);
  if (!answer.type.empty() && !bare) append_own("Content-Type", answer.type);
  if (!bare) {
    out.append("Content-Length: ");
    append_number(out, answer.body.size());
    out.append("\r\n");
  }
  if (!answer.edits.brings("Date")) append_field(out, "Date", answer.date);
  append_own("X-Request-ID", answer.request_id);
  if (answer.retry_after_s > 0) {
    out.append("Retry-After: ");
    append_number(out, answer.retry_after_s);
    out.append("\r\n");
  }
  answer.edits.append(out);
  if (!answer.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (answer.keep_alive_named) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  if (!answer.head_only && !bare) out.append(answer.body);
}

std::string redirect_target(const config::Route& route, const RedirectFacts& facts) {
  std::string_view rest = route.redirect.to;
  std::string out;
  const auto take = [&rest](std::string_view name) {
    if (!rest.starts_with(name)) return false;
    rest.remove_prefix(name.size());
    return true;
  };
  while (!rest.empty()) {
    if (take("${host}")) {
      append_uri(out, without_port(facts.host));
    } else if (take("${path}")) {
      const WorkerPath path = worker_path(facts.path.starts_with('/') ? facts.path : "/", route);
      for (const std::string_view part : {path.before, path.slash, path.rest}) append_uri(out, part);
    } else if (take("${query}")) {
      append_uri(out, facts.query);
    } else {
      const std::size_t next = rest.find("${", 1);
      out += rest.substr(0, next);
      rest.remove_prefix(next == std::string_view::npos ? rest.size() : next);
    }
  }
  // "//evil.example" would be a host: the template's own word for one is the only one that counts.
  if (!std::string_view(route.redirect.to).starts_with("//")) {
    const std::size_t first = out.find_first_not_of('/');
    if (const std::size_t slashes = first == std::string::npos ? out.size() : first; slashes > 1) out.erase(0, slashes - 1);
  }
  return out;
}

}  // namespace drover::proxy
