#include "backends/prober.hpp"

#include "host_support.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

namespace drover::backends::test {
namespace {

using asio::ip::tcp;
using ::testing::HasSubstr;

template <class Endpoint>
board::EndpointAddress address_of(const Endpoint& endpoint) {
  board::EndpointAddress out;
  std::memcpy(&out.storage, endpoint.data(), endpoint.size());
  out.length = static_cast<socklen_t>(endpoint.size());
  return out;
}

/// A worker's answer to one connection: it reads a head, says what it was told to say, then closes or holds on.
struct Probing : ::testing::Test {
  enum class Then { close, hold, reset };

  void serve(std::string answer, Then then = Then::close, bool read_first = true) {
    request.clear();
    acceptor.async_accept([=, this](const boost::system::error_code& error, tcp::socket accepted) {
      if (error) return;
      auto socket = std::make_shared<tcp::socket>(std::move(accepted));
      const auto say = [=, this] {
        if (then == Then::reset) {
          socket->set_option(asio::socket_base::linger(true, 0));
          socket->close();
          return;
        }
        auto text = std::make_shared<std::string>(answer);
        asio::async_write(*socket, asio::buffer(*text), [=, this, kept = text](const boost::system::error_code&, std::size_t) {
          if (then == Then::hold)
            held.push_back(socket);
          else
            close_gently(socket);
        });
      };
      if (!read_first) return say();
      asio::async_read_until(*socket, asio::dynamic_buffer(request), "\r\n\r\n", [=](const boost::system::error_code&, std::size_t) { say(); });
    });
  }
  /// After the client's end, so that an unread byte does not turn it into a reset.
  void close_gently(const std::shared_ptr<tcp::socket>& socket) {
    boost::system::error_code ignored;
    socket->shutdown(tcp::socket::shutdown_send, ignored);
    auto rest = std::make_shared<std::string>();
    asio::async_read(*socket, asio::dynamic_buffer(*rest, 1024 * 1024), [socket, rest](const boost::system::error_code&, std::size_t) {});
  }

  ProbeSpec spec(std::string path = "/health") const {
    ProbeSpec out;
    out.endpoint = address_of(acceptor.local_endpoint());
    out.http = std::move(path);
    out.host = "127.0.0.1";
    out.status = {200, 204};
    out.timeout = 10s;
    return out;
  }

