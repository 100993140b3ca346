// Role: message heads, parsed by Beast's parser on a buffer that we own: fields are views into it, nothing is copied. What the
//       parser tolerates and a proxy must not (obs-fold, repeated Content-Length, any coding but one "chunked") is refused here.
// Thread: one proxy thread. Ownership: views live as long as the buffer's bytes stay where they are.
#pragma once

#include "base/text.hpp"
#include "proxy/head_edits.hpp"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace drover::proxy {

namespace http = boost::beast::http;

struct Field {
  http::field id = http::field::unknown;
  std::string_view name;
  std::string_view value;
};

// Reasons that have a status of their own; every other one is a 400: refusal_status().
inline constexpr std::string_view kTooManyFields = "there are more than 128 header fields";
inline constexpr std::string_view kOtherVersion = "the HTTP version is not 1.0 or 1.1";
inline constexpr std::string_view kUnknownCoding = "Transfer-Encoding names a coding that is not served here";
inline constexpr std::string_view kUnknownExpectation = "Expect asks for something unknown";
inline constexpr std::string_view kMisdirected = "an https address can't be served on a connection that is not encrypted";
/// The status of the answer to a request refused for this reason.
unsigned refusal_status(std::string_view reason);

/// A sign of a field's name as gateway interfaces may see it: some write '_' for '-' alone, others for whatever is neither letter nor
/// digit. All of these are '-' here, letters are small.
char gateway_sign(char c);
/// What drover sets itself (in any spelling that a gateway interface makes the same): a client's own word for it is not believed.
bool set_by_drover(std::string_view name);
/// The client's word on how long its exchange may take.
bool is_request_timeout(const Field& field);

using base::equal_ignoring_case;
/// Calls `each` with every element of a comma-separated list, trimmed, empty ones left out.
template <class Each>
void for_each_token(std::string_view list, Each each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view token = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
    if (!token.empty()) each(token);
  }
}

/// How the end of a body is told (RFC 9112 section 6.3).
enum class Framing : std::uint8_t { none, length, chunked, until_close };

/// What request and response heads have in common.
struct Head {
  static constexpr std::size_t kMaxFields = 128;
  static constexpr std::size_t kMaxNamed = 16;  ///< fields named by Connection

  int version = 11;
  Framing framing = Framing::none;
  std::uint64_t content_length = 0;
  bool has_content_length = false;
  bool connection_close = false;
  bool connection_keep_alive = false;
  bool connection_upgrade = false;
  std::array<std::string_view, kMaxNamed> named;  ///< by Connection, to be removed too
  std::size_t named_count = 0;

  std::span<const Field> fields() const { return {reinterpret_cast<const Field*>(storage_.data()), count_}; }
  std::size_t count() const { return count_; }
  void push(const Field& field) { new (storage_.data() + count_++ * sizeof(Field)) Field(field); }
  const Field* find(http::field id) const;
  /// Must this field stay on its hop (RFC 9110 section 7.6.1)?
  bool hop_by_hop(const Field& field) const;

 private:
  // Raw, so that a head does not cost the clearing of 128 fields.
  alignas(Field) std::array<std::byte, kMaxFields * sizeof(Field)> storage_;
  std::size_t count_ = 0;
};

struct RequestHead : Head {
  http::verb method = http::verb::unknown;
  std::string_view method_text;
  std::string_view target;  ///< as sent
  std::string_view origin;  ///< the target in origin form: what is forwarded
  std::string_view host;    ///< Host's value, or the authority of an absolute target
  bool expect_continue = false;
  std::string_view upgrade;                   ///< protocols asked for; empty: none
  std::optional<std::uint32_t> max_forwards;  ///< of OPTIONS and TRACE: how many hops it may still go

