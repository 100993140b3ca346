// Role: the catalogue of what a proxy counts: one block of plain words per thread and pool, one per thread.
// Thread: each block is written by its one proxy thread (relaxed stores, no read-modify-write on the bus) and read by the
//         supervisor at scrape. Ownership: lives on a proxy's board; folded into a Totals when that proxy is dead.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace drover::board {

/// A counter with one writer.
class Count {
 public:
  void add(std::uint64_t n = 1) { word_.store(word_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void set(std::uint64_t n) { word_.store(n, std::memory_order_relaxed); }
  std::uint64_t get() const { return word_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> word_{0};
};

enum class Method : std::uint8_t { get, head, post, other };
inline constexpr std::array<const char*, 4> kMethodNames{"GET", "HEAD", "POST", "other"};

enum class RetryReason : std::uint8_t { connect, reset, timeout, closed };
inline constexpr std::array<const char*, 4> kRetryReasonNames{"connect", "reset", "timeout", "closed"};

/// At which stage a client left before it had its whole answer.
enum class Stage : std::uint8_t { request_body, queue, waiting, response_body };
inline constexpr std::array<const char*, 4> kStageNames{"request_body", "queue", "waiting", "response_body"};

enum class QueueReason : std::uint8_t { full, expired, nobody, shed, breaker, maintenance };
inline constexpr std::array<const char*, 6> kQueueReasonNames{"full", "expired", "nobody", "shed", "breaker", "maintenance"};

/// Why a client was answered 429.
enum class LimitReason : std::uint8_t { connections, requests };
inline constexpr std::array<const char*, 2> kLimitReasonNames{"connections", "requests"};

inline constexpr std::size_t kFirstCode = 100;
inline constexpr std::size_t kCodes = 500;  ///< 100 … 599; what a worker sends beyond them is counted as 599
constexpr std::size_t code_index(unsigned code) { return code < kFirstCode || code >= kFirstCode + kCodes ? kCodes - 1 : code - kFirstCode; }

/// Upper bounds in microseconds; a last bucket beyond them is +Inf.
inline constexpr std::array<std::uint64_t, 16> kBucketBounds{500,     1'000,   2'500,     5'000,     10'000,    25'000,     50'000,     100'000,
                                                             250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000};

struct Histogram {
  std::array<Count, kBucketBounds.size() + 1> buckets;  ///< each holds its own range, not the running sum
  Count sum_us;

  void observe(std::uint64_t us) {
    std::size_t i = 0;
    while (i < kBucketBounds.size() && us > kBucketBounds[i]) ++i;
    buckets[i].add();
    sum_us.add(us);
  }
};

/// Per thread and pool.
struct alignas(64) PoolTally {
  std::array<std::array<Count, kCodes>, kMethodNames.size()> requests;
  std::array<Count, kRetryReasonNames.size()> retries;
  std::array<Count, kStageNames.size()> client_disconnects;
  std::array<Count, kQueueReasonNames.size()> queue_rejected;
  Count truncated;  ///< responses begun and then cut, so that the client sees it
  Histogram duration;
  Histogram queue_wait;
  Count blocked;    ///< answered 503 because such requests have killed workers
  Count spilled;    ///< exchanges that another pool took (spill_to)
  Count unpaid;     ///< retries not made for want of retry budget
  Count deadlines;  ///< exchanges ended by their route's timeout or their own X-Request-Timeout

  void request(Method method, unsigned code) { requests[static_cast<std::size_t>(method)][code_index(code)].add(); }
};

/// Per thread and listener.
struct alignas(64) ListenerTally {
  Count clients;                                        ///< gauge: open client connections
  std::array<Count, kLimitReasonNames.size()> limited;  ///< answered 429
  Count slow;                                           ///< clients sent away for sending slower than `rates` allow
  std::array<Count, kCodes> refused;                    ///< requests refused before a pool was found, by status
  std::array<Count, kCodes> answered;                   ///< requests that were answered in a pool's place: redirects, fixed responses, by status
};

/// Per thread.
struct alignas(64) ThreadTally {
  Count heartbeat_ns;        ///< steady clock, each 250 ms
  Count claims_after_close;  ///< must stay 0: an enter or transfer that succeeded on a gate seen closed before it
  Histogram loop_turn;       ///< time from one wait's return to the next wait
  Count access_lines;        ///< of the access log, handed to its writer
  Count access_dropped;      ///< and lost because the writer could not keep up
  Count accept_pauses;       ///< times that accepting stopped for want of descriptors
};

}  // namespace drover::board
