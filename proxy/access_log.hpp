// Role: one line of the access log from the facts of one request, as JSON or in the two formats that every log reader knows.
// Thread: one proxy thread (a formatter keeps the text of the second it wrote last); else pure. Ownership: views of a record live as long
//         as the call.
//
// Whatever bytes a client sent: a line ends with its only newline, is at most kMaxLine long, and no field of it can pass for another.
#pragma once

#include "base/units.hpp"
#include "config/model.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace drover::proxy {

/// How a request came to its end.
enum class AccessEnd : std::uint8_t {
  complete,     ///< the whole answer has been handed to the kernel
  truncated,    ///< it had begun, and its worker failed
  client_gone,  ///< the client left, or took no more
  tunnel        ///< an upgraded connection has ended
};

struct AccessRecord {
  static constexpr unsigned kNoAnswer = 499;  ///< the client left before it had one; never sent

  std::uint64_t unix_us = 0;  ///< when its head was whole
  std::string_view id;
  std::string_view client;  ///< empty: of a Unix socket
  std::string_view listener;
  std::string_view method;    ///< empty, as `protocol`: the request line was none, all of it is `target`
  std::string_view target;    ///< as sent
  std::string_view origin;    ///< path and query; empty: not known to be any
  std::string_view host;      ///< empty: none
  std::string_view protocol;  ///< "HTTP/1.1"
  unsigned status = 0;
  AccessEnd end = AccessEnd::complete;
  std::uint64_t sent = 0;      ///< bytes of the body (of a tunnel: of what followed the head) to the client
  std::uint64_t received = 0;  ///< likewise from it
  // Microseconds.
  std::uint64_t queue_us = 0;              ///< in the line for a worker
  std::uint64_t connect_us = 0;            ///< until workers had accepted the connections that were opened for it
  std::optional<std::uint64_t> worker_us;  ///< from its being written to the response's head; none: no response
  std::uint64_t total_us = 0;              ///< from its whole head to the answer's last byte
  std::string_view pool;                   ///< empty: no route, or answered by drover for a route without one
  std::uint32_t slot = 0;                  ///< 0: no worker was asked
  std::uint32_t incarnation = 0;
  std::uint32_t retries = 0;
  std::string_view user_agent;  ///< empty: none
  std::string_view referer;
  std::string_view trace_id;
  std::string_view parent_id;
};

class AccessFormatter {
 public:
  /// A pipe takes so much whole or not at all, whoever else writes to it (pipe(7), PIPE_BUF).
  static constexpr std::size_t kMaxLine = 4096;

  explicit AccessFormatter(config::AccessFormat format) : format_(format) {}
  /// The line, in storage of the formatter that the next call uses again.
  std::string_view line(const AccessRecord& record);

 private:
  void json(const AccessRecord& record);
  void common(const AccessRecord& record);
  std::string_view second(std::int64_t second);

  config::AccessFormat format_;
  std::int64_t second_ = std::numeric_limits<std::int64_t>::min();
  std::string second_text_;
  std::array<char, kMaxLine> text_;
  std::size_t size_ = 0;
};

/// The parts of what may be no request line at all: what follows the first line's end is left out.
struct RequestLine {
  std::string_view method;
  std::string_view target;
  std::string_view protocol;
};
RequestLine split_request_line(std::string_view bytes);

}  // namespace drover::proxy
