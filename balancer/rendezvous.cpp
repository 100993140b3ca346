#include "balancer/rendezvous.hpp"

namespace drover::balancer {

namespace {

/// The finalizer of splitmix64: each bit of the word reaches every bit of the result.
std::uint64_t mixed(std::uint64_t word) {
  word = (word ^ (word >> 30U)) * 0xbf58476d1ce4e5b9U;
  word = (word ^ (word >> 27U)) * 0x94d049bb133111ebU;
  return word ^ (word >> 31U);
}

}  // namespace

/// FNV-1a, whose own high bits are poor for short keys, and a finalizer. Who finds keys that meet on one worker gains nothing: its load is
/// bounded.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t state = 0xcbf29ce484222325U;
  for (const char c : text) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  state = mixed(state);
  return state != 0 ? state : 1;
}

std::uint64_t preference(std::uint64_t hash, std::uint32_t slot) { return mixed(hash ^ (slot * 0x9e3779b97f4a7c15U)); }

}  // namespace drover::balancer
