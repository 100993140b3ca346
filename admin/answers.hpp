// Role: what the admin server says to a request, without any I/O.
// Thread: supervisor. Ownership: values; the status is asked only for paths that need it.
#pragma once

#include "backends/status.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace drover::admin {

using StatusFn = std::function<backends::ClusterStatus()>;

struct Question {
  bool reads = true;        ///< GET or HEAD
  std::string_view target;  ///< path, with query
  std::string_view host;    ///< Host header; "" = none
};

struct Answer {
  unsigned status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  std::string body;
};

/// `listen_host`: the name in `admin.listen`, which /status is given to beside addresses and localhost.
Answer answer(const Question& question, std::string_view listen_host, const StatusFn& status);

/// May a page that was reached by this Host read /status? An IP literal, localhost or `listen_host`, any port. Another name
/// may be one that a stranger's page made to point here (DNS rebinding).
bool trusted_host(std::string_view host, std::string_view listen_host);

}  // namespace drover::admin
