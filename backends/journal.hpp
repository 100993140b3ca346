// Role: a bounded, numbered record of things that happened, for readers who come late, follow, or fall behind. What is pushed out is
//       counted by its numbers: a reader sees the gap.
// Thread: supervisor's deciding thread. Ownership: owns the kept items; a reader keeps only a number and must forget() its bell.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>

namespace drover::backends {

template <class Item>
class Journal {
 public:
  /// `most` items and `most_bytes` of them (by Item::bytes()) are kept, whichever is reached first.
  Journal(std::size_t most, std::size_t most_bytes) : most_(most), most_bytes_(most_bytes) {}

  /// Returns its number; the first is 1.
  std::uint64_t add(Item item) {
    bytes_ += item.bytes();
    items_.push_back(std::move(item));
    while (items_.size() > most_ || (bytes_ > most_bytes_ && items_.size() > 1)) {
      bytes_ -= items_.front().bytes();
      items_.pop_front();
      ++first_;
    }
    for (const auto& [id, bell] : bells_) bell();
    return next() - 1;
  }

  std::uint64_t first() const { return first_; }                 ///< number of the oldest that is kept
  std::uint64_t next() const { return first_ + items_.size(); }  ///< number of the next to come
  /// first() <= number < next().
  const Item& at(std::uint64_t number) const { return items_[number - first_]; }

  /// `bell` is called after each add(); it must only note the fact (post, set a flag), never add or forget.
  std::uint64_t listen(std::function<void()> bell) {
    bells_.emplace(++last_bell_, std::move(bell));
    return last_bell_;
  }
  void forget(std::uint64_t bell) { bells_.erase(bell); }

 private:
  std::size_t most_;
  std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  std::uint64_t first_ = 1;
  std::deque<Item> items_;
  std::uint64_t last_bell_ = 0;
  std::map<std::uint64_t, std::function<void()>> bells_;
};

}  // namespace drover::backends
