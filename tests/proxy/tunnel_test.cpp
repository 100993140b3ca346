// How a tunnel ends when only one of its sides does.
#include "tests/proxy/exchange_world.hpp"

namespace drover::proxy {
namespace {

using test::eventually;
using test::Peer;
using test::World;

/// A tunnel that both sides have agreed on.
struct Tunnel : World {
  explicit Tunnel(const std::function<void(config::Pool&)>& change = {})
      : World(change),
        worker(come()),
        client(ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")),
        server(worker.accept()) {
    server.read_head();
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    client.read_head();
  }
  ~Tunnel() {
    client.close();
    server.close();
  }
  bool over() const {
    return eventually([this] { return flights(0).empty(); });
  }

  test::Port& worker;
  Peer client;
  Peer server;
};

void short_of_patience(config::Pool& pool) { pool.timeouts.stall = base::Millis(100); }

TEST(Tunnel, ASilentClientHoldsNoWorkerThatHasEnded) {
  Tunnel tunnel(short_of_patience);
  tunnel.server.send("bye");
  tunnel.server.close();
  EXPECT_TRUE(tunnel.client.read_to_the_end().ends_with("bye"));
  EXPECT_TRUE(tunnel.over());
}

TEST(Tunnel, ASilentWorkerHoldsNoClientThatHasEnded) {
  Tunnel tunnel(short_of_patience);
  tunnel.client.send("bye");
  tunnel.client.end_sending();
  EXPECT_TRUE(tunnel.server.read_to_the_end().ends_with("bye"));
  EXPECT_TRUE(tunnel.over());
  EXPECT_TRUE(tunnel.client.read_to_the_end().ends_with("\r\n\r\n"));
}

TEST(Tunnel, SilenceEndsNoneOfWhichBothSidesMayStillSpeak) {
  Tunnel tunnel(short_of_patience);
  EXPECT_FALSE(tunnel.client.anything_within(300));
  tunnel.server.send("still here");
  EXPECT_TRUE(tunnel.client.read_until("still here").ends_with("still here"));
  tunnel.client.send("so am I");
  EXPECT_TRUE(tunnel.server.read_until("so am I").ends_with("so am I"));
}

TEST(Tunnel, BehindOneSidesEndTheOtherGoesOn) {
  Tunnel tunnel;
  tunnel.client.end_sending();
  tunnel.server.read_to_the_end();
  for (const std::string_view word : {"one", "two", "three"}) {
    tunnel.server.send(word);
    EXPECT_TRUE(tunnel.client.read_until(word).ends_with(word));
  }
  tunnel.server.close();
  tunnel.client.read_to_the_end();
  EXPECT_TRUE(tunnel.over());
}

TEST(Tunnel, AResetBehindTheClientsEndEndsIt) {
  Tunnel tunnel;
  tunnel.client.end_sending();
  tunnel.server.read_to_the_end();  // the end of sending has gone through: nobody reads this client any more
  tunnel.client.reset();
  EXPECT_TRUE(tunnel.over());
}

TEST(Tunnel, AResetBehindTheWorkersEndEndsIt) {
  Tunnel tunnel;
  tunnel.server.send("bye");
  tunnel.server.end_sending();
  EXPECT_TRUE(tunnel.client.read_to_the_end().ends_with("bye"));
  tunnel.server.reset();
  EXPECT_TRUE(tunnel.over());
}

TEST(Tunnel, WhatAClientSaysBehindTheWorkersEndReachesIt) {
  Tunnel tunnel;
  tunnel.server.end_sending();
  tunnel.client.read_to_the_end();
  tunnel.client.send("last words");
  tunnel.client.end_sending();
  EXPECT_TRUE(tunnel.server.read_to_the_end().ends_with("last words"));
  EXPECT_TRUE(tunnel.over());
}

}  // namespace
}  // namespace drover::proxy
