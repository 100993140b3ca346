// Role: our end of the channel between drover and one worker: a Unix stream socket on which each line is one JSON value (unix(7);
//       the format of Node.js child processes). Cuts lines, bounds both directions, passes descriptors one at a time. Knows no JSON.
// Thread: supervisor's loop; no call blocks. Ownership: owns its end of the socketpair and every descriptor given to send().
//
// Reading. At most kPerTurn bytes, kLinesPerTurn lines and about kTurnTime a turn of the loop, then others have theirs. A line beyond kMaxLine is
// thrown away up to its end and told once. No room is given for descriptors that a worker passes, so the kernel closes them; `fault` tells of it. A
// worker that makes its channel busy with faults is read no more until the present second is over (kFaultTime); and one whose answers (what must not
// be lost) wait unread (kUnreadMost) is not read until it reads: its own writes wait, nobody else is touched.
//
// Writing. Three kinds. What must not be lost (send): responses, Node's internal messages. Messages (send_message): beyond
// kMessagesMost the oldest are dropped, whole, and counted; one of which a byte was written is not dropped. Syncs (send_sync): a key that
// waits is not queued again; its line is made when it is written. When all that waits is more than kOutboxMost the channel is closed (`ended`).
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace drover::ipc {

enum class ChannelFault : std::uint8_t {
  too_long,    ///< a line beyond kMaxLine
  not_json,    ///< said by the owner: Channel::found_bad()
  descriptor,  ///< the worker passed one
  paused,      ///< faults took kFaultTime of a second: it is not read for the rest of it
  dropped,     ///< messages to it, for want of room
};
inline constexpr std::size_t kChannelFaults = 5;
const char* to_text(ChannelFault fault);

enum class ChannelEnd : std::uint8_t {
  peer,      ///< nobody holds the other end any more, or it was shut down
  overflow,  ///< more than kOutboxMost waits for a worker that does not read
  broken,    ///< read or write failed
};
const char* to_text(ChannelEnd end);

struct ChannelHandlers {
  /// One whole line without its "\n", not empty; valid during the call. May destroy the Channel.
  std::function<void(std::string_view line)> line;
  /// Each fault, not_json too. May not destroy the Channel.
  std::function<void(ChannelFault fault, std::uint64_t count)> fault;
  /// Once, and last. Not called for close() and the destructor. May destroy the Channel.
  std::function<void(ChannelEnd end)> ended;
  /// The line that tells of a key's present value; "": there is nothing to tell any more. May send, but not
  /// finish, close or destroy the Channel.
  std::function<std::string(const std::string& key)> sync_line;
  /// How long one turn of reading or writing has held the loop. May not destroy the Channel.
  std::function<void(std::chrono::steady_clock::duration took)> turn;
};

class Channel {
 public:
  static constexpr std::size_t kMaxLine = 1024 * 1024;
  static constexpr std::size_t kPerTurn = 64 * 1024;
  static constexpr int kLinesPerTurn = 128;  ///< small lines are work by their number: this is about a millisecond
  static constexpr std::chrono::milliseconds kTurnTime{4};
  static constexpr std::size_t kMessagesMost = 1024 * 1024;
  static constexpr std::size_t kUnreadMost = 1024 * 1024;
  static constexpr std::size_t kOutboxMost = 4 * 1024 * 1024;
  static constexpr std::chrono::milliseconds kFaultTime{200};

  /// Our end, and the worker's: close-on-exec, blocking (Node sets it non-blocking by itself).
  static base::Result<std::pair<base::UniqueFd, base::UniqueFd>> pair();

  /// `socket` is made non-blocking. Reading begins at the next turn of the loop.
  Channel(boost::asio::io_context& io, base::UniqueFd socket, ChannelHandlers handlers);
  ~Channel();
  Channel(const Channel&) = delete;

  // Lines without "\n". After the end all of these do nothing.
  void send(std::string line);
  /// With a descriptor. The next one is written only after descriptor_settled(); lines without one do not wait for it.
  void send(std::string line, base::UniqueFd descriptor);
  void send_message(std::string line);
  void send_sync(const std::string& key);
  /// The worker has said NODE_HANDLE_ACK or NODE_HANDLE_NACK.
  void descriptor_settled();
  /// One has been written, or waits to be, and is not settled.
  bool descriptor_under_way() const;

  /// The line that was just given to `line` is no JSON, or not of a form that is known: counts towards kFaultTime.
  void found_bad();

  /// Its worker is dead: all that it wrote is read now (bounded by what a socket holds), `line` called for each; then `ended`, if the
  /// other end is closed.
  void read_rest();
  /// What waits is written as far as it goes at once, then our side of the stream ends: Node emits 'disconnect'. Reading goes on.
  void finish();
  void close();

  bool open() const;
  bool takes() const;                 ///< what is sent now may be read by somebody
  std::size_t waiting_bytes() const;  ///< to be written
  struct Counts {
    std::uint64_t lines_in = 0;
    std::uint64_t lines_out = 0;
    std::uint64_t faults[kChannelFaults] = {};
  };
  const Counts& counts() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace drover::ipc
