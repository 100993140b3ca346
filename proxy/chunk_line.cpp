#include "proxy/chunk_line.hpp"

#include <algorithm>

namespace drover::proxy {

namespace {

constexpr std::size_t kLongestLine = 1024;
constexpr std::size_t kLongestTrailer = std::size_t{16} * 1024;

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// Does every line of it, whole or not, end in CR LF and hold no other CR?
bool lines_end_well(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) return false;
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] != '\n') return false;
  }
  return true;
}

}  // namespace

FirstChunk look_at_first_chunk(std::string_view bytes) {
  const auto digits = static_cast<std::size_t>(std::find_if_not(bytes.begin(), bytes.end(), is_hex) - bytes.begin());
  if (digits == bytes.size()) return digits < kLongestLine ? FirstChunk::incomplete : FirstChunk::malformed;
  const std::string_view size = bytes.substr(0, digits);
  if (size.empty() || std::string_view("\r; \t").find(bytes[digits]) == std::string_view::npos) return FirstChunk::malformed;
  const std::size_t end = bytes.find('\n');
  if (!lines_end_well(bytes.substr(digits, end == std::string_view::npos ? end : end + 1 - digits))) return FirstChunk::malformed;
  if (end == std::string_view::npos) return bytes.size() < kLongestLine ? FirstChunk::incomplete : FirstChunk::malformed;
  if (size.find_first_not_of('0') != std::string_view::npos) return FirstChunk::begun;

  const std::string_view trailer = bytes.substr(end - 1);
  const std::size_t over = trailer.find("\r\n\r\n");
  if (!lines_end_well(trailer.substr(0, over == std::string_view::npos ? over : over + 4))) return FirstChunk::malformed;
  if (over != std::string_view::npos) return FirstChunk::empty;
  return trailer.size() < kLongestTrailer ? FirstChunk::incomplete : FirstChunk::malformed;
}

}  // namespace drover::proxy
