#include "tests/balancer/simulation.hpp"

#include "balancer/rendezvous.hpp"
#include "tests/balancer/pool_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

namespace drover::test {

namespace {

constexpr std::uint32_t kWorkers = 8;
constexpr std::uint64_t kMs = 1'000'000;  // of nanoseconds, as all times here
constexpr std::uint64_t kService = 10 * kMs;
constexpr double kLoad = 0.6;  // of what eight equal workers can do
constexpr std::uint64_t kFigureEvery = 1'000 * kMs;
constexpr std::uint64_t kRestart = 2'000 * kMs;
constexpr std::uint64_t kNever = UINT64_MAX;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kFresh = 50 * kMiB;
constexpr std::uint64_t kLimit = 1'024 * kMiB;
constexpr double kSlowFrom = 0.6;  // of the limit: from there on it is slower, up to …
constexpr double kSlowest = 10;    // … that many times
constexpr std::uint64_t kClients = 1'000;

/// A worker that serves one request at a time, in their order.
struct Played {
  struct Asked {
    balancer::Lease lease;
    std::uint64_t at;
  };
  std::deque<Asked> line;
  std::uint64_t ends = kNever;  ///< the first one's service
  std::uint64_t back = kNever;  ///< from the dead
  std::uint64_t memory = kFresh;
  std::uint32_t index = 0;  ///< its row in the pool
  int given = 0;
};

class Simulation {
 public:
  Simulation(const balancer::Strategy& strategy, World world, std::uint64_t seed)
      : world_(world), pool_(kWorkers, strategy, seed), dice_(seed), workers_(kWorkers) {
    pool_.come_all(kWorkers);
    for (std::uint32_t i = 0; i < kWorkers; ++i) workers_[i].index = i;
    waits_.reserve(kRequests);
    tell_memory();
  }

  Figures run() {
    std::uint64_t arrival = drawn(between());
    int arrived = 0;
    while (arrived < kRequests) {
      const auto soonest = std::ranges::min_element(workers_, {}, next_of);
      now_ = std::min({arrival, next_of(*soonest), figure_});
      pool_.now_ns = now_ + kFigureEvery;  // a clock that has never been 0
      if (now_ == arrival) {
        arrive();
        ++arrived;
        arrival += drawn(between());
      } else if (now_ == figure_) {
        tell_memory();
        figure_ += kFigureEvery;
      } else if (now_ == soonest->back) {
        rise(*soonest);
      } else {
        answer(*soonest);
      }
    }
    return figures();
  }

 private:
  static std::uint64_t next_of(const Played& worker) { return std::min(worker.ends, worker.back); }
  static double between() { return static_cast<double>(kService) / (kWorkers * kLoad); }
  /// Exponential.
  std::uint64_t drawn(double mean) { return static_cast<std::uint64_t>(-std::log(1 - dice_.unit()) * mean) + 1; }
  bool odd(const Played& worker) const { return &worker == &workers_.back(); }

  void arrive() {
    // Few clients ask often, many now and then.
    const double client = dice_.unit();
    const auto number = static_cast<std::uint64_t>(client * client * kClients);
    const auto got = pool_.claimer().claim({.now_ns = pool_.now_ns, .hash = balancer::hash_of("client " + std::to_string(number))});
    Played& worker = *std::ranges::find_if(workers_, [&](const Played& each) { return pool_.row(each.index) == got.lease.value().row; });
    worker.line.push_back({*got.lease, now_});
    ++worker.given;
    if (worker.line.size() == 1) begin(worker);
  }

  void begin(Played& worker) {
    double times = 1;
    if (odd(worker) && world_ == World::slow) times = 5;
    if (odd(worker) && world_ == World::leaking) {
      const double full = static_cast<double>(worker.memory) / static_cast<double>(kLimit);
      times = 1 + (kSlowest - 1) * std::max(0.0, (full - kSlowFrom) / (1 - kSlowFrom));
    }
    worker.ends = now_ + drawn(static_cast<double>(kService) * times);
  }

  void answer(Played& worker) {
    const Played::Asked asked = worker.line.front();
    worker.line.pop_front();
    worker.ends = kNever;
    waits_.push_back(now_ - asked.at);
    pool_.answered_in(worker.index, (now_ - asked.at) / 1'000);
    pool_.claimer().release(asked.lease);
    if (odd(worker) && world_ == World::leaking && (worker.memory += kMiB) >= kLimit) return die(worker);
    if (!worker.line.empty()) begin(worker);
  }

  void die(Played& worker) {
    pool_.go(worker.index);
    for (const Played::Asked& asked : worker.line) {
      balancer::note_failure(pool_.board().latency(asked.lease.row), asked.lease.incarnation, (now_ - asked.at) / 1'000, pool_.now_ns);
      pool_.claimer().release(asked.lease);
      ++failed_;
    }
    worker.line.clear();
    worker.back = now_ + kRestart;
  }

  void rise(Played& worker) {
    worker.back = kNever;
    worker.memory = kFresh;
    worker.index = worker.index < kWorkers ? worker.index + kWorkers : worker.index - kWorkers;
    pool_.come(static_cast<std::uint32_t>(&worker - workers_.data()) + 1, worker.index);
  }

  void tell_memory() {
    for (const Played& worker : workers_) {
      if (worker.back == kNever) pool_.memory(worker.index, worker.memory);
    }
  }

  Figures figures() {
    const auto part = [&](double of) {
      const auto at = waits_.begin() + static_cast<std::ptrdiff_t>(of * static_cast<double>(waits_.size()));
      std::ranges::nth_element(waits_, at);
      return static_cast<double>(*at) / static_cast<double>(kMs);
    };
    const auto most = std::ranges::max_element(workers_, {}, &Played::given)->given;
    return {part(0.5), part(0.99), static_cast<double>(most) * kWorkers / kRequests, failed_};
  }

  World world_;
  PoolWorld pool_;
  base::Rng dice_;
  std::vector<Played> workers_;
  std::vector<std::uint64_t> waits_;
  std::uint64_t now_ = 0;
  std::uint64_t figure_ = kFigureEvery;
  int failed_ = 0;
};

}  // namespace

Figures simulate(const balancer::Strategy& strategy, World world, std::uint64_t seed) { return Simulation(strategy, world, seed).run(); }

std::string simulation_table() {
  std::string text = "| world | strategy | p50, ms | p99, ms | busiest / mean | failed |\n|---|---|--:|--:|--:|--:|\n";
  for (const World world : {World::equal, World::slow, World::leaking}) {
    for (const balancer::Strategy& strategy : balancer::strategies()) {
      const Figures got = simulate(strategy, world);
      text += fmt::format("| {} | {} | {:.1f} | {:.1f} | {:.2f} | {} |\n", kWorldNames[static_cast<std::size_t>(world)], strategy.name, got.p50_ms,
                          got.p99_ms, got.imbalance, got.failed);
    }
  }
  return text;
}

}  // namespace drover::test
