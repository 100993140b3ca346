// /status: fields are added, never renamed.
#include "admin/status_json.hpp"

#include "sample_status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <limits>

namespace drover::admin {
namespace {

namespace json = boost::json;

std::vector<std::string> keys(const json::value& value) {
  std::vector<std::string> names;
  for (const auto& each : value.as_object()) names.emplace_back(each.key());
  return names;
}

TEST(StatusJson, HasThePromisedShape) {
  const json::value all = json::parse(status_json(sample_status()));
  EXPECT_THAT(keys(all),
              testing::IsSupersetOf({"pid", "uptime", "stopping", "totals", "proxies", "pools", "supervisor", "listeners", "admin_address"}));
  EXPECT_THAT(keys(all.at("totals")), testing::IsSupersetOf({"requests", "errors", "created", "died", "restarted", "health_checks"}));
  EXPECT_THAT(keys(all.at("proxies").at(0)), testing::IsSupersetOf({"pid", "threads"}));
  EXPECT_THAT(keys(all.at("listeners").at(0)), testing::IsSupersetOf({"name", "address"}));
  const json::value& pool = all.at("pools").at(0);
  EXPECT_THAT(keys(pool), testing::IsSupersetOf({"name", "strategy", "position", "desired", "workers"}));
  const json::value& worker = pool.at("workers").at(0);
  EXPECT_THAT(keys(worker), testing::IsSupersetOf({"slot", "incarnation", "pid", "lifecycle", "health", "intent", "endpoint", "uptime", "requests",
                                                   "in_flight", "restarts", "memory", "cpu"}));
  EXPECT_THAT(keys(worker.at("memory")), testing::UnorderedElementsAre("bytes", "source"));
}

TEST(StatusJson, HasTheValues) {
  const json::value all = json::parse(status_json(sample_status()));
  EXPECT_EQ(all.at("pid"), 100);
  EXPECT_EQ(all.at("totals").at("requests"), 94);
  EXPECT_EQ(all.at("totals").at("errors"), 5);
  EXPECT_EQ(all.at("listeners").at(0).at("address"), "127.0.0.1:3000");
  const json::value& workers = all.at("pools").at(0).at("workers");
  EXPECT_EQ(workers.at(0).at("name"), "shop.1");
  EXPECT_EQ(workers.at(0).at("lifecycle"), "running");
  EXPECT_EQ(workers.at(0).at("cpu"), 12.346);
  EXPECT_EQ(workers.at(0).at("exits").at("KILL"), 1);
  EXPECT_EQ(workers.at(2).at("pid"), 0);
  EXPECT_EQ(json::serialize(all.at("pools").at(0).at("handoff")),
            R"({"accepted":90,"given":85,"taken":80,"refused":4,"rescued":3,"dropped":2,"waiting":5})");
  EXPECT_EQ(workers.at(2).at("note"), "exit 1 \\x1b[31m");
}

TEST(StatusJson, TellsWhatSupervisionSees) {
  const std::string text = status_json(sample_status());
  const json::value all = json::parse(text);
  EXPECT_NE(text.find("\"p99\":0.3,"), std::string::npos) << "no exponents";
  const json::value& pool = all.at("pools").at(0);
  EXPECT_EQ(pool.at("p99"), 0.3);
  EXPECT_EQ(pool.at("min"), 2);
  EXPECT_EQ(pool.at("max"), 4);
  EXPECT_EQ(pool.at("roll").at("phase"), "running");
  EXPECT_EQ(pool.at("roll").at("total"), 3);
  EXPECT_EQ(pool.at("blocked").at(0).at("path"), "/die");
  EXPECT_EQ(pool.at("replaced").at("memory"), 2);
  const json::value& worker = pool.at("workers").at(0);
  EXPECT_EQ(worker.at("memory_limit"), 400'000'000);
  EXPECT_EQ(worker.at("memory_forecast"), 30.25);
  EXPECT_EQ(worker.at("report").at("by"), "probe");
  EXPECT_EQ(worker.at("share"), 50);
  EXPECT_TRUE(worker.at("restart_in").is_null());
  const json::value& other = pool.at("workers").at(2);
  EXPECT_TRUE(other.at("report").is_null());
  EXPECT_TRUE(other.at("memory_limit").is_null());
  EXPECT_TRUE(other.at("memory_forecast").is_null());
  EXPECT_EQ(other.at("restart_in"), 3.0);
  EXPECT_EQ(all.at("totals").at("events"), 321);
  EXPECT_EQ(all.at("totals").at("blocked"), 8);
}

TEST(StatusJson, StaysJsonWithBytesAndFiguresThatAreNone) {
  auto status = sample_status();
  status.pools[0].workers[0].note = std::string("\xff\x00\"\n", 4);
  status.pools[0].workers[0].cpu_percent = std::numeric_limits<double>::quiet_NaN();
  status.uptime_seconds = std::numeric_limits<double>::infinity();
  const json::value all = json::parse(status_json(status));
  EXPECT_EQ(all.at("pools").at(0).at("workers").at(0).at("cpu"), 0.0);
}

TEST(StatusJson, OfNothingIsStillWhole) { EXPECT_THAT(keys(json::parse(status_json({}))), testing::Contains("pools")); }

}  // namespace
}  // namespace drover::admin
