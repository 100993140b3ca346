// What an exchange does when time, workers or the operator's patience are short: deadlines, breaker, spilling, hold, maintenance.
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
constexpr base::Millis kSoon{60};

std::uint64_t rejected(const World& world, board::QueueReason why, std::uint32_t pool = 0) {
  return world.board.tally(0, pool).queue_rejected[static_cast<std::size_t>(why)].get();
}
std::uint64_t deadlines(const World& world) { return world.board.tally(0, 0).deadlines.get(); }

void short_floor(config::Pool& pool) { pool.timeouts.floor = base::Millis(1); }

std::uint64_t in_ns(base::Millis time) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds((base::Clock::now() + time).time_since_epoch()).count());
}

TEST(Deadline, TheRoutesEndsASilentWorkersExchangeAndSpeaksAgainstIt) {
  World world({}, 1, {}, 1, [](config::Config& config) { config.routes[0].timeout = kSoon; });
  Port& worker = world.come();
  Peer client = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 504 "));
  EXPECT_EQ(deadlines(world), 1U);
  EXPECT_EQ(world.board.row(0).errors.load(), 1U);
  client.close();
}

TEST(Deadline, TheClientsOwnSaysNothingOfTheWorker) {
  World world(short_floor);
  Port& worker = world.come();
  Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Timeout: 60ms\r\n\r\n");
  Peer server = worker.accept();
  server.read_head();
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 504 "));
  EXPECT_EQ(deadlines(world), 1U);
  EXPECT_EQ(world.board.row(0).errors.load(), 0U);
  client.close();
}

TEST(Deadline, TheClientsIsNoLongerThanTheRoutes) {
  World world({}, 1, {}, 1, [](config::Config& config) { config.routes[0].timeout = kSoon; });
  Port& worker = world.come();
  Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Timeout: 3600\r\n\r\n");
  Peer server = worker.accept();
  server.read_head();
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 504 "));
  client.close();
}

