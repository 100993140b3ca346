// Role: writes the heads that drover sends: a request to a worker, a response to a client, and drover's own error replies.
// Thread: one proxy thread; pure but for the buffer. Ownership: appends to the caller's buffer.
#pragma once

#include "config/model.hpp"
#include "proxy/buffer.hpp"
#include "proxy/error_pages.hpp"
#include "proxy/message.hpp"

#include <cstdint>
#include <string_view>

namespace drover::proxy {

/// What drover knows of the client and adds for the worker (docs/ARCHITECTURE.md lists the fields).
struct ForwardedFacts {
  std::string_view client;  ///< address without port; empty: a Unix socket's client
  std::string_view local;   ///< Host for a request that came without one
  std::string_view request_id;
  std::uint64_t start_ms = 0;                    ///< Unix time
  bool keepalive = true;                         ///< reuse this worker's connection?
  const config::Route* route = nullptr;          ///< how it changes target and head; none: not at all
  base::Millis time_left = base::Millis::max();  ///< until the exchange's deadline; max: it has none
};

void write_request(Buffer& out, const RequestHead& head, const ForwardedFacts& facts);

struct ReplyFacts {
  int client_version = 11;
  bool keep_alive = true;
  bool chunked = false;                        ///< the body will be sent in chunks
  bool upgrade = false;                        ///< 101: the connection changes protocol
  std::string_view date;                       ///< for a response without one
  const config::HeaderEdits* edits = nullptr;  ///< the route's
  std::string_view set_cookie{};               ///< a field value to be added; empty: none
  bool make_private = false;                   ///< with that cookie: no shared cache may keep the answer
};

void write_response(Buffer& out, const ResponseHead& head, const ReplyFacts& facts);
/// 100, 102, 103 …
void write_interim(Buffer& out, const ResponseHead& head);

struct ErrorReply {
  unsigned status = 500;
  std::string_view reason;  ///< for the client: what is wrong, nothing internal
  std::string_view request_id;
  bool json = false;
  const ErrorPage* page = nullptr;  ///< in the place of drover's own words, but for who wants JSON
  bool head_only = false;           ///< answer to HEAD
  bool keep_alive = false;
  bool keep_alive_named = false;  ///< an HTTP/1.0 client must be told
  unsigned retry_after_s = 0;     ///< 0: no Retry-After
  std::string_view date;
};

void write_error(Buffer& out, const ErrorReply& reply);

/// The answer of the last recipient to OPTIONS or TRACE, which the latter's sender gets its request back in (RFC 9110 section 7.6.2).
void write_as_last(Buffer& out, const RequestHead& head, std::string_view request_id, bool keep_alive, std::string_view date);

/// Does Accept ask for JSON before text?
bool prefers_json(const RequestHead& head);

}  // namespace drover::proxy
