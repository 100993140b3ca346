#include "proxy/access_log.hpp"

#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

namespace drover::proxy {

namespace {

// Bytes of a field as they stand in the line, escapes counted: together with the words between them they stay below kMaxLine.
constexpr std::size_t kMaxMethod = 24;
constexpr std::size_t kMaxPath = 1000;
constexpr std::size_t kMaxQuery = 800;
constexpr std::size_t kMaxTarget = 1800;  // where both stand in one field
constexpr std::size_t kMaxHost = 255;
constexpr std::size_t kMaxReferer = 600;
constexpr std::size_t kMaxAgent = 400;
constexpr std::size_t kMaxName = 64;
constexpr std::size_t kMaxClient = 48;
constexpr std::size_t kMaxId = 128;
constexpr std::size_t kWords = 640;  ///< keys, quotes, numbers, time, ids, of JSON (the longer one)
constexpr std::string_view kCut = "...";
static_assert(2 * kMaxMethod + kMaxPath + kMaxQuery + kMaxHost + kMaxReferer + kMaxAgent + 2 * kMaxName + kMaxClient + kMaxId + 10 * kCut.size() +
                  kWords <
              AccessFormatter::kMaxLine);

constexpr std::array kEndNames{"complete", "truncated", "client_gone", "tunnel"};
constexpr std::string_view kHex = "0123456789ABCDEF";
constexpr std::uint64_t kSecond = 1'000'000;

/// Printable ASCII that means nothing in either format.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x7F; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

/// The end of a line under construction. What has no room is left out; the caps above leave room for all.
class Text {
 public:
  Text(std::span<char> room, std::size_t& size) : room_(room), size_(size) {}

  void add(std::string_view text) {
    const std::size_t take = std::min(text.size(), room_.size() - size_);
    std::memcpy(room_.data() + size_, text.data(), take);
    size_ += take;
  }
  void add(char c) { add(std::string_view(&c, 1)); }
  void number(std::uint64_t value) {
    std::array<char, 20> digits;
    add({digits.data(), static_cast<std::size_t>(std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr - digits.data())});
  }
  /// Milliseconds with three places.
  void millis(std::uint64_t us) {
    number(us / 1000);
    const std::array<char, 4> fraction{'.', kHex[us / 100 % 10], kHex[us / 10 % 10], kHex[us % 10]};
    add({fraction.data(), fraction.size()});
  }

  /// `escape(text)` writes the bytes at its front that are not plain and says how many it took; at most `cap` bytes come out, and the cut
  /// is marked.
  template <class Escape>
  void escaped(std::string_view text, std::size_t cap, Escape escape) {
    const std::size_t stop = size_ + cap;
    while (!text.empty()) {
      std::size_t plain = 0;
      while (plain < text.size() && kPlain[static_cast<unsigned char>(text[plain])]) ++plain;
      const std::size_t room = stop - size_;
      add(text.substr(0, std::min(plain, room)));
      if (plain > room) return add(kCut);
      text.remove_prefix(plain);
      if (text.empty()) return;
      std::array<char, 8> out;
      std::size_t length = 0;
      const std::size_t taken = escape(text, out, length);
      if (length > stop - size_) return add(kCut);
      add({out.data(), length});
      text.remove_prefix(taken);
    }
  }

