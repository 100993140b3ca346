// What people read: aligned, complete, and harmless to a terminal.
#include "app/tables.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

namespace drover::app {
namespace {

namespace json = boost::json;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

json::value status(double requests = 100) {
  return json::value{{"version", "1.2.3"},
                     {"pid", 77},
                     {"uptime", 7500.5},
                     {"ready", true},
                     {"stopping", false},
                     {"totals", {{"requests", requests}, {"errors", 3}, {"created", 5}, {"died", 1}, {"restarted", 1}, {"health_checks", 9}}},
                     {"listeners", {{{"name", "web"}, {"address", "127.0.0.1:3000"}, {"connections", 4}}}},
                     {"pools",
                      {{{"name", "shop"},
                        {"strategy", "round-robin"},
                        {"desired", 2},
                        {"in_flight", 1},
                        {"queue_length", 6},
                        {"roll", {{"phase", "running"}, {"done", 1}, {"total", 2}}},
                        {"blocked", {{{"method", "GET"}, {"path", "/die"}, {"deaths", 3}, {"seconds_left", 90}}}},
                        {"workers",
                         {{{"name", "shop.1"},
                           {"pid", 4001},
                           {"lifecycle", "running"},
                           {"health", "passing"},
                           {"intent", "enabled"},
                           {"eligible", true},
                           {"uptime", 65.2},
                           {"requests", requests},
                           {"errors", 2},
                           {"in_flight", 1},
                           {"restarts", 0},
                           {"memory", {{"bytes", 52428800}, {"source", "rss"}}},
                           {"cpu", 12.6},
                           {"share", 100}},
                          {{"name", "shop.2"},
                           {"pid", 0},
                           {"lifecycle", "backoff"},
                           {"health", "unknown"},
                           {"intent", "enabled"},
                           {"eligible", false},
                           {"requests", 7},
                           {"restarts", 4},
                           {"restart_in", 3.2},
                           {"note", "exit code 3"}}}}}}},
                     {"degraded", {"no cgroup \x1b[31m"}}};
}

TEST(Tables, ShowEachWorker) {
  EXPECT_EQ(worker_table(status(), {{"shop.1", 12.34}}, kAnyWidth),
            "WORKER   PID  STATE    HEALTH   UPTIME  REQ/S  REQUESTS  ERRORS  IN    MEM  CPU  RESTARTS  NOTE\n"
            "shop.1  4001  running  passing   1m05s     12       100       2   1  50MiB  13%         0\n"
            "shop.2     -  backoff  -             -      -         7       0   0      -    -         4  starts in 3.2s; exit code 3\n");
}

TEST(Tables, AreCutAtTheTerminalsWidth) {
  const std::string table = worker_table(status(), {}, 20);
  EXPECT_EQ(table, "WORKER   PID  STATE \nshop.1  4001  runnin\nshop.2     -  backof\n");
  EXPECT_EQ(align({{"日本語", "x"}}, "", 4), "日本語 \n") << "never half a character";
}

TEST(Tables, FactsThatHoldWorkBackAreSeen) {
  auto all = status();
  auto& worker = all.at("pools").at(0).at("workers").at(0).as_object();
  worker["suspect"] = true;
  worker["stalled"] = 12;
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("running  suspect"));
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("no byte for 12s"));
  worker["suspect"] = false;
  worker["ejected"] = true;
  worker["health_reason"] = "5 errors in a row";
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("ejected"));
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("5 errors in a row"));
  worker["paused"] = true;
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("paused"));
  worker["replacing"] = "memory limit";
  worker["successor"] = 9;
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("to be replaced: memory limit; incarnation 9 gets ready"));
}

TEST(Tables, ADrainedWorkerIsCalledThat) {
  auto all = status();
  auto& worker = all.at("pools").at(0).at("workers").at(1).as_object();
  worker["intent"] = "drained";
  worker["lifecycle"] = "stopped";
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("-  drained"));
}

TEST(Tables, NoByteOfAWorkerSteersTheTerminal) {
  auto all = status();
  auto& worker = all.at("pools").at(0).at("workers").at(0).as_object();
  worker["note"] =
      "\x1b[2J\x9b"
      "31m\r\n\xc2\x9b evil";
  worker["report"] = json::object{{"status", "\x1b]0;title\x07"}};
  for (const std::string& text : {worker_table(all, {}, kAnyWidth), summary(all)}) {
    for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
    EXPECT_THAT(text, Not(HasSubstr("\xc2\x9b")));
  }
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("\\x1b[2J"));
}

TEST(Tables, WhatIsMissingIsNoCrash) {
  for (const char* text :
       {"{}", "[]", "null", "3", R"({"pools": 3})", R"({"pools": [3, {"workers": [null, {}]}], "totals": "x", "degraded": [1]})"}) {
    const json::value odd = json::parse(text);
    EXPECT_THAT(worker_table(odd, {}, kAnyWidth), StartsWith("WORKER")) << text;
    EXPECT_THAT(summary(odd), StartsWith("drover")) << text;
    EXPECT_FALSE(obituary_text(odd).empty());
    EXPECT_FALSE(log_text(odd).empty());
  }
}

