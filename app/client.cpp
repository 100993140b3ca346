#include "app/client.hpp"

#include "app/json_view.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/json/parse.hpp>

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace drover::app {

namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

sigset_t stopping_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  return set;
}

/// The socket as Beast reads it: a read ends with data, after too long a silence (timed_out), or by stop_fd (operation_aborted).
struct Wire {
  int fd;
  int stop_fd;

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, error_code& error) {
    std::array<pollfd, 2> ready{pollfd{fd, POLLIN, 0}, pollfd{stop_fd, POLLIN, 0}};
    const int count = ::poll(ready.data(), ready.size(), static_cast<int>(std::chrono::milliseconds(Client::kSilence).count()));
    if (count == 0) error = boost::system::errc::make_error_code(boost::system::errc::timed_out);
    if (count < 0) error.assign(errno, boost::system::system_category());
    if (count > 0 && ready[1].revents != 0) error = boost::system::errc::make_error_code(boost::system::errc::operation_canceled);
    if (error) return 0;
    const auto first = *boost::asio::buffer_sequence_begin(buffers);
    const ssize_t got = ::recv(fd, first.data(), first.size(), 0);
    if (got < 0) error.assign(errno, boost::system::system_category());
    if (got == 0) error = boost::asio::error::eof;
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    error_code error;
    const std::size_t got = read_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return got;
  }
};

/// Hands out whole lines; empty ones are heartbeats.
class Lines {
 public:
  explicit Lines(const OnLine& on_line) : on_line_(on_line) {}
  /// False: enough, or a line without end.
  bool take(std::string_view bytes) {
    rest_ += bytes;
    std::size_t from = 0;
    for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', from)) {
      const std::string_view line(rest_.data() + from, end - from);
      from = end + 1;
      if (!line.empty() && !on_line_(line)) return false;
    }
    rest_.erase(0, from);
    return rest_.size() <= Client::kMaxLine;
  }

 private:
  const OnLine& on_line_;
  std::string rest_;
};

std::string request_text(const Asking& asking) {
  std::string text =
      asking.method + " " + asking.target + " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drover/" + std::string(base::version()) + "\r\n";
  if (asking.method != "GET") text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(asking.body.size()) + "\r\n";
  return text + "\r\n" + asking.body;
}

/// A stranger may have made the folder in /tmp where one's own drover would be: what answers there is not to be believed. Root serves
/// root only, so for everybody else it can only be their own.
bool trusted_peer(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return ::geteuid() == 0 || (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == ::geteuid());
}

base::Error broken(const std::string& socket, const error_code& error) {
  if (error == boost::system::errc::timed_out) {
    return {"drover on " + socket + " has said nothing for 40 s; is it stopped (SIGSTOP)?", ETIMEDOUT};
  }
  return {"the connection to drover on " + socket + " broke: " + error.message(), EIO};
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t set = stopping_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

StopSignals::~StopSignals() {
  // What has arrived meanwhile has been obeyed: it must not kill on unblocking.
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) > 0) continue;
  const sigset_t set = stopping_signals();
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

base::Result<base::UniqueFd> Client::connect() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof address.sun_path) return base::Error{"the socket's path is too long: " + socket_, ENAMETOOLONG};
  socket_.copy(address.sun_path, sizeof address.sun_path - 1);
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return base::system_error("can't make a socket", errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    if (trusted_peer(fd.get())) return fd;
    return base::Error{"what listens on " + socket_ + " belongs to another user: not asked; --socket or --config names another one", EPERM};
  }
  const int code = errno;
  const bool forbidden = code == EACCES || code == EPERM;
  return base::Error{"no drover answers on " + socket_ + ": " + std::strerror(code) +
                         (forbidden ? "; ask as the user that runs it" : "; is it running? --socket or --config names another one"),
                     code};
}

/// A broken connection is no error here: it shows in the answer, which may have come before all was taken.
base::Result<bool> Client::send_all(int fd, std::string_view bytes) const {
  while (!bytes.empty()) {
    std::array<pollfd, 2> ready{pollfd{fd, POLLOUT, 0}, pollfd{stop_fd_, POLLIN, 0}};
    const int count = ::poll(ready.data(), ready.size(), static_cast<int>(std::chrono::milliseconds(kSilence).count()));
    if (count < 0 && errno != EINTR) return base::system_error("can't wait for drover on " + socket_, errno);
    if (count == 0) return broken(socket_, boost::system::errc::make_error_code(boost::system::errc::timed_out));
    if (count < 0) continue;
    if (ready[1].revents != 0) return false;
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return true;
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  }
  return true;
}

base::Result<Answered> Client::talk(const Asking& asking, const OnLine* on_line) const {
  auto fd = connect();
  if (!fd) return std::move(fd.error());
  Answered answer;
  const auto sent = send_all(fd->get(), request_text(asking));
  if (!sent) return sent.error();
  answer.stopped = !*sent;
  if (answer.stopped) return answer;
  Wire wire{fd->get(), stop_fd_};
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  error_code error;
  http::read_header(wire, buffer, parser, error);
  answer.stopped = error == boost::system::errc::operation_canceled;
  if (answer.stopped) return answer;
  if (error) return broken(socket_, error);
  answer.status = parser.get().result_int();
  const bool told = on_line != nullptr && answer.status == 200;
  const OnLine ignore;
  Lines lines(told ? *on_line : ignore);
  std::array<char, 16 * 1024> chunk{};
  while (!parser.is_done()) {
    parser.get().body().data = chunk.data();
    parser.get().body().size = chunk.size();
    http::read_some(wire, buffer, parser, error);
    const std::string_view bytes(chunk.data(), chunk.size() - parser.get().body().size);
    if (error == http::error::need_buffer) error = {};
    if (told && !lines.take(bytes)) {
      answer.stopped = true;
      return answer;
    }
    if (!told) answer.body += bytes;
    if (error || answer.body.size() > kMaxAnswer) break;
  }
  answer.stopped = error == boost::system::errc::operation_canceled;
  answer.whole = !error;
  if (error && !answer.stopped && (!told || error == boost::system::errc::timed_out)) return broken(socket_, error);
  return answer;
}

std::string error_in(const Answered& answer) {
  error_code error;
  const auto value = boost::json::parse(answer.body, error);
  const std::string said = error ? base::printable(answer.body, 1024) : text_in(value, "error");
  return said.empty() ? "drover answered " + std::to_string(answer.status) : said;
}

}  // namespace drover::app
