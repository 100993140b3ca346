#include "balancer/latency.hpp"

#include <algorithm>
#include <cmath>

namespace drover::balancer {

namespace {

// One word, so that no reader pairs one figure with another's time: {ticks:28, incarnation:10, microseconds:26}. A tick of 67 ms is a two
// hundredth of the half-life; they come round after 208 days. Latencies end at 67 s. Two lives of a row with the same ten bits are a
// thousand lives apart.
constexpr unsigned kUsBits = 26;
constexpr unsigned kLifeBits = 10;
constexpr unsigned kTickBits = 28;
constexpr unsigned kTickShift = 26;  // nanoseconds
constexpr std::uint64_t kMostUs = (1ULL << kUsBits) - 1;
constexpr double kTicksPerHalfLife = kLatencyHalfLifeSeconds * 1e9 / static_cast<double>(1ULL << kTickShift);
static_assert(kUsBits + kLifeBits + kTickBits == 64);

constexpr std::uint64_t low(std::uint64_t word, unsigned bits) { return word & ((1ULL << bits) - 1); }

struct Figure {
  std::uint64_t us = 0;  ///< 0: unknown
  std::uint64_t tick = 0;
};

Figure read(std::uint64_t word, base::Incarnation incarnation) {
  if (low(word >> kUsBits, kLifeBits) != low(incarnation, kLifeBits)) return {};
  return {low(word, kUsBits), word >> (kUsBits + kLifeBits)};
}

/// The part that is left of a figure after that many ticks. Threads' clocks are read apart: a figure may be of a later tick than now.
double left_of(std::uint64_t since, std::uint64_t now) {
  const std::uint64_t ticks = low(now - since, kTickBits);
  if (ticks == 0 || ticks >= 1ULL << (kTickBits - 1)) return 1;
  return std::exp2(-static_cast<double>(ticks) / kTicksPerHalfLife);
}

std::uint64_t tick_of(std::uint64_t now_ns) { return low(now_ns >> kTickShift, kTickBits); }

std::uint64_t decayed(const Figure& figure, std::uint64_t tick) {
  if (figure.us == 0) return 0;
  return std::max<std::uint64_t>(static_cast<std::uint64_t>(static_cast<double>(figure.us) * left_of(figure.tick, tick)), 1);
}

/// `next(figure)` is what it would be, given what is left of the old one.
template <class Next>
void update(board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t now_ns, Next next) {
  const std::uint64_t tick = tick_of(now_ns);
  std::uint64_t word = cell.figure.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t left = decayed(read(word, incarnation), tick);
    const std::uint64_t us = std::clamp<std::uint64_t>(next(left), 1, kMostUs);
    if (us <= left) return;  // only a peak is news: most answers write nothing
    const std::uint64_t fresh = (tick << (kUsBits + kLifeBits)) | (low(incarnation, kLifeBits) << kUsBits) | us;
    // Each lost race is another thread's peak, and makes ours none sooner or later.
    if (cell.figure.compare_exchange_weak(word, fresh, std::memory_order_relaxed)) return;
  }
}

}  // namespace

void note_latency(board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t us, std::uint64_t now_ns) {
  update(cell, incarnation, now_ns, [us](std::uint64_t) { return us; });
}

void note_failure(board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t us, std::uint64_t now_ns) {
  update(cell, incarnation, now_ns, [us](std::uint64_t left) { return std::max({us, kFailureUs, 2 * left}); });
}

std::uint64_t latency_us(const board::LatencyCell& cell, base::Incarnation incarnation, std::uint64_t now_ns) {
  return decayed(read(cell.figure.load(std::memory_order_relaxed), incarnation), tick_of(now_ns));
}

}  // namespace drover::balancer
