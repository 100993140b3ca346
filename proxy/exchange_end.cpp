// The end of a worker's stream: what a dead one has written comes to its end, and an end that a death has made is none.
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"
#include "proxy/worker_process.hpp"

#include <algorithm>

namespace drover::proxy {

namespace {

constexpr base::Millis kLastBytes{1'000};

}  // namespace

/// The kernel goes on sending what a dead process has written, and then the end of the stream. Behind a client that was slow these bytes
/// come in turns with its reading; only a connection that a stray child keeps open has neither byte nor end.
base::TimePoint Exchange::last_bytes_until() const { return std::max(cut_at_, worker_moved_) + kLastBytes; }

/// The row is this incarnation's as long as the exchange is inside.
bool Exchange::worker_is_dying() const {
  const bool gone = cut_ && *cut_ != ipc::Cut::stopped;
  return gone || is_dying(thread_.supervisor_board().pid(lease_.row));
}

/// A response without length ends with its connection (RFC 9112 section 6.3), and so does one whose worker is killed inside it.
std::optional<Outcome> Exchange::judge_end(bool& moved) {
  if (worker_is_dying()) return response_broken("the worker died inside its response");
  download_->believe_end();
  moved = true;
  return {};
}

}  // namespace drover::proxy