  ProbeAnswer ask(ProbeSpec what) {
    std::optional<ProbeAnswer> answer;
    int calls = 0;
    const auto probe = start_probe(io, std::move(what), [&](ProbeAnswer got) {
      answer = std::move(got);
      ++calls;
    });
    EXPECT_FALSE(answer) << "answered before start_probe returned";
    const auto deadline = base::Clock::now() + 20s;
    while (!answer && base::Clock::now() < deadline) {
      io.restart();
      io.run_one_for(50ms);
    }
    io.restart();
    io.poll();
    EXPECT_EQ(calls, 1);
    return answer.value_or(ProbeAnswer{false, "(no answer)", std::nullopt});
  }
  ProbeAnswer ask_over(std::string answer, Then then = Then::close) {
    serve(std::move(answer), then);
    return ask(spec());
  }
  static std::string ok(const std::string& body, const std::string& type = "application/json") {
    return "HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  asio::io_context io{1};
  tcp::acceptor acceptor{io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::string request;
  std::vector<std::shared_ptr<tcp::socket>> held;
};

TEST_F(Probing, AsksOnAConnectionThatIsMadeAlready) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const base::UniqueFd theirs(ends[1]);
  const std::string said = ok("{}");
  ASSERT_EQ(::write(theirs.get(), said.data(), said.size()), static_cast<ssize_t>(said.size()));
  std::optional<ProbeAnswer> answer;
  const auto probe = start_probe(
      io, spec("/ready"), [&](ProbeAnswer got) { answer = std::move(got); }, base::UniqueFd(ends[0]));
  for (const auto deadline = base::Clock::now() + 20s; !answer && base::Clock::now() < deadline;) io.run_one_for(50ms);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->passed) << answer->reason;
  char got[64] = {};
  ASSERT_GT(::read(theirs.get(), got, sizeof got - 1), 0);
  EXPECT_THAT(got, HasSubstr("GET /ready HTTP/1.1"));
  EXPECT_TRUE(request.empty()) << "spec.endpoint was asked";
}

TEST_F(Probing, PassesOnAnExpectedStatus) {
  const auto answer = ask_over("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_TRUE(answer.passed) << answer.reason;
  EXPECT_FALSE(answer.report);
  EXPECT_THAT(request, ::testing::StartsWith("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
  EXPECT_THAT(request, HasSubstr("Connection: close\r\n"));
}

TEST_F(Probing, AcceptsHttp10AndBodiesToTheEnd) {
  EXPECT_TRUE(ask_over("HTTP/1.0 200 OK\r\n\r\nfine").passed);
  EXPECT_TRUE(ask_over("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").passed);
  EXPECT_TRUE(ask_over("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").passed);
}

TEST_F(Probing, UnexpectedStatusIsTheReason) {
  const auto answer = ask_over("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(answer.passed);
  EXPECT_EQ(answer.reason, "503");
}

TEST_F(Probing, RefusedConnect) {
  const auto what = spec();
  acceptor.close();
  EXPECT_EQ(ask(what).reason, "connect refused");
  auto connect_only = what;
  connect_only.http.clear();
  EXPECT_EQ(ask(connect_only).reason, "connect refused");
}

TEST_F(Probing, ConnectAloneSuffices) {
  EXPECT_TRUE(ask(spec("")).passed);
  EXPECT_TRUE(request.empty());
}

TEST_F(Probing, SilenceTimesOut) {
  auto what = spec();
  what.timeout = 100ms;
  EXPECT_EQ(ask(what).reason, "timeout after 100ms");
  serve("HTTP/1.1 200 OK\r\nContent-", Then::hold);
  EXPECT_EQ(ask(what).reason, "timeout after 100ms");
}

TEST_F(Probing, WhatIsNotHttpIsSaid) {
  EXPECT_EQ(ask_over("SSH-2.0-OpenSSH_9.2\r\n\r\n").reason, "answer is not HTTP");
  EXPECT_EQ(ask_over("HTTP/1.1 abc\r\n\r\n").reason, "answer is not HTTP");
  EXPECT_EQ(ask_over("").reason, "connection closed without an answer");
  EXPECT_EQ(ask_over("HTTP/1.1 200 OK\r\nX: y").reason, "connection closed within the answer");
  EXPECT_EQ(ask_over("", Then::reset).reason, "connection reset");
  EXPECT_THAT(ask_over("HTTP/1.1 200 OK\r\nX: " + std::string(64 * 1024, 'x') + "\r\n\r\n").reason, HasSubstr("head is larger than 16KiB"));
}

TEST_F(Probing, EndlessInterimAnswersFail) {
  std::string many;
  for (int i = 0; i < 100; ++i) many += "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_FALSE(ask_over(many).passed);
}

TEST_F(Probing, ReportIsRead) {
  const auto answer = ask_over(ok(R"({"memory": 1048576, "cpu": 12.5, "ready": true, "other": [1, {"a": null}]})"));
  ASSERT_TRUE(answer.passed) << answer.reason;
  ASSERT_TRUE(answer.report);
  EXPECT_EQ(answer.report->memory_bytes, 1048576U);
  EXPECT_EQ(answer.report->cpu_percent, 12.5);
  EXPECT_EQ(answer.report->ready, true);
}

TEST_F(Probing, ReportIsReadWithoutItsContentType) { EXPECT_TRUE(ask_over(ok(R"(  {"memory": 5})", "text/plain")).report); }

TEST_F(Probing, NotReadyByItsOwnReport) {
  const auto answer = ask_over(ok(R"({"ready": false, "memory": 7})"));
  EXPECT_FALSE(answer.passed);
  EXPECT_EQ(answer.reason, "not ready by its own report");
  ASSERT_TRUE(answer.report);
  EXPECT_EQ(answer.report->memory_bytes, 7U);
}

TEST_F(Probing, AgentWordsAreAReport) {
  const auto fine = ask_over(ok("up 50%\n", "text/plain"));
  EXPECT_TRUE(fine.passed) << fine.reason;
  ASSERT_TRUE(fine.report);
  EXPECT_EQ(fine.report->share, 50U);
  const auto draining = ask_over(ok("drain\n", "text/plain"));
  EXPECT_TRUE(draining.passed) << "it is healthy, it only wants no new work";
  ASSERT_TRUE(draining.report);
  EXPECT_EQ(draining.report->wants_work, false);
}

TEST_F(Probing, DownByItsOwnReport) {
  EXPECT_EQ(ask_over(ok("down\n", "text/plain")).reason, "down by its own report");
  const auto answer = ask_over(ok("stopped #database \x01 is away\n", "text/plain"));
  EXPECT_FALSE(answer.passed);
  EXPECT_EQ(answer.reason, "down by its own report: database \\x01 is away");
  EXPECT_EQ(ask_over("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\ndown #why").reason, "503, down by its own report: why");
}

TEST_F(Probing, ReportOfAFailingWorkerCounts) {
  const auto answer = ask_over("HTTP/1.1 503 Busy\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"memory\":9}");
  EXPECT_EQ(answer.reason, "503");
  ASSERT_TRUE(answer.report);
  EXPECT_EQ(answer.report->memory_bytes, 9U);
}

TEST_F(Probing, HostileReportsAreNone) {
  for (const std::string body : {R"({"memory": -5})", R"({"memory": "5"})", R"({"memory": 1e300})", R"({"memory": {"rss": 5}})", R"({"memory": )",
                                 R"([1, 2])", "{}", "", "{\"memory\": 5} {\"memory\": 6}", "\xff\xfe", R"({"cpu": 1e9})", R"({"ready": 1})"}) {
    const auto answer = ask_over(ok(body));
    EXPECT_TRUE(answer.passed) << body;
    EXPECT_FALSE(answer.report) << body;
  }
  const auto deep = ask_over(ok("{\"memory\": 5, \"a\": " + std::string(5000, '[') + std::string(5000, ']') + "}"));
  EXPECT_TRUE(deep.passed);
  EXPECT_FALSE(deep.report);
}

TEST_F(Probing, LargeBodyIsNotReadToItsEnd) {
  const auto answer = ask_over(ok("{\"memory\": 5}" + std::string(1024 * 1024, ' ')), Then::hold);
  EXPECT_TRUE(answer.passed) << answer.reason;
  EXPECT_FALSE(answer.report);
}

TEST_F(Probing, BodyCutOffIsNoReport) {
  const auto answer = ask_over("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"memory\": 5}");
  EXPECT_TRUE(answer.passed);
  EXPECT_FALSE(answer.report);
}

TEST_F(Probing, AnswerBeforeTheRequestCounts) {
  serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::hold, false);
  EXPECT_TRUE(ask(spec()).passed);
}

TEST_F(Probing, DestroyedProbeIsSilent) {
  bool called = false;
  auto probe = start_probe(io, spec(), [&](const ProbeAnswer&) { called = true; });
  io.poll();
  probe.reset();
  auto never_run = start_probe(io, spec(), [&](const ProbeAnswer&) { called = true; });
  never_run.reset();
  io.restart();
  io.run_for(50ms);
  EXPECT_FALSE(called);
}

TEST_F(Probing, AnswerMayDestroyItsProbe) {
  serve("HTTP/1.1 204 No Content\r\n\r\n");
  std::unique_ptr<Probe> probe;
  bool called = false;
  probe = start_probe(io, spec(), [&](const ProbeAnswer&) {
    probe.reset();
    called = true;
    acceptor.close();
  });
  const auto deadline = base::Clock::now() + 20s;
  while (!called && base::Clock::now() < deadline) {
    io.restart();
    io.run_one_for(50ms);
  }
  EXPECT_TRUE(called);
}

TEST_F(Probing, UnixSockets) {
  const std::string path = "/tmp/drover-probe-" + std::to_string(getpid()) + ".sock";
  auto what = spec("");
  what.endpoint = address_of(asio::local::stream_protocol::endpoint(path));
  EXPECT_EQ(ask(what).reason, "its socket does not exist");
  {
    const asio::local::stream_protocol::acceptor listening(io, asio::local::stream_protocol::endpoint(path));
    EXPECT_TRUE(ask(what).passed);
  }
  EXPECT_EQ(ask(what).reason, "connect refused");
  unlink(path.c_str());
}

/// In a network of its own with two ephemeral ports, where a connect to a silent port soon meets itself.
int probes_fooled_in_a_small_network() {
  if (unshare(CLONE_NEWNET) != 0) return 100;
  const int control = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, &loopback) != 0) return 100;
  std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << "30000 30001";
  const tcp::endpoint silent(asio::ip::address_v4::loopback(), 30000);
  asio::io_context io(1);
  int met_itself = 0;
  int fooled = 0;
  for (int i = 0; i < 50; ++i) {
    tcp::socket plain(io);
    boost::system::error_code error;
    plain.connect(silent, error);
    if (!error) {
      ++met_itself;
      plain.set_option(asio::socket_base::linger(true, 0));
    }
    plain.close();
    ProbeSpec what;
    what.endpoint = address_of(silent);
    const auto probe = start_probe(io, what, [&](const ProbeAnswer& answer) { fooled += answer.passed ? 1 : 0; });
    io.restart();
    io.run();
  }
  return met_itself == 0 ? 101 : fooled;
}

TEST(ProbeAlone, ConnectionToItselfIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const int fooled = in_a_child(probes_fooled_in_a_small_network);
  if (fooled >= 100) GTEST_SKIP() << "no network of its own can be made here";
  EXPECT_EQ(fooled, 0) << "probes passed though nobody listened";
}

}  // namespace
}  // namespace drover::backends::test
