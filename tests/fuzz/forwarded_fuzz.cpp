// A client that lies about who it is. The input is header lines (what does not make a head is of no interest here) of a request that is fine
// but for them; the same lines come as its trailer. Whatever the spelling, a worker must be told by drover, and once.

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

constexpr std::string_view kClient = "192.0.2.7";
constexpr std::string_view kId = "0123456789abcdef0123456789abcdef";

/// Variables of a gateway interface that drover alone fills, with what it writes; nothing: it must not be there. A client that is trusted
/// (none is, yet) would be a second row of facts beside this one.
struct Ours {
  std::string_view variable;
  std::string_view value;
};
constexpr Ours kOurs[] = {{"x_forwarded_for", kClient}, {"x_forwarded_host", "shop.test"}, {"x_forwarded_proto", "http"},
                          {"x_request_id", kId},        {"x_request_start", "t=1"},        {"forwarded", ""}};

void check_head(std::string_view lines) {
  std::string text = "POST /basket HTTP/1.1\r\nHost: shop.test\r\n";
  text.append(lines).append("Transfer-Encoding: chunked\r\n\r\n");
  proxy::HeadScan scan;
  if (scan.feed(text) != proxy::HeadScan::State::complete || scan.length() != text.size()) return;
  proxy::RequestHead head;
  proxy::MessageParser<true> parser(head);
  if (!parser.parse_head(text).empty() || !proxy::check_request(head).empty()) return;
  proxy::ForwardedFacts facts;
  facts.client = kClient;
  facts.request_id = kId;
  facts.start_ms = 1;
  proxy::Buffer out;
  proxy::write_request(out, head, facts);
  const auto told = fuzz::naive_head(out.view());
  must(told.has_value() && told->length == out.size(), "what was written is not one head");
  for (const Ours& each : kOurs) {
    std::size_t found = 0;
    for (const auto& field : told->fields) {
      if (fuzz::as_variable(field.name) != each.variable) continue;
      ++found;
      must(field.value == each.value, "a client's own word came through");
    }
    must(found == (each.value.empty() ? 0U : 1U), "what drover says of a client stands there twice, or not at all");
  }
  for (const auto& field : told->fields) {
    const std::string variable = fuzz::as_variable(field.name);
    if (!variable.starts_with("x_forwarded_")) continue;
    must(std::any_of(std::begin(kOurs), std::end(kOurs), [&](const Ours& each) { return each.variable == variable; }),
         "a client's own X-Forwarded field came through");
  }
  must(told->count("host") == 1 && told->values("host")[0] == "shop.test", "Host is another");
}

void check_trailer(std::string_view lines) {
  static constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  proxy::RequestHead head;
  proxy::MessageParser<true> parser(head);
  must(parser.parse_head(kHead).empty(), "a plain head is refused");
  std::string text = "0\r\n";
  text.append(lines).append("\r\n");
  std::size_t consumed = 0;
  if (!parser.decode(text, consumed).empty() || !parser.body_done()) return;
  const auto told = fuzz::naive_head("X\r\n" + parser.trailer() + "\r\n");
  must(told.has_value(), "a malformed trailer came through");
  for (const auto& field : told->fields) {
    const std::string variable = fuzz::as_variable(field.name);
    for (const Ours& each : kOurs) must(variable != each.variable, "a client's own word came through in a trailer");
    must(!variable.starts_with("x_forwarded_"), "a client's own X-Forwarded field came through in a trailer");
    for (const char* framing : {"transfer_encoding", "content_length", "host", "connection", "authorization", "cookie"}) {
      must(fuzz::lowered(field.name) != framing, "what frames or routes a request came through in a trailer");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view lines = fuzz::text_of(data, size);
  check_head(lines);
  check_trailer(lines);
  return 0;
}
