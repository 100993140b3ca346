#include "supervisor_fakes.hpp"

#include "backends/endpoint.hpp"
#include "board/proxy_board.hpp"
#include "ipc/control.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace drover::backends::fakes {

namespace {

constexpr int kControl = 3;
constexpr std::uint64_t kOthers = 1000;

board::Shape shape_of(std::uint32_t threads, std::uint32_t listeners) {
  std::vector<std::uint32_t> workers;
  std::string text = std::getenv("FAKE_WORKERS");
  for (std::size_t at = 0; at < text.size(); at = text.find(',', at) == std::string::npos ? text.size() : text.find(',', at) + 1) {
    workers.push_back(static_cast<std::uint32_t>(std::stoul(text.substr(at))));
  }
  return board::make_shape(workers, threads, listeners);
}

void beat(const board::ProxyBoard& board) {
  for (std::uint32_t thread = 0; thread < board.shape().threads; ++thread) {
    const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(base::Clock::now().time_since_epoch());
    board.thread(thread).heartbeat_ns.set(static_cast<std::uint64_t>(now.count()));
  }
}

/// One stuck request for each incarnation; `others`: counted beside it, and done.
void enter_all(const board::ProxyBoard& board, std::vector<base::Incarnation>& inside, std::uint64_t others) {
  for (std::uint32_t row = 0; row < board.shape().rows; ++row) {
    const board::GateView view = board.gate(row).view();
    if (view.closed || inside[row] == view.incarnation) continue;
    if (!board.gate(row).enter(view.incarnation)) continue;
    inside[row] = view.incarnation;
    board.row(row).claims.fetch_add(1);
    const std::uint64_t fingerprint = board::fingerprint(board::Method::get, 0, 0, "/stuck");
    board.sketch(0).add(fingerprint);
    for (std::uint64_t i = 0; i < others; ++i) {
      board.sketch(0).add(board::fingerprint(board::Method::get, 0, 0, "/other"));
      board.tally(0, 0).request(board::Method::get, 200);
    }
    const auto now = std::chrono::nanoseconds(base::Clock::now().time_since_epoch());
    board.flights(0).begin(row, {row, view.incarnation, board::Method::get, "GET", "/stuck", fingerprint, static_cast<std::uint64_t>(now.count())});
  }
}

/// Its requests are young ones: one that is inside all the time is no killer, but slow.
void begin_again(const board::ProxyBoard& board, const std::vector<base::Incarnation>& inside) {
  const auto now = std::chrono::nanoseconds(base::Clock::now().time_since_epoch());
  const std::uint64_t fingerprint = board::fingerprint(board::Method::get, 0, 0, "/stuck");
  for (std::uint32_t row = 0; row < board.shape().rows; ++row) {
    if (inside[row] == 0 || board.gate(row).view().incarnation != inside[row]) continue;
    board.flights(0).begin(row, {row, inside[row], board::Method::get, "GET", "/stuck", fingerprint, static_cast<std::uint64_t>(now.count())});
  }
}

/// Asks for a worker of the first pool while it is asleep: one waiter, one ring, until somebody's gate is open.
void ring(const board::SupervisorBoard& supervisor, const board::ProxyBoard& own, int doorbell) {
  bool open = false;
  for (std::uint32_t row = 0; row < own.shape().pools[0].count; ++row) open = open || !own.gate(row).view().closed;
  if (open) own.pool(0).queued.store(0);
  if (open || !supervisor.asleep(0) || own.pool(0).queued.exchange(1) == 1) return;
  const std::uint64_t one = 1;
  (void)!::write(doorbell, &one, sizeof one);
}

/// sd_notify(3), as a worker without its library would.
void notify(std::string text) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) return;
  std::replace(text.begin(), text.end(), '_', '\n');
  const auto at = *unix_endpoint(path);
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  (void)!::sendto(fd.get(), text.data(), text.size(), 0, at.addr(), at.length);
}

void obey(std::string_view path) {
  if (path == "/abort") std::abort();
  if (path.starts_with("/say/")) notify(std::string(path.substr(5)));
  if (path.starts_with("/print/")) std::printf("%s\n", std::string(path.substr(7)).c_str());
  std::fflush(stdout);
}

}  // namespace

int run_proxy() {
  const char* mode = std::getenv("FAKE_PROXY");
  const std::string_view how = mode != nullptr ? mode : "";
  pollfd waiting{kControl, POLLIN, 0};
  ::poll(&waiting, 1, 5000);
  auto start = ipc::receive(kControl);
  if (!start || !*start || (*start)->type != ipc::ControlType::start) return 2;
  const auto& message = **start;
  if (message.descriptors.size() != 4 + message.a + message.b) return 3;
  const board::Shape shape = shape_of(message.a, message.b);
  const auto supervisor = board::SupervisorBoard::attach(message.descriptors[1].get(), shape);
  const auto own = board::ProxyBoard::attach(message.descriptors[2].get(), shape);
  if (!supervisor || !own) return 4;
  std::vector<base::Incarnation> inside(shape.rows);
  const bool stays = how == "inside" || how == "killer";
  beat(*own);
  if (!ipc::send(kControl, ipc::ControlType::ready)) return 5;
  const int turn_ms = how == "killer" ? 5 : 50;
  for (;;) {
    ::poll(&waiting, 1, turn_ms);
    if (how != "silent") beat(*own);
    if (stays) enter_all(*own, inside, how == "killer" ? kOthers : 0);
    if (how == "killer") begin_again(*own, inside);
    if (how == "ring") ring(*supervisor, *own, message.descriptors[3].get());
    auto next = ipc::receive(kControl);
    if (!next) return 0;
    if (*next && (*next)->type == ipc::ControlType::drain && !stays && !ipc::send(kControl, ipc::ControlType::drained)) return 6;
  }
}

int run_worker(int argc, char** argv) {
  bool mute = false;
  for (int i = 2; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "deaf") ::signal(SIGTERM, SIG_IGN);
    if (word == "mute") mute = true;
    if (word == "exit") return 3;
    if (word.starts_with("unless=") && ::access(argv[i] + 7, F_OK) == 0) {
      std::printf("the file is there\n");
      return 3;
    }
  }
  if (mute) {
    for (;;) ::pause();
  }
  const char* socket_path = std::getenv("SOCKET");
  const auto at = socket_path != nullptr ? *unix_endpoint(socket_path) : tcp_endpoint(static_cast<std::uint16_t>(std::atoi(std::getenv("PORT"))));
  const int fd = ::socket(at.family(), SOCK_STREAM, 0);
  if (::bind(fd, at.addr(), at.length) != 0 || ::listen(fd, 64) != 0) return 4;
  for (;;) {
    const int client = ::accept(fd, nullptr, nullptr);
    char buffer[4096];
    const ssize_t length = ::read(client, buffer, sizeof buffer);
    if (length > 0) {
      std::string_view request(buffer, static_cast<std::size_t>(length));
      if (request.starts_with("GET ")) obey(request.substr(4, request.find(' ', 4) - 4));
      constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{\"memory\":123456}";
      if (::write(client, kAnswer.data(), kAnswer.size()) < 0) return 5;
    }
    ::close(client);
  }
}

}  // namespace drover::backends::fakes
