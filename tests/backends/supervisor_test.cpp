// The supervisor's glue with real processes and signals; proxy and workers are this program again (supervisor_fakes.hpp).
#include "supervisor_case.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <set>

namespace drover::backends {
namespace {

using namespace std::chrono_literals;
using SupervisorTest = fakes::SupervisorCase;

TEST_F(SupervisorTest, Start_MakesAllReady_StopLeavesNothing_Exit0) {
  begin_ready();
  const ClusterStatus status = supervisor_->status();
  EXPECT_TRUE(status.ready);
  ASSERT_EQ(status.pools.at(0).workers.size(), 2U);
  std::set<pid_t> pids{proxy()};
  for (const WorkerStatus& each : status.pools[0].workers) {
    EXPECT_TRUE(wait([&] { return worker(each.slot).eligible; }));
    EXPECT_GT(each.pid, 0);
    pids.insert(each.pid);
  }
  EXPECT_EQ(pids.size(), 3U);
  EXPECT_EQ(status.listeners.at(0).address.substr(0, 10), "127.0.0.1:");
  EXPECT_NE(status.listeners.at(0).address, "127.0.0.1:0");
  EXPECT_EQ(stop(), 0);
  for (const pid_t pid : pids) EXPECT_FALSE(lives(pid));
}

TEST_F(SupervisorTest, KilledWorker_IsReplacedOnANewEndpoint) {
  begin_ready();
  const WorkerStatus before = worker();
  ::kill(before.pid, SIGKILL);
  ASSERT_TRUE(wait([&] { return worker().incarnation == before.incarnation + 1 && worker().eligible; }));
  EXPECT_NE(worker().endpoint, before.endpoint);
  EXPECT_EQ(worker().exits.at("KILL"), 1U);
  EXPECT_EQ(worker().restarts, 1U);
  EXPECT_EQ(stop(), 0);
}

TEST_F(SupervisorTest, KilledProxy_IsReplaced_WorkersStay_TotalsNeverFall) {
  ::setenv("FAKE_PROXY", "inside", 1);
  begin_ready();
  ASSERT_TRUE(wait([&] { return worker().in_flight == 1; }));
  const pid_t dead = proxy();
  const WorkerStatus before = worker();
  ::kill(dead, SIGKILL);
  ASSERT_TRUE(wait([&] { return proxy() != 0 && proxy() != dead && supervisor_->status().ready; }));
  EXPECT_EQ(worker().pid, before.pid);
  ASSERT_TRUE(wait([&] { return worker().requests >= before.requests + 1; })) << "the new proxy finds the gate open, the old count is kept";
  EXPECT_EQ(worker().in_flight, 1U) << "what the dead one held has vanished";
  EXPECT_EQ(supervisor_->status().proxy_restarts, 1U);
}

TEST_F(SupervisorTest, StoppedProxy_IsReplaced) {
  begin_ready();
  const pid_t stopped = proxy();
  ::kill(stopped, SIGSTOP);
  EXPECT_TRUE(wait([&] { return proxy() != 0 && proxy() != stopped && supervisor_->status().ready; }));
  EXPECT_FALSE(lives(stopped));
}

TEST_F(SupervisorTest, SilentProxyThread_IsReplaced) {
  ::setenv("FAKE_PROXY", "silent", 1);
  begin_ready();
  const pid_t silent = proxy();
  EXPECT_TRUE(wait([&] { return proxy() != silent; }));
}

TEST_F(SupervisorTest, StoppedWorker_GetsNoNewWork_UntilContinued) {
  begin_ready();
  const pid_t pid = worker().pid;
  ::kill(pid, SIGSTOP);
  EXPECT_TRUE(wait([&] { return !worker().eligible; }, 2s));
  ::kill(pid, SIGCONT);
  EXPECT_TRUE(wait([&] { return worker().eligible && worker().pid == pid; }, 2s));
}

TEST_F(SupervisorTest, DeafWorker_IsKilledAfterItsGrace_Exit1) {
  config_.pools.clear();
  add_pool("shop", 1, {"deaf"}).stop.grace = 300ms;
  begin_ready();
  EXPECT_EQ(stop(), 1);
}

TEST_F(SupervisorTest, ForcedStop_EndsAtOnce_Exit1) {
  ::setenv("FAKE_PROXY", "inside", 1);
  config_.pools.clear();
  config::Pool& pool = add_pool("shop", 1, {"deaf"});
  pool.stop.grace = 60s;
  pool.drain.http = 60s;
  begin_ready();
  const pid_t pid = worker().pid;
  supervisor_->request_stop(false);
  supervisor_->request_stop(true);
  EXPECT_TRUE(wait([&] { return exit_code_.has_value(); }, 5s));
  EXPECT_EQ(exit_code_, 1);
  EXPECT_FALSE(lives(pid));
}

TEST_F(SupervisorTest, ClusterShutdown_CutsAllShort_Exit1) {
  config_.cluster.shutdown = 500ms;
  config_.pools.clear();
  add_pool("shop", 1, {"deaf"}).stop.grace = 60s;
  begin_ready();
  supervisor_->request_stop(false);
  EXPECT_TRUE(wait([&] { return exit_code_.has_value(); }, 5s));
  EXPECT_EQ(exit_code_, 1);
}

TEST_F(SupervisorTest, Signals_FirstStops_SecondForces_OthersAreNeverFatal) {
  config_.pools.clear();
  add_pool("shop", 1, {"deaf"}).stop.grace = 60s;
  begin_ready();
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU}) ::kill(::getpid(), number);
  EXPECT_FALSE(wait([&] { return supervisor_->status().stopping; }, 200ms));
  ::kill(::getpid(), SIGTERM);
  EXPECT_TRUE(wait([&] { return supervisor_->status().stopping; }));
  EXPECT_FALSE(exit_code_);
  ::kill(::getpid(), SIGINT);
  EXPECT_TRUE(wait([&] { return exit_code_.has_value(); }, 5s));
}

