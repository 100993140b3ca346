// Role: a bounded, numbered record of things that happened, for readers who come late, follow, or fall behind. What is pushed out is
//       counted by its numbers: a reader sees the gap.
//       Items that anybody can cause in any number (Item::chatter()) have a budget of their own within it: they push out each other, never
//       what else there is to know.
// Thread: supervisor's deciding thread. Ownership: owns the kept items; a reader keeps only a number and must forget() its bell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>

namespace drover::backends {

template <class Item>
class Journal {
 public:
  struct Room {
    std::size_t items = SIZE_MAX;
    std::size_t bytes = SIZE_MAX;
  };
  /// `most` items and `most_bytes` of them (by Item::bytes()) are kept, whichever is reached first; of them for chatter at most so much.
  Journal(std::size_t most, std::size_t most_bytes, Room chatter = {}) : most_{most, most_bytes}, most_chatter_(chatter) {}

  /// Returns its number; the first is 1.
  std::uint64_t add(Item item) {
    const std::uint64_t number = next_++;
    bytes_ += item.bytes();
    if (item.chatter()) {
      chatter_bytes_ += item.bytes();
      chatter_.push_back(number);
    }
    items_.emplace_hint(items_.end(), number, std::move(item));
    while (beyond(most_chatter_, chatter_.size(), chatter_bytes_)) drop(items_.find(chatter_.front()));
    while (beyond(most_, items_.size(), bytes_)) drop(items_.begin());
    for (const auto& [id, bell] : bells_) bell();
    return number;
  }

  std::uint64_t first() const { return kept_from(0); }  ///< number of the oldest that is kept
  std::uint64_t next() const { return next_; }          ///< number of the next to come
  /// Number of the first that is kept from that one on; next(): none is.
  std::uint64_t kept_from(std::uint64_t number) const {
    const auto found = items_.lower_bound(number);
    return found == items_.end() ? next_ : found->first;
  }
  /// Of a number that is kept.
  const Item& at(std::uint64_t number) const { return items_.find(number)->second; }

  /// `bell` is called after each add(); it must only note the fact (post, set a flag), never add or forget.
  std::uint64_t listen(std::function<void()> bell) {
    bells_.emplace(++last_bell_, std::move(bell));
    return last_bell_;
  }
  void forget(std::uint64_t bell) { bells_.erase(bell); }

 private:
  using Items = std::map<std::uint64_t, Item>;

  /// The newest is kept, however large it is.
  static bool beyond(const Room& room, std::size_t items, std::size_t bytes) { return items > room.items || (bytes > room.bytes && items > 1); }

  void drop(typename Items::iterator at) {
    const std::size_t bytes = at->second.bytes();
    bytes_ -= bytes;
    if (at->second.chatter()) {  // the oldest of its kind
      chatter_bytes_ -= bytes;
      chatter_.pop_front();
    }
    items_.erase(at);
  }

  Room most_;
  Room most_chatter_;
  std::size_t bytes_ = 0;
  std::size_t chatter_bytes_ = 0;
  std::uint64_t next_ = 1;
  Items items_;
  std::deque<std::uint64_t> chatter_;
  std::uint64_t last_bell_ = 0;
  std::map<std::uint64_t, std::function<void()>> bells_;
};

}  // namespace drover::backends
