// What becomes of the exchanges of a worker that is gone, hangs or is stopped.
#include "tests/proxy/exchange_world.hpp"

namespace drover::proxy {
namespace {

using test::eventually;
using test::kOk;
using test::Peer;
using test::Port;
using test::World;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kPost = "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";

/// A world with two workers, a request waiting at the first; the second lets in only from now on.
struct Two : World {
  explicit Two(std::string_view request, const std::function<void(config::Pool&)>& change = {})
      : World(change), first(come()), client(ask(request)), at_first(first.accept()), second(come()) {
    at_first.read_until(request.ends_with("hi") ? "hi" : "\r\n\r\n");
  }
  ~Two() {
    client.close();
    at_first.close();
  }
  std::uint64_t retries() const {
    std::uint64_t sum = 0;
    for (const auto& each : board.tally(0, 0).retries) sum += each.get();
    return sum;
  }

  Port& first;
  Peer client;
  Peer at_first;
  Port& second;
};

TEST(Cut, Gone_AGetIsServedElsewhereWithoutBudget) {
  Two world(kGet);
  world.cut(0, ipc::Cut::gone);
  Peer server = world.second.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(world.client.read_message().ends_with("ok"));
  EXPECT_EQ(world.retries(), 1U);
  EXPECT_EQ(world.flights(0).size(), 1U) << "the obituary finds it";
}

TEST(Cut, Gone_WhileItsConnectionIsStillBeingMadeItIs502) {
  World world([](config::Pool& pool) { pool.retry.attempts = 1; });
  Port& worker = world.come();
  ASSERT_EQ(::listen(worker.fd.get(), 0), 0);
  const Peer first = worker.connect();  // the queue is full: the next one's handshake waits
  Peer client = world.ask(kGet);
  ASSERT_TRUE(eventually([&] { return world.flights(0).size() == 1; }));
  EXPECT_FALSE(client.anything_within(100));
  world.cut(0, ipc::Cut::gone);
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 502 ")) << answer;
  EXPECT_NE(answer.find("the worker is gone"), std::string::npos) << answer;
  client.close();
}

TEST(Cut, Hung_WithoutAnAnswerYetItIs504AndNotTriedAgain) {
  for (const std::string_view request : {kGet, kPost}) {
    Two world(request);
    world.cut(0, ipc::Cut::hung);
    const std::string answer = world.client.read_message();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 504 ")) << answer;
    EXPECT_NE(answer.find("the worker stopped answering and is being replaced"), std::string::npos);
    const std::string id = answer.substr(answer.find("X-Request-ID: ") + 14, 32);
    EXPECT_NE(answer.find("request " + id), std::string::npos);
    EXPECT_NE(world.complaint().find("request " + id), std::string::npos);
    EXPECT_FALSE(world.second.anybody_within(0));
    EXPECT_EQ(world.retries(), 0U);
    EXPECT_EQ(world.board.row(0).errors.load(), 1U);
  }
}

TEST(Cut, Hung_TheDeathThatFollowsMakesNoRetryOfIt) {
  Two world(kGet);
  world.cut(0, ipc::Cut::hung);
  world.cut(0, ipc::Cut::gone);
  world.at_first.close();
  EXPECT_TRUE(world.client.read_message().starts_with("HTTP/1.1 504 "));
  EXPECT_FALSE(world.second.anybody_within(0));
}

TEST(Cut, Hung_ABegunAnswerIsCutSoThatItShows) {
  Two world(kGet);
  world.at_first.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  world.client.read_until("abc");
  world.cut(0, ipc::Cut::hung);
  const std::string answer = world.client.read_to_the_end();
  EXPECT_TRUE(answer.ends_with("abc")) << answer;
  EXPECT_EQ(world.board.tally(0, 0).truncated.get(), 1U);
  EXPECT_NE(world.complaint().find("cut short: the worker stopped answering"), std::string::npos);
  EXPECT_FALSE(world.second.anybody_within(0));
}

TEST(Cut, Stopped_AGetIsServedElsewhereWithoutBudgetOrBlame) {
  Two world(kGet);
  world.cut(0, ipc::Cut::stopped);
  Peer server = world.second.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(world.client.read_message().ends_with("ok"));
  EXPECT_EQ(world.retries(), 1U);
  EXPECT_EQ(world.board.row(0).errors.load(), 0U) << "being stopped is no failure of its own";
}

TEST(Cut, Stopped_WhatMayNotBeSentTwiceWaitsForItsWorker) {
  Two world(kPost);
  world.cut(0, ipc::Cut::stopped);
  EXPECT_FALSE(world.client.anything_within(100));
  EXPECT_FALSE(world.second.anybody_within(0));
  world.at_first.send(kOk);
  EXPECT_TRUE(world.client.read_message().ends_with("ok"));
}

TEST(Cut, Stopped_ABegunAnswerWaitsForItsWorker) {
  Two world(kGet);
  world.at_first.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
  world.client.read_until("abc");
  world.cut(0, ipc::Cut::stopped);
  EXPECT_FALSE(world.client.anything_within(100));
  world.at_first.send("def");
  EXPECT_TRUE(world.client.read_message().ends_with("abcdef"));
}

TEST(Cut, Stopped_TheLastTryStaysWhereItIs) {
  Two world(kGet, [](config::Pool& pool) { pool.retry.attempts = 1; });
  world.cut(0, ipc::Cut::stopped);
  EXPECT_FALSE(world.client.anything_within(100));
  world.at_first.send(kOk);
  EXPECT_TRUE(world.client.read_message().ends_with("ok"));
}

TEST(Cut, Stopped_WhereNobodyElseIsEligibleARequestStays) {
  Two world(kGet);
  world.board.gate(1).close();
  world.cut(0, ipc::Cut::stopped);
  EXPECT_FALSE(world.client.anything_within(100));
  world.at_first.send(kOk);
  EXPECT_TRUE(world.client.read_message().ends_with("ok"));
}

TEST(Cut, Stopped_WhenItDiesAfterAllWhoStayedIsAnswered) {
  Two world(kPost);
  world.cut(0, ipc::Cut::stopped);
  EXPECT_FALSE(world.client.anything_within(50));
  world.cut(0, ipc::Cut::gone);
  EXPECT_TRUE(world.client.read_message().starts_with("HTTP/1.1 502 "));
}

TEST(Cut, Stopped_ATunnelStaysAndAHungOneEnds) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  Peer server = worker.accept();
  server.read_head();
  server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  client.read_head();
  world.cut(0, ipc::Cut::stopped);
  EXPECT_FALSE(client.anything_within(100));
  server.send("later");
  EXPECT_TRUE(client.read_until("later").ends_with("later"));
  world.cut(0, ipc::Cut::hung);
  EXPECT_TRUE(client.read_to_the_end().ends_with("later"));
  client.close();
}

TEST(Cut, OnlyThatIncarnationIsConcerned) {
  Two world(kGet);
  world.cut(1, ipc::Cut::hung);
  EXPECT_FALSE(world.client.anything_within(50));
  world.at_first.send(kOk);
  EXPECT_TRUE(world.client.read_message().ends_with("ok"));
}

}  // namespace
}  // namespace drover::proxy
