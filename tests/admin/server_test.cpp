// The server on a real socket: bounds, slow and hostile clients, end.
#include "server_case.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <vector>

namespace drover::admin {
namespace {

using base::UniqueFd;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using Server = ServerCase;

TEST_F(Server, Answers) {
  const std::string said = ask("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(said, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(said, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(said, EndsWith("\r\n\r\nok\n"));
  EXPECT_EQ(cluster_.asked, 0);
}

TEST_F(Server, HeadHasTheHeadersAlone) {
  const std::string said = ask("HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(said, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(said, EndsWith("\r\n\r\n"));
}

TEST_F(Server, GivesTheWholeOfALargeAnswer) {
  for (std::uint32_t slot = 4; slot <= 400; ++slot) cluster_.status.pools[0].workers.push_back(sample_worker(slot));
  const std::string said = ask("GET /metrics HTTP/1.1\r\nHost: prometheus.example\r\n\r\n");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_GT(said.size(), 300'000U);
  EXPECT_THAT(said, HasSubstr("drover_worker_up{pool=\"shop\",worker=\"400\"} 1\n"));
  const std::size_t head = said.find("\r\n\r\n") + 4;
  EXPECT_THAT(said, HasSubstr("Content-Length: " + std::to_string(said.size() - head) + "\r\n"));
}

TEST_F(Server, RefusesEverythingButReading) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"}) {
    const std::string said = ask(std::string(method) + " /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_THAT(said, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(said, HasSubstr("Allow: GET, HEAD\r\n")) << method;
  }
  EXPECT_EQ(cluster_.asked, 0);
}

TEST_F(Server, ChecksTheHostOfStatusAlone) {
  EXPECT_THAT(ask("GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("GET /status HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask("GET /status HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /readyz HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(Server, RefusesWhatIsNotHttp) {
  for (const char* bytes : {"\x16\x03\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"}) {
    const std::string said = ask(bytes);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 400 ")) << bytes;
    EXPECT_THAT(said, Not(HasSubstr("boost"))) << bytes;
  }
}

TEST_F(Server, RefusesALargeHead) {
  const std::string said = ask("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 431 "));
}

TEST_F(Server, SlowClientsDontHoldUpOthers) {
  const UniqueFd silent = connect();
  const UniqueFd half = connect();
  send_all(half, "GET /livez HT");
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 2; }));
  EXPECT_THAT(ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  send_all(half, "TP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(read_to_end(half), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Server, TurnsAwayTheOneTooMany) {
  std::vector<UniqueFd> silent;
  for (std::size_t i = 0; i < AdminServer::kMaxConnections; ++i) silent.push_back(connect());
  ASSERT_TRUE(turn_until([this] { return server_->connections() == AdminServer::kMaxConnections; }));
  const UniqueFd extra = connect();
  EXPECT_THAT(read_to_end(extra), StartsWith("HTTP/1.1 503 "));
  silent.clear();
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_THAT(ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Server, ForgetsClientsThatLeave) {
  for (int i = 0; i < 100; ++i) {
    const UniqueFd fd = connect();
    if (i % 3 == 1) send_all(fd, "GET /metr");
    if (i % 3 == 2) send_all(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    io_.poll();
  }
  EXPECT_TRUE(turn_until([this] { return server_->connections() == 0; }));
}

TEST_F(Server, CutsWhoTakesTooLong) {
  start({.everything = false, .listen_host = {}, .token = {}}, {.limit = std::chrono::milliseconds(30)});
  for (std::uint32_t slot = 4; slot <= 4000; ++slot) cluster_.status.pools[0].workers.push_back(sample_worker(slot));
  const UniqueFd silent = connect();
  const UniqueFd half = connect();
  const UniqueFd never_reads = connect();
  const UniqueFd never_closes = connect();
  send_all(half, "GET /livez");
  send_all(never_reads, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  send_all(never_closes, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 4; }));
  EXPECT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_EQ(read_to_end(silent), "");
  EXPECT_EQ(read_to_end(half), "");
}

TEST_F(Server, EndsWithWhatIsOpen) {
  const UniqueFd silent = connect();
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 1; }));
  server_->close();
  EXPECT_EQ(read_to_end(silent), "");
  EXPECT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  const UniqueFd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_NE(::connect(late.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0);
  server_.reset();
  io_.run();  // nothing is left to wait for: returns
}

TEST_F(Server, MayBeDestroyedInTheMiddleOfAnything) {
  const UniqueFd silent = connect();
  const UniqueFd asking = connect();
  send_all(asking, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  io_.poll_one();
  server_.reset();
  io_.run();
  EXPECT_EQ(cluster_.asked, 0);
}

TEST_F(Server, MayOutliveNothingOfTheLoop) {
  auto io = std::make_unique<boost::asio::io_context>(1);
  UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // an abstract name that the kernel picks
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family), 0);
  ASSERT_EQ(::listen(listening.get(), 4), 0);
  socklen_t length = sizeof address;
  ASSERT_EQ(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  std::optional<AdminServer> server;
  server.emplace(*io, std::move(listening), Rights{.everything = true, .listen_host = {}, .token = {}}, cluster_.door());
  const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  for (int i = 0; i < 50 && server->connections() == 0; ++i) io->run_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server->connections(), 1U);
  server.reset();
  io.reset();
}

}  // namespace
}  // namespace drover::admin
