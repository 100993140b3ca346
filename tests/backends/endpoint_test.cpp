// Sockets on which clients are met: drover's own, and those on which workers accept.
#include "backends/endpoint.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

namespace drover::backends {
namespace {

const config::Bind kAnyPort{.unix_path = false, .host = "127.0.0.1", .port = 0, .path = {}, .text = {}};

bool blocks(int fd) { return (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }

base::UniqueFd copy_of(int fd) { return base::UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

/// Does a client that comes now reach whoever accepts on `fd`?
bool reaches(int fd) {
  sockaddr_storage at{};
  socklen_t length = sizeof at;
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length), 0);
  const base::UniqueFd client(::socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&at), length) == 0;
}

TEST(Listening, BlocksOnlyWhereOthersAccept_AndIsNeverInheritedByAccident) {
  const std::string path = (std::filesystem::temp_directory_path() / ("drover-endpoint-" + std::to_string(::getpid()))).string();
  const config::Bind unix_socket{.unix_path = true, .host = {}, .port = 0, .path = path, .text = "unix:" + path};
  for (const config::Bind& bind : {kAnyPort, unix_socket}) {
    for (const auto accepts : {Listening::Accepts::here, Listening::Accepts::by_others}) {
      auto opened = Listening::open(bind, "listener web", accepts);
      ASSERT_TRUE(opened) << opened.error().message;
      EXPECT_EQ(blocks(opened->fd()), accepts == Listening::Accepts::by_others);
      EXPECT_NE(::fcntl(opened->fd(), F_GETFD) & FD_CLOEXEC, 0);
    }
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Listening, Closed_RefusesEverybody_ForItIsWeWhoAccept) {
  auto opened = Listening::open(kAnyPort, "listener web");
  ASSERT_TRUE(opened);
  const base::UniqueFd proxys = copy_of(opened->fd());
  EXPECT_TRUE(reaches(proxys.get()));
  opened->close();
  EXPECT_FALSE(reaches(proxys.get()));
}

TEST(Listening, ClosedHere_WorkersThatAcceptOnItGoOn) {
  auto opened = Listening::open(kAnyPort, "listener web", Listening::Accepts::by_others);
  ASSERT_TRUE(opened);
  const base::UniqueFd workers = copy_of(opened->fd());
  opened->close();
  EXPECT_TRUE(reaches(workers.get()));
  EXPECT_TRUE(blocks(workers.get()));
}

}  // namespace
}  // namespace drover::backends
