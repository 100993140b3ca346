#include "naive_http.hpp"

#include <algorithm>

namespace drover::fuzz {

namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool tchar(char c) { return c != 0 && (digit(c) || letter(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos); }
/// HTAB, SP, VCHAR, obs-text
bool text_byte(char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F); }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<NaiveField> field_of(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !token(line.substr(0, colon))) return {};
  if (!std::all_of(line.begin(), line.end(), text_byte)) return {};
  return NaiveField{std::string(line.substr(0, colon)), std::string(trimmed(line.substr(colon + 1)))};
}

std::optional<std::uint64_t> decimal(std::string_view text) {
  if (text.empty()) return {};
  std::uint64_t number = 0;
  for (const char c : text) {
    if (!digit(c)) return {};
    const auto add = static_cast<std::uint64_t>(c - '0');
    if (number > (UINT64_MAX - add) / 10) return {};
    number = number * 10 + add;
  }
  return number;
}

std::optional<NaiveFraming> framing_of(const NaiveHead& head, NaiveFraming otherwise, bool modern) {
  const auto lengths = head.values("content-length");
  const auto codings = head.values("transfer-encoding");
  if (lengths.size() > 1 || codings.size() > 1 || (!lengths.empty() && !codings.empty())) return {};
  if (!codings.empty()) {
    if (lowered(codings[0]) != "chunked" || !modern) return {};
    return NaiveFraming{NaiveFraming::Kind::chunked, 0};
  }
  if (lengths.empty()) return otherwise;
  const auto length = decimal(lengths[0]);
  if (!length) return {};
  return NaiveFraming{*length == 0 ? NaiveFraming::Kind::none : NaiveFraming::Kind::length, *length};
}

/// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
bool extensions(std::string_view text) {
  const auto space = [&] {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  };
  const auto name = [&] {
    const std::size_t before = text.size();
    while (!text.empty() && tchar(text.front())) text.remove_prefix(1);
    return text.size() < before;
  };
  while (!text.empty()) {
    space();
    if (text.empty() || text.front() != ';') return false;
    text.remove_prefix(1);
    space();
    if (!name()) return false;
    const std::string_view behind = text;
    space();
    if (text.empty() || text.front() != '=') {
      text = behind;
      continue;
    }
    text.remove_prefix(1);
    space();
    if (text.empty() || text.front() != '"') {
      if (!name()) return false;
      continue;
    }
    text.remove_prefix(1);
    for (;;) {
      if (text.empty()) return false;
      const char c = text.front();
      text.remove_prefix(1);
      if (c == '"') break;
      if (c == '\\') {
        if (text.empty()) return false;
        text.remove_prefix(1);
      }
    }
  }
  return true;
}

/// The next line without its end; none: there is no whole line. Sets `broken` for a byte that no line may have.
std::optional<std::string_view> line_of(std::string_view bytes, std::size_t at, bool& broken) {
  for (std::size_t i = at; i < bytes.size(); ++i) {
    if (bytes[i] == '\r') {
      if (i + 1 == bytes.size()) return {};
      if (bytes[i + 1] == '\n') return bytes.substr(at, i - at);
      broken = true;
      return {};
    }
    if (!text_byte(bytes[i])) {
      broken = true;
      return {};
    }
  }
  return {};
}

}  // namespace

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool token(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), tchar); }

std::string as_variable(std::string_view name) {
  std::string out = lowered(name);
  for (char& c : out) c = digit(c) || letter(c) ? c : '_';
  return out;
}

std::vector<std::string> NaiveHead::values(std::string_view name) const {
  std::vector<std::string> out;
  for (const NaiveField& field : fields) {
    if (lowered(field.name) == lowered(name)) out.push_back(field.value);
  }
  return out;
}

