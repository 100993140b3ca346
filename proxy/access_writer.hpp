// Role: carries the lines of the access log from the proxy's threads to a file, pipe or terminal, without making any of them wait: each has a
//       ring of its own, one thread does the writes. What a full ring does not take is dropped by its thread, and counted.
// Thread: a ring's put() by its one proxy thread; replace() and finish() by the process's main thread; the rest by the writer's own.
//         Ownership: owns the rings, the descriptor and its thread.
//
// Only whole lines come out, in the order of each thread. A line of which a full disk or pipe took a part is finished before any other is
// begun; and as pipes are given at most PIPE_BUF at once, another process's lines can't fall into one of ours.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"
#include "proxy/complaints.hpp"

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>

namespace drover::proxy {

/// Whole lines from one thread to another, without a lock.
class AccessRing {
 public:
  static constexpr std::size_t kBytes = std::size_t{256} * 1024;  ///< some hundreds of lines; a power of two

  enum class Put : std::uint8_t { stored, stored_half_full, no_room };

  // The proxy thread's side.
  /// stored_half_full: by this line it has become so; the writer should be told.
  Put put(std::string_view line);

  // The writer's side.
  /// What stands there, in order, in up to two pieces.
  std::array<std::string_view, 2> lines() const;
  void drop_front(std::size_t bytes) { head_.store(head_.load(std::memory_order_relaxed) + bytes, std::memory_order_release); }

 private:
  std::unique_ptr<char[]> bytes_ = std::make_unique<char[]>(kBytes);
  alignas(64) std::atomic<std::uint64_t> tail_{0};  ///< written by the proxy thread
  alignas(64) std::atomic<std::uint64_t> head_{0};  ///< written by the writer
};

class AccessWriter {
 public:
  static constexpr base::Millis kFlushEvery{250};      ///< a line is at most that old when it is written
  static constexpr base::Millis kLastPatience{500};    ///< for a reader that does not read, at the end
  static constexpr base::Millis kSayEvery{10'000};     ///< between two words about what can't be written
  static constexpr std::size_t kMostAtOnce = 1 << 20;  ///< to a file

  /// Lines wait until replace() brings a descriptor. `complaints`: see Complaints.
  static base::Result<std::unique_ptr<AccessWriter>> create(std::size_t threads, int complaints);
  ~AccessWriter();
  AccessWriter(const AccessWriter&) = delete;

  AccessRing& ring(std::size_t thread) { return rings_[thread]; }
  /// Of a proxy thread: a ring has become half full.
  void wake() const;
  /// From now on lines go there; none is lost, and one that the old descriptor took only a part of is written again as a whole.
  void replace(base::UniqueFd fd);
  /// Writes what is there, with bounded patience, and ends the writer.
  void finish();

 private:
  enum class Flow : std::uint8_t {
    empty,    ///< all is written
    blocked,  ///< the reader does not read
    failed    ///< no room, no reader …: later, perhaps
  };

  AccessWriter(std::size_t threads, base::UniqueFd wakeup, int complaints);
  void run();
  void take_orders();
  Flow drain_all();
  Flow drain(std::size_t ring);
  std::size_t piece(const std::array<std::string_view, 2>& lines) const;
  void wait(Flow flow) const;
  void tell(int error);

  std::deque<AccessRing> rings_;
  base::UniqueFd wakeup_;
  Complaints complaints_;

  std::mutex mutex_;  ///< of the next three
  std::condition_variable ended_;
  std::optional<base::UniqueFd> next_;
  bool over_ = false;
  std::atomic<bool> finishing_{false};

  // The writer's own.
  base::UniqueFd out_;
  bool is_file_ = false;
  std::size_t begun_ring_ = 0;  ///< the ring whose first line is written in part
  std::size_t begun_ = 0;       ///< so many bytes of it
  int trouble_ = 0;             ///< errno of the last write
  base::TimePoint said_{};
  std::thread thread_;
};

}  // namespace drover::proxy
