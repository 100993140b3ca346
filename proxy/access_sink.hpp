// Role: where a proxy thread's exchanges and sessions put their records: makes the line, hands it to the writer, counts.
// Thread: one proxy thread. Ownership: borrows the writer and the thread's tally; there is none where no access log is configured.
#pragma once

#include "board/tally.hpp"
#include "proxy/access_log.hpp"
#include "proxy/access_writer.hpp"

namespace drover::proxy {

class AccessSink {
 public:
  AccessSink(AccessWriter& writer, std::size_t thread, config::AccessFormat format, board::ThreadTally& tally);

  /// At each tick: the wall clock may have been set.
  void set_clock();
  /// No clock is read for a request: its moment comes from the loop's.
  std::uint64_t unix_us(base::TimePoint at) const { return static_cast<std::uint64_t>(us(at.time_since_epoch()) + offset_us_); }
  void write(const AccessRecord& record);

  static std::int64_t us(base::Clock::duration duration) { return std::chrono::duration_cast<std::chrono::microseconds>(duration).count(); }

 private:
  AccessWriter& writer_;
  AccessRing& ring_;
  board::ThreadTally& tally_;
  AccessFormatter formatter_;
  std::int64_t offset_us_ = 0;  ///< of Unix time from the steady clock
};

}  // namespace drover::proxy
