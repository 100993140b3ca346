// Role: claim: the strategy proposes, the gate admits; pick and admit are one step. The result is a lease.
// Thread: any proxy thread; Claimer is one thread's own. No I/O, no clock, no waiting, no allocation in claim().
// Ownership: a Lease must be given back once with release(); boards outlive the Claimer.
#pragma once

#include "balancer/strategy.hpp"
#include "base/rng.hpp"
#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace drover::balancer {

/// The right to use a worker for one exchange.
struct Lease {
  std::uint32_t row = 0;
  std::uint32_t slot = 0;
  base::Incarnation incarnation = 0;
};

/// Why there is no lease. `full`: a worker that this exchange may use is open, but each has its `concurrency` in use.
/// `nobody`: no gate is open, or only those of workers to be avoided.
enum class NoLease : std::uint8_t { full, nobody };

struct ClaimResult {
  std::optional<Lease> lease;
  NoLease why = NoLease::nobody;
};

/// Workers an exchange has tried and must not get again, and those a thread passes over after a refused connection.
struct Avoid {
  std::span<const Lease> leases;
};

/// What of a request bears on the choice of its worker.
struct Ask {
  Avoid avoid{};
  std::uint64_t now_ns = 0;   ///< steady clock, to decay latencies
  std::uint64_t hash = 0;     ///< consistent-hash: see Turn
  std::uint32_t slot = 0;     ///< sticky: the slot that its cookie names, asked first; 0: none
  std::uint64_t session = 0;  ///< sticky: of its cookie: while that slot has no room, the same other worker is asked each time
};

/// A worker whose share is below that of others is left out by chance, so that it is served as often as it wants; it is used all the same when the
/// others are full or there is none. One of 0 % is used only when no other may be. The worker of a sticky session is not left out by chance.
class Claimer {
 public:
  /// `admit` asks for more than the gate (a connection permit when `concurrency` bounds them): called inside the gate;
  /// false: full, the gate is left again and the next is tried.
  using Admit = bool (*)(void* context, const Lease& lease);

  /// `bound`: the pool's hash.bound.
  Claimer(const board::SupervisorBoard& supervisor, const board::ProxyBoard& proxy, std::uint32_t pool, const Strategy& strategy, std::uint64_t seed,
          double bound = config::Pool::Hash{}.bound);

  ClaimResult claim(const Ask& ask, Admit admit = nullptr, void* context = nullptr);
  /// What it needs to be told; what it doesn't ask for nobody has to find out.
  const Strategy& strategy() const { return strategy_; }
  /// Leaves the gate.
  void release(const Lease& lease);
  /// For handing a lease to another exchange: false: the gate has closed, release it and claim anew.
  bool transferable(const Lease& lease) const;

 private:
  void collect(const Ask& ask);
  void call_home(const Ask& ask);
  void thin_out();
  bool fall_back();
  std::size_t choose(const Ask& ask);
  std::size_t take_turn(const Ask& ask);

  const board::SupervisorBoard& supervisor_;
  const board::ProxyBoard& proxy_;
  std::uint32_t pool_;
  const Strategy& strategy_;
  double bound_;
  base::Rng rng_;
  // Reserved once for all rows of the pool.
  std::vector<Candidate> candidates_;
  std::vector<Candidate> spared_;     ///< left out by chance
  std::vector<Candidate> unwilling_;  ///< of 0 %
  std::vector<LoadNote> notes_;
};

}  // namespace drover::balancer
