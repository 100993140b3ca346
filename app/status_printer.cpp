#include "app/status_printer.hpp"

#include "admin/status_json.hpp"
#include "app/tables.hpp"
#include "base/log.hpp"

#include <boost/json/parse.hpp>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace drover::app {

namespace {

/// Opened anew, so that it can be made not to block without doing so to everybody who shares the descriptor (a shell, workers).
base::UniqueFd reopen(int output) {
  const std::string path = "/proc/self/fd/" + std::to_string(output);
  return base::UniqueFd(::open(path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

}  // namespace

StatusPrinter::StatusPrinter(boost::asio::io_context& io, base::Millis every, std::function<backends::ClusterStatus()> status, int output)
    : timer_(io.get_executor()), every_(every), status_(std::move(status)), output_(reopen(output)) {
  if (!output_) {
    base::log::warn("supervisor", "no status table: standard output can't be opened without waiting for its reader: {}", std::strerror(errno));
    return;
  }
  wait();
}

void StatusPrinter::wait() {
  timer_.expires_after(every_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    winsize size{};
    const bool terminal = ::ioctl(output_.get(), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    const auto status = boost::json::parse(admin::status_json(status_()));
    print(summary(status) + "\n" + worker_table(status, {}, terminal ? size.ws_col : kAnyWidth) + "\n");
    wait();
  });
}

void StatusPrinter::print(const std::string& text) {
  const std::string whole = (broken_ ? "\n" : "") + text;
  const ssize_t written = ::write(output_.get(), whole.data(), whole.size());
  if (written > 0) broken_ = static_cast<std::size_t>(written) < whole.size();
}

}  // namespace drover::app
