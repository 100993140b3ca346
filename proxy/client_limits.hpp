// Role: what one client address may have of a listener: open connections, and requests per second by a token bucket.
// Thread: any proxy thread; one mutex per shard. Ownership: the process owns one per listener that has such limits; its memory is taken
//         once and never grows, however many addresses come.
//
// An address has its place in one small set. Where the set is full, the stalest that has no open connection is forgotten; were all of
// them connected, the newcomer is not counted: a crowd may get past these limits, never past `connections`.
#pragma once

#include "base/units.hpp"
#include "config/model.hpp"

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace drover::proxy {

/// As far as limits go: an IPv4 address, or the /64 of an IPv6 one.
struct ClientAddress {
  enum class Kind : std::uint8_t { none, four, six };
  std::uint64_t bits = 0;
  Kind kind = Kind::none;  ///< none: a Unix socket's client, which no limit binds
  bool operator==(const ClientAddress&) const = default;

  static ClientAddress of(const sockaddr_storage& address);
};

class ClientLimits {
 public:
  /// `connections`: as many may be open on the listener in all.
  ClientLimits(const config::Listener::PerClient& config, std::uint32_t connections, std::uint64_t seed);

  enum class Open : std::uint8_t { counted, uncounted, over };
  /// A connection has been accepted. Only one that was counted is closed().
  Open opened(const ClientAddress& address, base::TimePoint now);
  void closed(const ClientAddress& address);
  /// A request has come. 0: take it; else seconds after which the next one will be taken.
  unsigned request(const ClientAddress& address, base::TimePoint now);

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kLeastEntries = std::size_t{64} * 1024;
  static constexpr std::size_t kShards = 64;
  struct Entry {
    ClientAddress address;
    std::uint32_t connections = 0;
    double tokens = 0;
    base::TimePoint seen{};  ///< when its tokens were counted last
  };
  using Set = std::array<Entry, kWays>;
  Set& set_of(const ClientAddress& address, std::mutex*& mutex);
  Entry* find(Set& set, const ClientAddress& address, base::TimePoint now);

  const config::Listener::PerClient config_;
  const double burst_;
  const std::uint64_t seed_;  ///< so that nobody can choose addresses that share a set
  std::vector<Set> sets_;     ///< a power of two of them
  std::array<std::mutex, kShards> mutexes_;
};

}  // namespace drover::proxy
