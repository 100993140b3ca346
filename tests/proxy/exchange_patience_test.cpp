// Clients and workers that try an exchange's patience: with bytes that lead nowhere, with rests, with refusals.
#include "tests/proxy/exchange_world.hpp"

namespace drover::proxy {
namespace {

using test::eventually;
using test::kOk;
using test::Peer;
using test::Port;
using test::serve;
using test::World;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::string_view kChunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Of those who may have connected.
bool nothing_came(const Port& worker) { return !worker.anybody_within(0) || worker.accept().read_to_the_end().empty(); }

void spill_to_second(config::Config& config) { config.pools[0].spill_to = 1; }

TEST(Patience, SomeEmptyLinesBeforeARequestAreNothing_ManyAreRefused) {
  World world;
  Port& worker = world.come();
  std::string lines;
  for (int i = 0; i < 16; ++i) lines += "\r\n";
  {
    Peer client = world.ask(lines + std::string(kGet));
    serve(worker);
    EXPECT_TRUE(client.read_message().ends_with("ok"));
  }
  Peer client = world.ask(lines + "\r\n" + std::string(kGet));
  EXPECT_TRUE(client.read_to_the_end().starts_with("HTTP/1.1 400 "));
}

TEST(Patience, ABodyThatIsMalformedFromItsStart_IsRefusedAtOnceAndReachesNobody) {
  World world;
  Port& worker = world.come();
  for (const std::string_view body : {"zz\r\n", "-1\r\n", "0x5\r\nhello\r\n", "0\r\nX: y\n\r\n", "+0\r\n", " 5\r\n"}) {
    Peer client = world.ask(std::string(kChunked) + std::string(body));
    EXPECT_TRUE(client.read_to_the_end().starts_with("HTTP/1.1 400 ")) << body;
    EXPECT_TRUE(nothing_came(worker)) << body;
  }
  Peer client = world.ask(std::string(kChunked) + "5;" + std::string(1100, 'x'));
  EXPECT_TRUE(client.read_to_the_end().starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(nothing_came(worker));
}

TEST(Patience, ChunkExtensionsInAllAreBounded) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask(std::string(kChunked) + "1;a\r\nx\r\n");
  const Peer server = worker.accept();
  for (int i = 0; i < 40; ++i) client.send("1;" + std::string(1000, 'a') + "\r\nx\r\n");
  EXPECT_TRUE(client.read_to_the_end().starts_with("HTTP/1.1 400 "));
}

TEST(Patience, TheBodyOfWhoExpectsToContinueAndSendsAtOnce_HasItsPaceToo) {
  World world({}, 1, [](config::Listener& listener) { listener.rates = {{}, config::Bytes{1000}, base::Millis(100)}; });
  Port& worker = world.come();
  Peer client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\nx");
  const Peer server = worker.accept();
  EXPECT_TRUE(client.read_to_the_end().starts_with("HTTP/1.1 408 "));
}

TEST(Patience, AnswerToHead_ThatSpeaksOfABody_EndsItsConnection) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  Peer first = worker.accept();
  first.read_head();
  first.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(client.read_head().starts_with("HTTP/1.1 200 OK\r\n"));
  client.send(kGet);
  serve(worker);  // on another one: the body that some servers send may be on its way on the first
  EXPECT_TRUE(client.read_until("ok").ends_with("ok"));
  client.close();
}

TEST(Patience, AnAnswerThatFlowsIsNotCutBecauseItsClientRests) {
  World world({}, 1, [](config::Listener& listener) { listener.timeouts.body = base::Millis(1000); });
  Port& worker = world.come();
  Peer client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx");
  Peer server = worker.accept();
  server.read_head();
  server.send("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n");
  for (int i = 0; i < 14; ++i) {  // for longer than the client may be silent
    server.send("a");
    ::poll(nullptr, 0, 100);
  }
  EXPECT_TRUE(client.read_until("aaaaaaaaaaaaaa").ends_with("aaaaaaaaaaaaaa"));
  client.close();
}

TEST(Patience, RequestStartIsWhenItCame_HoweverLongItWaits) {
  World world([](config::Pool& pool) { pool.concurrency = 1; }, 1, {}, 1,
              [](config::Config& config) { config.routes[0].timeout = base::Millis(20'000); });
  Port& worker = world.come();
  world.supervisor.write_connection_share(0, UINT32_MAX);
  Peer first = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  Peer client = world.ask(kGet);
  ASSERT_TRUE(eventually([&] { return world.board.pool(0).queued.load() == 1; }));
  ::poll(nullptr, 0, 50);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  server.close();
  Peer second = worker.accept();
  const std::string head = second.read_head();
  const auto at = head.find("X-Request-Start: t=");
  ASSERT_NE(at, std::string::npos) << head;
  EXPECT_LT(std::strtoll(head.c_str() + at + 19, nullptr, 10), std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000) << head;
  for (Peer* each : {&first, &client, &second}) each->close();
}

TEST(Patience, AWorkerThatEndsAConnectionButLives_IsNotPassedOver) {
  World world([](config::Pool& pool) {
    pool.concurrency = 1;
    pool.retry.attempts = 1;
  });
  Port& worker = world.come();
  world.supervisor.write_connection_share(0, UINT32_MAX);
  constexpr int kRounds = 20;
  const auto began = base::Clock::now();
  for (int i = 0; i < kRounds; ++i) {
    Peer first = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    Peer server = worker.accept();
    server.read_head();
    Peer second = world.ask(kGet);
    ASSERT_TRUE(eventually([&] { return world.board.pool(0).queued.load() == 1; }));
    server.close();
    EXPECT_TRUE(first.read_message().starts_with("HTTP/1.1 502 "));
    serve(worker, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    EXPECT_TRUE(second.read_message().ends_with("ok"));
  }
  // Whoever is passed over is so for a quarter second each time; a round takes some milliseconds.
  EXPECT_LT(base::Clock::now() - began, kRounds * base::Millis(230));
}

TEST(Patience, WhoFindsTheLineOfAHeldPoolFull_IsToldWhenTheHoldEnds) {
  World world([](config::Pool& pool) { pool.queue.max = 0; });
  world.come();
  const auto ends = base::Clock::now() + base::Millis(30'000);
  world.supervisor.write_hold(0, static_cast<std::uint64_t>(std::chrono::nanoseconds(ends.time_since_epoch()).count()));
  Peer client = world.ask(kGet);
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  const auto at = answer.find("Retry-After: ");
  ASSERT_NE(at, std::string::npos) << answer;
  EXPECT_GT(std::strtol(answer.c_str() + at + 13, nullptr, 10), 10) << answer;
  client.close();
}

TEST(Patience, WhomNoWorkerOfThePoolLetsIn_TheOtherPoolServes) {
  World world({}, 1, {}, 2, spill_to_second);
  Port& worker = world.come();
  Port& spare = world.come(1);
  worker.fd.reset();
  Peer client = world.ask(kGet);
  serve(spare);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_EQ(world.board.tally(0, 0).spilled.get(), 1U);
  EXPECT_EQ(world.board.row(0).refused.load(), 1U) << "it still speaks against that worker";
  client.close();
}

TEST(Patience, WhatSpilledAfterAFailedTry_SpeaksAgainstItsFirstPool) {
  World world(
      [](config::Pool& pool) {
        pool.breaker = {50, 2, base::Millis(60'000), base::Millis(60'000)};
        pool.retry.attempts = 1;
      },
      1, {}, 2, spill_to_second);
  Port& worker = world.come();
  Port& spare = world.come(1);
  worker.fd.reset();
  EXPECT_TRUE(eventually([&] {
    Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    serve(spare, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    EXPECT_TRUE(client.read_message().ends_with("ok"));
    return world.board.pool(0).breaker.load() == static_cast<std::uint32_t>(balancer::BreakerState::open);
  }));
}

}  // namespace
}  // namespace drover::proxy
