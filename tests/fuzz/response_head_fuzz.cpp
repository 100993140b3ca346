// Any bytes as a response's head, to each method that makes a difference and to clients of both versions. What drover takes must end its
// body where a strict reader ends it, and what it writes for the client must say the same.

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
using Kind = fuzz::NaiveFraming::Kind;

Kind kind_of(proxy::Framing framing) {
  switch (framing) {
    case proxy::Framing::none: return Kind::none;
    case proxy::Framing::length: return Kind::length;
    case proxy::Framing::chunked: return Kind::chunked;
    case proxy::Framing::until_close: return Kind::until_close;
  }
  return Kind::none;
}

void no_foreign_hop(const fuzz::NaiveHead& before, const fuzz::NaiveHead& after) {
  for (const char* name : {"proxy-connection", "keep-alive", "te"}) must(after.count(name) == 0, "a field of the worker's hop was passed on");
  for (const std::string& option : before.nominated()) {
    if (option == "content-length" || option == "transfer-encoding" || option == "upgrade" || option == "connection" || option == "host") continue;
    if (option == "date" || option == "via") continue;  // drover writes its own
    must(after.count(option) == 0, "a field that Connection names was passed on");
  }
}

void check_interim(const proxy::ResponseHead& head, const fuzz::NaiveHead& before) {
  proxy::Buffer out;
  proxy::write_interim(out, head);
  const auto after = fuzz::naive_head(out.view());
  must(after && after->length == out.size() && fuzz::naive_status(*after) == head.status, "an interim response was written otherwise");
  must(after->count("content-length") == 0 && after->count("transfer-encoding") == 0, "an interim response was given a body");
  must(after->count("connection") == 0 && after->count("upgrade") == 0, "an interim response speaks of its connection");
  no_foreign_hop(before, *after);
}

void check_final(const proxy::ResponseHead& head, const fuzz::NaiveHead& before, bool to_head, int version, bool keep) {
  const bool chunks = (head.framing == proxy::Framing::chunked || head.framing == proxy::Framing::until_close) && version >= 11;
  const bool upgrade = head.status == 101;
  proxy::ReplyFacts facts;
  facts.client_version = version;
  facts.keep_alive = keep && (chunks || head.framing == proxy::Framing::none || head.framing == proxy::Framing::length);
  facts.chunked = chunks;
  facts.upgrade = upgrade;
  facts.date = "Sun, 06 Nov 1994 08:49:37 GMT";
  proxy::Buffer out;
  proxy::write_response(out, head, facts);
  const auto after = fuzz::naive_head(out.view());
  must(after && after->length == out.size() && fuzz::naive_status(*after) == head.status, "a response was written otherwise");
  const auto framing = fuzz::naive_response_framing(*after, to_head);
  must(framing.has_value(), "a response was written whose end nobody can tell");
  must(framing->kind == (chunks                                    ? Kind::chunked
                         : head.framing == proxy::Framing::chunked ? Kind::until_close
                                                                   : kind_of(head.framing)),
       "a response was written that tells its end otherwise");
  must(framing->kind != Kind::length || framing->length == head.content_length, "another length was written");
  must(head.status != 204 || (after->count("content-length") == 0 && after->count("transfer-encoding") == 0), "a 204 was given a body");
  const auto connection = after->values("connection");
  must(connection.size() <= 1, "Connection was written twice");
  must(after->count("upgrade") == ((upgrade || head.status == 426) && before.count("upgrade") > 0 ? 1U : 0U), "Upgrade was passed on unasked");
  must(upgrade || facts.keep_alive == (connection.empty() || connection[0] != "close"), "the end of the connection was not told");
  must(after->count("date") >= 1, "a response has no date");
  no_foreign_hop(before, *after);
}

void check(std::string_view text, proxy::http::verb method, base::Rng& rng) {
  proxy::ResponseHead head;
  proxy::MessageParser<false> parser(head);
  const bool to_head = method == proxy::http::verb::head;
  if (to_head) parser.skip(true);
  if (!parser.parse_head(text).empty() || !proxy::check_response(head, method).empty()) return;
  const auto naive = fuzz::naive_head(text);
  must(naive && naive->length == text.size(), "a head was taken that is none");
  must(fuzz::naive_status(*naive) == head.status && head.status >= 100 && head.status <= 599, "a status line was taken that is none");
  must(naive->fields.size() == head.count(), "the number of fields is another");
  const auto framing = fuzz::naive_response_framing(*naive, to_head);
  must(framing && framing->kind == kind_of(head.framing), "the end of the body is told otherwise");
  must(framing->kind != Kind::length || framing->length == head.content_length, "the length is another");
  if (head.status >= 100 && head.status < 200 && head.status != 101) return check_interim(head, *naive);
  for (const int version : {10, 11}) check_final(head, *naive, to_head, version, rng.below(2) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  base::Rng rng = fuzz::numbers_of(bytes);
  proxy::HeadScan scan;
  if (scan.feed(bytes) != proxy::HeadScan::State::complete) return 0;
  const std::string_view text = bytes.substr(0, scan.length());
  for (const auto method : {proxy::http::verb::get, proxy::http::verb::head, proxy::http::verb::post, proxy::http::verb::options}) {
    check(text, method, rng);
  }
  return 0;
}
