#include "backends/line_capture.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace drover::backends {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kReadSize = 64 * 1024;  // a pipe's usual size: one call empties it
constexpr auto kWindow = 1s;
constexpr std::size_t kMaxTold = LineCapture::kMaxLine + 64;  // with the note that it was cut

}  // namespace

LineCapture::LineCapture(boost::asio::io_context& io, base::UniqueFd pipe, std::string subject, Sink sink)
    : pipe_(io.get_executor(), pipe.release()), once_a_second_(io.get_executor()), subject_(std::move(subject)), sink_(std::move(sink)) {}

void LineCapture::start() { wait(); }

void LineCapture::wait() {
  pipe_.async_wait(decltype(pipe_)::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (error || !self->pipe_.is_open()) return;
    if (self->read_up_to(kBytesPerTurn))
      self->wait();
    else
      self->close();
  });
}

void LineCapture::drain() {
  if (pipe_.is_open() && !read_up_to(kBytesAtExit)) close();
  if (!partial_.empty()) finish_line();  // last words need no newline
}

void LineCapture::close() {
  boost::system::error_code ignored;
  pipe_.close(ignored);
  once_a_second_.cancel();
  if (!partial_.empty()) finish_line();
  say_dropped();
}

std::vector<std::string> LineCapture::last_lines() const {
  std::vector<std::string> lines(last_.begin(), last_.end());
  if (!partial_.empty()) lines.push_back(base::printable(partial_, kRememberedLine));
  if (lines.size() > kLastLines) lines.erase(lines.begin());
  return lines;
}

/// false: the pipe has ended.
bool LineCapture::read_up_to(std::size_t budget) {
  std::array<char, kReadSize> buffer;  // not cleared: a flood is read through it many thousand times a second
  for (std::size_t total = 0; total < budget;) {
    const ssize_t got = read(pipe_.native_handle(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    total += static_cast<std::size_t>(got);
    take({buffer.data(), static_cast<std::size_t>(got)});
  }
  return true;
}

void LineCapture::take(std::string_view bytes) {
  const auto now = base::Clock::now();
  if (now - window_ >= kWindow) {
    window_ = now;
    in_window_ = 0;
  }
  while (!bytes.empty()) {
    if (in_window_ >= kLinesPerSecond && partial_.empty() && !skipping_) bytes = skip_flood(bytes);
    const std::size_t end = bytes.find('\n');
    append(bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    if (skipping_)
      skipping_ = false;
    else
      finish_line();
    bytes.remove_prefix(end + 1);
  }
}

/// Of lines that won't be logged only the last ones are looked at singly; the others are counted as fast as memory is read.
std::string_view LineCapture::skip_flood(std::string_view bytes) {
  std::size_t kept_from = bytes.size();
  for (std::size_t lines = 0; lines <= kLastLines; ++lines) {
    const std::size_t newline = kept_from == 0 ? std::string_view::npos : bytes.rfind('\n', kept_from - 1);
    if (newline == std::string_view::npos) return bytes;
    kept_from = newline;
  }
  const std::string_view skipped = bytes.substr(0, kept_from + 1);
  drop(static_cast<std::uint64_t>(std::count(skipped.begin(), skipped.end(), '\n')));
  return bytes.substr(skipped.size());
}

void LineCapture::append(std::string_view bytes) {
  if (skipping_) return;
  const std::size_t room = kMaxLine - partial_.size();
  partial_ += bytes.substr(0, room);
  if (bytes.size() <= room) return;
  partial_ += "… (line cut at " + base::to_text(base::Bytes{kMaxLine}) + ")";
  finish_line();
  skipping_ = true;
}

void LineCapture::finish_line() {
  if (partial_.ends_with('\r')) partial_.pop_back();
  if (in_window_ < kLinesPerSecond) {
    ++in_window_;
    base::log::info(subject_, "{}", partial_);
    sink_(base::printable(partial_, kMaxTold));
  } else {
    drop(1);
  }
  last_.push_back(base::printable(partial_, kRememberedLine));
  if (last_.size() > kLastLines) last_.pop_front();
  partial_.clear();
}

void LineCapture::drop(std::uint64_t lines) {
  const bool first = dropped_ == 0;
  dropped_ += lines;
  if (!first || !pipe_.is_open()) return;
  once_a_second_.expires_after(kWindow);
  once_a_second_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->say_dropped();
  });
}

void LineCapture::say_dropped() {
  if (dropped_ == 0) return;
  const std::string said = fmt::format("{} lines of output dropped: more than {} in one second", dropped_, kLinesPerSecond);
  base::log::warn(subject_, "{}", said);
  sink_("(" + said + ")");
  dropped_ = 0;
}

}  // namespace drover::backends
