#include "ipc/json_reader.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/stream_parser.hpp>
#include <boost/json/value_stack.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <string>

namespace drover::ipc {

namespace {

namespace json = boost::json;

constexpr std::size_t kScratch = 4096;
constexpr std::size_t kPiece = 4096;

/// What basic_parser calls while it reads; a value grows on the stack.
struct Handler {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();
  using Text = json::string_view;
  using Code = json::error_code;

  Handler(unsigned char* scratch, std::size_t size) : values({}, scratch, size) { values.reset(); }

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(std::size_t members, Code& error) { return values.push_object(members), counted(error); }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t elements, Code& error) { return values.push_array(elements), counted(error); }
  bool on_key_part(Text part, std::size_t, Code&) { return values.push_chars(part), true; }
  bool on_key(Text rest, std::size_t, Code&) { return values.push_key(rest), true; }
  bool on_string_part(Text part, std::size_t, Code&) { return values.push_chars(part), true; }
  bool on_string(Text rest, std::size_t, Code& error) { return values.push_string(rest), counted(error); }
  bool on_number_part(Text, Code&) { return true; }  // only when a number goes on in a next piece: there is one piece
  bool on_int64(std::int64_t number, Text, Code& error) { return values.push_int64(number), counted(error); }
  bool on_uint64(std::uint64_t number, Text, Code& error) { return values.push_uint64(number), counted(error); }
  bool on_double(double near, Text text, Code& error) {
    double exact = near;  // stays where from_chars finds none: too large, or too small to be told from 0
    std::from_chars(text.data(), text.data() + text.size(), exact);
    infinite = !std::isfinite(exact);
    if (infinite) error = json::error::exponent_overflow;
    values.push_double(exact);
    return !infinite && counted(error);
  }
  bool on_bool(bool truth, Code& error) { return values.push_bool(truth), counted(error); }
  bool on_null(Code& error) { return values.push_null(), counted(error); }
  bool on_comment_part(Text, Code&) { return true; }
  bool on_comment(Text, Code&) { return true; }

  bool counted(Code& error) {
    if (++count > kMostJsonValues) error = json::error::array_too_large;
    return count <= kMostJsonValues;
  }

  json::value_stack values;
  std::size_t count = 0;
  bool infinite = false;
};

json::parse_options options(std::size_t depth) {
  json::parse_options bounded;
  bounded.max_depth = depth;
  return bounded;
}

/// The byte (from 1) at which a bad text goes wrong. The parser does not tell, so it is given the text in pieces: first large ones, up to
/// the bad one, then that one byte by byte.
std::size_t where_bad(std::string_view text, std::size_t depth) {
  json::error_code error;
  std::size_t good = 0;
  for (const std::size_t piece : {kPiece, std::size_t{1}}) {
    json::stream_parser parser({}, options(depth));
    error = {};
    if (good > 0) parser.write(text.data(), good, error);
    while (good < text.size()) {
      const std::size_t size = std::min(piece, text.size() - good);
      parser.write(text.data() + good, size, error);
      if (error) break;
      good += size;
    }
  }
  return std::min(good + 1, text.size());
}

}  // namespace

base::Result<json::value> read_json(std::string_view text, std::size_t depth) {
  // On the stack, so that a usual line needs no memory but that of its value.
  std::array<unsigned char, kScratch> scratch;  // NOLINT(cppcoreguidelines-pro-type-member-init): written before it is read
  json::basic_parser<Handler> parser(options(depth), scratch.data(), scratch.size());
  json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read == text.size()) return parser.handler().values.release();
  if (parser.handler().infinite) return base::Error{"a number is too large for a double; send it as a string", ERANGE};
  if (parser.handler().count > kMostJsonValues) {
    return base::Error{"more than " + std::to_string(kMostJsonValues) + " values in one message; send it in parts, or packed in a string", E2BIG};
  }
  if (!error) error = json::error::extra_data;
  return base::Error{"not JSON: " + error.message() + " at byte " + std::to_string(where_bad(text, depth)) + " of " + std::to_string(text.size()),
                     EBADMSG};
}

}  // namespace drover::ipc
