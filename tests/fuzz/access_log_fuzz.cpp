// What clients may bring into a line of the access log: any bytes in any field. The line must stay one line, of bounded length, valid
// as what it claims to be, and no field may pass for another. The input is cut into fields at its zero bytes.

#include "proxy/access_log.hpp"
#include "proxy/trace_context.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace drover;

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "access_log_fuzz: %s\n", what);
  std::abort();
}

std::string_view field(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\0'), rest.size());
  const std::string_view text = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return text;
}

void check_json(std::string_view line) {
  boost::system::error_code error;
  const auto value = boost::json::parse(line, error);
  must(!error, "a line is no JSON");
  must(value.is_object() && value.as_object().size() == 26, "a line has not the members that it should have");
}

void check_common(std::string_view line, std::size_t quotes) {
  must(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }), "a line has a byte that is not printable");
  must(static_cast<std::size_t>(std::ranges::count(line, '"')) == quotes, "a line has a quote of its client's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  proxy::AccessRecord record;
  const auto parts = proxy::split_request_line(field(rest));
  record.method = parts.method;
  record.target = parts.target;
  record.protocol = parts.protocol;
  must(parts.method.empty() == parts.protocol.empty(), "half a request line");
  record.origin = field(rest);
  record.host = field(rest);
  record.user_agent = field(rest);
  record.referer = field(rest);
  if (const auto trace = proxy::read_traceparent(field(rest))) {
    must(trace->trace_id.size() == 32 && trace->parent_id.size() == 16, "a trace of the wrong length");
    record.trace_id = trace->trace_id;
    record.parent_id = trace->parent_id;
  }
  record.client = field(rest);
  record.unix_us = 1'788'000'000'000'000 + size;
  record.status = 200;
  using config::AccessFormat;
  for (const AccessFormat format : {AccessFormat::json, AccessFormat::common, AccessFormat::combined}) {
    proxy::AccessFormatter formatter(format);
    std::string_view line = formatter.line(record);
    must(line.size() <= proxy::AccessFormatter::kMaxLine && line.ends_with('\n'), "a line is too long or has no end");
    line.remove_suffix(1);
    must(line.find('\n') == std::string_view::npos, "a line is two");
    format == AccessFormat::json ? check_json(line) : check_common(line, format == AccessFormat::common ? 2 : 6);
  }
  return 0;
}
