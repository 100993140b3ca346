#include "board/flights.hpp"

#include "board/proxy_board.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string>

namespace drover::board {
namespace {

FlightFacts facts(std::uint32_t row, base::Incarnation incarnation, std::string_view path, std::uint64_t now_ns = 1000) {
  return {row, incarnation, Method::post, "POST", path, fingerprint(Method::post, 0, 0, path), now_ns};
}

std::vector<Flight> collected(const FlightTable& table, std::uint32_t row, base::Incarnation incarnation, std::uint64_t since_ns = 0) {
  std::vector<Flight> out;
  table.collect(row, incarnation, since_ns, out);
  return out;
}

class Flights : public ::testing::Test {
 protected:
  std::unique_ptr<FlightTable> table = std::make_unique<FlightTable>();
};

TEST_F(Flights, ARequestThatIsInsideComesOutAsWritten) {
  table->begin(3, facts(7, 2, "/cart/items", 5000));
  const auto found = collected(*table, 7, 2);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].row, 7U);
  EXPECT_EQ(found[0].incarnation, 2U);
  EXPECT_EQ(found[0].method, Method::post);
  EXPECT_EQ(found[0].method_name, "POST");
  EXPECT_EQ(found[0].path, "/cart/items");
  EXPECT_EQ(found[0].fingerprint, fingerprint(Method::post, 0, 0, "/cart/items"));
  EXPECT_EQ(found[0].began_ns, 5000U);
  EXPECT_EQ(found[0].ended_ns, 0U);
}

TEST_F(Flights, OnlyThoseOfTheIncarnationAskedFor) {
  table->begin(0, facts(7, 2, "/a"));
  table->begin(1, facts(7, 3, "/b"));
  table->begin(2, facts(8, 2, "/c"));
  const auto found = collected(*table, 7, 3);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].path, "/b");
  EXPECT_TRUE(collected(*table, 0, 0).empty()) << "a free place is nobody's flight";
}

TEST_F(Flights, AnEndedOneIsGone) {
  table->begin(0, facts(7, 2, "/a"));
  table->end(0);
  EXPECT_TRUE(collected(*table, 7, 2).empty());
}

TEST_F(Flights, ABrokenOneStaysReadableForThoseWhoAskSinceBefore) {
  table->begin(0, facts(7, 2, "/a", 100));
  table->broke(0, 900);
  ASSERT_EQ(collected(*table, 7, 2, 900).size(), 1U);
  EXPECT_EQ(collected(*table, 7, 2, 900)[0].ended_ns, 900U);
  EXPECT_TRUE(collected(*table, 7, 2, 901).empty());
  table->begin(0, facts(7, 2, "/b", 950));
  const auto found = collected(*table, 7, 2, 901);
  ASSERT_EQ(found.size(), 1U) << "its place was needed again";
  EXPECT_EQ(found[0].path, "/b");
  EXPECT_EQ(found[0].ended_ns, 0U);
}

TEST_F(Flights, LongNamesAndPathsAreCut) {
  const std::string path = "/" + std::string(200, 'x');
  FlightFacts long_one = facts(1, 1, path);
  long_one.method = Method::other;
  long_one.method_name = "PROPPATCH";
  table->begin(0, long_one);
  table->begin(0, facts(1, 1, "/s"));
  EXPECT_EQ(collected(*table, 1, 1)[0].path, "/s") << "nothing is left of the longer one";
  table->begin(0, long_one);
  EXPECT_EQ(collected(*table, 1, 1)[0].path, path.substr(0, FlightTable::kPathBytes));
  EXPECT_EQ(collected(*table, 1, 1)[0].method_name, "PROPPATC");
}

TEST_F(Flights, BytesThatPeopleCantSeeAreReplaced) {
  table->begin(0, facts(1, 1, "/a\n\x1b[2J\xff\""));
  EXPECT_EQ(collected(*table, 1, 1)[0].path, "/a??[2J?\"");
}

