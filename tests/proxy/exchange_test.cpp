// What an exchange writes down on the board, and what it does with a pool that sleeps and with a kind of request that is blocked.
#include "tests/proxy/exchange_world.hpp"

#include <sys/resource.h>

#include <limits>
#include <tuple>

namespace drover::proxy {
namespace {

using test::eventually;
using test::kOk;
using test::Peer;
using test::Port;
using test::World;

constexpr std::string_view kGet = "GET /cart?secret=1 HTTP/1.1\r\nHost: h\r\n\r\n";

TEST(Exchange, ARequestIsInFlightFromItsSendingToItsAnswer) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  auto flights = world.flights(0);
  ASSERT_EQ(flights.size(), 1U);
  EXPECT_EQ(flights[0].method_name, "GET");
  EXPECT_EQ(flights[0].path, "/cart") << "never the query";
  EXPECT_EQ(flights[0].ended_ns, 0U);
  EXPECT_EQ(flights[0].fingerprint, board::fingerprint(board::Method::get, 0, 0, "/cart"));
  EXPECT_GT(flights[0].began_ns, 0U);
  board::Sketch::Totals sketch;
  world.board.sketch(0).add_to(sketch);
  EXPECT_EQ(sketch.estimate(flights[0].fingerprint), 1U);

  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  EXPECT_TRUE(eventually([&] { return world.flights(0).empty(); }));
  client.close();
}

TEST(Exchange, MethodsThatCountAsOneAreStillKindsOfTheirOwn) {
  World world;
  Port& worker = world.come();
  std::vector<Peer> open;
  for (const std::string method : {"PUT", "DELETE", "PUT"}) {
    open.push_back(world.ask(method + " /x HTTP/1.1\r\nHost: h\r\n\r\n"));
    open.push_back(worker.accept());
    open.back().read_head();
  }
  const auto flights = world.flights(0);
  ASSERT_EQ(flights.size(), 3U);
  for (const auto& one : flights) {
    for (const auto& other : flights) EXPECT_EQ(one.fingerprint == other.fingerprint, one.method_name == other.method_name);
  }
}

TEST(Exchange, AFlightThatItsWorkerBrokeStaysReadable) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask("POST /pay HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
  {
    Peer server = worker.accept();
    server.read_until("hi");
  }
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 502 ")) << answer;
  const auto flights = world.flights(0);
  ASSERT_EQ(flights.size(), 1U);
  EXPECT_EQ(flights[0].path, "/pay");
  EXPECT_GE(flights[0].ended_ns, flights[0].began_ns);
  EXPECT_NE(flights[0].ended_ns, 0U);
  client.close();
}

TEST(Exchange, AFailureCanBeFoundByTheClientsIdInTheLog) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask("POST /pay%20now?card=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  worker.accept().read_head();
  const std::string answer = client.read_message();
  const std::size_t at = answer.find("X-Request-ID: ");
  ASSERT_NE(at, std::string::npos) << answer;
  const std::string id = answer.substr(at + 14, 32);
  EXPECT_NE(answer.find("request " + id), std::string::npos) << "in the body, too";
  EXPECT_EQ(world.complaint(), "request " + id + ": POST /pay%20now: 502: the worker closed the connection without an answer (worker shop.1)\n");
  client.close();
}

TEST(Exchange, ErrorsAndGatewayAnswersMakeAStreakThatAnyOtherAnswerEnds) {
  World world;
  Port& worker = world.come();
  const board::ProxyRow& row = world.board.row(0);
  for (int i = 1; i <= 3; ++i) {
    Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    Peer server = worker.accept();
    server.read_head();
    server.send(i == 2 ? "HTTP/1.1 504 Late\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                       : "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.read_to_the_end();
    EXPECT_EQ(row.gateway.load(), static_cast<std::uint32_t>(i));
    EXPECT_EQ(row.streak.load(), static_cast<std::uint32_t>(i));
  }
  {
    Peer client = world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    worker.accept().read_head();
    client.read_message();
  }
  EXPECT_EQ(row.errors.load(), 1U);
  EXPECT_EQ(row.refused.load(), 0U);
  EXPECT_EQ(row.streak.load(), 4U);
  Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  Peer server = worker.accept();
  server.read_head();
  server.send("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
  client.read_message();
  EXPECT_TRUE(eventually([&] { return row.streak.load() == 0; })) << "an answer of its own";
  EXPECT_EQ(row.gateway.load(), 3U);
  client.close();
}

TEST(Exchange, ARefusedConnectionIsCountedApart) {
  World world([](config::Pool& pool) { pool.retry.attempts = 1; });
  world.come().fd.reset();
  Peer client = world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 502 "));
  EXPECT_EQ(world.board.row(0).errors.load(), 1U);
  EXPECT_EQ(world.board.row(0).refused.load(), 1U);
  EXPECT_EQ(world.board.row(0).streak.load(), 1U);
  EXPECT_TRUE(world.flights(0).empty()) << "it never was inside";
  client.close();
}

TEST(Exchange, AWorkerMovesWhenAByteComesFromIt) {
  World world;
  Port& worker = world.come();
  Peer client = world.ask(kGet);
  Peer server = worker.accept();
  server.read_head();
  EXPECT_EQ(world.board.row(0).moved_ns.load(), 0U) << "what it is sent proves nothing";
  server.send("H");
  EXPECT_TRUE(eventually([&] { return world.board.row(0).moved_ns.load() != 0; }));
  server.close();
  client.read_message();
  client.close();
}

TEST(Exchange, ABlockedKindIsAnsweredHereAndReachesNoWorker) {
  World world;
  Port& worker = world.come();
  const board::SupervisorBoard::Blocked list[] = {{board::fingerprint(board::Method::get, 0, 0, "/evil"), std::numeric_limits<std::uint64_t>::max()}};
  world.supervisor.write_blocked(list);
  Peer client = world.ask("GET /evil?n=1 HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = client.read_message();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_NE(answer.find("Retry-After: 60\r\n"), std::string::npos);
  EXPECT_NE(answer.find("requests like this have ended workers of this server; it is answered here for a while"), std::string::npos);
  EXPECT_EQ(world.board.tally(0, 0).blocked.get(), 1U);
  EXPECT_EQ(world.board.row(0).claims.load(), 0U);

  client.send("GET /evil/not HTTP/1.1\r\nHost: h\r\n\r\n");  // the connection goes on
  Peer server = worker.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  world.supervisor.write_blocked({});
  client.send("GET /evil HTTP/1.1\r\nHost: h\r\n\r\n");
  server.read_until("GET /evil HTTP");
  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  client.close();
}

TEST(Exchange, WhoNeedsAPoolThatSleepsRingsAndWaitsForItsStart) {
  World world([](config::Pool& pool) {
    pool.queue.wait = base::Millis(20);
    pool.ready.timeout = base::Millis(30'000);
  });
  world.supervisor.write_asleep(0, true);
  Peer client = world.ask(kGet);
  eventfd_t rings = 0;
  EXPECT_TRUE(eventually([&] { return ::eventfd_read(world.doorbell.get(), &rings) == 0; }));
  EXPECT_FALSE(client.anything_within(600)) << "the line's own time is long over, and so is the time without hope";
  EXPECT_EQ(::eventfd_read(world.doorbell.get(), &rings), 0) << "a lost ring is no lost request: each tick rings again";
  world.supervisor.write_asleep(0, false);
  Port& worker = world.come();
  Peer server = worker.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  client.close();
}

TEST(Exchange, WhoWaitedWhenThePoolFellAsleepWaitsForItsStartToo) {
  World world([](config::Pool& pool) {
    pool.queue.wait = base::Millis(300);
    pool.ready.timeout = base::Millis(30'000);
  });
  world.supervisor.write_expected(0, 1);
  Peer client = world.ask(kGet);
  EXPECT_TRUE(eventually([&] { return world.board.pool(0).queued.load() == 1; }));
  world.supervisor.write_asleep(0, true);
  eventfd_t rings = 0;
  EXPECT_TRUE(eventually([&] { return ::eventfd_read(world.doorbell.get(), &rings) == 0; }));
  EXPECT_FALSE(client.anything_within(500));
  Port& worker = world.come();
  Peer server = worker.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  client.close();
}

TEST(Exchange, WhoComesWhileASleeperStartsWaitsForItsStartToo) {
  World world([](config::Pool& pool) {
    pool.queue.wait = base::Millis(20);
    pool.ready.timeout = base::Millis(30'000);
  });
  world.supervisor.write_expected(0, 1);
  world.supervisor.write_waking(0, true);
  Peer client = world.ask(kGet);
  EXPECT_FALSE(client.anything_within(300)) << "it came a little later than the one that rang, and gets no less";
  Port& worker = world.come();
  Peer server = worker.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  client.close();
}

TEST(Accepting, AThreadThatLeftAClientForWantOfRoomComesBackForItEvenWhenAhead) {
  World world({}, 2, [](config::Listener& listener) { listener.limits.connections = 12; });
  world.board.client_connections(1, 0).set(2);
  Port& worker = world.come();
  std::vector<Peer> crowd;
  for (std::uint64_t open = 1; open <= 10; ++open) {
    crowd.push_back(world.listener.connect());
    ASSERT_TRUE(eventually([&] { return world.board.client_connections(0, 0).get() == open; }));
  }
  Peer client = world.ask(kGet);
  EXPECT_FALSE(worker.anybody_within(600)) << "the listener is full";
  world.board.client_connections(1, 0).set(1);
  Peer server = worker.accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  client.close();
  crowd.clear();
}

/// While it lives, this process gets no descriptor but those that it gives back.
class NoDescriptorLeft {
 public:
  NoDescriptorLeft() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const base::UniqueFd lowest(::fcntl(0, F_DUPFD_CLOEXEC, 0));
    rlimit less = before_;
    less.rlim_cur = static_cast<rlim_t>(lowest.get());
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &less), 0);
  }
  NoDescriptorLeft(const NoDescriptorLeft&) = delete;
  ~NoDescriptorLeft() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
};

TEST(Exchange, WithoutDescriptorsAnIdleConnectionMakesRoomForARequestOfAnotherWorkers) {
  World world([](config::Pool& pool) { pool.timeouts.idle = base::Millis(600'000); });
  Port* workers[] = {&world.come(), &world.come()};
  Peer client = world.ask(kGet);
  ASSERT_TRUE(eventually([&] { return workers[0]->anybody_within(0) || workers[1]->anybody_within(0); }));
  const std::uint32_t first = workers[0]->anybody_within(0) ? 0 : 1;
  Peer idle = workers[first]->accept();
  idle.read_head();
  idle.send(kOk);
  EXPECT_TRUE(client.read_message().ends_with("ok"));
  ASSERT_TRUE(eventually([&] { return world.board.gate(first).view().count == 0; })) << "given back: its connection is idle now";
  world.board.gate(first).close();  // the thread is not told: what is idle stays
  {
    const NoDescriptorLeft none;
    client.send(kGet);
    ASSERT_TRUE(eventually([&] { return workers[1 - first]->anybody_within(0) || client.anything_within(0); }));
  }
  ASSERT_FALSE(client.anything_within(0)) << client.read_message();
  EXPECT_EQ(idle.read_to_the_end().find("GET", 1), std::string::npos) << "it is closed, and nothing was sent on it";
  Peer server = workers[1 - first]->accept();
  server.read_head();
  server.send(kOk);
  EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 200 "));
  client.close();
}

TEST(Exchange, ARedirectOfATargetWithoutAPathKeepsItsQuestionMark) {
  World world({}, 1, {}, 1, [](config::Config& config) { config.routes[0].redirect.to = "https://${host}${path}${query}"; });
  Peer client = world.ask("GET http://red?a=b HTTP/1.1\r\nHost: red\r\n\r\n");
  EXPECT_NE(client.read_message().find("\r\nLocation: https://red/?a=b\r\n"), std::string::npos);
  client.send("OPTIONS * HTTP/1.1\r\nHost: red\r\n\r\n");
  EXPECT_NE(client.read_message().find("\r\nLocation: https://red/\r\n"), std::string::npos);
  client.close();
}

TEST(Exchange, WhatNoPoolAnswersIsCountedByItsListener) {
  World world({}, 1, {}, 1, [](config::Config& config) {
    config.routes[0].path = "/away";
    config.routes[0].redirect.to = "/";
    config.routes[0].redirect.status = 308;
  });
  const auto refused = [&](unsigned code) { return world.board.listener(0, 0).refused[board::code_index(code)].get(); };
  const auto answered = [&](unsigned code) { return world.board.listener(0, 0).answered[board::code_index(code)].get(); };
  for (const auto& [request, refusals, answers] : std::vector<std::tuple<std::string, unsigned, unsigned>>{
           {"GET /away HTTP/1.1\r\nHost: h\r\n\r\n", 0, 308},
           {"GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", 404, 0},
           {"OPTIONS /away HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n", 0, 200},
           {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 501, 0},
           {"GET / HTTP/1.1\r\n\r\n", 400, 0},
       }) {
    Peer client = world.ask(request);
    const std::string status = std::to_string(refusals + answers);
    EXPECT_TRUE(client.read_message().starts_with("HTTP/1.1 " + status)) << request;
    EXPECT_EQ(refusals == 0 ? answered(answers) : refused(refusals), 1U) << request;
    EXPECT_EQ(refusals == 0 ? refused(answers) : answered(refusals), 0U) << request;
    client.close();
  }
}

TEST(Exchange, WhatGoesNoFurtherHasAnId) {
  World world;
  Peer client = world.ask("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n");
  EXPECT_NE(client.read_message().find("\r\nX-Request-ID: "), std::string::npos);
  client.close();
}

TEST(Exchange, AWorkerIsNotBlamedForItsClients) {
  World world;
  Port& worker = world.come();
  const auto& bound = world.board.row(0).client_bound;
  // A body that does not come.
  Peer slow = world.ask("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nx");
  Peer first = worker.accept();
  first.read_until("x");
  EXPECT_TRUE(eventually([&] { return bound.load() == 1; }));
  // A tunnel, and a stream of events.
  Peer tunnel = world.ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  Peer second = worker.accept();
  second.read_head();
  second.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  tunnel.read_head();
  Peer events = world.ask("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
  Peer third = worker.accept();
  third.read_head();
  third.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n");
  events.read_until(": hello");
  EXPECT_TRUE(eventually([&] { return bound.load() == 3; }));
  EXPECT_EQ(world.flights(0).size(), 3U) << "a tunnel keeps its flight";
  // One that waits for its worker is the worker's.
  Peer waiting = world.ask(kGet);
  Peer fourth = worker.accept();
  fourth.read_head();
  const std::uint64_t beat = world.board.thread(0).heartbeat_ns.get();
  EXPECT_TRUE(eventually([&] { return world.board.thread(0).heartbeat_ns.get() != beat; }));
  const std::uint64_t next = world.board.thread(0).heartbeat_ns.get();
  EXPECT_TRUE(eventually([&] { return world.board.thread(0).heartbeat_ns.get() != next; }));
  EXPECT_EQ(bound.load(), 3U);
  for (Peer* each : {&slow, &tunnel, &events, &waiting, &first, &second, &third, &fourth}) each->close();
  EXPECT_TRUE(eventually([&] { return bound.load() == 0; }));
}

}  // namespace
}  // namespace drover::proxy
