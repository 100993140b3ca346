#include "host_support.hpp"

#include "backends/ports.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <set>

namespace drover::backends::test {
namespace {

using ::testing::HasSubstr;

struct Listening {
  base::UniqueFd fd;
  std::uint16_t port = 0;
};

/// A socket that listens on `host`; port 0: any free one.
Listening listen_on(const char* host, std::uint16_t port = 0, bool share = false) {
  const bool six = std::strchr(host, ':') != nullptr;
  Listening out;
  out.fd.reset(socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  const int off = 0;
  setsockopt(out.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (share) setsockopt(out.fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (six) setsockopt(out.fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 address6{};
  sockaddr_in address4{};
  address6.sin6_family = AF_INET6;
  address6.sin6_port = htons(port);
  address4.sin_family = AF_INET;
  address4.sin_port = htons(port);
  inet_pton(AF_INET6, host, &address6.sin6_addr);
  inet_pton(AF_INET, host, &address4.sin_addr);
  auto* address = six ? reinterpret_cast<sockaddr*>(&address6) : reinterpret_cast<sockaddr*>(&address4);
  socklen_t size = six ? sizeof address6 : sizeof address4;
  if (bind(out.fd.get(), address, size) != 0 || listen(out.fd.get(), 16) != 0) return {};
  getsockname(out.fd.get(), address, &size);
  out.port = ntohs(six ? address6.sin6_port : address4.sin_port);
  return out;
}

std::uint16_t free_port() { return listen_on("127.0.0.1").port; }

using base::TimePoint;
const TimePoint kStart{std::chrono::hours(1)};

TEST(Ports, GivesEachPortOnce) {
  Ports ports({23000, 23009}, 1);
  std::set<std::uint16_t> seen;
  while (const auto port = ports.take(kStart)) {
    EXPECT_GE(*port, 23000);
    EXPECT_LE(*port, 23009);
    EXPECT_TRUE(seen.insert(*port).second) << *port << " was given twice";
  }
  EXPECT_GE(seen.size(), 8U) << "nearly all of a quiet range should be free";
  EXPECT_THAT(ports.take(kStart).error().message, AllOf(HasSubstr("23000-23009"), HasSubstr("[cluster] ports")));
}

TEST(Ports, StartsAnywhere) {
  std::set<std::uint16_t> firsts;
  for (std::uint64_t seed = 0; seed < 16; ++seed) firsts.insert(*Ports({23100, 23999}, seed).take(kStart));
  EXPECT_GT(firsts.size(), 8U);
}

TEST(Ports, FreedPortRestsAMinute) {
  const std::uint16_t only = free_port();
  Ports ports({only, only}, 1);
  ASSERT_TRUE(ports.take(kStart));
  ports.give_back(only, kStart + 10s);
  EXPECT_FALSE(ports.take(kStart + 10s));
  EXPECT_FALSE(ports.take(kStart + 69s));
  EXPECT_TRUE(ports.take(kStart + 70s));
}

TEST(Ports, GivingBackWhatWasNotTakenIsNothing) {
  const std::uint16_t only = free_port();
  Ports ports({only, only}, 1);
  ports.give_back(only, kStart);
  EXPECT_TRUE(ports.take(kStart));
}

TEST(Ports, PassesOverAPortSomebodyListensOn) {
  for (const char* address : {"127.0.0.1", "0.0.0.0", "::"}) {
    const auto taken = listen_on(address);
    if (!taken.fd) continue;  // no IPv6 here
    EXPECT_FALSE(Ports({taken.port, taken.port}, 1).take(kStart)) << address;
  }
}

TEST(Ports, UsesAPortInTimeWait) {
  auto server = listen_on("127.0.0.1");
  const base::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  base::UniqueFd accepted(accept4(server.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  shutdown(accepted.get(), SHUT_WR);  // the server's side closes first: TIME_WAIT is its
  char byte = 0;
  ASSERT_EQ(read(client.get(), &byte, 1), 0);
  shutdown(client.get(), SHUT_WR);
  ASSERT_EQ(read(accepted.get(), &byte, 1), 0);
  accepted.reset();
  server.fd.reset();
  EXPECT_TRUE(Ports({server.port, server.port}, 1).take(kStart));
}

struct Owner : HostTest {
  const std::vector<pid_t> self{getpid()};
  const std::vector<pid_t> other{getppid()};
};

TEST_F(Owner, NobodyListens) { EXPECT_EQ(who_listens(free_port(), self), Listener::nobody); }

TEST_F(Owner, IsOursOnAnyAddressThatAnswers) {
  for (const char* address : {"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"}) {
    const auto socket = listen_on(address);
    if (!socket.fd) continue;
    EXPECT_EQ(who_listens(socket.port, self), Listener::ours) << address;
  }
}

TEST_F(Owner, IsAStrangerOtherwise) {
  for (const char* address : {"127.0.0.1", "0.0.0.0", "::"}) {
    const auto socket = listen_on(address);
    if (!socket.fd) continue;
    EXPECT_EQ(who_listens(socket.port, {}), Listener::stranger) << address;
    start(spec({"sleep", "1000"}, socket.port));
    EXPECT_EQ(who_listens(socket.port, this->host.tree(key(socket.port))), Listener::stranger) << address;
  }
}

TEST_F(Owner, OtherLoopbackAddressesAreInNobodysWay) {
  const auto socket = listen_on("127.0.0.2");
  EXPECT_EQ(who_listens(socket.port, {}), Listener::nobody);
  const auto six = listen_on("::1");
  if (!six.fd) GTEST_SKIP() << "no IPv6";
  EXPECT_EQ(who_listens(six.port, {}), Listener::nobody);
  EXPECT_EQ(who_listens(six.port, self), Listener::ours);
}

TEST_F(Owner, SharedPortMustBeOursAlone) {
  const auto mine = listen_on("127.0.0.1", 0, true);
  start(python("import socket, time\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\ns.bind(('127.0.0.1', " +
               std::to_string(mine.port) + "))\ns.listen()\nprint('up', flush=True)\ntime.sleep(1000)"));
  ASSERT_TRUE(until([&] { return !host.last_lines(key(1)).empty(); }));
  EXPECT_EQ(who_listens(mine.port, self), Listener::stranger);
  EXPECT_EQ(who_listens(mine.port, host.tree(key(1))), Listener::stranger);
}

TEST_F(Owner, IsFoundInADescendant) {
  const std::uint16_t port = free_port();
  start(shell("python3 -m http.server --bind 127.0.0.1 " + std::to_string(port) + " & wait"));
  EXPECT_TRUE(until([&] { return who_listens(port, host.tree(key(1))) == Listener::ours; }));
  EXPECT_EQ(who_listens(port, self), Listener::stranger);
}

TEST_F(Owner, IsUnknowableWhereItMayNotBeRead) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto socket = listen_on("127.0.0.1");
  const pid_t parent = getpid();
  const int answer = in_a_child([&] {
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) return 100;
    return static_cast<int>(who_listens(socket.port, {parent}));
  });
  EXPECT_EQ(answer, static_cast<int>(Listener::unknowable));
}

TEST_F(Owner, IsFoundWithoutSockDiag) {
  for (const char* address : {"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"}) {
    const auto socket = listen_on(address);
    if (!socket.fd) continue;
    const int answers = in_a_child([&] {
      if (!refuse_call(SYS_socket, EPERM, AF_NETLINK)) return 100;
      const auto ours = static_cast<int>(who_listens(socket.port, {getpid()}));
      const auto stranger = static_cast<int>(who_listens(socket.port, {}));
      return ours * 10 + stranger;
    });
    if (answers == 100) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(answers, static_cast<int>(Listener::ours) * 10 + static_cast<int>(Listener::stranger)) << address;
  }
}

}  // namespace
}  // namespace drover::backends::test
