// The worker for bench/channel: asks for shared state over its channel as fast as a window of unanswered requests allows, nine gets to a
// set, and reports once a second how many were answered and how long they took. It listens on PORT so that it is ready, and serves nobody.
// Usage (by drover): channel_client WINDOW
#include "base/unique_fd.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using drover::base::UniqueFd;

constexpr std::uint64_t kKeys = 1000;
constexpr std::uint64_t kSetEvery = 10;
constexpr std::string_view kAnswer = R"("originalId":)";

UniqueFd listen_on(const char* port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || ::listen(fd.get(), 8) != 0) std::exit(1);
  return fd;
}

class Client {
 public:
  Client(int fd, std::size_t window) : fd_(fd), window_(window) {}

  void run() {
    reported_ = Clock::now();
    while (true) {
      while (asked_.size() < window_) ask();
      flush();
      read();
      report();
    }
  }

 private:
  void ask() {
    const std::uint64_t id = ++last_;
    const std::string key = "key-" + std::to_string(id * 7919 % kKeys);
    out_ += R"({"id":)" + std::to_string(id);
    out_ += id % kSetEvery == 0 ? R"(,"type":"state:set","data":{"key":")" + key + R"(","value":)" + std::to_string(id) + "}}\n"
                                : R"(,"type":"state:get","data":{"key":")" + key + "\"}}\n";
    asked_[id] = Clock::now();
  }

  void flush() {
    for (std::size_t done = 0; done < out_.size();) {
      const ssize_t wrote = ::write(fd_, out_.data() + done, out_.size() - done);
      if (wrote <= 0) std::exit(0);
      done += static_cast<std::size_t>(wrote);
    }
    out_.clear();
  }

  void read() {
    char buffer[64 * 1024];
    const ssize_t got = ::read(fd_, buffer, sizeof buffer);
    if (got <= 0) std::exit(0);
    in_.append(buffer, static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (std::size_t end = in_.find('\n'); end != in_.npos; begin = end + 1, end = in_.find('\n', begin)) {
      heard(std::string_view(in_).substr(begin, end - begin));
    }
    in_.erase(0, begin);
  }

  void heard(std::string_view line) {
    const std::size_t found = line.find(kAnswer);
    if (found == line.npos) {
      ++syncs_;
      return;
    }
    const auto asked = asked_.find(std::strtoull(line.data() + found + kAnswer.size(), nullptr, 10));
    if (asked == asked_.end()) return;
    if (line.find(R"("error":null)") == line.npos) ++errors_;
    times_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - asked->second).count());
    asked_.erase(asked);
  }

  void report() {
    const auto now = Clock::now();
    if (now - reported_ < std::chrono::seconds(1)) return;
    std::sort(times_.begin(), times_.end());
    const auto at = [this](double part) {
      return times_.empty() ? 0.0 : times_[static_cast<std::size_t>(part * static_cast<double>(times_.size() - 1))];
    };
    out_ += R"({"type":"metrics","data":{"answered":)" + std::to_string(total_ += times_.size()) + R"(,"errors":)" + std::to_string(errors_) +
            R"(,"syncs":)" + std::to_string(syncs_) + R"(,"p50_us":)" + std::to_string(at(0.5)) + R"(,"p99_us":)" + std::to_string(at(0.99)) + "}}\n";
    times_.clear();
    reported_ = now;
  }

  int fd_;
  std::size_t window_;
  std::uint64_t last_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t syncs_ = 0;
  std::string in_;
  std::string out_;
  std::unordered_map<std::uint64_t, Clock::time_point> asked_;
  std::vector<double> times_;
  Clock::time_point reported_;
};

}  // namespace

int main(int argc, char** argv) {
  const char* channel = std::getenv("DROVER_CHANNEL_FD");
  const char* port = std::getenv("PORT");
  if (argc != 2 || channel == nullptr || port == nullptr) return 2;
  const UniqueFd listener = listen_on(port);
  Client(std::atoi(channel), static_cast<std::size_t>(std::max(1, std::atoi(argv[1])))).run();
}
