// Role: the hunt for queries of death: kinds of requests that were inside when workers died by their own fault, far more often than
//       their part of the traffic explains. Pure.
// Thread: supervisor's deciding thread (or a test). Ownership: a value; one per pool.
#pragma once

#include "base/units.hpp"
#include "board/flights.hpp"
#include "config/model.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace drover::backends {

struct Killer {
  std::uint64_t fingerprint = 0;
  std::string method;
  std::string path;
  std::uint32_t deaths = 0;
  base::TimePoint until{};  ///< blocked until then
};

/// Rule: a fingerprint that was in flight at `killer.deaths` self-inflicted deaths of the pool within `killer.within`, and whose
/// share of all that was in flight at the deaths of that time is at least kTimes its share of all requests, is blocked for
/// `killer.within`. So that nobody innocent is:
///   - "all requests" are those of the last one or two `killer.within` (or kLeastTraffic), not of months: a path may have become hot
///     just now;
///   - chance must be an unlikely explanation: the probability that an innocent one is inside at so many of these deaths, times the
///     number of fingerprints that were, is at most kChance. What counts as likely is the larger of its share of requests and, for slow
///     ones (long polls, uploads, tunnels), how often one comes times how long they had been inside: they are inside at most deaths.
/// Judged are those that were in flight at the death that has just happened.
class KillerHunt {
 public:
  static constexpr double kTimes = 5;
  static constexpr double kChance = 0.01;
  static constexpr std::size_t kMaxDeaths = 256;  ///< remembered
  static constexpr std::size_t kMaxFlights = 64;  ///< fingerprints of one death, the rarest first; the others are only counted
  static constexpr std::size_t kMaxBlocked = 32;  ///< of a pool; beyond them nothing new is blocked

  static constexpr base::Millis kLeastTraffic{60'000};

  explicit KillerHunt(const config::Pool& pool) : pool_(&pool) {}

  /// The traffic so far (running totals that never fall, of all proxies, dead ones too), to know later what is recent. At the start
  /// and whenever traffic_due(); without it all that ever came is meant, and slow requests aren't told from killers.
  void traffic(const board::Sketch::Totals& traffic, std::uint64_t requests, base::TimePoint now);
  bool traffic_due(base::TimePoint now) const;
  /// One self-inflicted death, what was in flight, and the traffic so far. Returns those newly blocked.
  std::vector<Killer> died(std::span<const board::Flight> flights, const board::Sketch::Totals& traffic, std::uint64_t requests, base::TimePoint now);
  /// Those whose time is over since the last call.
  std::vector<Killer> released(base::TimePoint now);
  const std::vector<Killer>& blocked() const { return blocked_; }

 private:
  /// One fingerprint at one death.
  struct Inside {
    std::uint64_t fingerprint = 0;
    std::uint32_t count = 0;
    double age_seconds = 0;  ///< sum over them
  };
  struct Death {
    base::TimePoint at;
    std::uint32_t flights = 0;  ///< all that were inside
    std::vector<Inside> inside;
  };
  struct Snapshot {
    base::TimePoint at;
    std::uint64_t requests = 0;
    board::Sketch::Totals traffic;
  };
  /// What came since the older snapshot.
  struct Recent {
    std::uint64_t requests = 0;
    double seconds = 0;  ///< 0: unknown
    board::Sketch::Totals traffic;
  };
  std::unique_ptr<Recent> recent(const board::Sketch::Totals& traffic, std::uint64_t requests, base::TimePoint now) const;
  void remember(std::span<const board::Flight> flights, const Recent& traffic, base::TimePoint now);
  /// How many different ones were inside at all remembered deaths.
  std::size_t fingerprints() const;
  /// At how many deaths it was inside, if that is too many to be innocent; else 0. `known`: fingerprints().
  std::uint32_t guilty(std::uint64_t fingerprint, const Recent& traffic, std::size_t known) const;

  const config::Pool* pool_;
  std::unique_ptr<Snapshot> older_;
  std::unique_ptr<Snapshot> newer_;  ///< takes the older one's place when it is `killer.within` old itself
  std::deque<Death> deaths_;
  std::vector<Killer> blocked_;
};

}  // namespace drover::backends