TEST(Summary, SaysTheClustersState) {
  const std::string text = summary(status(), {{"", 250.0}});
  EXPECT_THAT(text, StartsWith("drover 1.2.3  pid 77  up 2h05m  ready  workers 1 of 2\n"));
  EXPECT_THAT(text, HasSubstr("requests 100 (250/s)  errors 3  per worker 50  created 5  died 1  restarted 1  health checks 9\n"));
  EXPECT_THAT(text, HasSubstr("listener web: 127.0.0.1:3000, 4 client connections\n"));
  EXPECT_THAT(text, HasSubstr("pool shop: 1 of 2 ready, round-robin, 1 in flight, 6 waiting, rolling restart 1 of 2\n"));
  EXPECT_THAT(text, HasSubstr("GET /die is answered 503 for 1m30s more: 3 workers died of it\n"));
  EXPECT_THAT(text, EndsWith("degraded: no cgroup \\x1b[31m\n"));
}

TEST(Rates, AreOfTheTimeBetween) {
  const Rates rates = rates_between(status(100), status(150), 0.5);
  EXPECT_DOUBLE_EQ(rates.at("shop.1"), 100);
  EXPECT_DOUBLE_EQ(rates.at("shop.2"), 0);
  EXPECT_DOUBLE_EQ(rates.at(""), 100);
  EXPECT_DOUBLE_EQ(rates_between(status(150), status(100), 1).at("shop.1"), 0) << "a drover that was started anew";
  EXPECT_TRUE(rates_between(status(), status(), 0).empty());
  EXPECT_TRUE(rates_between(nullptr, status(), 1).empty());
}

TEST(Obituary, TellsTheWholeStory) {
  const json::value record{{"worker", "shop.3"},
                           {"incarnation", 7},
                           {"time", 1700000000.5},
                           {"uptime", 125},
                           {"was_ready", true},
                           {"asked_for", false},
                           {"cause", "signal"},
                           {"exit", "signal SEGV (core dumped)"},
                           {"peak_memory", 104857600},
                           {"memory", {{{"before", 60}, {"bytes", 52428800}}, {{"before", 0.5}, {"bytes", 104857600}}}},
                           {"last_lines", {"one", "two \x1b[31m"}},
                           {"in_flight", {{{"method", "GET"}, {"path", "/a"}, {"age", 0.2}}}},
                           {"in_flight_total", 1},
                           {"last_probe", ""},
                           {"then", "restart in 1.1s"}};
  const std::string text = obituary_text(record);
  EXPECT_THAT(text, testing::ContainsRegex("shop\\.3 \\(incarnation 7\\) ended at 2023-11-1[45] ..:..:20 after 2m05s: signal SEGV"));
  EXPECT_THAT(text, HasSubstr("peak 100MiB; 50MiB (1m00s before), 100MiB (0.5s before)"));
  EXPECT_THAT(text, HasSubstr("    GET /a (0.2s)\n"));
  EXPECT_THAT(text, HasSubstr("    one\n    two \\x1b[31m\n"));
  EXPECT_THAT(text, HasSubstr("restart in 1.1s"));
  json::array curve;
  for (int i = 60; i >= 0; --i) curve.push_back({{"before", i}, {"bytes", 1048576 * (100 - i)}});
  json::value longer = record;
  longer.as_object()["memory"] = curve;
  EXPECT_THAT(obituary_text(longer),
              HasSubstr("; 40MiB (1m00s before), 52MiB (48s before), 64MiB (36s before), 76MiB (24s before), 88MiB (12s before), "
                        "100MiB (0s before)\n"));
  EXPECT_THAT(text, Not(HasSubstr("out of memory"))) << "what there is no evidence of is not spoken of";
}

TEST(Tables, AWorkersOwnFiguresAreInItsNote) {
  json::value all = status();
  auto& worker = all.at("pools").at(0).at("workers").at(0).as_object();
  worker["channel"] = json::object{{"state", "open"}, {"requests", 0}, {"errors", 0}, {"last_error", ""}, {"metrics", json::object()}};
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), Not(HasSubstr("reports")));
  worker["channel"] =
      json::object{{"requests", 1}, {"errors", 2}, {"last_error", "no \x1b[2J table"}, {"metrics", json::object{{"queue", 3}, {"lag\x07", 0.25}}}};
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("reports 1 request, 2 errors (no \\x1b[2J table), queue 3, lag\\x07 0.25\n"));
  worker["channel"] =
      json::object{{"metrics", json::object{{"a", 1}, {"b", 2}, {"c", 3}, {"d", 4}, {"e", 5}}}, {"errors", 1}, {"last_error", std::string(500, 'x')}};
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), HasSubstr("x), a 1, b 2, c 3, 2 more\n"));
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), Not(HasSubstr(std::string(61, 'x'))));
  worker["channel"] = "odd";
  EXPECT_THAT(worker_table(all, {}, kAnyWidth), Not(HasSubstr("reports")));
}

TEST(Summary, SaysWhatKeepsAPoolsClientsAway) {
  json::value all = status();
  json::object& pool = all.at("pools").at(0).as_object();
  pool["held"] = 12.4;
  pool["maintenance"] = {{"message", "back at \x1b[31m noon"}};
  pool["breaker"] = "half_open";
  EXPECT_THAT(summary(all), HasSubstr(R"(6 waiting, held for 12s more, in maintenance (back at \x1b[31m noon), circuit breaker open)"));
  pool["held"] = nullptr;
  pool["maintenance"] = nullptr;
  pool["breaker"] = "closed";
  EXPECT_THAT(summary(all), HasSubstr("6 waiting, rolling restart"));
}

}  // namespace
}  // namespace drover::app
