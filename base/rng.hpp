// Role: small seedable generator (splitmix64): the same seed gives the same numbers on every machine.
// Thread: one owner. Not for secrets.
#pragma once

#include <cstdint>

namespace drover::base {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  /// A number below `bound` (> 0).
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

  /// In [0, 1).
  double unit() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace drover::base
