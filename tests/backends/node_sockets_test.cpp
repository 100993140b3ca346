// Sockets for Node programs, on this machine's loopback.
#include "backends/node_sockets.hpp"

#include "backends/endpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace drover::backends {
namespace {

using ::testing::StartsWith;

std::uint16_t port_of(int fd) {
  sockaddr_storage out{};
  socklen_t length = sizeof out;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&out), &length);
  return ntohs(out.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(out).sin6_port : reinterpret_cast<sockaddr_in&>(out).sin_port);
}

bool connects(const board::EndpointAddress& to) {
  const base::UniqueFd fd(::socket(to.addr()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), to.addr(), to.length) == 0;
}

/// Somebody waits at that listening socket. Non-blocking.
bool accepts(int fd) { return static_cast<bool>(base::UniqueFd(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC))); }

int reuseport(int fd) {
  int out = -1;
  socklen_t length = sizeof out;
  ::getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &out, &length);
  return out;
}

ListenQuery tcp(std::uint16_t port) {
  ListenQuery out;
  out.port = port;
  return out;
}

Listening listener(const std::string& host, std::uint16_t port = 0) {
  config::Bind bind;
  bind.host = host;
  bind.port = port;
  auto out = Listening::open(bind, "listener web");
  if (!out) ADD_FAILURE() << out.error().message;
  return std::move(*out);
}

struct Folder {
  Folder() { EXPECT_NE(::mkdtemp(path.data()), nullptr); }
  ~Folder() {
    for (const char* name : {"/a.sock", "/own.sock"}) ::unlink((path + name).c_str());
    ::rmdir(path.c_str());
  }
  std::string path = "/tmp/drover-sockets-XXXXXX";
};

class PrivateSocketTest : public ::testing::Test {
 protected:
  PrivateSocketTest() {
    // A port that is free now: nobody is told of it but this test.
    const Listening free = listener("127.0.0.1");
    own.port = port_of(free.fd());
    own.address = tcp_endpoint(own.port);
    own.text = "127.0.0.1:" + std::to_string(own.port);
  }
  base::Result<PrivateSocket> open(const ListenQuery& query, const std::vector<int>& wildcards = {}) {
    return private_socket(query, own, wildcards, rng);
  }
  base::Rng rng{7};
  WorkerEndpoint own;
};

TEST_F(PrivateSocketTest, ItsOwnPortIsWhatItWasTold) {
  for (const std::uint16_t port : {own.port, std::uint16_t{0}}) {
    const auto made = open(tcp(port));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->text, own.text);
    EXPECT_TRUE(connects(made->address));
    EXPECT_TRUE(accepts(made->socket.get()));
  }
}

TEST_F(PrivateSocketTest, AnyOtherPortIsThatPortOnALoopbackAddressOfItsOwn) {
  const Listening taken = listener("127.0.0.1");
  const std::uint16_t port = port_of(taken.fd());
  const auto first = open(tcp(port));
  const auto second = open(tcp(port));
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_THAT(first->text, StartsWith("127.77."));
  EXPECT_NE(first->text, second->text);
  EXPECT_EQ(port_of(first->socket.get()), port);
  EXPECT_TRUE(connects(first->address));
  EXPECT_FALSE(accepts(second->socket.get()));
  EXPECT_TRUE(accepts(first->socket.get()));
}

TEST_F(PrivateSocketTest, AnAddressThatIsTakenIsNotGivenTwice) {
  for (const char* host : {"127.0.0.1", "0.0.0.0", ""}) {
    const Listening web = listener(host);
    const auto query = tcp(port_of(web.fd()));
    base::Rng first(11);
    base::Rng second(11);  // draws the same address first
    const auto one = private_socket(query, own, {web.fd()}, first);
    const auto two = private_socket(query, own, {web.fd()}, second);
    ASSERT_TRUE(one) << one.error().message;
    ASSERT_TRUE(two) << two.error().message;
    EXPECT_NE(one->text, two->text) << "listener on \"" << host << '"';
  }
}

