// The end of a client's connection: an answer is not lost in a reset because its client was still sending.
#include "tests/proxy/exchange_world.hpp"

namespace drover::proxy {
namespace {

using test::World;

constexpr std::size_t kBig = 600'000;  // more than the client's own kernel takes without being read

/// A client with a small window, whose pace the test decides.
class SlowClient {
 public:
  explicit SlowClient(const World& world) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int small = 16 * 1024;
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&world.listener.address), sizeof world.listener.address), 0);
  }
  bool send(std::string_view bytes) const {
    return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  /// Reads nothing, and sends that every 100 ms.
  void send_on(std::string_view bytes, int times) const {
    for (int i = 0; i < times; ++i) {
      ::poll(nullptr, 0, 100);
      send(bytes);
    }
  }
  std::string read_head() {
    std::string head;
    char byte = 0;
    while (!head.ends_with("\r\n\r\n") && ::recv(fd_.get(), &byte, 1, 0) == 1) head += byte;
    return head;
  }
  /// All that comes, and "RESET" where that is how it ends.
  std::string read_to_the_end() {
    std::string all;
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0) all += "RESET";
      if (got <= 0) return all;
      all.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  base::UniqueFd fd_;
};

std::string upload_begin() { return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + std::string(20'000, 'u'); }

std::string early_answer() { return "HTTP/1.1 413 No\r\nContent-Length: " + std::to_string(kBig) + "\r\nConnection: close\r\n\r\n"; }

TEST(Linger, AnEarlyAnswer_ToAClientThatSendsOnAndReadsLate_ArrivesWhole) {
  World world;
  test::Port& port = world.come();
  SlowClient client(world);
  ASSERT_TRUE(client.send(upload_begin()));
  test::Peer worker = port.accept();
  worker.read_head();
  worker.send(early_answer() + std::string(kBig, 'a'));
  client.send_on("more", 25);  // beyond the second for which whoever has taken everything is waited for
  const std::string got = client.read_to_the_end();
  EXPECT_TRUE(got.starts_with("HTTP/1.1 413 No\r\n")) << got.substr(0, 200);
  EXPECT_TRUE(got.ends_with("\r\n\r\n" + std::string(kBig, 'a'))) << got.size() << " bytes, the last of them " << got.substr(got.size() - 10);
}

TEST(Linger, ARequestBehindAnAnswerThatEndsWithItsConnection_DoesNotResetIt) {
  World world;
  test::Port& port = world.come();
  SlowClient client(world);
  ASSERT_TRUE(client.send("GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"));
  {
    test::Peer worker = port.accept();
    worker.read_head();
    worker.send("HTTP/1.0 200 OK\r\n\r\n");
    EXPECT_TRUE(client.read_head().starts_with("HTTP/1.1 200 OK\r\n"));
    worker.send(std::string(kBig, 'a'));
  }
  client.send_on("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 3);
  const std::string got = client.read_to_the_end();
  EXPECT_TRUE(got == std::string(kBig, 'a')) << got.size() << " bytes, the last of them " << got.substr(got.size() - 10);
}

TEST(Linger, AClientThatTakesNothing_IsLeftAfterTheTimeForSending) {
  World world({}, 1, [](config::Listener& listener) { listener.timeouts.send = base::Millis(1500); });
  test::Port& port = world.come();
  const SlowClient client(world);
  ASSERT_TRUE(client.send(upload_begin()));
  test::Peer worker = port.accept();
  worker.read_head();
  worker.send(early_answer() + std::string(kBig, 'a'));
  EXPECT_TRUE(test::eventually([&] { return world.board.client_connections(0, 0).get() == 1; }));
  EXPECT_TRUE(test::eventually([&] { return world.board.client_connections(0, 0).get() == 0; })) << "it holds its session for ever";
}

}  // namespace
}  // namespace drover::proxy
