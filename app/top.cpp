#include "app/top.hpp"

#include "app/client.hpp"
#include "app/json_view.hpp"
#include "app/tables.hpp"

#include <boost/json/parse.hpp>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <optional>

namespace drover::app {

namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

/// The terminal in the shape that top needs, while it lives: keys come at once and unseen, on a screen of its own, no cursor.
class Screen {
 public:
  Screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // stopped, it would leave the terminal like this
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put("\x1b[?1049h\x1b[?25l");
    ::sigemptyset(&signals_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) ::sigaddset(&signals_, number);
    ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
    signal_fd_.reset(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
    ::sigdelset(&signals_, SIGWINCH);
    stop_fd_.reset(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~Screen() {
    put("\x1b[?25h\x1b[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;

  static winsize size() {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {24, 80, 0, 0};
    return size;
  }

  /// Readable when a signal wants the end; wait() takes it.
  int stop_fd() const { return stop_fd_.get(); }

  enum class Woken { time, redraw, quit };
  /// Until `end`, a key or a signal.
  Woken wait(Clock::time_point end) const {
    std::array<pollfd, 2> ready{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signal_fd_.get(), POLLIN, 0}};
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0 || ::poll(ready.data(), ready.size(), static_cast<int>(left)) == 0) return Woken::time;
      signalfd_siginfo info{};
      if (::read(signal_fd_.get(), &info, sizeof info) == sizeof info) return info.ssi_signo == SIGWINCH ? Woken::redraw : Woken::quit;
      if (ready[0].revents == 0) continue;
      char key = 0;
      if (::read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q') return Woken::quit;
    }
  }

 private:
  termios before_{};
  sigset_t signals_{};
  base::UniqueFd signal_fd_;
  base::UniqueFd stop_fd_;
};

/// Asks again and again, and remembers the last answer for the rates.
class Watch {
 public:
  explicit Watch(std::string socket) : socket_(std::move(socket)) {}

  /// `stop_fd`: readable, it ends the wait for a drover that does not answer, and all stays as it was; -1: none.
  base::Result<void> ask(int stop_fd = -1) {
    const auto answer = Client(socket_, stop_fd).ask({.target = "/v1/status"});
    if (!answer) return answer.error();
    if (answer->stopped) return {};
    if (answer->status != 200) return base::Error{error_in(*answer)};
    boost::system::error_code error;
    json::value status = json::parse(answer->body, error);
    if (error) return base::Error{"what answers is not a drover of this kind: " + error.message()};
    const auto now = Clock::now();
    rates_ = rates_between(status_, status, std::chrono::duration<double>(now - at_).count());
    status_ = std::move(status);
    line_ = answer->body;
    at_ = now;
    return {};
  }

  std::string text(std::size_t width) const { return summary(status_, rates_) + "\n" + worker_table(status_, rates_, width); }
  const std::string& line() const { return line_; }

 private:
  std::string socket_;
  json::value status_;
  std::string line_;
  Rates rates_;
  Clock::time_point at_{};
};

int draw(Watch& watch, std::chrono::milliseconds interval) {
  base::Result<void> asked;
  {
    const Screen screen;
    auto next = Clock::now();
    for (auto woken = Screen::Woken::time; woken != Screen::Woken::quit; woken = screen.wait(next)) {
      if (woken == Screen::Woken::time) {
        asked = watch.ask(screen.stop_fd());
        if (!asked) break;
        next = Clock::now() + interval;
      }
      const winsize size = Screen::size();
      put(frame(watch.text(size.ws_col) + "\nq: quit\n", size.ws_row));
    }
  }
  return asked ? 0 : fail(asked.error().message);
}

}  // namespace

std::string frame(std::string_view text, std::size_t rows) {
  std::string out = "\x1b[H";
  std::size_t row = 0;
  while (!text.empty() && row < rows) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (row > 0) out += "\r\n";
    out += text.substr(0, end);
    out += "\x1b[K";
    text.remove_prefix(std::min(end + 1, text.size()));
    ++row;
  }
  return out + "\x1b[J";
}

int show_top(const Common& common, const TopAsked& asked) {
  const Found found = find_socket(common);
  if (found.exit_code != 0) return found.exit_code;
  Watch watch(found.socket);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDIN_FILENO) == 1;
  if (terminal && !asked.once && !common.json) return draw(watch, asked.interval);
  for (bool first = true;; first = false) {
    if (const auto answer = watch.ask(); !answer) return fail(answer.error().message);
    // The first answer has no rates yet; a single table is worth a moment's wait for them.
    const bool shown = !asked.once || !first || common.json;
    if (shown) put(common.json ? watch.line() : watch.text(kAnyWidth) + "\n");
    if (asked.once && shown) return 0;
    ::poll(nullptr, 0, static_cast<int>(asked.interval.count()));
  }
}

}  // namespace drover::app
