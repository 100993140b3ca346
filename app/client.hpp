// Role: the command line's side of the admin API: one request over the Unix socket, with its answer whole or line by line.
// Thread: the command's one; blocking, with a bound on silence. Ownership: values; the connection lives inside the call.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace drover::app {

/// SIGINT and SIGTERM as something to poll, while it lives.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  int fd() const { return fd_.get(); }

 private:
  base::UniqueFd fd_;
};

struct Asking {
  std::string method = "GET";
  std::string target;
  std::string body = {};  ///< of POST
};

struct Answered {
  unsigned status = 0;
  std::string body;      ///< empty where the lines were told
  bool whole = true;     ///< of lines: the answer was not cut
  bool stopped = false;  ///< by `stop_fd` or by the teller
};

/// Gets one line of a 200, without its end; false: enough.
using OnLine = std::function<bool(std::string_view line)>;

class Client {
 public:
  static constexpr std::chrono::seconds kSilence{40};  ///< longer than two heartbeats of a stream
  static constexpr std::size_t kMaxAnswer = 256 * 1024 * 1024;
  static constexpr std::size_t kMaxLine = 8 * 1024 * 1024;  ///< a worker's longest line, every byte of it escaped

  /// `stop_fd`: when it is readable the call ends; -1: none.
  explicit Client(std::string socket, int stop_fd = -1) : socket_(std::move(socket)), stop_fd_(stop_fd) {}

  const std::string& socket() const { return socket_; }
  base::Result<Answered> ask(const Asking& asking) const { return talk(asking, nullptr); }
  base::Result<Answered> follow(const Asking& asking, const OnLine& on_line) const { return talk(asking, &on_line); }

 private:
  base::Result<base::UniqueFd> connect() const;
  /// False: stopped by `stop_fd`.
  base::Result<bool> send_all(int fd, std::string_view bytes) const;
  base::Result<Answered> talk(const Asking& asking, const OnLine* on_line) const;

  std::string socket_;
  int stop_fd_;
};

/// {"error": …} of an answer, fit for a terminal.
std::string error_in(const Answered& answer);

}  // namespace drover::app