TEST_F(Flights, WhateverAHijackedProxyWroteStaysWithinItsTables) {
  std::memset(static_cast<void*>(table.get()), 0xfe, sizeof *table);
  EXPECT_NO_FATAL_FAILURE(collected(*table, 0xfefefefd, 0xfefefefe));
  const auto found = collected(*table, 0xfefefefd, 0xfefefefe);
  ASSERT_EQ(found.size(), FlightTable::kPlaces);
  EXPECT_EQ(found[0].path, std::string(FlightTable::kPathBytes, '?'));
  EXPECT_EQ(found[0].method, Method::other);
}

TEST(Fingerprint, TellsMethodPoolRouteAndPathApart) {
  std::set<std::uint64_t> seen;
  std::size_t made = 0;
  for (const Method method : {Method::get, Method::head, Method::post, Method::other}) {
    for (std::uint32_t pool = 0; pool < 4; ++pool) {
      for (std::uint32_t route = 0; route < 4; ++route) {
        for (const char* path : {"/", "/a", "/b", "/ab", "/aaaaaaa", "/aaaaaaaa", "/aaaaaaaab"}) {
          seen.insert(fingerprint(method, pool, route, path));
          ++made;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), made);
  EXPECT_FALSE(seen.contains(0));
  EXPECT_EQ(fingerprint(Method::get, 1, 2, "/x"), fingerprint(Method::get, 1, 2, std::string("/") + "x"));
  EXPECT_NE(fingerprint(Method::get, 1, 2, std::string_view("/x\0", 3)), fingerprint(Method::get, 1, 2, "/x")) << "padding is no letter";
}

TEST(SketchEstimate, IsNeverBelowTheTruthAndNearItForAFrequentOne) {
  auto one = std::make_unique<Sketch>();
  auto other = std::make_unique<Sketch>();
  const auto kind = [](int i) { return fingerprint(Method::get, 0, 0, "/item/" + std::to_string(i)); };
  constexpr int kKinds = 1000;
  for (int i = 0; i < kKinds; ++i) {
    for (int n = 0; n <= i % 7; ++n) (n % 2 == 0 ? one : other)->add(kind(i));
  }
  for (int n = 0; n < 5000; ++n) one->add(kind(0));
  auto totals = std::make_unique<Sketch::Totals>();
  one->add_to(*totals);
  other->add_to(*totals);
  int exact = 0;
  for (int i = 1; i < kKinds; ++i) {
    const auto truth = static_cast<std::uint64_t>(i % 7) + 1;
    EXPECT_GE(totals->estimate(kind(i)), truth);
    exact += totals->estimate(kind(i)) == truth ? 1 : 0;
  }
  EXPECT_GT(exact, kKinds / 2);
  EXPECT_GE(totals->estimate(kind(0)), 5001U);
  EXPECT_LE(totals->estimate(kind(0)), 5100U);
}

TEST(ProxyBoard, FlightsAndSketchesAreEachThreadsOwn) {
  const std::uint32_t workers[] = {1, 2};
  const Shape shape = make_shape(workers, 3, 1);
  auto ours = ProxyBoard::create(shape);
  ASSERT_TRUE(ours);
  auto theirs = ProxyBoard::attach(ours->fd(), shape);
  ASSERT_TRUE(theirs);
  for (std::uint32_t thread = 0; thread < 3; ++thread) {
    theirs->flights(thread).begin(FlightTable::kPlaces - 1, facts(5, 1, "/of/" + std::to_string(thread)));
    for (std::uint32_t n = 0; n <= thread; ++n) theirs->sketch(thread).add(42);
  }
  for (std::uint32_t thread = 0; thread < 3; ++thread) {
    const auto found = collected(ours->flights(thread), 5, 1);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].path, "/of/" + std::to_string(thread));
    Sketch::Totals totals;
    ours->sketch(thread).add_to(totals);
    EXPECT_EQ(totals.estimate(42), thread + 1);
    EXPECT_EQ(ours->client_connections(thread, 0).get(), 0U);
    EXPECT_EQ(ours->tally(thread, 1).blocked.get(), 0U);
  }
}

}  // namespace
}  // namespace drover::board
