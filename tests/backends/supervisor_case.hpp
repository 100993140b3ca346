// Role: a supervisor with real processes and signals, driven from a test; proxy and workers are the test program again.
// Thread: the test's; it runs the loop itself. Ownership: the fixture owns loop, configuration and supervisor.
#pragma once

#include "backends/endpoint.hpp"
#include "backends/supervisor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::backends::fakes {

using namespace std::chrono_literals;

class SupervisorCase : public testing::Test {
 protected:
  SupervisorCase() : executable_(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)) {
    config::Listener listener;
    listener.name = "web";
    listener.bind.host = "127.0.0.1";
    listener.bind.text = "127.0.0.1:0";
    config_.listeners.push_back(listener);
    config_.text = "[pool.shop]\n";
    add_pool("shop", 2, {});
    ::unsetenv("FAKE_PROXY");
  }
  ~SupervisorCase() override {
    if (supervisor_ && !exit_code_) {
      supervisor_->request_stop(true);
      wait([&] { return exit_code_.has_value(); });
    }
  }

  config::Pool& add_pool(const std::string& name, std::uint32_t workers, const std::vector<std::string>& words) {
    config::Pool pool;
    pool.name = name;
    pool.command = {"drover", "worker"};
    pool.command.insert(pool.command.end(), words.begin(), words.end());
    pool.workers = workers;
    pool.restart.delay = 50ms;
    pool.restart.max = 0;
    pool.stop.grace = 2s;
    pool.drain.http = 500ms;
    config_.pools.push_back(pool);
    return config_.pools.back();
  }
  base::Result<void> begin() {
    std::string workers;
    for (const auto& pool : config_.pools) workers += (workers.empty() ? "" : ",") + std::to_string(pool.workers_max.value_or(pool.workers));
    ::setenv("FAKE_WORKERS", workers.c_str(), 1);
    supervisor_ = std::make_unique<Supervisor>(io_, config_, SupervisorOptions{executable_.get(), 0, false},
                                               SupervisorHooks{[this] { first_ready_ = true; }, [this](int code) { exit_code_ = code; }});
    return supervisor_->start();
  }
  void begin_ready() {
    const auto done = begin();
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(wait([&] { return first_ready_; }));
  }
  /// Runs the loop until `what` holds. False: it did not in time.
  template <class What>
  bool wait(What what, base::Millis limit = 20s) {
    const auto until = base::Clock::now() + limit;
    while (!what()) {
      if (base::Clock::now() > until) return false;
      if (io_.stopped()) io_.restart();
      io_.run_one_for(20ms);
    }
    return true;
  }
  WorkerStatus worker(std::uint32_t slot = 1, std::size_t pool = 0) const { return supervisor_->status().pools.at(pool).workers.at(slot - 1); }
  pid_t proxy() const { return supervisor_->status().proxies.at(0).pid; }
  int stop() {
    supervisor_->request_stop(false);
    EXPECT_TRUE(wait([&] { return exit_code_.has_value(); }));
    return exit_code_.value_or(-1);
  }
  static bool lives(pid_t pid) { return ::kill(pid, 0) == 0; }

  /// What has happened: those events of the journal that have this name.
  std::vector<ClusterEvent> events(std::string_view name) const {
    std::vector<ClusterEvent> out;
    const EventJournal& journal = supervisor_->events();
    for (std::uint64_t number = journal.first(); number < journal.next(); number = journal.kept_from(number + 1)) {
      if (journal.at(number).name == name) out.push_back(journal.at(number));
    }
    return out;
  }
  bool happens(std::string_view name, std::size_t times = 1) {
    return wait([&] { return events(name).size() >= times; });
  }

  /// The test is the worker's client: what the fake worker is to do stands in the path.
  void ask_worker(const std::string& path, std::uint32_t slot = 1) { ask_at(worker(slot).endpoint, path); }
  void ask_at(const std::string& endpoint, const std::string& path) {
    ASSERT_NE(endpoint.find(':'), std::string::npos) << "no worker";
    const auto at = tcp_endpoint(static_cast<std::uint16_t>(std::stoul(endpoint.substr(endpoint.find(':') + 1))));
    const base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // It may be about to listen.
    ASSERT_TRUE(wait([&] { return ::connect(fd.get(), at.addr(), at.length) == 0; }));
    const std::string request = "GET " + path + " HTTP/1.1\r\n\r\n";
    ASSERT_EQ(::write(fd.get(), request.data(), request.size()), static_cast<ssize_t>(request.size()));
    char answer[256];
    (void)!::read(fd.get(), answer, sizeof answer);
  }

  boost::asio::io_context io_{1};
  base::UniqueFd executable_;
  config::Config config_;
  mutable std::unique_ptr<Supervisor> supervisor_;
  bool first_ready_ = false;
  std::optional<int> exit_code_;
};

}  // namespace drover::backends::fakes
