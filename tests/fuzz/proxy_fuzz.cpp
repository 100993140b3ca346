// A whole proxy thread between clients and workers that do whatever a seed says: valid and broken streams in random pieces, half-closes,
// resets; against a model of what each side may see (proxy_actors.hpp). usage: proxy_fuzz [SEED [COUNT]]

#include "../proxy/exchange_world.hpp"
#include "proxy_actors.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace {

using namespace drover;
using fuzz::ClientSide;
using fuzz::Court;
using fuzz::Story;
using fuzz::WorkerSide;

constexpr auto kPatience = std::chrono::seconds(60);
std::uint64_t first_seed = 1;
std::uint64_t seed_count = 300;

class Stage {
 public:
  explicit Stage(const Story& story)
      : story_(story), court_(story), rng_(story.seed ^ 0x5eedU), world_([&](config::Pool& pool) {
          pool.concurrency = story.concurrency;
          pool.keepalive = story.keepalive;
          pool.retry.budget = story.budget;
          // Nothing here may depend on how fast this machine is.
          pool.queue.wait = base::Millis(600'000);
          pool.outlier.errors = 0;
          pool.outlier.ratio = 0;
        }) {
    for (std::uint32_t i = 0; i < story.workers; ++i) world_.come();
    for (const auto& plan : story.clients) clients_.push_back(std::make_unique<ClientSide>(dial(), plan, court_));
  }

  void play() {
    const auto until = base::Clock::now() + kPatience;
    while (court_.blamed.empty() && !finished()) {
      if (base::Clock::now() > until) {
        for (const auto& each : clients_) {
          if (!each->over()) court_.blame("hangs: client: " + each->state());
        }
        for (const auto& each : workers_) {
          if (each->owed_an_end()) court_.blame("never closed: " + each->state());
        }
        break;
      }
      turn();
    }
    clients_.clear();
    workers_.clear();
    world_.workers.clear();  // also of connections that nobody has accepted
    be_the_last();
    EXPECT_TRUE(test::eventually([&] { return world_.board.client_connections(0, 0).get() == 0; })) << "a session goes on";
    for (std::uint32_t row = 0; row < story_.workers; ++row) {
      std::vector<board::Flight> found;
      world_.board.flights(0).collect(row, test::World::incarnation(row), UINT64_MAX, found);  // broken ones are evidence, and stay
      EXPECT_TRUE(found.empty()) << "a flight goes on";
    }
    for (const std::string& each : court_.blamed) ADD_FAILURE() << each;
  }

 private:
  base::UniqueFd dial() const {
    base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&world_.listener.address), sizeof world_.listener.address), 0);
    return fd;
  }

  /// Clients that left at once may still stand in the kernel's queue: whoever comes after them and is answered knows that they were met.
  void be_the_last() const {
    const base::UniqueFd fd = dial();
    constexpr std::string_view kRefused = "GET / HTTP/1.1\r\n\r\n";
    EXPECT_EQ(::send(fd.get(), kRefused.data(), kRefused.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kRefused.size()));
    std::array<char, 4096> answer{};
    while (::recv(fd.get(), answer.data(), answer.size(), 0) > 0) {
    }
  }

  bool finished() const {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& each) { return each->over(); }) &&
           std::none_of(workers_.begin(), workers_.end(), [](const auto& each) { return each->owed_an_end(); });
  }

  void turn() {
    std::vector<pollfd> waiting;
    for (const auto& port : world_.workers) waiting.push_back({port->fd.get(), POLLIN, 0});
    for (const auto& each : clients_) {
      if (!each->over()) waiting.push_back({each->wire().fd(), POLLIN, 0});
    }
    for (const auto& each : workers_) {
      if (!each->over()) waiting.push_back({each->wire().fd(), POLLIN, 0});
    }
    ::poll(waiting.data(), waiting.size(), 1);
    for (const auto& port : world_.workers) {
      while (port->anybody_within(0)) {
        base::UniqueFd fd(::accept4(port->fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (fd) workers_.push_back(std::make_unique<WorkerSide>(std::move(fd), court_));
      }
    }
    for (const auto& each : clients_) {
      if (rng_.below(4) > 0) each->step(rng_);
    }
    for (const auto& each : workers_) {
      if (rng_.below(4) > 0) each->step(rng_);
    }
  }

  const Story& story_;
  Court court_;
  base::Rng rng_;
  test::World world_;
  std::vector<std::unique_ptr<ClientSide>> clients_;
  std::vector<std::unique_ptr<WorkerSide>> workers_;
};

TEST(ProxyFuzz, EachSideSeesOnlyWhatTheModelAllows) {
  for (std::uint64_t seed = first_seed; seed < first_seed + seed_count; ++seed) {
    const Story story(seed);
    Stage(story).play();
    if (HasFailure()) {
      std::printf("seed %llu; again: proxy_fuzz %llu\n", static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seed));
      return;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) {
    first_seed = std::strtoull(argv[1], nullptr, 10);
    seed_count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  }
  return RUN_ALL_TESTS();
}
