#include "board/flights.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace drover::board {

namespace {

constexpr unsigned kMethodShift = 32;  // in Entry::life, above the incarnation
constexpr unsigned kLengthShift = 40;

std::uint64_t word_at(std::string_view text, std::size_t at) {
  std::uint64_t word = 0;
  const std::size_t most = std::min<std::size_t>(text.size() - at, sizeof word);
  std::memcpy(&word, text.data() + at, most);
  return word;
}

std::uint64_t stir(std::uint64_t state, std::uint64_t word) {
  state = (state ^ word) * 0x9fb21c651e98df25U;
  return state ^ (state >> 32U);
}

/// What a proxy wrote is shown to people and put into JSON by a process with more rights: nothing but visible ASCII goes on.
std::string visible(std::string text) {
  for (char& c : text) {
    if (c <= ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace

std::uint64_t fingerprint(Method method, std::uint32_t pool, std::uint32_t route, std::string_view path) {
  std::uint64_t state = stir(0x2545f4914f6cdd1dU, (static_cast<std::uint64_t>(pool) << 32U) | route);
  state = stir(state, (static_cast<std::uint64_t>(path.size()) << 8U) | static_cast<std::uint64_t>(method));
  for (std::size_t at = 0; at < path.size(); at += sizeof(std::uint64_t)) state = stir(state, word_at(path, at));
  // The sketch takes its columns from both halves: the last words must reach every bit.
  state = (state ^ (state >> 30U)) * 0xbf58476d1ce4e5b9U;
  state = (state ^ (state >> 27U)) * 0x94d049bb133111ebU;
  state ^= state >> 31U;
  return state != 0 ? state : 1;
}

void FlightTable::begin(std::size_t place, const FlightFacts& facts) {
  assert(place < kPlaces);
  Entry& entry = entries_[place];
  const std::string_view path = facts.path.substr(0, kPathBytes);
  const std::uint32_t version = entry.version.load(std::memory_order_relaxed);
  entry.version.store(version + 1, std::memory_order_relaxed);
  // As in SupervisorBoard::write_row: each word is released, so that whoever reads a new one also sees the odd version.
  constexpr auto kRelease = std::memory_order_release;
  entry.row_and_one.store(facts.row + 1, kRelease);
  entry.life.store(
      facts.incarnation | (static_cast<std::uint64_t>(facts.method) << kMethodShift) | (static_cast<std::uint64_t>(path.size()) << kLengthShift),
      kRelease);
  entry.method_name.store(facts.method_name.empty() ? 0 : word_at(facts.method_name, 0), kRelease);
  entry.fingerprint.store(facts.fingerprint, kRelease);
  entry.began_ns.store(facts.now_ns, kRelease);
  entry.ended_ns.store(0, kRelease);
  for (std::size_t at = 0; at < path.size(); at += sizeof(std::uint64_t)) entry.path[at / sizeof(std::uint64_t)].store(word_at(path, at), kRelease);
  entry.version.store(version + 2, kRelease);
}

void FlightTable::end(std::size_t place) {
  assert(place < kPlaces);
  entries_[place].row_and_one.store(0, std::memory_order_release);
}

void FlightTable::broke(std::size_t place, std::uint64_t now_ns) {
  assert(place < kPlaces);
  entries_[place].ended_ns.store(now_ns, std::memory_order_release);
}

void FlightTable::collect(std::uint32_t row, base::Incarnation incarnation, std::uint64_t since_ns, std::vector<Flight>& out) const {
  constexpr auto kAcquire = std::memory_order_acquire;
  for (const Entry& entry : entries_) {
    if (entry.row_and_one.load(std::memory_order_relaxed) != row + 1) continue;
    const std::uint32_t version = entry.version.load(kAcquire);
    if ((version & 1U) != 0) continue;
    const bool there = entry.row_and_one.load(kAcquire) == row + 1;
    const std::uint64_t life = entry.life.load(kAcquire);
    const std::uint64_t name = entry.method_name.load(kAcquire);
    Flight flight;
    flight.fingerprint = entry.fingerprint.load(kAcquire);
    flight.began_ns = entry.began_ns.load(kAcquire);
    flight.ended_ns = entry.ended_ns.load(kAcquire);
    std::array<std::uint64_t, kPathWords> path{};
    for (std::size_t i = 0; i < path.size(); ++i) path[i] = entry.path[i].load(kAcquire);
    if (entry.version.load(std::memory_order_relaxed) != version || !there) continue;
    if (static_cast<base::Incarnation>(life) != incarnation || (flight.ended_ns != 0 && flight.ended_ns < since_ns)) continue;

    flight.row = row;
    flight.incarnation = incarnation;
    // A hijacked proxy may have written anything: both stay within their tables.
    flight.method = static_cast<Method>(std::min<std::uint64_t>((life >> kMethodShift) & 0xffU, kMethodNames.size() - 1));
    const std::size_t length = std::min<std::size_t>((life >> kLengthShift) & 0xffU, kPathBytes);
    std::array<char, sizeof name + 1> letters{};
    std::memcpy(letters.data(), &name, sizeof name);
    flight.method_name = visible(letters.data());
    flight.path.resize(length);
    std::memcpy(flight.path.data(), path.data(), length);
    flight.path = visible(std::move(flight.path));
    out.push_back(std::move(flight));
  }
}

namespace {

std::size_t column(std::size_t row, std::uint64_t fingerprint) {
  static_assert((Sketch::kColumns & (Sketch::kColumns - 1)) == 0 && Sketch::kRows == 2);
  return (fingerprint >> (row * 32U)) & (Sketch::kColumns - 1);
}

}  // namespace

void Sketch::add(std::uint64_t fingerprint) {
  for (std::size_t row = 0; row < kRows; ++row) cells_[row][column(row, fingerprint)].add();
}

void Sketch::add_to(Totals& totals) const {
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t i = 0; i < kColumns; ++i) totals.cells[row][i] += cells_[row][i].get();
  }
}

std::uint64_t Sketch::Totals::estimate(std::uint64_t fingerprint) const {
  return std::min(cells[0][column(0, fingerprint)], cells[1][column(1, fingerprint)]);
}

}  // namespace drover::board
