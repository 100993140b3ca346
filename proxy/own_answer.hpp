// Role: the answers that drover gives without a worker: errors, redirects, fixed responses; one piece of code frames them all.
// Thread: one proxy thread; pure but for the buffer. Ownership: appends to the caller's buffer.
#pragma once

#include "config/model.hpp"
#include "proxy/buffer.hpp"
#include "proxy/head_edits.hpp"

#include <string>
#include <string_view>

namespace drover::proxy {

struct OwnAnswer {
  unsigned status = 500;
  std::string_view type;  ///< of the body; empty: no Content-Type
  std::string_view body;
  std::string_view location{};  ///< of a redirect; empty: none
  std::string_view request_id{};
  bool head_only = false;  ///< answer to HEAD
  bool keep_alive = false;
  bool keep_alive_named = false;  ///< an HTTP/1.0 client must be told
  unsigned retry_after_s = 0;     ///< 0: no Retry-After
  std::string_view date{};
  HeadEdits edits{};
};

void write_own(Buffer& out, const OwnAnswer& answer);

std::string_view phrase(unsigned status);

/// What a redirect's target is filled in with; all as the client sent it.
struct RedirectFacts {
  std::string_view host;   ///< with its port
  std::string_view path;   ///< the route's strip and prefix not yet applied
  std::string_view query;  ///< with its "?"; empty: none
};
/// `route.redirect.to` filled in. What may not stand in a URI is escaped, and a path can't become a host: where the target is a path, it
/// begins with one slash.
std::string redirect_target(const config::Route& route, const RedirectFacts& facts);

}  // namespace drover::proxy
