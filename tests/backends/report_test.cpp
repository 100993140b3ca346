#include "backends/report.hpp"

#include "base/rng.hpp"
#include "base/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

namespace drover::backends {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

Report words(const std::string& text) { return report_of_answer("text/plain", text).value_or(Report{}); }
Report json(const std::string& text) { return report_of_answer("application/json", text).value_or(Report{}); }
Report notified(const std::string& text) { return report_of_notification(text).value_or(Report{}); }

TEST(AgentWords, SayUpAndDown) {
  EXPECT_EQ(words("up\n").healthy, true);
  EXPECT_EQ(words("up\n").wants_work, true);
  for (const std::string word : {"down", "fail", "stopped"}) {
    EXPECT_EQ(words(word).healthy, false) << word;
    EXPECT_EQ(words(word).wants_work, false) << word;
  }
}

TEST(AgentWords, DrainAndMaintWantNoWorkAndAreHealthy) {
  for (const std::string word : {"drain", "maint"}) {
    EXPECT_EQ(words(word).wants_work, false) << word;
    EXPECT_FALSE(words(word).healthy) << word;
  }
  EXPECT_EQ(words("ready").wants_work, true);
}

TEST(AgentWords, CaseAndSeparatorsAreFree) {
  const Report report = words("  UP,Ready \t75%\r\n");
  EXPECT_EQ(report.healthy, true);
  EXPECT_EQ(report.wants_work, true);
  EXPECT_EQ(report.share, 75U);
}

TEST(AgentWords, WhoIsUpAndDrainsGetsNoWork) {
  for (const std::string line : {"up drain", "drain up", "maint ready", "ready drain", "down ready", "up,down"})
    EXPECT_EQ(words(line).wants_work, false) << line;
  EXPECT_EQ(words("up drain").healthy, true);
  EXPECT_EQ(words("up down").healthy, false);
  EXPECT_EQ(words("down up").healthy, false);
}

TEST(AgentWords, ReasonStandsBehindTheSharp) {
  const Report report = words("down #disk full, up again soon\nup");
  EXPECT_EQ(report.healthy, false);
  EXPECT_EQ(report.status, "disk full, up again soon");
  EXPECT_EQ(words("down#at once").status, "at once");
  EXPECT_FALSE(report_of_answer("text/plain", "# only a comment"));
}

TEST(AgentWords, ShareIsAtMostTheEvenPart) {
  EXPECT_EQ(words("50%").share, 50U);
  EXPECT_EQ(words("0%").share, 0U);
  EXPECT_EQ(words("250%").share, 100U);
  EXPECT_EQ(words("99999999999999999999%").share, 100U);
  EXPECT_FALSE(words("50%").wants_work) << "what it does not say stays as it is";
}

TEST(AgentWords, AbsoluteFiguresOfAnotherBalancerSayNothing) {
  EXPECT_FALSE(report_of_answer("text/plain", "128"));
  EXPECT_FALSE(report_of_answer("text/plain", "maxconn:30"));
  const Report report = words("up 128 maxconn:30");
  EXPECT_EQ(report.healthy, true);
  EXPECT_FALSE(report.share);
}

TEST(AgentWords, TextForPeopleIsNoReport) {
  for (const std::string text : {"OK", "Everything is up and ready", "down for maintenance", "<html>up</html>", "up!", "-5%", "5.5%", "%",
                                 "maxconn:", "maxconn:x", "healthy", "\xff up", ""}) {
    EXPECT_FALSE(report_of_answer("text/plain", text)) << text;
  }
}

TEST(AgentWords, LineIsBounded) {
  EXPECT_FALSE(report_of_answer("text/plain", "up" + std::string(2000, ' ')));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "up ";
  EXPECT_FALSE(report_of_answer("text/plain", many));
  EXPECT_FALSE(report_of_answer("text/plain", std::string(100'000, 'u')));
}

TEST(JsonAnswer, EachMemberIsThereOnlyWhenSaid) {
  const Report report = json(R"({"memory": 1048576, "cpu": 12.5, "ready": true, "share": 40, "status": "warm"})");
  EXPECT_EQ(report.memory_bytes, 1048576U);
  EXPECT_EQ(report.cpu_percent, 12.5);
  EXPECT_EQ(report.ready, true);
  EXPECT_EQ(report.share, 40U);
  EXPECT_EQ(report.status, "warm");
  EXPECT_FALSE(report.healthy);
  EXPECT_FALSE(json(R"({"cpu": 1})").memory_bytes);
}

TEST(JsonAnswer, WhatIsNoFigureIsPassedOver) {
  for (const std::string text :
       {R"({"memory": -1})", R"({"share": "5"})", R"({"share": 1e300})", R"({"status": 5})", R"({"ready": "yes"})", "[]", "{", "null"}) {
    EXPECT_FALSE(report_of_answer("application/json; charset=utf-8", text)) << text;
  }
  EXPECT_EQ(json(R"({"memory": -1, "cpu": 3})").cpu_percent, 3);
  EXPECT_EQ(json(R"({"share": 1000})").share, 100U);
}

TEST(JsonAnswer, IsKnownByItsBraceOrItsType) {
  EXPECT_TRUE(report_of_answer("", R"( {"cpu": 1})"));
  EXPECT_FALSE(report_of_answer("Application/Health+JSON", "up")) << "words are no JSON";
}

TEST(Notification, SaysReadyReloadingStopping) {
  EXPECT_EQ(notified("READY=1").ready, true);
  EXPECT_EQ(notified("READY=1").wants_work, true);
  EXPECT_TRUE(notified("RELOADING=1\nMONOTONIC_USEC=12345").reloading);
  EXPECT_EQ(notified("RELOADING=1").wants_work, false);
  EXPECT_EQ(notified("STOPPING=1\nSTATUS=bye").wants_work, false);
  EXPECT_EQ(notified("STOPPING=1\nSTATUS=bye").status, "bye");
}

TEST(Notification, WatchdogIsASignOfLifeOrACallForHelp) {
  EXPECT_TRUE(notified("WATCHDOG=1").alive);
  EXPECT_EQ(notified("WATCHDOG=trigger").healthy, false);
  EXPECT_FALSE(notified("WATCHDOG=trigger").alive);
}

TEST(Notification, LaterLinesGoBeforeEarlierOnes) {
  const Report done = notified("RELOADING=1\nREADY=1\nSTATUS=a\nSTATUS=b\n");
  EXPECT_FALSE(done.reloading);
  EXPECT_EQ(done.wants_work, true);
  EXPECT_EQ(done.status, "b");
  EXPECT_FALSE(notified("READY=1\nSTOPPING=1").ready);
}

TEST(Notification, UnknownLinesArePassedOver) {
  EXPECT_EQ(notified("MAINPID=5\nX_OWN=1\nREADY=1\nnonsense").ready, true);
  for (const std::string text : {"MAINPID=5", "BARRIER=1", "READY=0", "READY=", "ready=1", "", "\n\n\n"})
    EXPECT_FALSE(report_of_notification(text)) << text;
}

TEST(Notification, EmptyStatusTakesItBack) {
  ASSERT_TRUE(report_of_notification("STATUS="));
  EXPECT_EQ(notified("STATUS=").status, "");
}

TEST(Notification, ManyLinesAreBounded) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "X=1\n";
  EXPECT_FALSE(report_of_notification(text + "READY=1"));
}

TEST(Status, IsCleanedAndBounded) {
  EXPECT_EQ(notified("STATUS=\x1b[2Jgone\x07").status, "\\x1b[2Jgone\\x07");
  EXPECT_EQ(notified("STATUS=a\tb").status, "a b");
  const std::string longest = *notified("STATUS=" + std::string(1000, 'x')).status;
  EXPECT_EQ(longest.size(), Report::kMaxStatus);
  EXPECT_THAT(longest, EndsWith("…"));
  EXPECT_EQ(notified("STATUS=" + std::string(Report::kMaxStatus, 'x')).status, std::string(Report::kMaxStatus, 'x'));
  std::string wide;
  for (int i = 0; i < 200; ++i) wide += "é";
  EXPECT_LE(notified("STATUS=" + wide).status->size(), Report::kMaxStatus);
}

bool is_printable(const std::string& text) {
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t length = base::utf8_length(rest);
    if (length == 0 || (length == 1 && (rest[0] < 0x20 || rest[0] == 0x7F))) return false;
    rest.remove_prefix(length);
  }
  return true;
}

/// Random bytes, and random pieces of what means something, so that every branch is reached.
std::string hostile(base::Rng& rng) {
  static const std::array<std::string, 22> pieces{
      "up",           "down",           "#",   " ",    ",",        "%",     "99", "STATUS=",  "READY=1", "\n", "RELOADING=1", "WATCHDOG", "=trigger",
      "{\"memory\":", "{\"status\":\"", "\"}", "\xc3", "\xe2\x80", "\x1b[", "\r", "maxconn:", "drain"};
  std::string out;
  const std::size_t parts = rng.below(40);
  for (std::size_t i = 0; i < parts; ++i) {
    if (rng.below(3) == 0)
      out.push_back(static_cast<char>(rng.below(256)));
    else
      out += pieces[rng.below(pieces.size())];
  }
  return out;
}

TEST(HostileBytes, NeverMakeAReportThatCantBeShown) {
  constexpr std::uint64_t kSeed = 20261;
  base::Rng rng(kSeed);
  int reports = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string bytes = hostile(rng);
    for (const auto& report : {report_of_answer("text/plain", bytes), report_of_answer("application/json", bytes), report_of_notification(bytes)}) {
      if (!report) continue;
      ++reports;
      EXPECT_FALSE(report->empty()) << "seed " << kSeed << " round " << round;
      EXPECT_LE(report->share.value_or(0), 100U) << "seed " << kSeed << " round " << round;
      ASSERT_LE(report->status.value_or("").size(), Report::kMaxStatus) << "seed " << kSeed << " round " << round;
      ASSERT_TRUE(is_printable(report->status.value_or(""))) << "seed " << kSeed << " round " << round;
    }
  }
  EXPECT_GT(reports, 500) << "the bytes are too random to test anything";
}

}  // namespace
}  // namespace drover::backends
