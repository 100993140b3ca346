// Role: what the first line of a chunked body tells before it is decoded: a body that is malformed from its start shall reach nobody, not even
//       with its head, and not be waited for. RFC 9112 section 7.1.
// Thread: any; pure. Ownership: none.
#pragma once

#include <cstdint>
#include <string_view>

namespace drover::proxy {

enum class FirstChunk : std::uint8_t {
  incomplete,  ///< may still become anything
  begun,       ///< a chunk with data follows its line
  empty,       ///< the body has no data, and is whole, trailer included
  malformed    ///< also where the line or the trailer of an empty body has no end within reason
};

/// `bytes`: of the body from its start, what has come.
FirstChunk look_at_first_chunk(std::string_view bytes);

}  // namespace drover::proxy
