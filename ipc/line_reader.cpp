#include "ipc/line_reader.hpp"

#include <algorithm>
#include <cstring>

namespace drover::ipc {

void LineReader::resize(std::size_t capacity) {
  std::unique_ptr<char[]> fresh;
  if (capacity > 0) fresh = std::make_unique_for_overwrite<char[]>(capacity);
  if (kept() > 0) std::memcpy(fresh.get(), buffer_.get() + begin_, kept());
  scanned_ -= begin_;
  end_ -= begin_;
  begin_ = 0;
  buffer_ = std::move(fresh);
  capacity_ = capacity;
}

std::span<char> LineReader::room() {
  if (kept() == 0) begin_ = end_ = scanned_ = 0;
  const std::size_t needed = kept() + want_;
  if (needed > capacity_) {
    // Doubled, so that a long line is copied a few times only; but never more than the longest line and one read.
    resize(std::max(needed, std::min(capacity_ * 2, max_line_ + kMostRoom)));
  } else if (capacity_ - end_ < want_) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, kept());
    end_ -= begin_;
    scanned_ -= begin_;
    begin_ = 0;
  }
  return {buffer_.get() + end_, want_};
}

void LineReader::filled(std::size_t bytes) {
  end_ += bytes;
  if (bytes == want_) want_ = std::min(want_ * 2, kMostRoom);
}

LineReader::Next LineReader::next() {
  while (scanned_ < end_) {
    const void* found = std::memchr(buffer_.get() + scanned_, '\n', end_ - scanned_);
    if (found == nullptr) break;
    const Next out = cut(static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.get()));
    if (out.what != What::more) return out;
  }
  scanned_ = end_;
  return unfinished();
}

/// Takes out the line that ends at `at`. more: there is nothing to say of it.
LineReader::Next LineReader::cut(std::size_t at) {
  std::string_view line(buffer_.get() + begin_, at - begin_);
  begin_ = scanned_ = at + 1;
  if (throwing_away_) {
    throwing_away_ = false;
    return {};
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > max_line_) return {What::too_long, {}};
  if (line.empty()) return {};
  return {What::line, line};
}

/// What is left has no end yet. One byte more than a line is no fault: it may be the "\r" of its end.
LineReader::Next LineReader::unfinished() {
  const bool fits = kept() <= max_line_ || (kept() == max_line_ + 1 && buffer_[end_ - 1] == '\r');
  if (throwing_away_ || !fits) begin_ = end_ = scanned_ = 0;
  if (throwing_away_ || fits) return {};
  throwing_away_ = true;
  return {What::too_long, {}};
}

void LineReader::rest() {
  want_ = kLeastRoom;
  // Not for a little: a long line that comes in drops would be copied with each of them.
  if (kept() == 0 || capacity_ > 2 * kept() + kMostRested) resize(kept());
}

}  // namespace drover::ipc
