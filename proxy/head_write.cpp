#include "proxy/head_write.hpp"

#include "proxy/head_edits.hpp"
#include "proxy/head_text.hpp"
#include "proxy/own_answer.hpp"

#include <string>

namespace drover::proxy {

namespace {

constexpr unsigned kUpgradeRequired = 426;

/// "2.350": seconds.
void append_timeout(Buffer& out, base::Millis time) {
  const auto ms = static_cast<std::uint64_t>(time.count());
  std::array<char, 6> thousandths{'.', '0', '0', '0', '\r', '\n'};
  for (std::size_t i = 3, rest = ms % 1000; i > 0; --i, rest /= 10) thousandths[i] = static_cast<char>('0' + rest % 10);
  out.append("X-Request-Timeout: ");
  append_number(out, ms / 1000);
  out.append({thousandths.data(), thousandths.size()});
}

bool forwarded_as_is(const RequestHead& head, const Field& field) {
  if (head.hop_by_hop(field) || set_by_drover(field.name)) return false;
  if (field.id == http::field::expect) return head.expect_continue;
  if (field.id == http::field::max_forwards) return !head.max_forwards;
  return field.id != http::field::host;  // written first, from what was checked
}

/// Returns the prefix that was taken off.
std::string_view append_target(Buffer& out, const RequestHead& head, const config::Route* route) {
  if (route == nullptr || head.origin == "*" || (route->strip.empty() && route->prefix.empty())) {
    if (head.lacks_path()) out.append("/");
    out.append(head.origin);
    return {};
  }
  const WorkerPath made = worker_path(head.path(), *route);
  out.append(made.before);
  out.append(made.slash);
  out.append(made.rest);
  out.append(head.query());
  return made.stripped;
}

/// What a TRACE must not show to scripts of the page that sent it (RFC 9110 section 9.3.8).
bool secret(http::field id) { return id == http::field::authorization || id == http::field::proxy_authorization || id == http::field::cookie; }

}  // namespace

void write_request(Buffer& out, const RequestHead& head, const ForwardedFacts& facts) {
  const std::string_view host = head.host.empty() ? facts.local : head.host;
  const HeadEdits edits(facts.route == nullptr ? nullptr : &facts.route->request, HeadEdits::Side::worker);
  const auto append_own = [&](std::string_view name, std::string_view value) {
    if (!edits.drops(name)) append_field(out, name, value);
  };
  out.append(head.method_text);
  out.append(" ");
  const std::string_view stripped = append_target(out, head, facts.route);
  out.append(" HTTP/1.1\r\n");
  append_field(out, "Host", edits.host().empty() ? host : edits.host());
  const bool timed = facts.time_left != base::Millis::max();
  for (const Field& field : head.fields()) {
    if (timed && is_request_timeout(field)) continue;
    if (forwarded_as_is(head, field) && !edits.drops(field.name)) append_field(out, field.name, field.value);
  }
  if (timed && !edits.drops("X-Request-Timeout")) append_timeout(out, facts.time_left);
  if (!facts.client.empty()) append_own("X-Forwarded-For", facts.client);
  append_own("X-Forwarded-Host", host);
  append_own("X-Forwarded-Proto", "http");
  if (!stripped.empty()) append_own("X-Forwarded-Prefix", stripped);
  append_own("X-Request-ID", facts.request_id);
  if (!edits.drops("X-Request-Start")) {
    out.append("X-Request-Start: t=");
    append_number(out, facts.start_ms);
    out.append("\r\n");
  }
  edits.append(out);
  out.append(head.version >= 11 ? "Via: 1.1 drover\r\n" : "Via: 1.0 drover\r\n");
  if (head.max_forwards && *head.max_forwards > 0) {
    out.append("Max-Forwards: ");
    append_number(out, *head.max_forwards - 1);
    out.append("\r\n");
  }
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
  const HeadEdits edits(facts.edits, HeadEdits::Side::client);
  out.append("HTTP/1.1 ");
  append_number(out, head.status);
  out.append(" ");
  out.append(head.reason);
  out.append("\r\n");
  bool dated = edits.brings("Date");
  for (const Field& field : head.fields()) {
    if (head.hop_by_hop(field) || edits.drops(field.name)) continue;
    if (field.id == http::field::content_length && (facts.chunked || head.status == 204 || facts.upgrade)) continue;
    dated = dated || field.id == http::field::date;
    append_field(out, field.name, field.value);
  }
  if (!dated) append_field(out, "Date", facts.date);
  edits.append(out);
  if (!facts.set_cookie.empty()) {
    append_field(out, "Set-Cookie", facts.set_cookie);
    if (facts.make_private) append_field(out, "Cache-Control", "private");
  }
  if (facts.chunked) out.append("Transfer-Encoding: chunked\r\n");
  // 426 says what it wants instead, too (RFC 9110 section 15.5.22).
  const Field* upgrade = facts.upgrade || head.status == kUpgradeRequired ? head.find(http::field::upgrade) : nullptr;
  if (upgrade != nullptr) {
    append_field(out, "Upgrade", upgrade->value);
    out.append("Connection: Upgrade\r\n");
  }
  if (facts.upgrade) {
    // The connection's end is the new protocol's affair.
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
  if (reply.page != nullptr && !reply.json) {
    body = reply.page->body({reply.status, reply.reason, reply.request_id});
  } else if (reply.json) {
    std::string reason;  // an operator's words may be in it; ids are hexadecimal
    for (const char c : reply.reason) {
      if (c == '"' || c == '\\') reason += '\\';
      reason += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    body = "{\"status\":" + std::to_string(reply.status) + ",\"error\":\"" + std::string(phrase(reply.status)) + "\",\"reason\":\"" + reason +
           "\",\"request_id\":\"" + std::string(reply.request_id) + "\"}\n";
  } else {
    body = std::to_string(reply.status) + " " + std::string(phrase(reply.status)) + "\n" + std::string(reply.reason) + "\nrequest " +
           std::string(reply.request_id) + "\n";
  }
  OwnAnswer answer;
  answer.status = reply.status;
  answer.type = reply.json ? "application/json" : reply.page != nullptr ? reply.page->type() : "text/plain; charset=utf-8";
  answer.body = body;
  answer.request_id = reply.request_id;
  answer.head_only = reply.head_only;
  answer.keep_alive = reply.keep_alive;
  answer.keep_alive_named = reply.keep_alive_named;
  answer.retry_after_s = reply.retry_after_s;
  answer.date = reply.date;
  write_own(out, answer);
}

void write_as_last(Buffer& out, const RequestHead& head, std::string_view request_id, bool keep_alive, std::string_view date) {
  out.append("HTTP/1.1 200 OK\r\n");
  append_field(out, "Date", date);
  append_field(out, "X-Request-ID", request_id);
  Buffer echo;
  if (head.method == http::verb::trace) {
    out.append("Content-Type: message/http\r\n");
    echo.append(head.method_text);
    echo.append(" ");
    echo.append(head.target);
    echo.append(head.version >= 11 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    for (const Field& field : head.fields()) {
      if (!secret(field.id)) append_field(echo, field.name, field.value);
    }
    echo.append("\r\n");
  }
  out.append("Content-Length: ");
  append_number(out, echo.size());
  out.append("\r\n");
  if (!keep_alive) {
    out.append("Connection: close\r\n");
  } else if (head.version < 11) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
  out.append(echo.view());
}

bool prefers_json(const RequestHead& head) {
  const Field* accept = head.find(http::field::accept);
  if (accept == nullptr) return false;
  const std::size_t json = accept->value.find("json");
  const std::size_t text = accept->value.find("text/");
  return json != std::string_view::npos && (text == std::string_view::npos || json < text);
}

}  // namespace drover::proxy
