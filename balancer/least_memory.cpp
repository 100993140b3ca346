// least-memory: smallest score, where score = last figure + claims since it × mean growth per claim; those within 10 % of the smallest take
// turns. Figures are up to a second old, so without damping all load would go to one worker until the next: no worker gets more than
// twice its even share (plus one claim per thread) within one figure's age; one that wants less than its even part gets no more than it
// wants, however small it is: served less, it would be the smallest for ever.
#include "balancer/turn.hpp"

#include <algorithm>

namespace drover::balancer {

namespace {

constexpr double kEqual = 1.10;        // scores up to this times the smallest are the same
constexpr double kShareLimit = 2;      // of an even share, within one figure's age
constexpr double kNewestWeight = 0.3;  // of the newest growth in the running mean

/// Brings the note up to date with the candidate's newest figure.
LoadNote& refresh(const Candidate& candidate, Turn& turn) {
  LoadNote& note = turn.notes[candidate.index];
  if (note.incarnation != candidate.incarnation) {
    note = LoadNote{};
    note.incarnation = candidate.incarnation;
    note.epoch = candidate.load_epoch;
    note.memory_bytes = candidate.memory_bytes;
    note.claims_at_figure = candidate.claims;
    return note;
  }
  if (note.epoch == candidate.load_epoch) return note;
  const std::uint64_t claims = candidate.claims - std::min(candidate.claims, note.claims_at_figure);
  if (claims > 0 && note.memory_bytes > 0 && candidate.memory_bytes > 0) {
    const double grown = candidate.memory_bytes > note.memory_bytes ? static_cast<double>(candidate.memory_bytes - note.memory_bytes) : 0;
    const double growth = grown / static_cast<double>(claims);
    note.growth_per_claim = note.growth_known ? note.growth_per_claim + kNewestWeight * (growth - note.growth_per_claim) : growth;
    note.growth_known = true;
  }
  note.epoch = candidate.load_epoch;
  note.memory_bytes = candidate.memory_bytes;
  note.claims_at_figure = candidate.claims;
  note.share = 0;
  note.used = 0;
  return note;
}

/// What is true of the whole pool and needed for each score.
struct PoolFacts {
  double growth = 0;  // mean over the workers whose growth is known, for those whose isn't yet
  double memory = 0;  // the smallest known figure: an unknown one counts as that
};

PoolFacts look(std::span<const Candidate> candidates, Turn& turn) {
  PoolFacts facts;
  std::size_t known = 0;
  for (const Candidate& candidate : candidates) {
    const LoadNote& note = refresh(candidate, turn);
    if (note.growth_known) {
      facts.growth += note.growth_per_claim;
      ++known;
    }
    const auto memory = static_cast<double>(note.memory_bytes);
    if (memory > 0 && (facts.memory == 0 || memory < facts.memory)) facts.memory = memory;
  }
  if (known > 0) facts.growth /= static_cast<double>(known);
  return facts;
}

double score(const Candidate& candidate, const LoadNote& note, const PoolFacts& facts) {
  const double memory = note.memory_bytes > 0 ? static_cast<double>(note.memory_bytes) : facts.memory;
  const std::uint64_t since = candidate.claims - std::min(candidate.claims, note.claims_at_figure);
  return memory + static_cast<double>(since) * (note.growth_known ? note.growth_per_claim : facts.growth);
}

/// How far beyond its limit one more claim would bring it; 0 or less: within. Shares grow only while it is a candidate.
double excess(const Candidate& candidate, const LoadNote& note, double even_share) {
  const double times = candidate.share < 100 ? 1 : kShareLimit;
  return note.used + 1 - std::max(1.0, times * (note.share + even_share));
}

}  // namespace

std::size_t propose_least_memory(std::span<const Candidate> candidates, Turn& turn) {
  const PoolFacts facts = look(candidates, turn);
  const double even_share = 1.0 / static_cast<double>(candidates.size());
  constexpr double kRounding = 1e-6;  // sums of shares
  // Figures of different age can leave everybody beyond the limit by a fraction: then those least beyond it.
  const auto beyond = [&](const Candidate& candidate) { return excess(candidate, turn.notes[candidate.index], even_share); };
  double limit = beyond(candidates[0]);
  for (const Candidate& candidate : candidates) limit = std::min(limit, beyond(candidate));
  limit = std::max(limit, 0.0) + kRounding;

  const auto within = [&](std::size_t i) { return beyond(candidates[i]) <= limit; };
  const auto score_of = [&](std::size_t i) { return score(candidates[i], turn.notes[candidates[i].index], facts); };
  double smallest = -1;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (within(i) && (smallest < 0 || score_of(i) < smallest)) smallest = score_of(i);
  }
  return next_in_turn(candidates, turn, [&](std::size_t i) { return within(i) && score_of(i) <= smallest * kEqual; });
}

void admitted_least_memory(std::span<const Candidate> candidates, std::size_t chosen, Turn& turn) {
  const double even_share = 1.0 / static_cast<double>(candidates.size());
  for (const Candidate& candidate : candidates) turn.notes[candidate.index].share += even_share;
  turn.notes[candidates[chosen].index].used += 1;
}

}  // namespace drover::balancer