TEST_F(PrivateSocketTest, OurOwnListenerOnAllAddressesMayHaveThePort) {
  for (const char* host : {"0.0.0.0", ""}) {
    const Listening web = listener(host);
    const std::uint16_t port = port_of(web.fd());
    const auto made = open(tcp(port), {web.fd()});
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(connects(made->address));
    EXPECT_FALSE(accepts(web.fd()));
    EXPECT_TRUE(accepts(made->socket.get()));
    EXPECT_TRUE(connects(tcp_endpoint(port)));
    EXPECT_TRUE(accepts(web.fd()));
    EXPECT_EQ(reuseport(web.fd()), 0);
    EXPECT_EQ(reuseport(made->socket.get()), 0);
  }
}

TEST_F(PrivateSocketTest, NobodyCanJoinThePortAfterwards) {
  const Listening web = listener("0.0.0.0");
  const auto made = open(tcp(port_of(web.fd())), {web.fd()});
  ASSERT_TRUE(made);
  for (const std::uint32_t host : {INADDR_ANY, ntohl(reinterpret_cast<const sockaddr_in*>(made->address.addr())->sin_addr.s_addr)}) {
    const base::UniqueFd thief(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(thief.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port_of(web.fd()));
    at.sin_addr.s_addr = htonl(host);
    EXPECT_NE(::bind(thief.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  }
}

TEST_F(PrivateSocketTest, AStrangersWildcardIsInUse) {
  const Listening stranger = listener("0.0.0.0");
  const auto made = open(tcp(port_of(stranger.fd())));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, EADDRINUSE);
}

TEST_F(PrivateSocketTest, AUnixEndpointIsTheWorkersOwnWhateverPathItAsksFor) {
  const Folder folder;
  own = {};
  own.socket_path = folder.path + "/own.sock";
  own.text = "unix:" + own.socket_path;
  ListenQuery query;
  query.what = ListenQuery::What::unix_path;
  query.address = "/run/hard-coded.sock";
  const auto made = open(query);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->text, own.text);
  EXPECT_TRUE(connects(made->address));
}

TEST_F(PrivateSocketTest, WhatHasNoConnectionsIsRefused) {
  ListenQuery query = tcp(0);
  query.fd = 3;
  EXPECT_EQ(open(query).error().code, EINVAL);
  query = tcp(0);
  query.what = ListenQuery::What::udp;
  EXPECT_EQ(open(query).error().code, EINVAL);
}

TEST(SharedSocketsTest, EachWorkerGetsTheSameSocketUntilAllHaveClosedIt) {
  SharedSockets sockets;
  auto first = sockets.open(tcp(0));
  auto second = sockets.open(tcp(0));
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second);
  const std::uint16_t port = port_of(first->get());
  EXPECT_EQ(port, port_of(second->get()));
  ASSERT_TRUE(connects(tcp_endpoint(port)));
  EXPECT_TRUE(accepts(second->get()));
  first->reset();
  second->reset();
  sockets.closed(tcp(0));
  EXPECT_TRUE(connects(tcp_endpoint(port)));
  sockets.closed(tcp(0));
  EXPECT_FALSE(connects(tcp_endpoint(port)));
  sockets.closed(tcp(0));  // more often than it was opened
  EXPECT_EQ(sockets.size(), 0U);
}

TEST(SharedSocketsTest, DeathClosesNothing) {
  SharedSockets sockets;
  std::uint16_t port = 0;
  {
    const auto first = sockets.open(tcp(0));
    ASSERT_TRUE(first);
    port = port_of(first->get());
  }
  sockets.abandoned(tcp(0));
  ASSERT_TRUE(connects(tcp_endpoint(port)));
  const auto next = sockets.open(tcp(0));
  ASSERT_TRUE(next);
  EXPECT_TRUE(accepts(next->get()));
  sockets.closed(tcp(0));
  EXPECT_EQ(sockets.size(), 0U);
}

