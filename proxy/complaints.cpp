#include "proxy/complaints.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

namespace drover::proxy {

bool Complaints::allowed(base::TimePoint now) {
  if (fd_ < 0) return false;
  if (now - second_ >= std::chrono::seconds(1)) {
    tell_left_out(now);
    second_ = now;
    said_ = 0;
  }
  if (said_ < kPerSecond) {
    ++said_;
    return true;
  }
  ++left_out_;
  return false;
}

void Complaints::say(std::string line) {
  if (!write(std::move(line))) ++left_out_;
}

void Complaints::tell_left_out(base::TimePoint now) {
  if (left_out_ == 0 || now - second_ < std::chrono::seconds(1)) return;
  if (write(fmt::format("{} more failed requests were not named one by one", left_out_))) left_out_ = 0;
}

/// A line is shorter than PIPE_BUF: it goes whole or not at all, whoever else writes (pipe(7)).
bool Complaints::write(std::string line) const {
  line += '\n';
  return ::write(fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

int complaints_pipe() {
  struct stat facts {};
  if (::fstat(STDERR_FILENO, &facts) != 0 || !S_ISFIFO(facts.st_mode)) return -1;
  const int flags = ::fcntl(STDERR_FILENO, F_GETFL);
  return flags >= 0 && ::fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK) == 0 ? STDERR_FILENO : -1;
}

}  // namespace drover::proxy
