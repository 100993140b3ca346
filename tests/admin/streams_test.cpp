// Answers that come line by line: order, gaps, readers that don't read or leave, the cluster's end.
#include "server_case.hpp"

#include "admin/streams.hpp"

#include <algorithm>
#include <utility>

namespace drover::admin {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Streams : public ServerCase {
 protected:
  void SetUp() override { start({.everything = true, .listen_host = {}, .token = {}}); }

  base::UniqueFd open(const std::string& request) {
    base::UniqueFd fd = connect();
    send_all(fd, request);
    return fd;
  }
  base::UniqueFd follow(const std::string& target) { return open("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); }
  bool streaming(std::size_t count) {
    return turn_until([this, count] { return server_->streaming() == count; });
  }
};

TEST_F(Streams, EventsThatWereAndThatCome) {
  cluster_.event("workerOnline");
  const base::UniqueFd fd = follow("/v1/events?follow=1");
  const std::string first = read_until(fd, "\n\r\n");
  EXPECT_THAT(first, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(first, HasSubstr("Content-Type: application/x-ndjson\r\n"));
  EXPECT_THAT(
      first,
      HasSubstr(R"({"number":1,"time":1700000000.5,"event":"workerOnline","worker":"shop.1","pool":"shop","slot":1,"incarnation":7,"why":"test"})"
                "\n"));
  cluster_.event("workerExit");
  EXPECT_THAT(read_until(fd, "workerExit"), HasSubstr("\"number\":2"));
}

TEST_F(Streams, WithoutFollowTheyEnd) {
  for (int i = 0; i < 3; ++i) cluster_.event("workerOnline");
  const std::string said = get("/v1/events?after=1");
  EXPECT_THAT(said, Not(HasSubstr("\"number\":1,")));
  EXPECT_THAT(said, HasSubstr("\"number\":2,"));
  EXPECT_THAT(said, HasSubstr("\"number\":3,"));
  EXPECT_THAT(said, EndsWith("0\r\n\r\n"));
  EXPECT_THAT(ask("GET /v1/events HTTP/1.0\r\n\r\n"), EndsWith("}\n")) << "HTTP/1.0 knows no chunks";
  EXPECT_THAT(get("/v1/events?after=3"), EndsWith("\r\n\r\n0\r\n\r\n"));
}

TEST_F(Streams, AfterIsChecked) {
  cluster_.event("workerOnline");
  for (const char* bad : {"-1", "x", "1x", "18446744073709551616"}) {
    EXPECT_THAT(get(std::string("/v1/events?after=") + bad), StartsWith("HTTP/1.1 400 ")) << bad;
  }
  const std::string said = get("/v1/events?after=7");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(said, HasSubstr("the last event is number 1"));
  const base::UniqueFd fd = follow("/v1/events?after=now&follow=1");
  ASSERT_TRUE(streaming(1));
  cluster_.event("workerExit");
  EXPECT_THAT(read_until(fd, "workerExit"), Not(HasSubstr("workerOnline")));
}

TEST_F(Streams, WhatWasPushedOutIsSaid) {
  for (std::size_t i = 0; i < FakeCluster::kEvents + 30; ++i) cluster_.event("workerOnline");
  const std::string said = get("/v1/events?after=10");
  EXPECT_THAT(said, HasSubstr("{\"event\":\"gap\",\"lost\":20}\n"));
  EXPECT_THAT(said, HasSubstr("\"number\":31,"));
  EXPECT_THAT(said, HasSubstr("\"number\":130,"));
  EXPECT_THAT(get("/v1/events"), Not(HasSubstr("gap"))) << "who asks for no number misses nothing";
}

backends::ClusterEvent named(const char* name, std::string message = {}) {
  backends::ClusterEvent event;
  event.name = name;
  event.message = std::move(message);
  return event;
}

std::string all_of(backends::EventJournal& journal, std::uint64_t from) {
  JournalSource<backends::ClusterEvent> source(journal, from, false, std::nullopt);
  std::string out;
  std::string piece;
  while (source.pull(piece) == Pulled::more) out += std::exchange(piece, {});
  return out + piece;
}

TEST_F(Streams, AFloodOfMessagesPushesOutMessagesOnly) {
  backends::EventJournal journal(100, 1 << 20, {.items = 10, .bytes = 64 << 10});
  journal.add(named("workerOnline"));
  for (int i = 0; i < 5000; ++i) {
    journal.add(named(i % 2 == 0 ? "workerMessage" : "workerMetrics"));
    if (i == 2500) journal.add(named("workerExit"));
  }
  const std::string said = all_of(journal, 1);
  EXPECT_THAT(said, HasSubstr("\"workerOnline\"}\n{\"event\":\"gap\",\"lost\":2501}\n"));
  EXPECT_THAT(said, HasSubstr("\"event\":\"workerExit\"}\n{\"event\":\"gap\",\"lost\":2489}\n"));
  EXPECT_THAT(said, HasSubstr("{\"number\":4993,"));
  EXPECT_THAT(said, EndsWith("\"workerMetrics\"}\n"));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2 + 2 + 10);
}

TEST_F(Streams, LargeMessagesGoBeforeSmallNews) {
  backends::EventJournal journal(1000, 1 << 20, {.items = 500, .bytes = 64 << 10});
  for (int i = 0; i < 100; ++i) {
    journal.add(named("workerExit"));
    journal.add(named("workerMessage", '"' + std::string(20'000, 'x') + '"'));
  }
  const std::string said = all_of(journal, 1);
  EXPECT_LT(said.size(), 100'000U);
  std::size_t exits = 0;
  for (std::size_t at = 0; (at = said.find("workerExit", at)) != std::string::npos; ++at) ++exits;
  EXPECT_EQ(exits, 100U);
  journal.add(named("workerMessage", '"' + std::string(200'000, 'y') + '"'));
  EXPECT_THAT(all_of(journal, journal.next() - 1), HasSubstr("yyy")) << "the newest is kept, however long it is";
}

TEST_F(Streams, AReaderThatDoesNotReadLosesOldOnesAndIsTold) {
  const base::UniqueFd fd = follow("/v1/logs?follow=1&lines=0");
  ASSERT_TRUE(streaming(1));
  const std::string text(8000, 'x');
  for (int i = 0; i < 3000; ++i) {  // 24 MB, more than the sockets hold
    cluster_.line(text);
    io_.poll();
    io_.restart();
  }
  cluster_.line("the last one");
  EXPECT_LT(server_->connections(), 2U);
  const std::string said = read_until(fd, "the last one");
  EXPECT_THAT(said, HasSubstr("{\"event\":\"gap\",\"lost\":"));
  EXPECT_LT(said.size(), 20U * 1024 * 1024);
}

TEST_F(Streams, LogsOfATargetAndTheLastLines) {
  for (int i = 1; i <= 20; ++i) cluster_.line("a" + std::to_string(i), 1 + i % 2);
  cluster_.line("other", 1, "blog");
  const std::string two = get("/v1/logs?target=shop.1&lines=2");
  EXPECT_THAT(two, Not(HasSubstr("\"a16\"")));
  EXPECT_THAT(two, HasSubstr("\"a18\""));
  EXPECT_THAT(two, HasSubstr("\"a20\""));
  EXPECT_THAT(two, Not(HasSubstr("\"a19\"")));
  EXPECT_THAT(get("/v1/logs?target=shop"), Not(HasSubstr("other")));
  EXPECT_THAT(get("/v1/logs"), HasSubstr("\"worker\":\"blog.1\""));
  EXPECT_THAT(get("/v1/logs?lines=0"), Not(HasSubstr("\"text\"")));
  EXPECT_THAT(get("/v1/logs?lines=x"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get("/v1/logs?target=nosuch"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(Streams, OfManyOtherTargetsTheFewAreFound) {
  backends::OutputJournal journal(20'000, 64 << 20);
  for (int i = 0; i < 15'000; ++i) journal.add({.time = 1, .pool = "shop", .slot = 1, .incarnation = 1, .text = "x"});
  journal.add({.time = 1, .pool = "shop", .slot = 2, .incarnation = 1, .text = "here"});
  JournalSource<backends::OutputLine> source(journal, 1, false, backends::Target{"shop", 2});
  std::string out;
  int pulls = 0;
  while (source.pull(out) == Pulled::more) ++pulls;
  EXPECT_GE(pulls, 3) << "one turn looks at a bounded number";
  EXPECT_THAT(out, HasSubstr("\"here\""));
}

TEST_F(Streams, NoByteOfALineSteersATerminal) {
  cluster_.line(
      "\x1b[2J\x07 caf\xc3\xa9 \xff \xc2\x9b"
      "31m \"quoted\" \\");
  const std::string said = get("/v1/logs");
  EXPECT_THAT(said, HasSubstr(R"("text":"\u001b[2J\u0007 café \ufffd \u009b31m \"quoted\" \\")"));
}

TEST_F(Streams, AnOrderIsToldStepByStep) {
  const base::UniqueFd fd = open(post_text("/v1/restart", R"({"target":"shop"})"));
  ASSERT_TRUE(streaming(1));
  cluster_.progress("shop.1 is ready (1 of 2)");
  EXPECT_THAT(read_until(fd, "(1 of 2)"), HasSubstr("{\"line\":\"shop.1 is ready (1 of 2)\"}\n"));
  cluster_.progress("shop is restarted", true);
  const std::string rest = read_until(fd, "0\r\n\r\n");
  EXPECT_THAT(rest, HasSubstr("{\"line\":\"shop is restarted\",\"done\":true,\"ok\":true}\n"));
  EXPECT_TRUE(cluster_.forgotten.empty());
}

TEST_F(Streams, AnOrderThatFailsSaysSo) {
  const base::UniqueFd fd = open(post_text("/v1/restart", R"({"target":"shop"})"));
  ASSERT_TRUE(streaming(1));
  cluster_.progress("shop.1: the new one died: code 3", true, false);
  EXPECT_THAT(read_until(fd, "0\r\n\r\n"), HasSubstr("\"done\":true,\"ok\":false}\n"));
}

TEST_F(Streams, AClientThatLeavesIsForgottenAndTheOrderGoesOn) {
  {
    const base::UniqueFd fd = open(post_text("/v1/restart", R"({"target":"shop"})"));
    ASSERT_TRUE(streaming(1));
  }
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 0; })) << "seen though there was nothing to tell";
  EXPECT_EQ(cluster_.forgotten, std::vector<backends::OrderId>{1});
  EXPECT_EQ(cluster_.orders.size(), 1U);
}

TEST_F(Streams, AnOrdersReaderThatDoesNotReadIsBounded) {
  const base::UniqueFd fd = open(post_text("/v1/restart", R"({"target":"shop"})"));
  ASSERT_TRUE(streaming(1));
  const std::string step(2000, 's');
  for (int i = 0; i < 10'000; ++i) {
    cluster_.progress(step);
    if (i % 16 == 0) io_.poll();
    io_.restart();
  }
  cluster_.progress("the end", true);
  const std::string said = read_until(fd, "the end");
  EXPECT_THAT(said, HasSubstr("{\"event\":\"gap\",\"lost\":"));
}

TEST_F(Streams, LiveLongerThanTheTimeLimitAndBeat) {
  start({.everything = true, .listen_host = {}, .token = {}}, {.limit = std::chrono::milliseconds(20), .heartbeat = std::chrono::milliseconds(15)});
  const base::UniqueFd fd = follow("/v1/events?follow=1");
  read_until(fd, "1\r\n\n\r\n1\r\n\n\r\n1\r\n\n\r\n");  // three empty lines: 45 ms
  cluster_.event("workerExit");
  read_until(fd, "workerExit");
}

TEST_F(Streams, AreFewerThanConnections) {
  std::vector<base::UniqueFd> all;
  for (std::size_t i = 0; i < AdminServer::kMaxStreams; ++i) all.push_back(follow("/v1/events?follow=1"));
  ASSERT_TRUE(streaming(AdminServer::kMaxStreams));
  EXPECT_THAT(get("/v1/events"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(post("/v1/restart", R"({"target":"shop"})"), StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(cluster_.orders.empty());
  EXPECT_THAT(get("/v1/status"), StartsWith("HTTP/1.1 200 "));
  all.clear();
  EXPECT_TRUE(streaming(0));
}

TEST_F(Streams, AClientThatTalksOnIsCut) {
  const base::UniqueFd fd = follow("/v1/events?follow=1");
  ASSERT_TRUE(streaming(1));
  send_all(fd, std::string(64 * 1024 + 1, 'x'));
  EXPECT_TRUE(streaming(0));
}

TEST_F(Streams, FinishGivesTheLastLinesFirst) {
  const base::UniqueFd events = follow("/v1/events?follow=1");
  const base::UniqueFd order = open(post_text("/v1/stop", "{}"));
  const base::UniqueFd silent = connect();
  ASSERT_TRUE(streaming(2));
  cluster_.event("clusterStopping");
  cluster_.progress("stopped", true);
  int ended = 0;
  server_->finish([&ended] { ++ended; });
  EXPECT_EQ(ended, 0);
  EXPECT_THAT(read_until(order, "0\r\n\r\n"), HasSubstr("\"line\":\"stopped\",\"done\":true"));
  EXPECT_THAT(read_until(events, "0\r\n\r\n"), HasSubstr("clusterStopping"));
  ::shutdown(events.get(), SHUT_RDWR);
  ::shutdown(order.get(), SHUT_RDWR);
  EXPECT_TRUE(turn_until([&ended] { return ended == 1; })) << "no waiting once all have left";
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(Streams, FinishDoesNotWaitForEver) {
  start({.everything = true, .listen_host = {}, .token = {}}, {.finish = std::chrono::milliseconds(20)});
  const base::UniqueFd fd = follow("/v1/logs?follow=1&lines=0");
  ASSERT_TRUE(streaming(1));
  const std::string text(8000, 'x');
  for (int i = 0; i < 2000; ++i) {
    cluster_.line(text);
    io_.poll();
    io_.restart();
  }
  int ended = 0;
  server_->finish([&ended] { ++ended; });
  EXPECT_TRUE(turn_until([&ended] { return ended == 1; }));
}

TEST_F(Streams, NothingIsAskedOfTheClusterAfterClose) {
  const base::UniqueFd events = follow("/v1/events?follow=1");
  const base::UniqueFd order = open(post_text("/v1/restart", R"({"target":"shop"})"));
  ASSERT_TRUE(streaming(2));
  server_.reset();
  EXPECT_EQ(cluster_.forgotten, std::vector<backends::OrderId>{1}) << "at once, not when the loop turns again";
  cluster_.event("workerExit");
  io_.run();
}

}  // namespace
}  // namespace drover::admin
