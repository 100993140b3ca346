#include "proxy/client_limits.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace drover::proxy {

namespace {

std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 33U;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33U;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33U);
}

}  // namespace

ClientAddress ClientAddress::of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return {reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr, Kind::four};
  if (address.ss_family != AF_INET6) return {};
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&six)) {
    std::uint32_t four = 0;
    std::memcpy(&four, &six.s6_addr[12], sizeof four);
    return {four, Kind::four};
  }
  std::uint64_t network = 0;
  std::memcpy(&network, six.s6_addr, sizeof network);
  return {network, Kind::six};
}

ClientLimits::ClientLimits(const config::Listener::PerClient& config, std::uint32_t connections, std::uint64_t seed)
    : config_(config),
      burst_(config.burst > 0 ? config.burst : std::max(1.0, config.requests)),
      seed_(seed),
      sets_(std::bit_ceil(std::max(kLeastEntries, std::size_t{connections} * 2) / kWays)) {}

ClientLimits::Set& ClientLimits::set_of(const ClientAddress& address, std::mutex*& mutex) {
  const std::uint64_t hash = mix(mix(address.bits ^ seed_) + static_cast<std::uint64_t>(address.kind));
  const std::size_t index = hash & (sets_.size() - 1);
  mutex = &mutexes_[index % kShards];
  return sets_[index];
}

/// Under the set's mutex. Its entry, perhaps a new one; none: everybody here is connected.
ClientLimits::Entry* ClientLimits::find(Set& set, const ClientAddress& address, base::TimePoint now) {
  Entry* place = nullptr;
  for (Entry& entry : set) {
    if (entry.address == address) return &entry;
    if (entry.connections > 0) continue;
    if (place == nullptr || entry.seen < place->seen) place = &entry;
  }
  if (place != nullptr) *place = Entry{address, 0, burst_, now};
  return place;
}

ClientLimits::Open ClientLimits::opened(const ClientAddress& address, base::TimePoint now) {
  if (config_.connections == 0 || address.kind == ClientAddress::Kind::none) return Open::uncounted;
  std::mutex* mutex = nullptr;
  Set& set = set_of(address, mutex);
  const std::lock_guard lock(*mutex);
  Entry* entry = find(set, address, now);
  if (entry == nullptr) return Open::uncounted;
  if (entry->connections >= config_.connections) return Open::over;
  ++entry->connections;
  return Open::counted;
}

void ClientLimits::closed(const ClientAddress& address) {
  std::mutex* mutex = nullptr;
  Set& set = set_of(address, mutex);
  const std::lock_guard lock(*mutex);
  for (Entry& entry : set) {
    if (entry.address == address && entry.connections > 0) --entry.connections;
  }
}

unsigned ClientLimits::request(const ClientAddress& address, base::TimePoint now) {
  if (config_.requests <= 0 || address.kind == ClientAddress::Kind::none) return 0;
  std::mutex* mutex = nullptr;
  Set& set = set_of(address, mutex);
  const std::lock_guard lock(*mutex);
  Entry* entry = find(set, address, now);
  if (entry == nullptr) return 0;
  const std::chrono::duration<double> passed = std::max(now - entry->seen, base::Clock::duration::zero());
  entry->tokens = std::min(burst_, entry->tokens + passed.count() * config_.requests);
  entry->seen = std::max(now, entry->seen);
  if (entry->tokens >= 1) {
    entry->tokens -= 1;
    return 0;
  }
  return static_cast<unsigned>(std::clamp(std::ceil((1 - entry->tokens) / config_.requests), 1.0, 3600.0));
}

}  // namespace drover::proxy
