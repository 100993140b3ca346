// Role: moves one message (a head written before, then its body) from one stream to another, with back-pressure: nothing is read
//       before what was read last has been sent.
// Thread: one proxy thread. Ownership: borrows both streams, the parser and the source's buffer; they outlive it.
#pragma once

#include "proxy/buffer.hpp"
#include "proxy/message.hpp"
#include "proxy/stream.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace drover::proxy {

/// How the body is framed for the receiver.
enum class OutFraming : std::uint8_t { raw, chunked };

/// What one step came to. The first three say what to wait for.
enum class Moved : std::uint8_t {
  busy,           ///< its budget is used up: call again after the others had a turn
  need_source,    ///< the source has nothing now
  need_sink,      ///< the sink takes nothing now
  at_end,         ///< the stream ends, and with it a body that has no other end: is it to be believed?
  done,           ///< the whole message has been handed to the sink
  source_ended,   ///< end of stream inside the body
  source_failed,  ///< reset or error
  bad_body,       ///< the source's framing is broken: reason()
  too_large,      ///< more than the limit
  sink_failed     ///< the sink will take no more
};

struct RelayPlan {
  Framing in = Framing::none;
  std::uint64_t length = 0;  ///< with Framing::length
  OutFraming out = OutFraming::raw;
  std::optional<std::uint64_t> limit;  ///< of payload bytes
  bool ask_at_end = false;             ///< at_end goes before the end of a body that ends with its stream
};

template <bool isRequest>
class Relay {
 public:
  Relay(Stream& source, Buffer& buffer, MessageParser<isRequest>* parser, Stream& sink, const RelayPlan& plan);

  /// Bytes to be sent before the body, together with its first ones. They must stay until sent.
  void put_first(std::string_view bytes);
  Moved step();

  /// The answer to at_end: it is.
  void believe_end() { plan_.ask_at_end = false; }

  bool done() const { return state_ == State::done; }
  bool moved() const { return moved_; }               ///< did the last step move a byte?
  std::uint64_t payload() const { return payload_; }  ///< of the body, taken from the source so far
  bool sent_any() const { return sent_ > 0; }
  /// Bytes of the body that have been taken from the source, and those that the sink has taken: of a chunked one whole steps.
  std::uint64_t payload_sent() const { return plan_.out == OutFraming::chunked ? flushed_ : sent_ - std::min(sent_, first_); }
  std::string_view reason() const { return reason_; }

 private:
  enum class State : std::uint8_t { flowing, last_pieces, done };
  static constexpr int kMaxParts = 48;
  static constexpr std::size_t kStepBudget = std::size_t{512} * 1024;  ///< read and sent, in one step: then others have their turn

  Moved flush();
  Moved take();
  Moved take_plain(std::string_view bytes);
  Moved take_chunked(std::string_view bytes);
  Moved fill();
  void add(std::string_view part);
  void add_chunk_size(std::uint64_t size);
  Moved end_of_body();

  Stream& source_;
  Buffer& buffer_;
  MessageParser<isRequest>* parser_;
  Stream& sink_;
  RelayPlan plan_;
  State state_ = State::flowing;
  std::uint64_t remaining_ = 0;
  std::uint64_t payload_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t first_ = 0;    ///< put_first()
  std::uint64_t flushed_ = 0;  ///< of payload_
  std::size_t held_ = 0;       ///< bytes of the buffer that the parts point into
  bool need_more_ = false;     ///< what is buffered is an unfinished chunk head or trailer
  bool moved_ = false;
  std::string_view reason_;
  std::array<iovec, kMaxParts> parts_;
  int first_part_ = 0;
  int part_count_ = 0;
  std::array<char, 24> chunk_size_;
};

extern template class Relay<true>;
extern template class Relay<false>;

}  // namespace drover::proxy
