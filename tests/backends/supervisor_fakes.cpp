#include "supervisor_fakes.hpp"

#include "backends/endpoint.hpp"
#include "board/proxy_board.hpp"
#include "ipc/control.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

namespace drover::backends::fakes {

namespace {

constexpr int kControl = 3;

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

void enter_all(const board::ProxyBoard& board, std::vector<base::Incarnation>& inside) {
  for (std::uint32_t row = 0; row < board.shape().rows; ++row) {
    const board::GateView view = board.gate(row).view();
    if (view.closed || inside[row] == view.incarnation) continue;
    if (!board.gate(row).enter(view.incarnation)) continue;
    inside[row] = view.incarnation;
    board.row(row).claims.fetch_add(1);
  }
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
  if (message.descriptors.size() != 3 + message.a + message.b) return 3;
  const board::Shape shape = shape_of(message.a, message.b);
  const auto supervisor = board::SupervisorBoard::attach(message.descriptors[1].get(), shape);
  const auto own = board::ProxyBoard::attach(message.descriptors[2].get(), shape);
  if (!supervisor || !own) return 4;
  std::vector<base::Incarnation> inside(shape.rows);
  beat(*own);
  if (!ipc::send(kControl, ipc::ControlType::ready)) return 5;
  for (;;) {
    ::poll(&waiting, 1, 50);
    if (how != "silent") beat(*own);
    if (how == "inside") enter_all(*own, inside);
    auto next = ipc::receive(kControl);
    if (!next) return 0;
    if (*next && (*next)->type == ipc::ControlType::drain && how != "inside" && !ipc::send(kControl, ipc::ControlType::drained)) return 6;
  }
}

int run_worker(int argc, char** argv) {
  bool mute = false;
  for (int i = 2; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "deaf") ::signal(SIGTERM, SIG_IGN);
    if (word == "mute") mute = true;
    if (word == "exit") return 3;
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
    if (::read(client, buffer, sizeof buffer) > 0) {
      constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{\"memory\":123456}";
      if (::write(client, kAnswer.data(), kAnswer.size()) < 0) return 5;
    }
    ::close(client);
  }
}

}  // namespace drover::backends::fakes
