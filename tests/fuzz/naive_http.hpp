// Role: a second reading of HTTP/1, slow, strict and written without a look at drover's: what drover takes for a message must be the same
//       message here. It accepts the grammar of RFC 9112 to the letter and nothing beside it.
// Thread: any; pure. Ownership: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::fuzz {

std::string lowered(std::string_view text);
bool token(std::string_view text);
/// As a gateway interface makes variables of names: CGI's, and those that turn every sign into one (lighttpd, old Apache).
std::string as_variable(std::string_view name);

struct NaiveField {
  std::string name;
  std::string value;
};

struct NaiveHead {
  std::string first_line;
  std::vector<NaiveField> fields;
  std::size_t length = 0;  ///< with the empty line

  std::vector<std::string> values(std::string_view name) const;
  std::size_t count(std::string_view name) const { return values(name).size(); }
  /// What Connection names, in lower case, its own options included.
  std::vector<std::string> nominated() const;
  /// First line cut at single spaces into at most three: method, target, version, or version, status, reason.
  std::vector<std::string> parts() const;
};

/// Up to the empty line, from the first byte. None: incomplete, or no head at all.
std::optional<NaiveHead> naive_head(std::string_view bytes);

/// How a body's end is told. None: nobody can say, or two could say differently.
struct NaiveFraming {
  enum class Kind : std::uint8_t { none, length, chunked, until_close } kind = Kind::none;
  std::uint64_t length = 0;
};
std::optional<NaiveFraming> naive_request_framing(const NaiveHead& head);
/// `to_head`: the request was a HEAD.
std::optional<NaiveFraming> naive_response_framing(const NaiveHead& head, bool to_head);
/// The status, or 0.
unsigned naive_status(const NaiveHead& head);

/// A chunked body.
struct NaiveBody {
  enum class State : std::uint8_t { whole, unfinished, broken } state = State::unfinished;
  std::string payload;
  std::vector<NaiveField> trailer;
  std::size_t consumed = 0;  ///< when whole
};
NaiveBody naive_chunked(std::string_view bytes);

}  // namespace drover::fuzz
