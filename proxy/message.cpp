#include "proxy/message.hpp"

#include "proxy/chunk_line.hpp"

#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <charconv>

namespace drover::proxy {

namespace {

std::string_view plain(boost::beast::string_view text) { return {text.data(), text.size()}; }

bool is_control(char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7F; }
bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

using base::lower;

std::string_view reason_of(boost::beast::error_code ec) {
  using http::error;
  if (ec == error::bad_method) return "the method is not a token";
  if (ec == error::bad_target) return "the request target has a character that is not allowed";
  if (ec == error::bad_version) return "the HTTP version is malformed";
  if (ec == error::bad_status) return "the status line has no three-digit code";
  if (ec == error::bad_reason) return "the reason phrase has a character that is not allowed";
  if (ec == error::bad_field) return "a field name is not a token";
  if (ec == error::bad_value) return "a field value has a character that is not allowed";
  if (ec == error::bad_content_length || ec == error::multiple_content_length) return "Content-Length is not one decimal number";
  if (ec == error::bad_transfer_encoding) return "Transfer-Encoding stands beside Content-Length or twice";
  if (ec == error::bad_chunk) return "a chunk's size is not a hexadecimal number followed by a line end";
  if (ec == error::bad_chunk_extension) return "a chunk extension is malformed";
  if (ec == error::header_limit) return "a header field is too long";
  return "the message is malformed";
}

/// "0\r\n\r\n". Once Beast has seen the size of a last chunk that is the first, too, it counts on so many bytes.
constexpr std::size_t kShortestBody = 5;

constexpr std::size_t kMaxExtensions = std::size_t{16} * 1024;

/// RFC 9110 section 6.5.1: what may not come in a trailer.
bool forbidden_trailer(http::field id) {
  switch (id) {
    case http::field::transfer_encoding:
    case http::field::content_length:
    case http::field::host:
    case http::field::connection:
    case http::field::trailer:
    case http::field::te:
    case http::field::upgrade:
    case http::field::keep_alive:
    case http::field::proxy_connection:
    case http::field::content_encoding:
    case http::field::content_type:
    case http::field::content_range:
    case http::field::authorization:
    case http::field::set_cookie:
    case http::field::cookie: return true;
    default: return false;
  }
}

/// Does the first line end in a version, only not one of ours?
bool names_other_version(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\r'));
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  constexpr std::size_t kLength = 8;  // "HTTP/2.0"
  if (line.size() <= kLength) return false;
  const std::string_view version = line.substr(line.size() - kLength);
  if (version == "HTTP/1.0" || version == "HTTP/1.1") return false;  // it is something before it that is wrong
  return version.starts_with("HTTP/") && digit(version[5]) && version[6] == '.' && digit(version[7]) && line[line.size() - kLength - 1] == ' ';
}

bool is_token(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

/// A list that ends in "chunked", as it must, behind codings that are well-formed but unknown here (RFC 9112 section 6.1).
bool legal_but_unknown(std::string_view codings) {
  std::string_view last;
  bool legal = true;
  std::size_t chunked = 0;
  for_each_token(codings, [&](std::string_view coding) {
    legal = legal && is_token(coding);
    chunked += equal_ignoring_case(coding, "chunked") ? 1 : 0;
    last = coding;
  });
  return legal && chunked == 1 && equal_ignoring_case(last, "chunked") && !equal_ignoring_case(codings, "chunked") &&
         codings.find_first_not_of(" \t") == 0 && codings.front() != ',' && codings.back() != ',';
}

}  // namespace

unsigned refusal_status(std::string_view reason) {
  if (reason == kTooManyFields) return 431;
  if (reason == kOtherVersion) return 505;
  if (reason == kUnknownCoding) return 501;
  if (reason == kUnknownExpectation) return 417;
  if (reason == kMisdirected) return 421;
  return 400;
}

char gateway_sign(char c) { return is_alnum(c) ? lower(c) : '-'; }

bool set_by_drover(std::string_view name) {
  if (name.size() < 9 || (lower(name[0]) != 'x' && lower(name[0]) != 'f')) return false;
  const auto same = [](char x, char y) { return gateway_sign(x) == y; };
  // Frameworks believe more of that family than drover writes: -Port, -Scheme, -Ssl, -Prefix …
  constexpr std::string_view kFamily = "x-forwarded-";
  if (name.size() >= kFamily.size() && std::equal(kFamily.begin(), kFamily.end(), name.begin(), [&](char y, char x) { return same(x, y); }))
    return true;
  for (const std::string_view ours : {"x-request-id", "x-request-start", "forwarded"}) {
    if (name.size() == ours.size() && std::equal(name.begin(), name.end(), ours.begin(), same)) return true;
  }
  return false;
}

bool is_request_timeout(const Field& field) {
  constexpr std::string_view kName = "x-request-timeout";
  return field.id == http::field::unknown && field.name.size() == kName.size() && equal_ignoring_case(field.name, kName);
}

const Field* Head::find(http::field id) const {
  for (const Field& field : fields()) {
    if (field.id == id) return &field;
  }
  return nullptr;
}

bool Head::hop_by_hop(const Field& field) const {
  switch (field.id) {
    case http::field::connection:
    case http::field::proxy_connection:
    case http::field::keep_alive:
    case http::field::te:
    case http::field::transfer_encoding:
    case http::field::upgrade: return true;
    case http::field::host:  // what frames or routes a message, or lets its body come, can't be taken out by naming it
    case http::field::content_length:
    case http::field::expect: return false;
    default: break;
  }
  return std::any_of(named.begin(), named.begin() + static_cast<std::ptrdiff_t>(named_count),
                     [&](std::string_view name) { return equal_ignoring_case(name, field.name); });
}

bool RequestHead::idempotent() const {
  switch (method) {
    case http::verb::get:
    case http::verb::head:
    case http::verb::put:
    case http::verb::delete_:
    case http::verb::options:
    case http::verb::trace: return true;
    default: return false;
  }
}

template <bool isRequest>
MessageParser<isRequest>::MessageParser(HeadType& head) : head_(head) {
  this->header_limit(UINT32_MAX);  // the session bounds heads by the listener's own limits
  this->body_limit(boost::none);
}

template <bool isRequest>
std::string_view MessageParser<isRequest>::parse_head(std::string_view bytes) {
  bytes_ = bytes;
  error_code ec;
  this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (!refused_.empty()) return refused_;
  if (ec == http::error::bad_version && isRequest && names_other_version(bytes)) return kOtherVersion;
  if (ec) return reason_of(ec);
  if (!head_done_) return "the message is malformed";
  this->eager(true);
  return {};
}

template <bool isRequest>
std::string_view MessageParser<isRequest>::decode(std::string_view bytes, std::size_t& consumed) {
  bytes_ = bytes;
  consumed = 0;
  if (finished_) return {};
  if (!chunk_seen_ && look_at_first_chunk(bytes) == FirstChunk::malformed) return reason_of(http::error::bad_chunk);
  if (!chunk_seen_ && bytes.size() < kShortestBody) return {};
  error_code ec;
  consumed = this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (!refused_.empty()) return refused_;
  if (ec && ec != http::error::need_more && ec != http::error::need_buffer) return reason_of(ec);
  return {};
}

template <bool isRequest>
void MessageParser<isRequest>::refuse(std::string_view reason, error_code& ec) {
  refused_ = reason;
  ec = http::error::bad_value;
}

template <bool isRequest>
void MessageParser<isRequest>::on_request_impl(http::verb method, string_view method_text, string_view target, int version, error_code&) {
  if constexpr (isRequest) {
    head_.method = method;
    head_.method_text = plain(method_text);
    head_.target = plain(target);
    head_.version = version;
  }
}

template <bool isRequest>
void MessageParser<isRequest>::on_response_impl(int code, string_view reason, int version, error_code&) {
  if constexpr (!isRequest) {
    head_.status = static_cast<unsigned>(code);
    head_.reason = plain(reason);
    head_.version = version;
  }
}

template <bool isRequest>
void MessageParser<isRequest>::on_field_impl(http::field id, string_view name, string_view value, error_code& ec) {
  const Field field{id, plain(name), plain(value)};
  // Beast unfolds obs-fold into storage of its own, or skips an empty folded line; a value that does not follow its colon was folded.
  const char* colon = field.name.data() + field.name.size();
  const bool inside = field.value.data() > colon && field.value.data() <= bytes_.data() + bytes_.size();
  if (!inside || std::any_of(colon + 1, field.value.data(), [](char c) { return c != ' ' && c != '\t'; })) {
    return refuse("a header line is folded", ec);
  }
  if (head_done_) return take_trailer(field, ec);
  if (head_.count() == Head::kMaxFields) return refuse(kTooManyFields, ec);
  head_.push(field);
  take_framing_field(field, ec);
}

template <bool isRequest>
void MessageParser<isRequest>::take_framing_field(const Field& field, error_code& ec) {
  switch (field.id) {
    case http::field::content_length: {
      if (head_.has_content_length) return refuse("Content-Length stands there twice", ec);
      if (field.value.find_first_not_of("0123456789") != std::string_view::npos) return refuse("Content-Length is not one decimal number", ec);
      head_.has_content_length = true;
      // Beast has already refused what does not fit 64 bits.
      std::from_chars(field.value.data(), field.value.data() + field.value.size(), head_.content_length);
      return;
    }
    case http::field::transfer_encoding:
      if (chunked_ || !equal_ignoring_case(field.value, "chunked")) {
        return refuse(!chunked_ && legal_but_unknown(field.value) ? kUnknownCoding : "Transfer-Encoding is not exactly \"chunked\"", ec);
      }
      chunked_ = true;
      return;
    case http::field::connection:
      for_each_token(field.value, [&](std::string_view token) {
        if (equal_ignoring_case(token, "close")) {
          head_.connection_close = true;
        } else if (equal_ignoring_case(token, "keep-alive")) {
          head_.connection_keep_alive = true;
        } else if (equal_ignoring_case(token, "upgrade")) {
          head_.connection_upgrade = true;
        } else if (head_.named_count < Head::kMaxNamed) {
          head_.named[head_.named_count++] = token;
        } else {
          refuse("Connection names more than 16 fields", ec);
        }
      });
      return;
    default: return;
  }
}

template <bool isRequest>
void MessageParser<isRequest>::take_trailer(const Field& field, error_code& ec) {
  if (forbidden_trailer(field.id) || head_.hop_by_hop(field) || (isRequest && set_by_drover(field.name)) || edits_.drops(field.name)) return;
  if (trailer_.size() + field.name.size() + field.value.size() + 4 > kMaxTrailer) return refuse("the trailer is too long", ec);
  trailer_.append(field.name).append(": ").append(field.value).append("\r\n");
}

template <bool isRequest>
void MessageParser<isRequest>::on_header_impl(error_code& ec) {
  head_done_ = true;
  if (chunked_) {
    if (head_.version < 11) return refuse("Transfer-Encoding needs HTTP/1.1", ec);
    head_.framing = Framing::chunked;
  } else if (head_.has_content_length) {
    head_.framing = head_.content_length > 0 ? Framing::length : Framing::none;
  } else {
    head_.framing = isRequest ? Framing::none : Framing::until_close;
  }
}

template <bool isRequest>
void MessageParser<isRequest>::on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) {}

template <bool isRequest>
std::size_t MessageParser<isRequest>::on_body_impl(string_view, error_code& ec) {
  ec = http::error::need_buffer;  // only chunked bodies are decoded by the parser
  return 0;
}

template <bool isRequest>
void MessageParser<isRequest>::on_chunk_header_impl(std::uint64_t, string_view extensions, error_code& ec) {
  chunk_seen_ = true;
  extensions_ += extensions.size();
  if (extensions_ > kMaxExtensions) return refuse("its chunk extensions are too long", ec);
  // Beast takes any byte between quotes: a line end there would end the line for another reader.
  if (std::any_of(extensions.begin(), extensions.end(), is_control)) refuse("a chunk extension is malformed", ec);
}

template <bool isRequest>
std::size_t MessageParser<isRequest>::on_chunk_body_impl(std::uint64_t, string_view body, error_code& ec) {
  if (piece_count_ == kMaxPieces) {
    ec = http::error::need_buffer;
    return 0;
  }
  pieces_[piece_count_++] = plain(body);
  return body.size();
}

template <bool isRequest>
void MessageParser<isRequest>::on_finish_impl(error_code&) {
  finished_ = true;
}

template class MessageParser<true>;
template class MessageParser<false>;

}  // namespace drover::proxy
