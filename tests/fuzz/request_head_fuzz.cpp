// Any bytes as a request's head. What drover takes must be one message only, whoever reads it, and what it writes for the worker must be
// the same message without anything that belongs to the client's hop.

#include "must.hpp"
#include "naive_http.hpp"
#include "proxy/head_scan.hpp"
#include "proxy/head_write.hpp"
#include "proxy/message.hpp"

#include <algorithm>
#include <string>

namespace {

using namespace drover;
using fuzz::must;

/// The whole at once, and in pieces: how it comes must not matter.
std::size_t scan(std::string_view bytes, base::Rng& rng) {
  proxy::HeadScan whole;
  const auto state = whole.feed(bytes);
  proxy::HeadScan scan;
  auto in_pieces = proxy::HeadScan::State::incomplete;
  for (std::size_t size = 0; size < bytes.size() && in_pieces == proxy::HeadScan::State::incomplete;) {
    size = std::min<std::size_t>(bytes.size(), size + 1 + rng.below(rng.below(2) == 0 ? 3 : 200));
    in_pieces = scan.feed(bytes.substr(0, size));
  }
  must(state == in_pieces, "a head's end depends on how its bytes come");
  must(state != proxy::HeadScan::State::complete || scan.length() == whole.length(), "a head's length depends on how its bytes come");
  return state == proxy::HeadScan::State::complete ? whole.length() : 0;
}

bool clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7F; });
}

bool same(proxy::Framing ours, fuzz::NaiveFraming::Kind theirs) {
  using Kind = fuzz::NaiveFraming::Kind;
  switch (ours) {
    case proxy::Framing::none: return theirs == Kind::none;
    case proxy::Framing::length: return theirs == Kind::length;
    case proxy::Framing::chunked: return theirs == Kind::chunked;
    case proxy::Framing::until_close: return theirs == Kind::until_close;
  }
  return false;
}

void agree(const proxy::RequestHead& head, std::string_view bytes) {
  const auto naive = fuzz::naive_head(bytes);
  must(naive.has_value() && naive->length == bytes.size(), "a head was taken that is none");
  const auto parts = naive->parts();
  must(parts.size() == 3 && (parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0"), "a request line was taken that is none");
  must(fuzz::token(parts[0]) && parts[0] == head.method_text, "the method is another");
  must(parts[1] == head.target && clean(head.target) && head.target.find(' ') == std::string_view::npos, "the target is another");
  must((parts[2] == "HTTP/1.1") == (head.version == 11), "the version is another");
  must(naive->fields.size() == head.count(), "the number of fields is another");
  for (std::size_t i = 0; i < head.count(); ++i) {
    must(naive->fields[i].name == head.fields()[i].name && naive->fields[i].value == head.fields()[i].value, "a field is another");
    must(clean(head.fields()[i].value), "a control character is in a value");
  }
  const auto hosts = naive->values("host");
  must(hosts.size() <= 1 && (head.version < 11 || hosts.size() == 1), "not one Host");
  const bool absolute = parts[1].find("://") != std::string::npos && parts[1][0] != '/';  // then the target's own counts, not the field
  must(absolute || hosts.empty() || fuzz::lowered(hosts[0]) == fuzz::lowered(head.host), "the host is another");
  must(!absolute || fuzz::lowered(parts[1]).find("://" + fuzz::lowered(head.host)) != std::string::npos, "the target's host is another");
  const auto framing = fuzz::naive_request_framing(*naive);
  must(framing && same(head.framing, framing->kind), "the end of the body is told otherwise");
  must(head.framing != proxy::Framing::length || head.content_length == framing->length, "the length is another");
}

constexpr std::string_view kId = "0123456789abcdef0123456789abcdef";
/// Those that drover writes anew.
constexpr std::string_view kHopByHop[] = {"proxy-connection", "keep-alive", "te", "trailer"};

void check_written(const proxy::RequestHead& head, std::string_view original, const proxy::ForwardedFacts& facts, std::string_view text) {
  const auto before = fuzz::naive_head(original);
  const auto after = fuzz::naive_head(text);
  must(after.has_value() && after->length == text.size(), "what was written is not one head");
  const auto parts = after->parts();
  const std::string target = (head.lacks_path() ? "/" : "") + std::string(head.origin);
  must(parts.size() == 3 && parts[0] == head.method_text && parts[1] == target && parts[2] == "HTTP/1.1", "another request line was written");
  must(after->count("host") == 1, "not one Host was written");
  must(after->values("host")[0] == (head.host.empty() ? facts.local : head.host), "another Host was written");
  const auto framing = fuzz::naive_request_framing(*after);
  must(framing && same(head.framing, framing->kind), "what was written tells the body's end otherwise");
  must(head.framing != proxy::Framing::length || framing->length == head.content_length, "another length was written");
  for (const auto name : kHopByHop) must(name == "trailer" || after->count(name) == 0, "a field of the client's hop was passed on");
  const auto connection = after->values("connection");
  must(connection.size() <= 1, "Connection was written twice");
  must(after->count("upgrade") == (head.upgrade.empty() ? 0U : 1U), "Upgrade was passed on unasked");
  must(connection.empty() || connection[0] == (head.upgrade.empty() ? "close" : "Upgrade"), "a client's Connection was passed on");
  for (const std::string& option : before->nominated()) {
    if (option == "host" || option == "content-length" || option == "transfer-encoding" || option == "upgrade" || option == "connection") continue;
    for (const auto& field : before->fields) {
      if (fuzz::lowered(field.name) != option || field.value.empty()) continue;
      // drover may write one of that name, with a value of its own.
      const auto left = after->values(option);
      must(left.size() <= 1 && (left.empty() || proxy::set_by_drover(option) || option == "via"), "a field that Connection names was passed on");
    }
  }
  proxy::HeadScan scan;
  must(scan.feed(text) == proxy::HeadScan::State::complete && scan.length() == text.size(), "drover itself sees another end in what it wrote");
  proxy::RequestHead again;
  proxy::MessageParser<true> parser(again);
  const std::string_view refused = parser.parse_head(text);
  if (refused == proxy::kTooManyFields) return;  // drover's own have come on top
  must(refused.empty() && proxy::check_request(again).empty(), "drover itself would not take what it wrote");
  must(again.origin == target && again.framing == head.framing && again.content_length == head.content_length, "drover itself reads it otherwise");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  base::Rng rng = fuzz::numbers_of(bytes);
  const std::size_t length = scan(bytes, rng);
  if (length == 0) return 0;
  const std::string_view text = bytes.substr(0, length);
  proxy::RequestHead head;
  proxy::MessageParser<true> parser(head);
  if (!parser.parse_head(text).empty() || head.method == proxy::http::verb::connect || !proxy::check_request(head).empty()) return 0;
  agree(head, text);
  proxy::ForwardedFacts facts;
  facts.client = rng.below(4) == 0 ? "" : "192.0.2.7";
  facts.local = "localhost";
  facts.request_id = kId;
  facts.start_ms = 1;
  facts.keepalive = rng.below(2) == 0;
  proxy::Buffer out;
  proxy::write_request(out, head, facts);
  check_written(head, text, facts, out.view());
  return 0;
}