TEST_F(SupervisorTest, PortInUse_IsAnErrorThatNamesTheListener) {
  const base::UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  ASSERT_EQ(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  config_.listeners[0].bind.port = ntohs(address.sin_port);
  const auto done = begin();
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("listener web"), std::string::npos) << done.error().message;
  EXPECT_NE(done.error().message.find("in use"), std::string::npos);
  supervisor_.reset();
}

TEST_F(SupervisorTest, Squatter_GetsNoConnection) {
  config_.pools.clear();
  add_pool("shop", 1, {"mute"});
  ASSERT_TRUE(begin());
  ASSERT_TRUE(wait([&] { return worker().pid != 0; }));
  const base::UniqueFd squatter(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const std::string endpoint = worker().endpoint;
  const auto at = tcp_endpoint(static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.find(':') + 1))));
  ASSERT_EQ(::bind(squatter.get(), at.addr(), at.length), 0);
  ASSERT_EQ(::listen(squatter.get(), 8), 0);
  const auto checks = supervisor_->status().health_checks;
  ASSERT_TRUE(wait([&] { return supervisor_->status().health_checks >= checks + 5; }));
  EXPECT_EQ(::accept(squatter.get(), nullptr, nullptr), -1);
  EXPECT_FALSE(worker().eligible);
  EXPECT_NE(worker().note.find("another process"), std::string::npos) << worker().note;
}

TEST_F(SupervisorTest, CrashLoop_KeepsDroverRunning_GiveUpEndsIt_Exit1) {
  config_.pools.clear();
  config::Pool& pool = add_pool("shop", 1, {"exit"});
  pool.restart.max = 2;
  pool.restart.give_up = true;
  ASSERT_TRUE(begin());
  ASSERT_TRUE(wait([&] { return exit_code_.has_value(); }));
  EXPECT_EQ(exit_code_, 1);
  EXPECT_EQ(worker().exits.at("3"), 3U);
}

TEST_F(SupervisorTest, UnixEndpoint_ServesAndLeavesNoFile) {
  config_.pools[0].endpoint = config::Endpoint::unix_path;
  begin_ready();
  const std::string path = worker().endpoint.substr(5);
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
  EXPECT_EQ(stop(), 0);
  supervisor_.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_NE(::access(path.substr(0, path.rfind('/')).c_str(), F_OK), 0);
}

TEST_F(SupervisorTest, Report_CountsBeforeTheSample) {
  config_.pools[0].ready.http = "/health";
  begin_ready();
  EXPECT_TRUE(wait([&] { return worker().memory_source == "report"; }));
  EXPECT_EQ(worker().memory_bytes, 123456U);
}

TEST_F(SupervisorTest, Memory_IsSampled) {
  begin_ready();
  // A first sample may meet the worker in the middle of its exec.
  EXPECT_TRUE(wait([&] { return worker().memory_source == "pss" && worker().memory_bytes > 100'000; }));
  EXPECT_GT(worker().open_fds, 0U);
}

}  // namespace
}  // namespace drover::backends
