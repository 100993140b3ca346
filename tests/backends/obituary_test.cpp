#include "backends/obituary.hpp"

#include "base/text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <gtest/gtest.h>

#include <string>

namespace drover::backends {
namespace {

Obituary crash() {
  Obituary out;
  out.pool = "shop";
  out.slot = 3;
  out.incarnation = 7;
  out.time = 1000;
  out.uptime_seconds = 120.4;
  out.was_ready = true;
  out.cause = Cause::own_signal;
  out.exit = "signal SEGV (core dumped)";
  out.peak_memory = 90ULL << 20U;
  out.memory = {{60, 40ULL << 20U}, {0.5, 80ULL << 20U}};
  out.last_lines = {"first", "second", "third"};
  out.in_flight = {{"GET", "/a", 0.23}, {"POST", "/b", 12}};
  out.in_flight_total = 2;
  out.then = "restart in 1.1s";
  return out;
}

TEST(ObituaryLine, SaysWhoHowWhenWithWhomAndWhatFollows) {
  EXPECT_EQ(in_one_line(crash()),
            "shop.3 (incarnation 7) died after 2m: signal SEGV (core dumped); memory 40MiB to 80MiB in its last 1m, peak 90MiB; "
            "2 requests inside: GET /a (0.2s), POST /b (12.0s); last words: second | third; then: restart in 1.1s");
}

TEST(ObituaryLine, OfOneThatWasAskedToEnd) {
  Obituary record = crash();
  record.asked_for = true;
  record.asked_why = "rolling restart";
  record.cause = Cause::exit_zero;
  record.exit = "code 0";
  record.in_flight.clear();
  record.in_flight_total = 0;
  record.memory.clear();
  record.peak_memory = 0;
  record.then = "";
  EXPECT_EQ(in_one_line(record), "shop.3 (incarnation 7) ended after 2m: code 0, asked for: rolling restart; no request inside");
}

TEST(ObituaryLine, OfOneThatWasNeverReady) {
  Obituary record = crash();
  record.was_ready = false;
  record.never_ready_in_row = 3;
  record.uptime_seconds = 0.25;
  record.memory.clear();
  record.peak_memory = 0;
  record.in_flight.clear();
  record.in_flight_total = 0;
  record.last_lines.clear();
  record.last_probe = "connect refused";
  EXPECT_EQ(in_one_line(record),
            "shop.3 (incarnation 7) died after 250ms, before it was ready (3 times in a row): signal SEGV (core dumped); no request inside; "
            "it printed nothing; last probe: connect refused; then: restart in 1.1s");
}

TEST(ObituaryLine, CountsYoungDeaths) {
  Obituary record = crash();
  record.young = true;
  record.young_in_row = 2;
  EXPECT_NE(in_one_line(record).find("died after 2m, young (2 times in a row): signal"), std::string::npos);
}

TEST(ObituaryLine, NamesTheEvidenceOfOutOfMemory) {
  Obituary record = crash();
  record.out_of_memory = "memory.events of /x";
  EXPECT_NE(in_one_line(record).find(", out of memory: memory.events of /x;"), std::string::npos);
}

TEST(ObituaryLine, TellsThatThereWereMoreRequests) {
  Obituary record = crash();
  for (int i = 0; i < 40; ++i) record.in_flight.push_back({"GET", "/" + std::to_string(i), 1});
  record.in_flight_total = 700;
  const std::string line = in_one_line(record);
  EXPECT_NE(line.find("700 requests inside: GET /a"), std::string::npos);
  EXPECT_NE(line.find("/2 (1.0s), …;"), std::string::npos);
  EXPECT_EQ(line.find("/3 "), std::string::npos);
  record.in_flight.clear();
  EXPECT_NE(in_one_line(record).find("700 requests inside: …;"), std::string::npos);
}

TEST(ObituaryLine, StaysOneShortLineWhateverClientsAndWorkersSay) {
  Obituary record = crash();
  record.last_lines = {std::string(100'000, 'x'), "\x1b[2J\nforged line\r\n\xff"};
  record.in_flight = {{"G\nT", "/\n\x80" + std::string(100'000, 'y'), -1}};
  record.exit = "\n";
  record.last_probe = record.then = record.asked_why = record.out_of_memory = "a\nb";
  for (const bool asked : {false, true}) {
    record.asked_for = asked;
    const std::string line = in_one_line(record);
    EXPECT_LT(line.size(), 2000U);
    EXPECT_EQ(line, base::printable(line, line.size())) << "nothing left to escape";
  }
}

TEST(ObituaryJson, HoldsEverything) {
  const auto json = to_json(crash());
  EXPECT_EQ(json.at("worker"), "shop.3");
  EXPECT_EQ(json.at("incarnation").to_number<int>(), 7);
  EXPECT_EQ(json.at("uptime").as_double(), 120.4);
  EXPECT_EQ(json.at("cause"), "own_signal");
  EXPECT_TRUE(json.at("self_inflicted").as_bool());
  EXPECT_EQ(json.at("memory").as_array().size(), 2U);
  EXPECT_EQ(json.at("memory").at(0).at("bytes").to_number<std::uint64_t>(), 40ULL << 20U);
  EXPECT_EQ(json.at("last_lines").as_array().back(), "third");
  EXPECT_EQ(json.at("in_flight").at(1).at("path"), "/b");
  EXPECT_EQ(json.at("in_flight_total").to_number<int>(), 2);
  EXPECT_EQ(json.at("then"), "restart in 1.1s");
}

TEST(ObituaryJson, IsBoundedAndReadableWhateverClientsAndWorkersSay) {
  Obituary record = crash();
  record.last_lines.assign(100, std::string(5000, '\xff'));
  record.in_flight.assign(1000, {"\xff", "/\x80\"\n", 1});
  const std::string text = boost::json::serialize(to_json(record));
  boost::system::error_code error;
  const auto read = boost::json::parse(text, error);
  ASSERT_FALSE(error) << error.message();
  EXPECT_EQ(read.at("last_lines").as_array().size(), Obituary::kMaxLines);
  EXPECT_EQ(read.at("in_flight").as_array().size(), Obituary::kMaxRequests);
  EXPECT_LT(text.size(), 128U * 1024U);
}

TEST(Obituaries, KeepTheLastOfEachSlotNewestFirst) {
  Obituaries kept;
  for (base::Incarnation i = 1; i <= 30; ++i) {
    Obituary record = crash();
    record.slot = 1 + i % 2;
    record.incarnation = i;
    record.time = i;
    kept.add(record);
  }
  const auto of_slot = kept.of("shop", 1);
  ASSERT_EQ(of_slot.size(), Obituaries::kPerSlot);
  EXPECT_EQ(of_slot.front()->incarnation, 30U);
  EXPECT_EQ(of_slot.back()->incarnation, 12U);
  const auto of_pool = kept.of("shop", 0);
  ASSERT_EQ(of_pool.size(), 2 * Obituaries::kPerSlot);
  for (std::size_t i = 1; i < of_pool.size(); ++i) EXPECT_GT(of_pool[i - 1]->time, of_pool[i]->time);
}

TEST(Obituaries, OfOthersAreNotMixedIn) {
  Obituaries kept;
  for (const char* pool : {"shop", "shop2", "sho", "a"}) {
    Obituary record = crash();
    record.pool = pool;
    kept.add(record);
  }
  ASSERT_EQ(kept.of("shop", 0).size(), 1U);
  EXPECT_EQ(kept.of("shop", 0)[0]->pool, "shop");
  EXPECT_EQ(kept.of("shop", 3).size(), 1U);
  EXPECT_TRUE(kept.of("shop", 2).empty());
  EXPECT_TRUE(kept.of("shop", 4).empty());
  EXPECT_TRUE(kept.of("none", 0).empty());
}

TEST(Obituaries, OfTheSameMomentTheLaterIncarnationComesFirst) {
  Obituaries kept;
  for (base::Incarnation i = 1; i <= 3; ++i) {
    Obituary record = crash();
    record.incarnation = i;
    kept.add(record);
  }
  EXPECT_EQ(kept.of("shop", 3).front()->incarnation, 3U);
}

}  // namespace
}  // namespace drover::backends
