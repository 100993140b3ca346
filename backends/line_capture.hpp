// Role: a worker's output, line by line, into the log, to whoever listens, and into a short memory of last lines. Bounded in line length, in
//       bytes read per loop turn and in lines logged per second (the rest is dropped, counted and said so once a second):
//       a worker that floods never blocks or bloats drover.
// Thread: supervisor. Ownership: owns the reading end of the pipe.
#pragma once

#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace drover::backends {

class LineCapture : public std::enable_shared_from_this<LineCapture> {
 public:
  static constexpr std::size_t kMaxLine = 8 * 1024;  ///< bytes; the rest of a longer line is skipped, and the line says so
  static constexpr std::size_t kLastLines = 20;
  static constexpr std::size_t kRememberedLine = 1024;      ///< bytes of each remembered line
  static constexpr std::uint32_t kLinesPerSecond = 200;     ///< logged and told; the rest is counted
  static constexpr std::size_t kBytesPerTurn = 256 * 1024;  ///< read in one turn of the loop, so that other handlers get theirs
  static constexpr std::size_t kBytesAtExit = 1024 * 1024;  ///< read by drain(): the largest pipe an unprivileged process can make

  /// A finished line, control characters and invalid UTF-8 escaped. Lines that were dropped are told as one line that counts them.
  using Sink = std::function<void(std::string_view line)>;

  LineCapture(boost::asio::io_context& io, base::UniqueFd pipe, std::string subject, Sink sink);
  void start();
  /// Reads what is there now (bounded): called when the worker has exited, so that its last words are known.
  void drain();
  void close();
  /// Newest last; control characters and invalid UTF-8 escaped.
  std::vector<std::string> last_lines() const;

 private:
  using Executor = boost::asio::io_context::executor_type;
  using Timer = boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, Executor>;

  void wait();
  bool read_up_to(std::size_t budget);
  void take(std::string_view bytes);
  std::string_view skip_flood(std::string_view bytes);
  void append(std::string_view bytes);
  void finish_line();
  void drop(std::uint64_t lines);
  void say_dropped();

  boost::asio::posix::basic_stream_descriptor<Executor> pipe_;
  Timer once_a_second_;  ///< runs only while something was dropped and not yet said
  std::string subject_;
  Sink sink_;
  std::string partial_;
  bool skipping_ = false;  ///< the rest of an overlong line
  std::deque<std::string> last_;
  base::TimePoint window_{};
  std::uint32_t in_window_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace drover::backends