 private:
  std::span<char> room_;
  std::size_t& size_;
};

std::size_t put(std::array<char, 8>& out, std::string_view text) {
  std::ranges::copy(text, out.begin());
  return text.size();
}

/// UTF-8 stays; control characters, DEL and C1 are \u00XX; what is not UTF-8 is U+FFFD.
std::size_t json_escape(std::string_view text, std::array<char, 8>& out, std::size_t& length) {
  const std::size_t bytes = base::utf8_length(text);
  const auto lead = static_cast<unsigned char>(text[0]);
  const auto last = static_cast<unsigned char>(text[bytes == 0 ? 0 : bytes - 1]);
  if (bytes == 0) {
    length = put(out, "\\ufffd");
    return 1;
  }
  if (lead == '"' || lead == '\\') {
    const std::array<char, 2> pair{'\\', text[0]};
    length = put(out, {pair.data(), pair.size()});
  } else if (bytes == 1 || (lead == 0xC2 && last < 0xA0)) {
    const std::array<char, 6> code{'\\', 'u', '0', '0', kHex[last >> 4U], kHex[last & 15U]};
    length = put(out, {code.data(), code.size()});
  } else {
    length = put(out, text.substr(0, bytes));
  }
  return bytes;
}

/// \xHH for all that is not plain.
std::size_t hex_escape(std::string_view text, std::array<char, 8>& out, std::size_t& length) {
  const auto byte = static_cast<unsigned char>(text[0]);
  const std::array<char, 4> code{'\\', 'x', kHex[byte >> 4U], kHex[byte & 15U]};
  length = put(out, {code.data(), code.size()});
  return 1;
}

void quoted(Text& out, std::string_view text, std::size_t cap) {
  out.add('"');
  out.escaped(text, cap, json_escape);
  out.add('"');
}

void quoted_or_null(Text& out, std::string_view text, std::size_t cap) { text.empty() ? out.add("null") : quoted(out, text, cap); }

void number_or_null(Text& out, std::uint32_t number) { number == 0 ? out.add("null") : out.number(number); }

/// "-" stands for nothing; also for a text that is "-" itself, as everywhere.
void hex_or_dash(Text& out, std::string_view text, std::size_t cap) { text.empty() ? out.add('-') : out.escaped(text, cap, hex_escape); }

std::string_view client_of(const AccessRecord& record) { return record.client.empty() ? std::string_view("unix:") : record.client; }

}  // namespace

std::string_view AccessFormatter::line(const AccessRecord& record) {
  size_ = 0;
  if (format_ == config::AccessFormat::json) {
    json(record);
  } else {
    common(record);
  }
  size_ = std::min(size_, kMaxLine - 1);
  text_[size_++] = '\n';
  return {text_.data(), size_};
}

/// The C library's gmtime would open the time zone's file: the proxy opens none.
std::string_view AccessFormatter::second(std::int64_t second) {
  if (second == second_) return second_text_;
  second_ = second;
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::chrono::sys_seconds moment{std::chrono::seconds(second)};
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(moment - day);
  const auto month = static_cast<unsigned>(date.month());
  const std::string clock = fmt::format("{:02}:{:02}:{:02}", time.hours().count(), time.minutes().count(), time.seconds().count());
  second_text_ = format_ == config::AccessFormat::json
                     ? fmt::format("{:04}-{:02}-{:02}T{}", static_cast<int>(date.year()), month, static_cast<unsigned>(date.day()), clock)
                     : fmt::format("{:02}/{}/{:04}:{}", static_cast<unsigned>(date.day()), kMonths[month - 1], static_cast<int>(date.year()), clock);
  return second_text_;
}

void AccessFormatter::json(const AccessRecord& record) {
  Text out(text_, size_);
  const std::uint64_t ms = record.unix_us / 1000 % 1000;
  out.add(R"({"time":")");
  out.add(second(static_cast<std::int64_t>(record.unix_us / kSecond)));
  const std::array<char, 4> fraction{'.', kHex[ms / 100], kHex[ms / 10 % 10], kHex[ms % 10]};
  out.add({fraction.data(), fraction.size()});
  out.add(R"(Z","id":)");
  quoted_or_null(out, record.id, kMaxId);
  out.add(R"(,"client":)");
  quoted(out, client_of(record), kMaxClient);
  out.add(R"(,"listener":)");
  quoted(out, record.listener, kMaxName);
  out.add(R"(,"method":)");
  quoted_or_null(out, record.method, kMaxMethod);
  const std::string_view whole = record.origin.empty() ? record.target : record.origin;
  const std::size_t mark = std::min(whole.find('?'), whole.size());
  out.add(R"(,"host":)");
  quoted_or_null(out, record.host, kMaxHost);
  out.add(R"(,"path":)");
  quoted(out, mark == 0 && !record.origin.empty() ? "/" : whole.substr(0, mark), kMaxPath);  // http://shop?a=b: as it is forwarded
  out.add(R"(,"query":)");
  mark == whole.size() ? out.add("null") : quoted(out, whole.substr(mark + 1), kMaxQuery);
  out.add(R"(,"protocol":)");
  quoted_or_null(out, record.protocol, kMaxMethod);
  out.add(R"(,"status":)");
  out.number(record.status);
  out.add(R"(,"bytes":)");
  out.number(record.sent);
  out.add(R"(,"received":)");
  out.number(record.received);
  out.add(R"(,"queue_ms":)");
  out.millis(record.queue_us);
  out.add(R"(,"connect_ms":)");
  out.millis(record.connect_us);
  out.add(R"(,"worker_ms":)");
  record.worker_us ? out.millis(*record.worker_us) : out.add("null");
  out.add(R"(,"total_ms":)");
  out.millis(record.total_us);
  out.add(R"(,"pool":)");
  quoted_or_null(out, record.pool, kMaxName);
  out.add(R"(,"worker":)");
  number_or_null(out, record.slot);
  out.add(R"(,"incarnation":)");
  number_or_null(out, record.incarnation);
  out.add(R"(,"retries":)");
  out.number(record.retries);
  out.add(R"(,"end":")");
  out.add(kEndNames[static_cast<std::size_t>(record.end)]);
  out.add(R"(","tls":null,"user_agent":)");
  quoted_or_null(out, record.user_agent, kMaxAgent);
  out.add(R"(,"referer":)");
  quoted_or_null(out, record.referer, kMaxReferer);
  out.add(R"(,"trace_id":)");
  quoted_or_null(out, record.trace_id, kMaxName);
  out.add(R"(,"parent_id":)");
  quoted_or_null(out, record.parent_id, kMaxName);
  out.add('}');
}

void AccessFormatter::common(const AccessRecord& record) {
  Text out(text_, size_);
  out.escaped(client_of(record), kMaxClient, hex_escape);
  out.add(" - - [");
  out.add(second(static_cast<std::int64_t>(record.unix_us / kSecond)));
  out.add(" +0000] \"");
  if (!record.method.empty()) {
    out.escaped(record.method, kMaxMethod, hex_escape);
    out.add(' ');
  }
  hex_or_dash(out, record.target, kMaxTarget);
  if (!record.protocol.empty()) {
    out.add(' ');
    out.escaped(record.protocol, kMaxMethod, hex_escape);
  }
  out.add("\" ");
  out.number(record.status);
  out.add(' ');
  record.sent == 0 ? out.add('-') : out.number(record.sent);  // %b has "-" for no byte
  if (format_ == config::AccessFormat::common) return;
  out.add(" \"");
  hex_or_dash(out, record.referer, kMaxReferer);
  out.add("\" \"");
  hex_or_dash(out, record.user_agent, kMaxAgent);
  out.add('"');
}

RequestLine split_request_line(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find_first_of("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  // Just three parts; any other line is shown as it is.
  if (first == 0 || first == last || first + 1 == last || last + 1 == line.size() || line.find(' ', first + 1) != last) return {{}, line, {}};
  return {line.substr(0, first), line.substr(first + 1, last - first - 1), line.substr(last + 1)};
}

}  // namespace drover::proxy