TEST(SharedSocketsTest, APortInUseIsTheKernelsError) {
  const Listening taken = listener("127.0.0.1");
  SharedSockets sockets;
  ListenQuery query = tcp(port_of(taken.fd()));
  query.address = "127.0.0.1";
  EXPECT_EQ(sockets.open(query).error().code, EADDRINUSE);
  query.address = "no digits";
  EXPECT_EQ(sockets.open(query).error().code, EINVAL);
  query.address = "192.0.2.1";
  EXPECT_EQ(sockets.open(query).error().code, EADDRNOTAVAIL);
  query.fd = 4;
  EXPECT_EQ(sockets.open(query).error().code, EINVAL);
  EXPECT_EQ(sockets.size(), 0U);
}

TEST(SharedSocketsTest, IPv6IsListenedOnWhereItIsAskedFor) {
  SharedSockets sockets;
  ListenQuery query = tcp(0);
  query.ipv6 = true;
  query.address = "::1";
  const auto made = sockets.open(query);
  if (!made && (made.error().code == EADDRNOTAVAIL || made.error().code == EAFNOSUPPORT)) GTEST_SKIP() << "no IPv6 here";
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_FALSE(connects(tcp_endpoint(port_of(made->get()))));
}

TEST(SharedSocketsTest, DatagramsComeToWhicheverWorkerReads) {
  SharedSockets sockets;
  ListenQuery query = tcp(0);
  query.what = ListenQuery::What::udp;
  query.address = "127.0.0.1";
  const auto first = sockets.open(query);
  const auto second = sockets.open(query);
  ASSERT_TRUE(first) << first.error().message;
  const board::EndpointAddress to = tcp_endpoint(port_of(first->get()));
  const base::UniqueFd sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::sendto(sender.get(), "x", 1, 0, to.addr(), to.length), 1);
  char got = 0;
  EXPECT_EQ(::recv(second->get(), &got, 1, 0), 1);
  EXPECT_EQ(got, 'x');
}

TEST(SharedSocketsTest, AStaleUnixSocketIsReplacedAndALivingOneIsNot) {
  const Folder folder;
  ListenQuery query;
  query.what = ListenQuery::What::unix_path;
  query.address = folder.path + "/a.sock";
  query.readable_all = query.writable_all = true;
  const auto at = unix_endpoint(query.address);
  {
    const base::UniqueFd left(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(left.get(), at->addr(), at->length), 0);
  }
  {
    SharedSockets sockets;
    ASSERT_TRUE(sockets.open(query));
    EXPECT_TRUE(connects(*at));
    struct stat found {};
    ASSERT_EQ(::stat(query.address.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777U, 0777U);
    SharedSockets others;
    EXPECT_EQ(others.open(query).error().code, EADDRINUSE);
    EXPECT_TRUE(connects(*at));
  }
  EXPECT_NE(::access(query.address.c_str(), F_OK), 0);  // removed at the end
}

TEST(SharedSocketsTest, AFileThatIsNoSocketIsLeftAlone) {
  const Folder folder;
  ListenQuery query;
  query.what = ListenQuery::What::unix_path;
  query.address = folder.path + "/a.sock";
  const base::UniqueFd file(::open(query.address.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  SharedSockets sockets;
  EXPECT_EQ(sockets.open(query).error().code, EADDRINUSE);
  EXPECT_EQ(::access(query.address.c_str(), F_OK), 0);
}

TEST(SharedSocketsTest, RootDoesNotLendItsRights) {
  const Folder folder;
  SharedSockets sockets(true);
  EXPECT_EQ(sockets.open(tcp(80)).error().code, EACCES);
  ListenQuery query;
  query.what = ListenQuery::What::unix_path;
  query.address = folder.path + "/a.sock";
  EXPECT_EQ(sockets.open(query).error().code, EACCES);
  EXPECT_TRUE(sockets.open(tcp(0)));
}

TEST(SharedSocketsTest, TheyAreBoundedAndThoseWithoutAUserMakeRoom) {
  SharedSockets sockets;
  ListenQuery query = tcp(0);
  for (query.index = 0; query.index < static_cast<int>(SharedSockets::kMost); ++query.index) ASSERT_TRUE(sockets.open(query));
  EXPECT_EQ(sockets.open(query).error().code, EMFILE);
  ListenQuery dead = tcp(0);
  dead.index = 5;
  sockets.abandoned(dead);
  EXPECT_TRUE(sockets.open(query));
}

}  // namespace
}  // namespace drover::backends
