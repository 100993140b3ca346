#include "proxy/flights.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace drover::proxy {
namespace {

class FlightPlaces : public ::testing::Test {
 protected:
  std::uint32_t begin(std::string_view path) { return flights.begin({1, 1, board::Method::get, "GET", path, 1, 10}); }
  std::set<std::string> readable() const {
    std::vector<board::Flight> found;
    table->collect(1, 1, 0, found);
    std::set<std::string> paths;
    for (const auto& flight : found) paths.insert(flight.path);
    return paths;
  }

  std::unique_ptr<board::FlightTable> table = std::make_unique<board::FlightTable>();
  Flights flights{*table};
};

TEST_F(FlightPlaces, OneAfterTheOtherUsesOnePlace) {
  const std::uint32_t first = begin("/a");
  flights.end(first);
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t place = begin("/b");
    EXPECT_EQ(place, first);
    flights.end(place);
  }
}

TEST_F(FlightPlaces, BrokenOnesStayReadableUntilEveryOtherPlaceIsInUse) {
  flights.broke(begin("/first"), 100);
  flights.broke(begin("/second"), 200);
  std::vector<std::uint32_t> held;
  for (std::size_t i = 0; i < board::FlightTable::kPlaces - 2; ++i) held.push_back(begin("/held"));
  EXPECT_EQ(readable(), (std::set<std::string>{"/first", "/second", "/held"}));
  held.push_back(begin("/held"));
  EXPECT_EQ(readable(), (std::set<std::string>{"/second", "/held"})) << "the oldest makes room first";
  for (const std::uint32_t place : held) EXPECT_NE(place, Flights::kNone);
}

TEST_F(FlightPlaces, WhereNoneIsLeftARequestIsNotRecorded) {
  std::set<std::uint32_t> places;
  for (std::size_t i = 0; i < board::FlightTable::kPlaces; ++i) places.insert(begin("/held"));
  EXPECT_EQ(places.size(), board::FlightTable::kPlaces);
  const std::uint32_t none = begin("/more");
  EXPECT_EQ(none, Flights::kNone);
  EXPECT_EQ(readable(), (std::set<std::string>{"/held"}));
  flights.end(none);
  flights.broke(none, 1);
  flights.end(7);
  EXPECT_EQ(begin("/more"), 7U);
}

}  // namespace
}  // namespace drover::proxy
