// Role: what is behind a Channel: its two directions and its life. Handlers of the loop hold it, so that it outlives a Channel which one
//       of them destroyed; internal to ipc/channel*.cpp.
// Thread: supervisor's loop. Ownership: owns the socket; is owned by its Channel and by what waits on the loop.
#pragma once

#include "base/units.hpp"
#include "ipc/channel.hpp"
#include "ipc/line_reader.hpp"
#include "ipc/outbox.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <memory>

namespace drover::ipc {

struct Channel::State : std::enable_shared_from_this<State> {
  using Executor = boost::asio::io_context::executor_type;
  using Watch = boost::asio::posix::basic_stream_descriptor<Executor>;
  using Timer = boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, Executor>;

  State(boost::asio::io_context& io, ChannelHandlers given)
      : executor(io.get_executor()),
        socket(executor),
        pause(executor),
        handlers(std::move(given)),
        reader(kMaxLine),
        outbox({kMessagesMost, kOutboxMost}) {}

  // Each says what leads on from there: so there is one read turn at a time, and one flush.
  enum class Reading : std::uint8_t { waits, due, unread, paused };
  enum class Writing : std::uint8_t { idle, due, waits };
  enum class Stop : std::uint8_t { nothing, turn_over, braked, rest, eof, broken, over };

  Executor executor;
  Watch socket;
  Timer pause;
  ChannelHandlers handlers;
  LineReader reader;
  Outbox outbox;
  Counts counts;
  Reading reading = Reading::waits;
  Writing writing = Writing::idle;
  bool over = false;              // no handler is called any more
  bool ending = false;            // `ended` comes with the next turn
  bool sends = true;              // not after finish(), nor once the peer reads no more
  bool deaf = false;              // the peer reads no more: when all that it wrote is read, that is the end
  bool in_turn = false;           // lines are being given out
  bool rest_wanted = false;       // read_rest() was called by one of them
  bool drained = false;           // the last read got less than it had room for
  int lines_left = 0;             // of this turn
  bool bad = false;               // what was found of the present line
  base::TimePoint turn_began{};   // of reading
  base::TimePoint mark{};         // up to here time was booked
  base::Clock::duration spent{};  // on the present line
  base::Clock::duration fault_time{};
  base::TimePoint window{};

  // channel.cpp: its life
  void start(base::UniqueFd fd);
  void stop();
  void end(ChannelEnd how);
  void end_soon(ChannelEnd how);
  void tell(ChannelFault fault, std::uint64_t count);

  // channel_reading.cpp
  void wait_readable();
  void read_soon();
  void read_turn();
  Stop pump(std::size_t most, int reads, bool brakes);
  Stop give_out(bool brakes);
  Stop read_some(std::size_t most);
  bool braked();
  void look_at_clock();
  void book();
  void read_rest();
  void go_on_reading();

  // channel_writing.cpp
  bool takes() const { return sends && !over && !ending; }
  void added();
  void flush_soon();
  void flush_turn();
  bool write_batch(std::size_t& written);
  void wait_writable();
  void go_deaf();
  void finish();
};

}  // namespace drover::ipc
