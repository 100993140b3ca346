// Role: one request and its response: route, lease, worker connection, both bodies, retries, the one record in the tallies.
// Thread: one proxy thread, inside its session's coroutine. Ownership: lives in the session's frame; holds at most one lease and
//         one worker connection, both given back before it ends.
//
// Retry: only before a byte reached the client. Always when not one byte reached the worker; idempotent requests
// whose body can be sent again also when the worker closed or reset before its first byte. Never a POST that was written.
#pragma once

#include "balancer/breaker.hpp"
#include "balancer/claim.hpp"
#include "ipc/control.hpp"
#include "proxy/access_log.hpp"
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
#include <string>
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
  /// Its connection ends now: may the client, which has its answer, still be sending, a body or the next request?
  bool client_may_send_more() const;

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
  using Clock = base::TimePoint;  // a moment on it
  static constexpr std::string_view kSlowBody = "the request body comes too slowly";
  static constexpr unsigned kRetryAfterSeconds = 1;        ///< with a 503
  enum class BodyPlan : std::uint8_t { whole, streamed };  ///< whole: it stands in the session's buffer and can be sent again

  /// The answer to a request that its pool does not take.
  struct Refusal {
    unsigned status = 503;
    std::string reason;
    unsigned retry_after_s = kRetryAfterSeconds;
    std::optional<board::QueueReason> why{};  ///< as it is counted
  };

  // exchange.cpp: the course of things.
  Task<bool> serve();
  void put_request();
  std::string_view local_name() const;
  Task<bool> exchange_with_workers();
  Task<bool> prepare_body();
  base::TimePoint body_due(std::uint64_t arrived) const;
  bool slow_body(std::uint64_t arrived);
  bool body_is_here() const;
  bool repeatable(bool written, bool refused) const;
  bool tries_left() const { return attempt_ - attempts_before_ < pool_config_->retry.attempts; }
  bool may_retry(const Outcome& outcome);
  bool must_leave(bool connecting);
  void take_body_from_session();
  void give_body_back();

  // exchange_admission.cpp: before a worker is asked.
  std::optional<Refusal> choose_route();
  std::optional<Refusal> admit();
  std::optional<Refusal> in_maintenance() const;
  std::optional<Refusal> pass_breaker();
  void tell_breaker(const Outcome& outcome);
  void tell_breaker(balancer::Breaker::End end);
  void tell_breaker_of_no_end();
  bool spill(board::QueueReason why);
  bool spill_refused(const Outcome& outcome);

  // exchange_affinity.cpp: what of the request bears on the choice of its worker.
  void note_affinity();
  std::uint64_t request_hash() const;
  bool read_session();
  void add_cookie(ReplyFacts& facts);

  // exchange_answer.cpp: drover's own answers.
  Task<bool> answer_error(unsigned status, std::string_view reason, unsigned retry_after_s = kRetryAfterSeconds);
  Task<bool> answer_here();
  Task<bool> send_own();
  void settle_connection(unsigned status);
  Task<bool> answer_as_last();

  // exchange_deadline.cpp: how long it may take in all.
  void note_deadline();
  bool late() const;
  base::Millis time_left() const;
  Outcome deadline_over();
  std::string_view deadline_reason() const;

  // exchange_line.cpp: how it comes by a worker and gives it back.
  Task<bool> acquire();
  bool claim_at_once();
  Task<std::optional<Refusal>> stand_in_line();
  std::optional<Refusal> left_line(Waiter::State state);
  void take_grant();
  bool retry_here();
  void give_back_worker(bool reusable);
  base::TimePoint line_ends(base::TimePoint since);
  bool spills_when_down() const;
  unsigned seconds_of_hold() const;

  // exchange_account.cpp: what is written down.
  bool note_kind(std::uint32_t route);
  void begin_flight();
  void end_flight();
  void judge(const Outcome& outcome);
  std::uint64_t waited_us() const;
  void note_answered();
  void note_unanswered(const Outcome& outcome, bool failed);
  void worker_moved();
  bool waits_for_client() const;
  void client_left(board::Stage stage);
  void record(unsigned status);
  void complain(std::string_view status, std::string_view reason);

  // exchange_access.cpp: the line of the access log.
  void note_own_body(std::string_view text, std::size_t sent);
  std::uint64_t body_received() const;
  void log_access();

  // exchange_try.cpp: one try on one worker.
  Task<Outcome> try_worker();
  Task<Outcome> connect();
  Task<int> dial(const board::WorkerInfo& worker, base::TimePoint give_up);
  Task<Outcome> pump();
  std::optional<Outcome> step_upload(Relay<true>& up, bool& moved);
  std::optional<Outcome> read_response(bool& moved);
  std::optional<Outcome> take_response_head(std::size_t length);
  void take_final_response();
  std::optional<Outcome> send_interim(bool& moved);
  std::optional<Outcome> step_download(bool& moved);
  bool owes_body() const;
  std::optional<Outcome> check_clocks();
  void want_and_set_clock();
  Outcome worker_ended(board::RetryReason how) const;
  Outcome left_worker(bool connecting) const;
  Outcome response_broken(std::string_view reason) const;
  Outcome or_truncated(Outcome rejection) const;
  RelayPlan response_plan() const;
  void note_keep_alive_hint();

  // exchange_end.cpp: the last bytes of a worker that is gone, and whether an end is one.
  bool worker_is_dying() const;
  std::optional<Outcome> judge_end(bool& moved);
  base::TimePoint last_bytes_until() const;

  // exchange_tunnel.cpp: after 101.
  Task<Outcome> tunnel();

  ClientSession& session_;
  ProxyThread& thread_;
  RequestHead& head_;
  MessageParser<true>& request_parser_;
  std::size_t head_length_;
  Clock began_;
  std::uint64_t start_ms_;  ///< X-Request-Start
  std::array<char, 32> request_id_{};
  const config::Route* route_ = nullptr;
  std::uint32_t route_index_ = 0;
  std::uint32_t pool_ = 0;
  const config::Pool* pool_config_ = nullptr;
  balancer::Ask ask_;
  bool wants_cookie_ = false;                    ///< its pool is sticky, and its client has no valid cookie
  std::string cookie_;                           ///< what it gets
  std::optional<balancer::Breaker::Pass> pass_;  ///< of its pool's breaker, until that is told how it went
  std::uint32_t spills_ = 0;                     ///< how often it went on to another pool
  base::TimePoint deadline_ = base::TimePoint::max();
  bool by_client_ = false;  ///< the deadline is shorter than the route's by the client's word
  std::uint64_t kind_ = 0;  ///< its fingerprint
  bool keep_client_ = false;
  bool unread_body_ = false;
  bool answered_ = false;

  /// For the access log: some stores, no clock of its own.
  struct Seen {
    base::Clock::duration queue{};
    base::Clock::duration connect{};
    base::TimePoint asked{};     ///< the last try had been written
    base::TimePoint answered{};  ///< its response's head was whole
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    unsigned status = 0;  ///< 0: the client had none
    AccessEnd end = AccessEnd::complete;
  };
  Seen seen_;

  // The request.
  Buffer request_text_;
  Buffer upload_;  ///< a streamed body's bytes on their way
  BodyPlan body_plan_ = BodyPlan::whole;
  Moved upload_at_ = Moved::busy;          ///< what its last step came to
  base::Clock::duration client_waited_{};  ///< in all, for its body
  base::TimePoint client_wait_began_{};    ///< of the wait that goes on
  std::uint64_t upload_arrived_ = 0;       ///< of the body
  bool slow_ = false;                      ///< the last wait for it was one too long
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
  std::array<balancer::Lease, 16> avoided_;  ///< what ask_ points to
  std::uint32_t attempt_ = 1;
  std::uint32_t attempts_before_ = 0;  ///< in the pools that it has left after a try
  bool failed_here_ = false;           ///< its last try speaks against its pool
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
  Clock try_began_{};
  Clock upload_moved_{};
  Clock worker_moved_{};
};

}  // namespace drover::proxy
