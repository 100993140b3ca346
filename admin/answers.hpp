// Role: the old pages (/metrics /livez /readyz /status) without any I/O, and who may ask.
// Thread: supervisor. Ownership: values; the status is asked only for paths that need it.
#pragma once

#include "admin/door.hpp"

#include <string>
#include <string_view>

namespace drover::admin {

struct Answer {
  unsigned status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body = {};
  std::string_view allow = {};  ///< of 405
};

/// The page at `path`, for GET and HEAD; 404: there is none.
Answer page(std::string_view path, const StatusFn& status);

/// May a page that was reached by this Host read the API? An IP literal, localhost or `listen_host`, any port. Another name may be
/// one that a stranger's page made to point here (DNS rebinding).
bool trusted_host(std::string_view host, std::string_view listen_host);

Answer plain(unsigned status, std::string text);

}  // namespace drover::admin
