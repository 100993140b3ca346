// A worker that is told to finish waits for the end of its connections: those that nobody may use any more are closed at once.
#include "exchange_world.hpp"

#include <gtest/gtest.h>

namespace drover::proxy {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::kOk;
using test::Peer;
using test::Port;
using test::World;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Only a closed gate ends an idle connection. `concurrency` 0: it is the thread's own, else it is parked beside the pool's queue.
class ClosedGate : public testing::TestWithParam<std::uint32_t> {
 protected:
  World world{[](config::Pool& pool) {
    pool.concurrency = GetParam();
    pool.timeouts.idle = 1h;
  }};
  Port& worker = come();

  Port& come() {
    for (std::uint32_t row = 0; row < world.shape.rows; ++row) world.supervisor.write_connection_share(row, UINT32_MAX);
    return world.come();
  }
};

TEST_P(ClosedGate, EndsIdleConnectionsAtOnce) {
  Peer client = world.ask(kGet);
  Peer connection = worker.accept();
  connection.read_head();
  connection.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_FALSE(connection.anything_within(50)) << "it is kept for the next request";
  world.board.gate(0).close();
  world.tell();
  EXPECT_TRUE(connection.read_to_the_end().ends_with("\r\n\r\n"));
}

TEST_P(ClosedGate, AConnectionWhoseAnswerEndsThen_IsNotKept) {
  Peer client = world.ask(kGet);
  Peer connection = worker.accept();
  connection.read_head();
  world.board.gate(0).close();
  world.tell();
  EXPECT_FALSE(connection.anything_within(50)) << "an exchange under way is not disturbed";
  connection.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_TRUE(connection.read_to_the_end().ends_with("\r\n\r\n"));
}

TEST_P(ClosedGate, LeavesOtherWorkersConnectionsAlone) {
  Peer client = world.ask(kGet);
  Peer connection = worker.accept();
  connection.read_head();
  connection.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  Port& other = world.come();
  world.board.gate(1).close();
  world.tell();
  client.send(kGet);
  connection.read_until("\r\n\r\nGET");
  connection.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_FALSE(other.anybody_within(0));
}

INSTANTIATE_TEST_SUITE_P(Proxy, ClosedGate, testing::Values(0U, 4U),
                         [](const auto& each) { return each.param == 0 ? std::string("unbounded") : std::string("bounded"); });

}  // namespace
}  // namespace drover::proxy
