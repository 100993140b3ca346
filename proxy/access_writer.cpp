#include "proxy/access_writer.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <utility>

namespace drover::proxy {

AccessRing::Put AccessRing::put(std::string_view line) {
  const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
  const std::uint64_t used = tail - head_.load(std::memory_order_acquire);
  if (line.size() > kBytes - used) return Put::no_room;
  const std::size_t at = tail % kBytes;
  const std::size_t first = std::min(line.size(), kBytes - at);
  std::memcpy(bytes_.get() + at, line.data(), first);
  std::memcpy(bytes_.get(), line.data() + first, line.size() - first);
  tail_.store(tail + line.size(), std::memory_order_release);
  return used < kBytes / 2 && used + line.size() >= kBytes / 2 ? Put::stored_half_full : Put::stored;
}

std::array<std::string_view, 2> AccessRing::lines() const {
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  const std::size_t used = tail_.load(std::memory_order_acquire) - head;
  const std::size_t at = head % kBytes;
  const std::size_t first = std::min(used, kBytes - at);
  return {std::string_view(bytes_.get() + at, first), std::string_view(bytes_.get(), used - first)};
}

base::Result<std::unique_ptr<AccessWriter>> AccessWriter::create(std::size_t threads, int complaints) {
  base::UniqueFd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return base::system_error("eventfd of the access log", errno);
  return std::unique_ptr<AccessWriter>(new AccessWriter(threads, std::move(wakeup), complaints));
}

AccessWriter::AccessWriter(std::size_t threads, base::UniqueFd wakeup, int complaints)
    : rings_(threads), wakeup_(std::move(wakeup)), complaints_(complaints), thread_([this] { run(); }) {}

AccessWriter::~AccessWriter() {
  finish();
  thread_.join();
}

void AccessWriter::wake() const { ::eventfd_write(wakeup_.get(), 1); }

void AccessWriter::replace(base::UniqueFd fd) {
  {
    const std::lock_guard lock(mutex_);
    next_ = std::move(fd);
  }
  wake();
}

void AccessWriter::finish() {
  finishing_.store(true, std::memory_order_release);
  wake();
  std::unique_lock lock(mutex_);
  // Twice: a terminal that was stopped between poll and write keeps the writer for as long as it likes.
  ended_.wait_for(lock, 2 * kLastPatience, [this] { return over_; });
}

void AccessWriter::run() {
  std::optional<base::TimePoint> leave;
  for (;;) {
    const bool last = finishing_.load(std::memory_order_acquire);  // before the look: what was put until then is written
    take_orders();
    const Flow flow = drain_all();
    if (last) {
      if (!leave) leave = base::Clock::now() + kLastPatience;
      if (flow != Flow::blocked || base::Clock::now() >= *leave) break;
    }
    wait(flow);
  }
  const std::lock_guard lock(mutex_);
  over_ = true;
  ended_.notify_all();
}

void AccessWriter::take_orders() {
  const std::lock_guard lock(mutex_);
  if (!next_) return;
  out_ = std::move(*next_);
  next_.reset();
  begun_ = 0;
  struct stat facts {};
  is_file_ = ::fstat(out_.get(), &facts) == 0 && S_ISREG(facts.st_mode);
}

AccessWriter::Flow AccessWriter::drain_all() {
  if (!out_) return Flow::empty;
  Flow flow = drain(begun_ring_);
  for (std::size_t ring = 0; ring < rings_.size() && flow == Flow::empty; ++ring) flow = drain(ring);
  return flow;
}

/// How much is written at once: whole lines, and for what is no file no more than a pipe that polls writable takes without blocking.
std::size_t AccessWriter::piece(const std::array<std::string_view, 2>& lines) const {
  const std::size_t all = lines[0].size() + lines[1].size();
  if (is_file_ || all <= PIPE_BUF) return all;
  for (std::size_t most = PIPE_BUF; most > 0; --most) {
    const std::size_t at = most - 1;
    if ((at < lines[0].size() ? lines[0][at] : lines[1][at - lines[0].size()]) == '\n') return most;
  }
  return PIPE_BUF;
}

AccessWriter::Flow AccessWriter::drain(std::size_t number) {
  AccessRing& ring = rings_[number];
  for (std::size_t written = 0; written < kMostAtOnce;) {
    auto lines = ring.lines();
    if (lines[0].empty()) return Flow::empty;
    const std::size_t asked = piece(lines);
    const std::array whole = lines;
    std::array<iovec, 2> parts{};
    std::size_t skip = begun_;
    std::size_t left = asked;
    for (std::size_t i = 0; i < 2; ++i) {
      std::string_view part = lines[i].substr(0, left);
      left -= part.size();
      const std::size_t over = std::min(skip, part.size());
      part.remove_prefix(over);
      skip -= over;
      parts[i] = {const_cast<char*>(part.data()), part.size()};
    }
    if (!is_file_) {
      pollfd ready{out_.get(), POLLOUT, 0};
      if (::poll(&ready, 1, 0) == 0) return Flow::blocked;
    }
    const ssize_t wrote = ::writev(out_.get(), parts.data(), 2);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) return Flow::blocked;
    tell(wrote < 0 ? errno : 0);
    if (wrote < 0) return Flow::failed;
    // What is gone is what came out as whole lines; the rest is the beginning of one.
    const std::size_t end = begun_ + static_cast<std::size_t>(wrote);
    written += static_cast<std::size_t>(wrote);
    std::size_t gone = end;
    while (gone > 0 && (gone <= whole[0].size() ? whole[0][gone - 1] : whole[1][gone - 1 - whole[0].size()]) != '\n') --gone;
    ring.drop_front(gone);
    begun_ = end - gone;
    begun_ring_ = number;
    if (end < asked) return is_file_ ? Flow::failed : Flow::blocked;
  }
  return Flow::empty;
}

void AccessWriter::wait(Flow flow) const {
  std::array<pollfd, 2> waits{{{wakeup_.get(), POLLIN, 0}, {out_.get(), POLLOUT, 0}}};
  // With its reader gone a pipe polls as writable at once: then, as with a full disk, the clock alone.
  ::poll(waits.data(), flow == Flow::blocked ? 2 : 1, static_cast<int>(kFlushEvery.count()));
  eventfd_t wakes = 0;
  ::eventfd_read(wakeup_.get(), &wakes);
}

void AccessWriter::tell(int error) {
  if (error == trouble_) return;
  const base::TimePoint now = base::Clock::now();
  if (error != 0 && trouble_ == 0) {
    if (said_ != base::TimePoint{} && now - said_ < kSayEvery) return;
    said_ = now;
    complaints_.say(fmt::format("access log: can't write: {}; lines wait, and what has no room is dropped and counted", std::strerror(error)));
  } else if (error == 0) {
    complaints_.say("access log: is written again");
  }
  trouble_ = error;
}

}  // namespace drover::proxy
