// The table of `drover run`: printed, and never waited for.
#include "app/status_printer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace drover::app {
namespace {

using testing::HasSubstr;

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  base::UniqueFd out;
  base::UniqueFd in;
};

backends::ClusterStatus one_worker() {
  backends::ClusterStatus status;
  status.pools.resize(1);
  status.pools[0].name = "shop";
  status.pools[0].workers.resize(1);
  status.pools[0].workers[0].slot = 1;
  return status;
}

TEST(StatusPrinter, PrintsAgainAndAgain) {
  const Pipe pipe;
  boost::asio::io_context io(1);
  int asked = 0;
  StatusPrinter printer(
      io, base::Millis(5),
      [&] {
        if (++asked == 3) io.stop();
        return one_worker();
      },
      pipe.in.get());
  io.run_for(std::chrono::seconds(5));
  EXPECT_EQ(asked, 3);
  std::array<char, 65536> bytes{};
  const ssize_t got = ::read(pipe.out.get(), bytes.data(), bytes.size());
  ASSERT_GT(got, 0);
  EXPECT_THAT(std::string(bytes.data(), got), HasSubstr("shop.1"));
  EXPECT_EQ(::fcntl(pipe.in.get(), F_GETFL) & O_NONBLOCK, 0) << "those who share the descriptor keep a blocking one";
}

TEST(StatusPrinter, NobodyReadsAndNothingWaits) {
  const Pipe pipe;
  boost::asio::io_context io(1);
  int asked = 0;
  StatusPrinter printer(
      io, base::Millis(0),
      [&] {
        if (++asked == 1000) io.stop();  // some 300 bytes each: far more than a pipe holds
        return one_worker();
      },
      pipe.in.get());
  io.run_for(std::chrono::seconds(20));
  EXPECT_EQ(asked, 1000);
}

}  // namespace
}  // namespace drover::app