std::vector<std::string> NaiveHead::nominated() const {
  std::vector<std::string> out;
  for (const std::string& value : values("connection")) {
    std::size_t begin = 0;
    while (begin <= value.size()) {
      const std::size_t end = std::min(value.find(',', begin), value.size());
      if (const auto option = trimmed(std::string_view(value).substr(begin, end - begin)); !option.empty()) out.push_back(lowered(option));
      begin = end + 1;
    }
  }
  return out;
}

std::vector<std::string> NaiveHead::parts() const {
  const std::size_t one = first_line.find(' ');
  if (one == std::string::npos) return {first_line};
  const std::size_t two = first_line.find(' ', one + 1);
  if (two == std::string::npos) return {first_line.substr(0, one), first_line.substr(one + 1)};
  return {first_line.substr(0, one), first_line.substr(one + 1, two - one - 1), first_line.substr(two + 1)};
}

std::optional<NaiveHead> naive_head(std::string_view bytes) {
  NaiveHead head;
  bool broken = false;
  auto line = line_of(bytes, 0, broken);
  if (!line || line->empty()) return {};
  head.first_line = *line;
  std::size_t at = line->size() + 2;
  for (;;) {
    line = line_of(bytes, at, broken);
    if (!line) return {};
    at += line->size() + 2;
    if (line->empty()) break;
    auto field = field_of(*line);
    if (!field) return {};
    head.fields.push_back(std::move(*field));
  }
  head.length = at;
  return head;
}

std::optional<NaiveFraming> naive_request_framing(const NaiveHead& head) {
  return framing_of(head, {NaiveFraming::Kind::none, 0}, head.first_line.ends_with(" HTTP/1.1"));
}

std::optional<NaiveFraming> naive_response_framing(const NaiveHead& head, bool to_head) {
  const auto framing = framing_of(head, {NaiveFraming::Kind::until_close, 0}, head.first_line.starts_with("HTTP/1.1 "));
  const unsigned status = naive_status(head);
  if (!framing || status == 0) return {};
  if (status < 200 || status == 204 || status == 304 || to_head) return NaiveFraming{};
  return framing;
}

unsigned naive_status(const NaiveHead& head) {
  const std::string_view line = head.first_line;
  if (line.size() < 12 || (!line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 "))) return 0;
  const auto code = decimal(line.substr(9, 3));
  if (!code || (line.size() > 12 && line[12] != ' ')) return 0;
  return static_cast<unsigned>(*code);
}

NaiveBody naive_chunked(std::string_view bytes) {
  NaiveBody body;
  std::size_t at = 0;
  bool broken = false;
  const auto failed = [&] {
    body.state = NaiveBody::State::broken;
    return body;
  };
  for (;;) {
    const auto line = line_of(bytes, at, broken);
    if (broken) return failed();
    if (!line) return body;
    std::uint64_t size = 0;
    std::size_t digits = 0;
    for (; digits < line->size(); ++digits) {
      const char c = (*line)[digits];
      const std::size_t worth = std::string_view("0123456789abcdef").find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
      if (c == 0 || worth == std::string_view::npos) break;
      if (size > UINT64_MAX / 16) return failed();
      size = size * 16 + worth;
    }
    if (digits == 0 || !extensions(line->substr(digits))) return failed();
    at += line->size() + 2;
    if (size == 0) break;
    if (bytes.size() - at < size) {
      body.payload += bytes.substr(at);
      return body;
    }
    body.payload += bytes.substr(at, size);
    at += size;
    const std::string_view end = bytes.substr(at, 2);
    if (!std::string_view("\r\n").starts_with(end)) return failed();
    if (end.size() < 2) return body;
    at += 2;
  }
  for (;;) {
    const auto line = line_of(bytes, at, broken);
    if (broken) return failed();
    if (!line) return body;
    at += line->size() + 2;
    if (line->empty()) break;
    auto field = field_of(*line);
    if (!field) return failed();
    body.trailer.push_back(std::move(*field));
  }
  body.consumed = at;
  body.state = NaiveBody::State::whole;
  return body;
}

}  // namespace drover::fuzz
