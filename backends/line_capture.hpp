// Role: a worker's output, line by line, into the log and into a short memory of last lines. Bounded in line length, in
//       bytes read per loop turn and in lines logged per second (the rest is dropped, counted and said so once a second):
//       a worker that floods never blocks or bloats drover.
// Thread: supervisor. Ownership: owns the reading end of the pipe.
#pragma once

#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace drover::backends {

class LineCapture : public std::enable_shared_from_this<LineCapture> {
 public:
  static constexpr std::size_t kMaxLine = 8 * 1024;
  static constexpr std::size_t kLastLines = 20;
  static constexpr std::uint32_t kLinesPerSecond = 200;

  LineCapture(boost::asio::io_context& io, base::UniqueFd pipe, std::string subject);
  void start();
  /// Reads what is there now (bounded): called when the worker has exited, so that its last words are known.
  void drain();
  void close();
  std::vector<std::string> last_lines() const;

 private:
  void wait();
  bool read_some();
  void take(std::string_view bytes);
  void line(std::string_view text);

  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> pipe_;
  std::string subject_;
  std::string partial_;
  bool skipping_ = false;  ///< the rest of an overlong line
  std::deque<std::string> last_;
  base::TimePoint window_{};
  std::uint32_t in_window_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace drover::backends
