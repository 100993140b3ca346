#include "proxy/head_write.hpp"

#include <boost/beast/http/status.hpp>

#include <array>
#include <charconv>
#include <string>

namespace drover::proxy {

namespace {

void append_number(Buffer& out, std::uint64_t number) {
  std::array<char, 20> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void append_field(Buffer& out, std::string_view name, std::string_view value) {
  out.reserve(name.size() + value.size() + 4);
  out.append(name);
  out.append(": ");
  out.append(value);
  out.append("\r\n");
}

bool forwarded_as_is(const RequestHead& head, const Field& field) {
  if (head.hop_by_hop(field) || set_by_drover(field.name)) return false;
  if (field.id == http::field::expect) return head.expect_continue;
  return field.id != http::field::host;  // written first, from what was checked
}

std::string_view phrase(unsigned status) {
  const auto text = http::obsolete_reason(static_cast<http::status>(status));
  return {text.data(), text.size()};
}

}  // namespace

void write_request(Buffer& out, const RequestHead& head, const ForwardedFacts& facts) {
  const std::string_view host = head.host.empty() ? facts.local : head.host;
  out.append(head.method_text);
  out.append(" ");
  out.append(head.origin);
  out.append(" HTTP/1.1\r\n");
  append_field(out, "Host", host);
  for (const Field& field : head.fields()) {
    if (forwarded_as_is(head, field)) append_field(out, field.name, field.value);
  }
  if (!facts.client.empty()) append_field(out, "X-Forwarded-For", facts.client);
  append_field(out, "X-Forwarded-Host", host);
  out.append("X-Forwarded-Proto: http\r\nX-Request-ID: ");
  out.append(facts.request_id);
  out.append("\r\nX-Request-Start: t=");
  append_number(out, facts.start_ms);
  out.append(head.version >= 11 ? "\r\nVia: 1.1 drover\r\n" : "\r\nVia: 1.0 drover\r\n");
  if (head.framing == Framing::chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (!head.upgrade.empty()) {
    append_field(out, "Upgrade", head.upgrade);
    out.append("Connection: Upgrade\r\n");
  } else if (!facts.keepalive) {
    out.append("Connection: close\r\n");
  }
  out.append("\r\n");
}

void write_response(Buffer& out, const ResponseHead& head, const ReplyFacts& facts) {
  out.append("HTTP/1.1 ");
  append_number(out, head.status);
  out.append(" ");
  out.append(head.reason);
  out.append("\r\n");
  bool dated = false;
  for (const Field& field : head.fields()) {
    if (head.hop_by_hop(field)) continue;
    if (field.id == http::field::content_length && (facts.chunked || head.status == 204 || facts.upgrade)) continue;
    dated = dated || field.id == http::field::date;
    append_field(out, field.name, field.value);
  }
  if (!dated) append_field(out, "Date", facts.date);
  if (facts.chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (facts.upgrade) {
    if (const Field* upgrade = head.find(http::field::upgrade); upgrade != nullptr) append_field(out, "Upgrade", upgrade->value);
    out.append("Connection: Upgrade\r\n");
  } else if (!facts.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (facts.client_version < 11) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

void write_interim(Buffer& out, const ResponseHead& head) {
  out.append("HTTP/1.1 ");
  append_number(out, head.status);
  out.append(" ");
  out.append(head.reason);
  out.append("\r\n");
  for (const Field& field : head.fields()) {
    if (!head.hop_by_hop(field) && field.id != http::field::content_length) append_field(out, field.name, field.value);
  }
  out.append("\r\n");
}

void write_error(Buffer& out, const ErrorReply& reply) {
  std::string body;
  if (reply.json) {
    // Reasons are drover's own words and ids are hexadecimal: nothing needs escaping but the quotes in some reasons.
    std::string reason(reply.reason);
    for (std::size_t at = reason.find('"'); at != std::string::npos; at = reason.find('"', at + 2)) reason.insert(at, 1, '\\');
    body = "{\"status\":" + std::to_string(reply.status) + ",\"error\":\"" + std::string(phrase(reply.status)) + "\",\"reason\":\"" + reason +
           "\",\"request_id\":\"" + std::string(reply.request_id) + "\"}\n";
  } else {
    body = std::to_string(reply.status) + " " + std::string(phrase(reply.status)) + "\n" + std::string(reply.reason) + "\nrequest " +
           std::string(reply.request_id) + "\n";
  }
  out.append("HTTP/1.1 ");
  append_number(out, reply.status);
  out.append(" ");
  out.append(phrase(reply.status));
  out.append("\r\n");
  append_field(out, "Content-Type", reply.json ? "application/json" : "text/plain; charset=utf-8");
  out.append("Content-Length: ");
  append_number(out, body.size());
  out.append("\r\n");
  append_field(out, "Date", reply.date);
  append_field(out, "X-Request-ID", reply.request_id);
  if (reply.retry_after_s > 0) {
    out.append("Retry-After: ");
    append_number(out, reply.retry_after_s);
    out.append("\r\n");
  }
  if (!reply.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (reply.keep_alive_named) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  if (!reply.head_only) out.append(body);
}

bool prefers_json(const RequestHead& head) {
  const Field* accept = head.find(http::field::accept);
  if (accept == nullptr) return false;
  const std::size_t json = accept->value.find("json");
  const std::size_t text = accept->value.find("text/");
  return json != std::string_view::npos && (text == std::string_view::npos || json < text);
}

}  // namespace drover::proxy
