#include "backends/notify_socket.hpp"

#include "base/log.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace drover::backends {

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Executor = asio::io_context::executor_type;
using Watch = asio::posix::basic_stream_descriptor<Executor>;
using Timer = asio::basic_waitable_timer<base::Clock, asio::wait_traits<base::Clock>, Executor>;

constexpr auto kWindow = 1s;

struct State : std::enable_shared_from_this<State> {
  State(asio::io_context& io, base::UniqueFd fd, std::function<void(const Report&)> listener)
      : socket(io.get_executor(), fd.release()), pause(io.get_executor()), heard(std::move(listener)) {}

  Watch socket;
  Timer pause;
  std::function<void(const Report&)> heard;  // none: the owner is gone
  base::TimePoint window{};
  int in_window = 0;
  std::array<char, NotifySocket::kMaxDatagram> buffer{};

  void wait() {
    socket.async_wait(Watch::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->heard) self->take_some();
    });
  }

  /// A worker that says more than anybody can mean waits until the second is over, its queue being full; the loop does not.
  void take_some() {
    const auto now = base::Clock::now();
    if (now - window >= kWindow) {
      window = now;
      in_window = 0;
    }
    for (int count = 0; count < NotifySocket::kPerTurn && in_window < NotifySocket::kPerSecond; ++count) {
      if (!take_one()) break;
      ++in_window;
      if (!heard) return;  // what it said ended this socket
    }
    if (in_window < NotifySocket::kPerSecond) return wait();
    pause.expires_at(window + kWindow);
    pause.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->heard) self->wait();
    });
  }

  /// No room is given for passed descriptors, so the kernel closes them as the datagram is taken: they never are this process's.
  /// False: nothing is there.
  bool take_one() {
    iovec into{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &into;
    message.msg_iovlen = 1;
    const ssize_t got = ::recvmsg(socket.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == EINTR;
    if ((message.msg_flags & MSG_TRUNC) != 0) return true;
    const auto report = report_of_notification({buffer.data(), static_cast<std::size_t>(got)});
    if (!report) return true;
    const auto listener = heard;  // a copy: it may end this socket, and with it itself
    listener(*report);
    return true;
  }

  void end() {
    heard = nullptr;
    boost::system::error_code ignored;
    socket.close(ignored);
    pause.cancel();
  }
};

class OpenSocket : public NotifySocket {
 public:
  OpenSocket(std::shared_ptr<State> state, std::string path) : state_(std::move(state)), path_(std::move(path)) {}
  ~OpenSocket() override {
    state_->end();
    ::unlink(path_.c_str());
  }
  OpenSocket(const OpenSocket&) = delete;
  const std::string& path() const override { return path_; }

 private:
  std::shared_ptr<State> state_;
  std::string path_;
};

}  // namespace

base::Result<std::unique_ptr<NotifySocket>> NotifySocket::open(asio::io_context& io, std::string path, std::optional<uid_t> owner,
                                                               std::function<void(const Report&)> heard) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return base::Error{"the path of a notify socket, " + path + ", is longer than the kernel's " + std::to_string(sizeof address.sun_path - 1) +
                           " bytes: set XDG_RUNTIME_DIR to a shorter folder",
                       ENAMETOOLONG};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return base::system_error("can't make a notify socket", errno);
  // Before bind(2): so there is no moment in which others may write to it.
  if (::fchmod(fd.get(), 0600) != 0) return base::system_error("can't close the notify socket " + path + " to others", errno);
  ::unlink(path.c_str());  // left by an incarnation of the same number in a folder that is used again
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::system_error("can't bind the notify socket " + path, errno);
  }
  auto state = std::make_shared<State>(io, std::move(fd), std::move(heard));
  auto out = std::make_unique<OpenSocket>(state, std::move(path));  // from here on the path is removed again
  if (owner && *owner != ::geteuid() && ::lchown(out->path().c_str(), *owner, static_cast<gid_t>(-1)) != 0) {
    return base::system_error("can't give the notify socket " + out->path() + " to the pool's user", errno);
  }
  state->wait();
  return std::unique_ptr<NotifySocket>(std::move(out));
}

}  // namespace drover::backends