TEST(Deadline, TheWorkerIsToldHowMuchTimeIsLeft) {
  World world;
  Port& worker = world.come();
  for (const auto& [asked, told] :
       std::vector<std::pair<std::string, std::string>>{{"100000", "99999."}, {"100000.0s", "99999."}, {"100000000ms", "99999."}, {"100ms ", ""}}) {
    if (told.empty()) continue;
    Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Request-TIMEOUT: " + asked + "\r\n\r\n");
    Peer server = worker.accept();
    const std::string head = server.read_head();
    const std::size_t at = head.find("X-Request-Timeout: ");
    ASSERT_NE(at, std::string::npos) << head;
    const std::string value = head.substr(at + 19, head.find('\r', at) - at - 19);
    // A day is as long as it gets, and none of it comes back.
    EXPECT_GT(std::stod(value), 86'300) << value;
    EXPECT_LE(std::stod(value), 86'400) << value;
    EXPECT_EQ(head.find("TIMEOUT"), std::string::npos) << "its own word is not sent beside it";
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.read_message();
  }
}

TEST(Deadline, WhatIsNoTimeIsIgnored) {
  World world(short_floor);
  Port& worker = world.come();
  for (const std::string_view asked : {"", "soon", "-1", "+1", "1e-3", "0x1", ".5", "1.", "5 s", "5m", "inf", "nan", "1,5", "ms", "s"}) {
    Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Timeout: " + std::string(asked) + "\r\nConnection: close\r\n\r\n");
    Peer server = worker.accept();
    const std::string head = server.read_head();
    EXPECT_NE(head.find("X-Request-Timeout: " + std::string(asked) + "\r\n"), std::string::npos) << "passed on as it came: " << head;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.read_message();
  }
  EXPECT_EQ(deadlines(world), 0U);
}

TEST(Deadline, AResponseThatHasBegunIsCutVisibly) {
  World world(short_floor);
  Port& worker = world.come();
  Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Timeout: 500ms\r\n\r\n");
  Peer server = worker.accept();
  server.read_head();
  server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour");
  EXPECT_TRUE(client.read_to_the_end().ends_with("four")) << "and then the end, six bytes too early";
  EXPECT_EQ(deadlines(world), 1U);
  EXPECT_EQ(world.board.tally(0, 0).truncated.get(), 1U);
  client.close();
}

TEST(Deadline, HoldsInTheLineToo) {
  World world([](config::Pool& pool) {
    pool.concurrency = 1;
    pool.timeouts.floor = base::Millis(1);
  });
  world.supervisor.write_connection_share(0, UINT32_MAX);
  Port& worker = world.come();
  world.supervisor.write_connection_share(0, UINT32_MAX);
  Peer first = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Timeout: 60ms\r\n\r\n");
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 504 "));
  EXPECT_EQ(deadlines(world), 1U);
  EXPECT_EQ(rejected(world, board::QueueReason::expired), 0U);
  server.send(kOk);
  first.read_message();
  first.close();
  client.close();
  server.close();
}

TEST(Deadline, ATunnelHasNone) {
  World world({}, 1, {}, 1, [](config::Config& config) { config.routes[0].timeout = base::Millis(1000); });
  Port& worker = world.come();
  Peer client = world.ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  Peer server = worker.accept();
  server.read_head();
  server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  client.read_head();
  EXPECT_FALSE(client.anything_within(1300));
  client.send("ping");
  server.read_until("ping");
  EXPECT_EQ(deadlines(world), 0U);
  client.close();
  server.close();
}

void trip_at_two(config::Pool& pool) {
  pool.breaker.errors = 50;
  pool.breaker.requests = 2;
  pool.breaker.window = base::Millis(60'000);
  pool.breaker.open = base::Millis(600);
  pool.retry.attempts = 1;
}

TEST(ExchangeBreaker, OpensAtTheWorkersFailuresAndTriesOneAfterwards) {
  World world(trip_at_two);
  Port& worker = world.come();
  for (int i = 0; i < 2; ++i) {
    Peer client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    worker.accept().read_head();
    EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 502 "));
  }
  const auto& cell = world.board.pool(0);
  EXPECT_EQ(cell.breaker.load(), static_cast<std::uint32_t>(balancer::BreakerState::open));
  EXPECT_EQ(cell.breaker_opened.load(), 1U);
  Peer client = world.ask(kGet);
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos) << answer;
  EXPECT_EQ(rejected(world, board::QueueReason::breaker), 1U);
  EXPECT_EQ(world.board.row(0).claims.load(), 2U) << "no worker was touched";
  // Once its time is over one is let in, and its end lets all the others in.
  EXPECT_TRUE(eventually([&] {
    Peer trial = world.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    if (!worker.anybody_within(200)) {
      trial.read_message();
      return false;
    }
    serve(worker);
    return trial.read_message().starts_with("HTTP/1.1 200 ");
  }));
  EXPECT_TRUE(eventually([&] { return cell.breaker.load() == static_cast<std::uint32_t>(balancer::BreakerState::closed); }));
  client.close();
}

TEST(ExchangeBreaker, AWorkersOwn503CountsAndAClientThatLeavesDoesNot) {
  World world(trip_at_two);
  Port& worker = world.come();
  for (int i = 0; i < 3; ++i) {
    Peer client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nx");
    Peer server = worker.accept();
    server.read_until("\r\n\r\nx");
    client.close();
    server.read_to_the_end();
  }
  const auto& cell = world.board.pool(0);
  EXPECT_EQ(cell.breaker.load(), static_cast<std::uint32_t>(balancer::BreakerState::closed));
  for (int i = 0; i < 2; ++i) {
    Peer client = world.ask(kGet);
    serve(worker, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.read_message();
    client.close();
  }
  EXPECT_TRUE(eventually([&] { return cell.breaker.load() == static_cast<std::uint32_t>(balancer::BreakerState::open); }));
}

void spill_to_second(config::Config& config) {
  config.pools[0].spill_to = 1;
  config.pools[1].keepalive = false;
}

TEST(Spill, AFullPoolsRequestsGoOnToTheOther) {
  World world(
      [](config::Pool& pool) {
        pool.concurrency = 1;
        pool.queue.max = 0;
      },
      1, {}, 2, spill_to_second);
  Port& worker = world.come();
  Port& spare = world.come(1);
  for (std::uint32_t row = 0; row < world.shape.rows; ++row) world.supervisor.write_connection_share(row, UINT32_MAX);
  Peer first = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  Peer client = world.ask(kGet);
  Peer second = spare.accept();
  EXPECT_NE(second.read_head().find("Connection: close\r\n"), std::string::npos) << "as that pool wants it";
  second.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  server.send(kOk);
  first.read_message();
  EXPECT_EQ(world.board.tally(0, 0).spilled.get(), 1U);
  EXPECT_EQ(rejected(world, board::QueueReason::full), 0U) << "nobody was sent away";
  const auto count = [&](std::uint32_t pool) { return world.board.tally(0, pool).requests[0][200 - board::kFirstCode].get(); };
  EXPECT_TRUE(eventually([&] { return count(0) == 1 && count(1) == 1; })) << "each counted where it was served";
  for (Peer* each : {&first, &client, &server, &second}) each->close();
}

TEST(Spill, APoolWithoutWorkersOrWithAnOpenBreakerSpillsToo) {
  World world(trip_at_two, 1, {}, 2, spill_to_second);
  Port& spare = world.come(1);
  {
    Peer client = world.ask(kGet);  // in the line, until there has been nothing to hope for for a while
    serve(spare);
    EXPECT_TRUE(client.read_message().ends_with("ok"));
  }
  Port& worker = world.come();
  for (int i = 0; i < 2; ++i) {
    Peer client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    worker.accept().read_head();
    client.read_message();
  }
  Peer client = world.ask(kGet);
  serve(spare);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_EQ(world.board.tally(0, 0).spilled.get(), 2U);
  client.close();
}

TEST(Spill, ThePoolThatCanTakeNothingEitherHasTheLastWord) {
  World world([](config::Pool& pool) { pool.queue.max = 0; }, 1, {}, 2, spill_to_second);
  world.supervisor.write_maintenance(1, true, "moving house");
  Peer client = world.ask(kGet);
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_NE(answer.find("moving house"), std::string::npos) << answer;
  EXPECT_EQ(rejected(world, board::QueueReason::maintenance, 1), 1U);
  client.close();
}

TEST(Maintenance, IsAnsweredWithItsMessageWhileWhatWasBegunGoesOn) {
  World world({}, 1, {}, 2, spill_to_second);
  Port& worker = world.come();
  world.come(1);
  Peer running = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  world.supervisor.write_maintenance(0, true, "back at noon");
  Peer client = world.ask(kGet);
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_NE(answer.find("\r\nRetry-After: "), std::string::npos);
  EXPECT_NE(answer.find("back at noon"), std::string::npos);
  EXPECT_EQ(rejected(world, board::QueueReason::maintenance), 1U);
  EXPECT_EQ(world.board.tally(0, 0).spilled.get(), 0U) << "the operator's word is for the pool, not for a way around it";
  server.send(kOk);
  EXPECT_TRUE(running.read_message().ends_with("ok"));
  world.supervisor.write_maintenance(0, false, "");
  server.close();
  client.send(kGet);
  serve(worker);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  for (Peer* each : {&running, &client}) each->close();
}

TEST(Hold, EverybodyWaitsThoughAWorkerIsIdleAndIsServedAtItsEnd) {
  World world([](config::Pool& pool) {
    pool.queue.max = 2;
    pool.queue.wait = base::Millis(5'000);
  });
  Port& worker = world.come();
  world.supervisor.write_hold(0, in_ns(base::Millis(3'600'000)));
  Peer first = world.ask(kGet);
  Peer second = world.ask(kGet);
  EXPECT_TRUE(eventually([&] { return world.board.pool(0).queued.load() == 2; }));
  Peer third = world.ask(kGet);
  EXPECT_TRUE(third.read_message().starts_with("HTTP/1.1 503 ")) << "the line has its bound all the same";
  EXPECT_FALSE(worker.anybody_within(300));
  world.supervisor.write_hold(0, 0);
  world.tell();
  serve(worker);
  serve(worker);
  EXPECT_TRUE(first.read_message().ends_with("ok"));
  EXPECT_TRUE(second.read_message().ends_with("ok"));
  for (Peer* each : {&first, &second, &third}) each->close();
}

TEST(Hold, OutlastsTheLinesOwnTimeAndEndsByItself) {
  World world([](config::Pool& pool) { pool.queue.wait = base::Millis(50); });
  Port& worker = world.come();
  world.supervisor.write_hold(0, in_ns(base::Millis(700)));
  Peer client = world.ask(kGet);
  serve(worker);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_EQ(rejected(world, board::QueueReason::expired), 0U);
  client.close();
}

}  // namespace
}  // namespace drover::proxy
