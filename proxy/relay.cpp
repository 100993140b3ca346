#include "proxy/relay.hpp"

#include <algorithm>
#include <charconv>

namespace drover::proxy {

template <bool isRequest>
Relay<isRequest>::Relay(Stream& source, Buffer& buffer, MessageParser<isRequest>* parser, Stream& sink, const RelayPlan& plan)
    : source_(source), buffer_(buffer), parser_(parser), sink_(sink), plan_(plan), remaining_(plan.length) {
  if (plan_.in == Framing::none) state_ = State::last_pieces;
}

template <bool isRequest>
void Relay<isRequest>::put_first(std::string_view bytes) {
  first_ += bytes.size();
  add(bytes);
}

template <bool isRequest>
void Relay<isRequest>::add(std::string_view part) {
  if (part.empty()) return;
  parts_[static_cast<std::size_t>(part_count_++)] = {const_cast<char*>(part.data()), part.size()};
}

template <bool isRequest>
void Relay<isRequest>::add_chunk_size(std::uint64_t size) {
  char* end = std::to_chars(chunk_size_.data(), chunk_size_.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  add({chunk_size_.data(), static_cast<std::size_t>(end - chunk_size_.data())});
}

template <bool isRequest>
Moved Relay<isRequest>::step() {
  moved_ = false;
  const std::uint64_t stop_at = read_ + sent_ + 2 * kStepBudget;
  for (;;) {
    if (state_ == State::flowing && held_ == 0 && !need_more_ && !buffer_.empty()) {
      if (const Moved outcome = take(); outcome != Moved::done) return outcome;
    }
    if (first_part_ != part_count_ || held_ > 0) {
      if (const Moved outcome = flush(); outcome != Moved::done) return outcome;
    }
    if (state_ == State::last_pieces) {
      state_ = State::done;
      return Moved::done;
    }
    if (state_ == State::done) return Moved::done;
    if (read_ + sent_ >= stop_at) return Moved::busy;
    if (!buffer_.empty() && !need_more_) continue;
    if (const Moved outcome = fill(); outcome != Moved::done) return outcome;
  }
}

/// Writes the parts. done: all are written and what they held of the buffer is free.
template <bool isRequest>
Moved Relay<isRequest>::flush() {
  while (first_part_ != part_count_) {
    const IoResult wrote = sink_.write(parts_.data() + first_part_, part_count_ - first_part_);
    if (wrote.what == Io::blocked) return Moved::need_sink;
    if (wrote.what != Io::ok) return Moved::sink_failed;
    moved_ = true;
    sent_ += wrote.bytes;
    std::size_t left = wrote.bytes;
    while (left > 0) {
      iovec& part = parts_[static_cast<std::size_t>(first_part_)];
      const std::size_t step = std::min(left, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + step;
      part.iov_len -= step;
      left -= step;
      if (part.iov_len == 0) ++first_part_;
    }
  }
  first_part_ = part_count_ = 0;
  flushed_ = payload_;
  buffer_.consume(held_);
  held_ = 0;
  return Moved::done;
}

/// Turns buffered bytes into parts.
template <bool isRequest>
Moved Relay<isRequest>::take() {
  return plan_.in == Framing::chunked ? take_chunked(buffer_.view()) : take_plain(buffer_.view());
}

template <bool isRequest>
Moved Relay<isRequest>::take_plain(std::string_view bytes) {
  if (plan_.in == Framing::length) {
    bytes = bytes.substr(0, remaining_);
    remaining_ -= bytes.size();
    if (remaining_ == 0) state_ = State::last_pieces;
  }
  payload_ += bytes.size();
  if (plan_.limit && payload_ > *plan_.limit) return Moved::too_large;
  if (plan_.out == OutFraming::chunked) add_chunk_size(bytes.size());
  add(bytes);
  if (plan_.out == OutFraming::chunked) add(state_ == State::last_pieces ? "\r\n0\r\n\r\n" : "\r\n");
  held_ = bytes.size();
  return Moved::done;
}

template <bool isRequest>
Moved Relay<isRequest>::take_chunked(std::string_view bytes) {
  parser_->forget_pieces();
  std::size_t consumed = 0;
  reason_ = parser_->decode(bytes, consumed);
  if (!reason_.empty()) return Moved::bad_body;
  std::uint64_t total = 0;
  for (const auto piece : parser_->pieces()) total += piece.size();
  payload_ += total;
  if (plan_.limit && payload_ > *plan_.limit) return Moved::too_large;
  if (total > 0) {
    if (plan_.out == OutFraming::chunked) add_chunk_size(total);
    for (const auto piece : parser_->pieces()) add(piece);
    if (plan_.out == OutFraming::chunked) add("\r\n");
  }
  if (parser_->body_done()) {
    state_ = State::last_pieces;
    if (plan_.out == OutFraming::chunked) {
      add("0\r\n");
      add(parser_->trailer());
      add("\r\n");
    }
  }
  need_more_ = consumed == 0;
  held_ = consumed;
  return Moved::done;
}

/// Reads more. done: the buffer has new bytes, or the body ended with the stream.
template <bool isRequest>
Moved Relay<isRequest>::fill() {
  if (!source_.watch().readable) {
    if (buffer_.empty()) buffer_.free();  // a stream at rest holds no memory
    return Moved::need_source;
  }
  const bool large = plan_.in == Framing::length ? remaining_ > Buffer::kSmall : payload_ > Buffer::kSmall;
  const std::size_t wanted = large ? Buffer::kLarge : Buffer::kSmall;
  if (buffer_.empty() && buffer_.capacity() < wanted) {
    buffer_.free();
  } else if (!buffer_.empty() && buffer_.room() == 0 && buffer_.size() >= Buffer::kSmall) {
    reason_ = "a chunk's head or the trailer is too long";
    return Moved::bad_body;
  }
  if (buffer_.room() == 0 || buffer_.capacity() < wanted) buffer_.reserve(wanted - buffer_.size());
  const IoResult got = source_.read(buffer_.tail(), buffer_.room());
  switch (got.what) {
    case Io::ok:
      buffer_.commit(got.bytes);
      read_ += got.bytes;
      need_more_ = false;
      moved_ = true;
      return Moved::done;
    case Io::blocked: return Moved::need_source;
    case Io::failed: return Moved::source_failed;
    case Io::eof: return end_of_body();
  }
  return Moved::source_failed;
}

template <bool isRequest>
Moved Relay<isRequest>::end_of_body() {
  if (plan_.in != Framing::until_close) return Moved::source_ended;
  if (plan_.ask_at_end) return Moved::at_end;
  state_ = State::last_pieces;
  if (plan_.out == OutFraming::chunked) add("0\r\n\r\n");
  return Moved::done;
}

template class Relay<true>;
template class Relay<false>;

}  // namespace drover::proxy