  /// An absolute target may have a query without a path: http://shop?a=b.
  bool lacks_path() const { return origin.starts_with('?'); }
  std::string_view path() const { return lacks_path() ? std::string_view("/") : origin.substr(0, origin.find('?')); }
  /// With its "?"; empty: none.
  std::string_view query() const { return origin.substr(lacks_path() ? 0 : path().size()); }
  bool idempotent() const;
  bool wants_keep_alive() const { return version >= 11 ? !connection_close : connection_keep_alive && !connection_close; }
};

struct ResponseHead : Head {
  unsigned status = 0;
  std::string_view reason;
  /// It speaks of a body that must not follow, to HEAD or with 304. Some servers send it nevertheless, a moment later: to whoever is next.
  bool body_left_out = false;
  bool reusable() const { return !body_left_out && (version >= 11 ? !connection_close : connection_keep_alive && !connection_close); }
};

/// Beast's parser, its events put into a head and, for chunked bodies, into pieces of payload and trailer text.
template <bool isRequest>
class MessageParser final : public http::basic_parser<isRequest> {
 public:
  using HeadType = std::conditional_t<isRequest, RequestHead, ResponseHead>;
  static constexpr std::size_t kMaxPieces = 32;
  static constexpr std::size_t kMaxTrailer = 8 * 1024;

  explicit MessageParser(HeadType& head);

  /// Parses one whole head (HeadScan says how long it is). Empty: fine; else the reason it is refused, in plain words.
  std::string_view parse_head(std::string_view bytes);

  /// Decodes chunked bytes into pieces(). Sets `consumed`. Empty: fine (more may be needed); else the reason it is refused.
  std::string_view decode(std::string_view bytes, std::size_t& consumed);
  std::span<const std::string_view> pieces() const { return {pieces_.data(), piece_count_}; }
  void forget_pieces() { piece_count_ = 0; }
  bool body_done() const { return finished_; }
  /// Trailer fields, ready to be sent, without those that may not stand there.
  const std::string& trailer() const { return trailer_; }
  /// What a route takes out of the head, or sets there, does not come in by the trailer either.
  void set_edits(const HeadEdits& edits) { edits_ = edits; }

 private:
  using error_code = boost::beast::error_code;
  using string_view = boost::beast::string_view;

  void on_request_impl(http::verb method, string_view method_text, string_view target, int version, error_code& ec) override;
  void on_response_impl(int code, string_view reason, int version, error_code& ec) override;
  void on_field_impl(http::field id, string_view name, string_view value, error_code& ec) override;
  void on_header_impl(error_code& ec) override;
  void on_body_init_impl(boost::optional<std::uint64_t> const& length, error_code& ec) override;
  std::size_t on_body_impl(string_view body, error_code& ec) override;
  void on_chunk_header_impl(std::uint64_t size, string_view extensions, error_code& ec) override;
  std::size_t on_chunk_body_impl(std::uint64_t remain, string_view body, error_code& ec) override;
  void on_finish_impl(error_code& ec) override;

  void refuse(std::string_view reason, error_code& ec);
  void take_framing_field(const Field& field, error_code& ec);
  void take_trailer(const Field& field, error_code& ec);

  HeadType& head_;
  std::string_view bytes_;  ///< being parsed now: values outside it were unfolded
  std::string_view refused_;
  std::array<std::string_view, kMaxPieces> pieces_;
  std::size_t piece_count_ = 0;
  std::string trailer_;
  HeadEdits edits_;
  bool head_done_ = false;
  bool finished_ = false;
  bool chunked_ = false;
  bool chunk_seen_ = false;
  std::size_t extensions_ = 0;  ///< of all chunks so far, in bytes
};

extern template class MessageParser<true>;
extern template class MessageParser<false>;

/// The rules a request must keep beyond syntax: version, Host, target, framing. Sets origin, host, framing.
/// Empty: fine; else the reason for a 400.
std::string_view check_request(RequestHead& head);

/// Likewise for a response to `method`; sets framing. Else the reason for a 502.
std::string_view check_response(ResponseHead& head, http::verb method);

}  // namespace drover::proxy
