// /metrics: what Prometheus reads.
#include "admin/metrics.hpp"

#include "admin/catalogue.hpp"
#include "base/text.hpp"
#include "sample_status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace drover::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, CarryWhatTheStatusSays) {
  const std::string text = metrics_text(sample_status());
  for (const char* line : {
           R"(drover_requests_total{pool="shop",method="GET",code="200"} 90)",
           R"(drover_requests_total{pool="shop",method="POST",code="502"} 3)",
           R"(drover_requests_total{pool="shop",method="other",code="404"} 1)",
           R"(drover_in_flight{pool="shop"} 3)",
           R"(drover_queue_length{pool="shop"} 4)",
           R"(drover_queue_rejected_total{pool="shop",reason="expired"} 6)",
           R"(drover_retries_total{pool="shop",reason="connect"} 5)",
           R"(drover_client_connections{listener="web"} 7)",
           R"(drover_client_disconnects_total{pool="shop",stage="response_body"} 7)",
           R"(drover_responses_truncated_total{pool="shop"} 2)",
           R"(drover_worker_up{pool="shop",worker="1"} 1)",
           R"(drover_worker_up{pool="shop",worker="3"} 0)",
           R"(drover_worker_state{pool="shop",worker="1",state="running"} 1)",
           R"(drover_worker_state{pool="shop",worker="1",state="failed"} 0)",
           R"(drover_worker_state{pool="shop",worker="3",state="backoff"} 1)",
           R"(drover_worker_in_flight{pool="shop",worker="2"} 2)",
           R"(drover_worker_requests_total{pool="shop",worker="2"} 200)",
           R"(drover_worker_memory_bytes{pool="shop",worker="1"} 50000000)",
           R"(drover_worker_cpu_seconds_total{pool="shop",worker="1"} 3.5)",
           R"(drover_worker_open_fds{pool="shop",worker="1"} 17)",
           R"(drover_worker_restarts_total{pool="shop",worker="1"} 2)",
           R"(drover_worker_exits_total{pool="shop",worker="1",reason="KILL"} 1)",
           R"(drover_worker_start_time_seconds{pool="shop",worker="1"} 1700000000.25)",
           R"(drover_pool_workers{pool="shop",state="running"} 2)",
           R"(drover_pool_workers{pool="shop",state="backoff"} 1)",
           R"(drover_pool_workers_desired{pool="shop"} 3)",
           R"(drover_requests_blocked_total{pool="shop"} 8)",
           R"(drover_requests_spilled_total{pool="shop"} 9)",
           R"(drover_deadline_exceeded_total{pool="shop"} 10)",
           R"(drover_retry_budget_exhausted_total{pool="shop"} 11)",
           R"(drover_breaker_state{pool="shop"} 1)",
           R"(drover_breaker_opened_total{pool="shop"} 12)",
           R"(drover_pool_held{pool="shop"} 1)",
           R"(drover_pool_maintenance{pool="shop"} 1)",
           R"(drover_queue_rejected_total{pool="shop",reason="shed"} 0)",
           R"(drover_queue_rejected_total{pool="shop",reason="breaker"} 0)",
           R"(drover_queue_rejected_total{pool="shop",reason="maintenance"} 0)",
           R"(drover_clients_limited_total{listener="web",reason="connections"} 13)",
           R"(drover_clients_limited_total{listener="web",reason="requests"} 14)",
           R"(drover_clients_slow_total{listener="web"} 15)",
           R"(drover_refused_total{listener="web",code="404"} 19)",
           R"(drover_answered_here_total{listener="web",code="308"} 20)",
           "drover_accept_pauses_total 16",
           "drover_access_log_lines_total 17",
           "drover_access_log_dropped_total 18",
           R"(drover_worker_suspect{pool="shop",worker="1"} 0)",
           R"(drover_worker_ejected{pool="shop",worker="1"} 0)",
           R"(drover_worker_share_ratio{pool="shop",worker="1"} 0.5)",
           R"(drover_worker_memory_limit_bytes{pool="shop",worker="1"} 400000000)",
           R"(drover_pool_workers_min{pool="shop"} 2)",
           R"(drover_pool_workers_max{pool="shop"} 4)",
           R"(drover_pool_asleep{pool="shop"} 0)",
           R"(drover_pool_rolling{pool="shop"} 1)",
           R"(drover_pool_replaced_total{pool="shop",reason="memory"} 2)",
           R"(drover_rolls_total{pool="shop",result="done"} 4)",
           R"(drover_ejections_total{pool="shop"} 5)",
           R"(drover_suspicions_total{pool="shop"} 6)",
           R"(drover_killers_found_total{pool="shop"} 1)",
           R"(drover_killers_blocked{pool="shop"} 1)",
           R"(drover_worker_reported{pool="shop",worker="1",name="queue"} 7)",
           R"(drover_channel_messages_total{pool="shop",direction="in"} 18)",
           R"(drover_channel_faults_total{pool="shop",fault="not_json"} 3)",
           R"(drover_channel_closed_total{pool="shop",why="peer"} 1)",
           R"(drover_messages_undeliverable_total{pool="shop",reason="late_response"} 2)",
           R"(drover_handoff_connections_total{pool="shop",result="accepted"} 90)",
           R"(drover_handoff_connections_total{pool="shop",result="given"} 85)",
           R"(drover_handoff_connections_total{pool="shop",result="taken"} 80)",
           R"(drover_handoff_connections_total{pool="shop",result="refused"} 4)",
           R"(drover_handoff_connections_total{pool="shop",result="rescued"} 3)",
           R"(drover_handoff_connections_total{pool="shop",result="dropped"} 2)",
           R"(drover_handoff_waiting{pool="shop"} 5)",
           R"(drover_state_keys{pool="shop"} 5)",
           R"(drover_state_bytes{pool="shop"} 500)",
           "drover_exit_to_gate_closed_seconds_count 2",
           "drover_events_total 321",
           "drover_workers_created_total 5",
           "drover_claims_after_close_total 0",
           "drover_config_last_reload_successful 1",
           "drover_supervisor_heartbeat_age_seconds 0.1",
           R"(drover_loop_turn_seconds_count{role="proxy"} 0)",
           R"(drover_loop_turn_seconds_count{role="supervisor"} 0)",
       }) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
  EXPECT_THAT(text, HasSubstr("drover_build_info{version=\"" + std::string(base::version()) + "\",compiler=\""));
  EXPECT_THAT(text, testing::ContainsRegex("process_cpu_seconds_total [0-9]"));
}

