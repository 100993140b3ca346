// Role: which requests are inside which worker now, and how often each kind of request comes: what an obituary and the hunt for a
//       query of death need, kept where a dead worker and a dead proxy leave it readable.
// Thread: each table and sketch is written by its one proxy thread, read by the supervisor. Ownership: lives on a proxy's board.
//
// A flight that its worker broke stays readable (`broken`) until its place is needed again, oldest first: the proxy often learns of a
// death before the supervisor does.
#pragma once

#include "base/units.hpp"
#include "board/tally.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover::board {

/// Names a kind of request: method, route and path without query. Never 0.
std::uint64_t fingerprint(Method method, std::uint32_t pool, std::uint32_t route, std::string_view path);

/// One request that was sent to a worker, as read back.
struct Flight {
  std::uint32_t row = 0;
  base::Incarnation incarnation = 0;
  Method method = Method::get;
  std::string method_name;  ///< as sent, at most 8 characters
  std::string path;         ///< without query, at most kPathBytes of it
  std::uint64_t fingerprint = 0;
  std::uint64_t began_ns = 0;  ///< steady clock
  std::uint64_t ended_ns = 0;  ///< 0: it is still there; else its worker broke it then
};

/// What is written down of a request when it is sent to a worker.
struct FlightFacts {
  std::uint32_t row = 0;
  base::Incarnation incarnation = 0;
  Method method = Method::get;
  std::string_view method_name;
  std::string_view path;  ///< without query
  std::uint64_t fingerprint = 0;
  std::uint64_t now_ns = 0;
};

class FlightTable {
 public:
  static constexpr std::size_t kPlaces = 512;  ///< of one thread; beyond them a request is not recorded
  static constexpr std::size_t kPathBytes = 80;

  // The proxy thread that owns the table; `place` < kPlaces.
  void begin(std::size_t place, const FlightFacts& facts);
  void end(std::size_t place);
  void broke(std::size_t place, std::uint64_t now_ns);

  /// Supervisor: those of one incarnation that are there, or that it broke at `since_ns` or later. What is being rewritten is left out.
  void collect(std::uint32_t row, base::Incarnation incarnation, std::uint64_t since_ns, std::vector<Flight>& out) const;

 private:
  static constexpr std::size_t kPathWords = kPathBytes / 8;
  /// `version` is odd while the rest is being rewritten.
  struct alignas(64) Entry {
    std::atomic<std::uint32_t> version{0};
    std::atomic<std::uint32_t> row_and_one{0};  ///< 0: free, so that a new board's zero pages are an empty table
    std::atomic<std::uint64_t> life{0};         ///< incarnation, method, length of path
    std::atomic<std::uint64_t> method_name{0};
    std::atomic<std::uint64_t> fingerprint{0};
    std::atomic<std::uint64_t> began_ns{0};
    std::atomic<std::uint64_t> ended_ns{0};
    std::array<std::atomic<std::uint64_t>, kPathWords> path{};
  };
  std::array<Entry, kPlaces> entries_;
};

/// How often each fingerprint came: a count-min sketch; it may say more than the truth, never less.
class Sketch {
 public:
  static constexpr std::size_t kRows = 2;
  static constexpr std::size_t kColumns = 2048;

  /// The proxy thread that owns it.
  void add(std::uint64_t fingerprint);

  /// A plain sum over threads and proxies.
  struct Totals {
    std::array<std::array<std::uint64_t, kColumns>, kRows> cells{};
    std::uint64_t estimate(std::uint64_t fingerprint) const;
  };
  void add_to(Totals& totals) const;

 private:
  std::array<std::array<Count, kColumns>, kRows> cells_;
};

}  // namespace drover::board
