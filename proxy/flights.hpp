// Role: hands out the places of this thread's flight table: those that ended cleanly first, newest first, so that the hot path stays on
//       few cache lines; those that a worker broke last, oldest first, so that an obituary can still read them.
// Thread: one proxy thread. Ownership: borrows the table on the proxy's board.
#pragma once

#include "board/flights.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace drover::proxy {

class Flights {
 public:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  explicit Flights(board::FlightTable& table) : table_(table) {
    for (std::size_t i = 0; i < clean_.size(); ++i) clean_[i] = static_cast<std::uint16_t>(clean_.size() - 1 - i);
  }

  /// The place it is written down at; kNone: none is free, it is not recorded.
  std::uint32_t begin(const board::FlightFacts& facts) {
    std::uint32_t place = kNone;
    if (clean_count_ > 0) {
      place = clean_[--clean_count_];
    } else if (!broken_.empty()) {
      place = broken_.front();
      broken_.pop_front();
    } else {
      return kNone;
    }
    table_.begin(place, facts);
    return place;
  }
  void end(std::uint32_t place) {
    if (place == kNone) return;
    table_.end(place);
    clean_[clean_count_++] = static_cast<std::uint16_t>(place);
  }
  void broke(std::uint32_t place, std::uint64_t now_ns) {
    if (place == kNone) return;
    table_.broke(place, now_ns);
    broken_.push_back(static_cast<std::uint16_t>(place));
  }

 private:
  board::FlightTable& table_;
  std::array<std::uint16_t, board::FlightTable::kPlaces> clean_{};  ///< a stack
  std::size_t clean_count_ = board::FlightTable::kPlaces;
  std::deque<std::uint16_t> broken_;
};

}  // namespace drover::proxy
