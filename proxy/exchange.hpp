// Role: one request and its response: route, lease, worker connection, both bodies, retries, the one record in the tallies.
// Thread: one proxy thread, inside its session's coroutine. Ownership: lives in the session's frame; holds at most one lease and
//         one worker connection, both given back before it ends.
//
// Retry: only before a byte reached the client. Always when not one byte reached the worker; idempotent requests
// whose body can be sent again also when the worker closed or reset before its first byte. Never a POST that was written.
#pragma once

#include "balancer/claim.hpp"
#include "ipc/control.hpp"
#include "proxy/buffer.hpp"
#include "proxy/flights.hpp"
#include "proxy/head_scan.hpp"
#include "proxy/head_write.hpp"
#include "proxy/message.hpp"
#include "proxy/pool_queue.hpp"
#include "proxy/relay.hpp"
#include "proxy/task.hpp"
#include "proxy/worker_connection.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace drover::proxy {

class ClientSession;
class ProxyThread;

/// How one try on one worker ended.
struct Outcome {
  enum class Kind : std::uint8_t {
    complete,     ///< the whole response has been sent
    refused,      ///< no connection: nothing was written
    unanswered,   ///< the worker closed or reset before its first byte
    rejected,     ///< an error reply is due: status, reason
    truncated,    ///< the response had begun: the client must see that it is cut
    client_gone,  ///< nobody is there to answer
    tunnel_over   ///< an upgraded connection has ended
  };
  Kind kind = Kind::complete;
  unsigned status = 0;
  std::string_view reason;
  board::RetryReason retry = board::RetryReason::connect;
  bool written = false;       ///< did a byte reach the worker?
  bool worker_fault = false;  ///< counts as the worker's error
};

class Exchange {
 public:
  Exchange(ClientSession& session, RequestHead& head, MessageParser<true>& parser, std::size_t head_length);
  ~Exchange();
  Exchange(const Exchange&) = delete;

  /// True: the client connection may carry another request.
  Task<bool> run();
  /// Has the client more to send that nobody will read?
  bool unread_body() const { return unread_body_; }

  // The thread cuts the exchanges of a worker that is gone, hangs or is stopped.
  bool uses(std::uint32_t row, base::Incarnation incarnation) const { return leased_ && lease_.row == row && lease_.incarnation == incarnation; }
  void cut(ipc::Cut why);
  void tick();
  /// How long it may still go on in a drain; none: not yet known.
  std::optional<base::Millis> drain_limit() const;
  /// That time is over.
  void expire();
  std::size_t index = 0;  ///< place in the thread's list

 private:
  using Clock = base::TimePoint;                           // a moment on it
  static constexpr unsigned kRetryAfterSeconds = 1;        ///< with a 503
  enum class BodyPlan : std::uint8_t { whole, streamed };  ///< whole: it stands in the session's buffer and can be sent again

  // exchange.cpp: the course of things.
  Task<bool> serve();
  Task<bool> prepare_body();
  Task<bool> acquire();
  Task<bool> stand_in_line(const balancer::Avoid& avoid);
  void take_grant();
  bool body_is_here() const;
  bool repeatable(bool written, bool refused) const;
  bool may_retry(const Outcome& outcome);
  bool must_leave(bool connecting);
  Task<bool> answer_error(unsigned status, std::string_view reason, unsigned retry_after_s = kRetryAfterSeconds);
  void take_body_from_session();
  void give_body_back();
  bool retry_here();
  void give_back_worker(bool reusable);
  base::TimePoint line_ends(base::TimePoint since) const;

  // exchange_account.cpp: what is written down.
  bool note_kind(std::uint32_t route);
  void begin_flight();
  void end_flight();
  void judge(const Outcome& outcome);
  void worker_moved();
  bool waits_for_client() const;
  void client_left(board::Stage stage);
  void record(unsigned status);
  void complain(std::string_view status, std::string_view reason);

  // exchange_try.cpp: one try on one worker.
  Task<Outcome> try_worker();
  Task<Outcome> connect();
  Task<int> dial(const board::WorkerInfo& worker, base::TimePoint give_up);
  Task<Outcome> pump();
  Task<Outcome> tunnel();
  std::optional<Outcome> step_upload(Relay<true>& up, bool& moved);
  std::optional<Outcome> read_response(bool& moved);
  std::optional<Outcome> take_response_head(std::size_t length);
  void take_final_response();
  std::optional<Outcome> send_interim(bool& moved);
  std::optional<Outcome> step_download(bool& moved);
  std::optional<Outcome> check_clocks();
  void want_and_set_clock();
  Outcome worker_ended(board::RetryReason how) const;
  Outcome left_worker(bool connecting) const;
  base::TimePoint last_bytes_until() const;
  Outcome response_broken(std::string_view reason) const;
  Outcome or_truncated(Outcome rejection) const;
  RelayPlan response_plan() const;
  void note_keep_alive_hint();

  ClientSession& session_;
  ProxyThread& thread_;
  RequestHead& head_;
  MessageParser<true>& request_parser_;
  std::size_t head_length_;
  Clock began_;
  std::array<char, 32> request_id_{};
  std::uint32_t pool_ = 0;
  const config::Pool* pool_config_ = nullptr;
  std::uint64_t kind_ = 0;  ///< its fingerprint
  bool keep_client_ = false;
  bool unread_body_ = false;
  bool answered_ = false;

  // The request.
  Buffer request_text_;
  Buffer upload_;  ///< a streamed body's bytes on their way
  BodyPlan body_plan_ = BodyPlan::whole;
  Moved upload_at_ = Moved::busy;  ///< what its last step came to
  bool upload_done_ = false;
  bool upload_failed_ = false;  ///< the worker takes no more; its answer may still come
  bool written_ = false;        ///< a byte of this try has reached the worker

  // The worker.
  balancer::Lease lease_;
  bool leased_ = false;
  Waiter waiter_;
  WorkerConnectionPtr connection_;
  Permit permit_;
  std::array<balancer::Lease, 8> tried_;
  std::size_t tried_count_ = 0;
  std::uint32_t attempt_ = 1;
  std::uint32_t flight_ = Flights::kNone;
  std::optional<ipc::Cut> cut_;
  base::TimePoint cut_at_;
  bool fresh_only_ = false;  ///< an idle connection has failed this exchange
  bool expired_ = false;
  bool flying_ = false;
  bool flight_broke_ = false;
  bool client_bound_ = false;  ///< as counted in the row's gauge

  // The response.
  std::optional<ResponseHead> response_;
  std::optional<MessageParser<false>> response_parser_;
  std::optional<Relay<false>> download_;
  Moved download_at_ = Moved::need_source;
  HeadScan response_scan_;
  Buffer response_text_;
  std::string_view interim_unsent_;  ///< of response_text_: 1xx heads on their way to the client
  unsigned interim_count_ = 0;
  bool any_response_byte_ = false;
  bool tunnel_agreed_ = false;
  bool event_stream_ = false;  ///< whose silence is no fault
  Clock upload_moved_{};
  Clock worker_moved_{};
};

}  // namespace drover::proxy