TEST(Metrics, HistogramsAreCumulative) {
  const std::string text = metrics_text(sample_status());
  for (const char* line : {
           R"(drover_request_duration_seconds_bucket{pool="shop",le="0.0005"} 80)",
           R"(drover_request_duration_seconds_bucket{pool="shop",le="0.001"} 80)",
           R"(drover_request_duration_seconds_bucket{pool="shop",le="0.0025"} 90)",
           R"(drover_request_duration_seconds_bucket{pool="shop",le="60"} 90)",
           R"(drover_request_duration_seconds_bucket{pool="shop",le="+Inf"} 94)",
           R"(drover_request_duration_seconds_count{pool="shop"} 94)",
           R"(drover_request_duration_seconds_sum{pool="shop"} 2.5)",
           R"(drover_worker_start_duration_seconds_count{pool="shop"} 2)",
       }) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

TEST(Metrics, LeaveOutWhatIsNotThere) {
  const std::string text = metrics_text(sample_status());
  EXPECT_THAT(text, Not(HasSubstr("method=\"HEAD\"")));
  EXPECT_THAT(text, Not(HasSubstr("drover_worker_memory_bytes{pool=\"shop\",worker=\"3\"}")));
  EXPECT_THAT(text, Not(HasSubstr("drover_worker_start_time_seconds{pool=\"shop\",worker=\"3\"}")));
  EXPECT_THAT(text, Not(HasSubstr("drover_worker_suspect{pool=\"shop\",worker=\"3\"}")));
  EXPECT_THAT(metrics_text({}), Not(HasSubstr("drover_worker_")));
}

TEST(Metrics, PoolWithoutABreakerHasNoStateOfOne) {
  auto status = sample_status();
  status.pools[0].breaker.reset();
  status.pools[0].hold_seconds = -1;
  status.pools[0].maintenance = false;
  const std::string text = metrics_text(status);
  EXPECT_THAT(text, Not(HasSubstr("drover_breaker_state")));
  EXPECT_THAT(text, HasSubstr("drover_pool_held{pool=\"shop\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("drover_pool_maintenance{pool=\"shop\"} 0\n"));
}

TEST(Metrics, FailingWorkerIsNotUp) {
  auto status = sample_status();
  status.pools[0].workers[0].health = backends::Health::failing;
  EXPECT_THAT(metrics_text(status), HasSubstr("drover_worker_up{pool=\"shop\",worker=\"1\"} 0\n"));
}

TEST(Metrics, NameNoProcessPortOrPath) {
  const std::string text = metrics_text(sample_status());
  for (const char* secret : {"pid=", "4001", "127.0.0.1", "20001"}) EXPECT_THAT(text, Not(HasSubstr(secret)));
}

TEST(Metrics, SurviveTrafficOfFewerPoolsThanTheStatusHas) {
  auto status = sample_status();
  status.traffic.pools.clear();
  EXPECT_THAT(metrics_text(status), HasSubstr("drover_worker_up{pool=\"shop\",worker=\"1\"} 1\n"));
}

/// Each sample carries exactly the labels that the catalogue names, and each family of the catalogue is there.
TEST(Catalogue, IsWhatIsExposed) {
  const auto status = sample_status();
  const ProcessUsage usage = process_usage();
  const auto families = ClusterMetrics(status, usage).Collect();
  ASSERT_EQ(families.size(), catalogue().size());
  for (std::size_t i = 0; i < families.size(); ++i) {
    const MetricInfo& declared = catalogue()[i];
    EXPECT_EQ(families[i].name, declared.name);
    EXPECT_FALSE(declared.help.empty());
    for (const auto& sample : families[i].metric) {
      std::string labels;
      for (const auto& label : sample.label) labels += (labels.empty() ? "" : ",") + label.name;
      EXPECT_EQ(labels, declared.labels) << declared.name;
    }
  }
}

TEST(Catalogue, FollowsTheNamingRules) {
  std::set<std::string_view> names;
  for (const MetricInfo& each : catalogue()) {
    EXPECT_TRUE(names.insert(each.name).second) << each.name;
    EXPECT_EQ(each.name.ends_with("_total"), each.type == MetricType::counter) << each.name;
    EXPECT_TRUE(each.name.starts_with("drover_") || each.name.starts_with("process_")) << each.name;
    if (!each.unit.empty()) {
      EXPECT_THAT(std::string(each.name), HasSubstr("_" + std::string(each.unit)));
    }
  }
}

TEST(Metrics, PassPromtool) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) GTEST_SKIP() << "promtool (package prometheus) is not installed";
  std::string pattern = testing::TempDir() + "/drover-metrics-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path folder(pattern);
  std::ofstream(folder / "metrics") << metrics_text(sample_status());
  const std::string command = "promtool check metrics < " + (folder / "metrics").string() + " > " + (folder / "said").string() + " 2>&1";
  const int code = std::system(command.c_str());
  std::ifstream file(folder / "said");
  const std::string said{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(code, 0) << said;
  EXPECT_EQ(said, "");
  std::filesystem::remove_all(folder);
}

TEST(ProcessUsage, IsReadFromThisProcess) {
  const ProcessUsage usage = process_usage();
  EXPECT_GT(usage.resident_bytes.value_or(0), 1'000'000U);
  EXPECT_GE(usage.virtual_bytes.value_or(0), usage.resident_bytes.value_or(0));
  EXPECT_GE(usage.open_fds.value_or(0), 3U);
  EXPECT_GE(usage.max_fds.value_or(0), usage.open_fds.value_or(0));
  const double now = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(usage.start_time.value_or(0), now, 600);
}

TEST(Catalogue, TheOperatorsPageHasItsTable) {
  std::ifstream file(OPERATIONS_PAGE, std::ios::binary);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(page, HasSubstr(catalogue_table())) << "put it there anew: drover check --metrics";
}

}  // namespace
}  // namespace drover::admin
