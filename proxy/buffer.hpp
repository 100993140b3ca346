// Role: one contiguous run of bytes with room at its end; its storage comes from a per-thread cache of blocks and goes back when it
//       is empty, so that an idle connection holds no memory.
// Thread: one proxy thread. Ownership: owns its block.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace drover::proxy {

class Buffer {
 public:
  static constexpr std::size_t kTiny = std::size_t{1} * 1024;     ///< the beginning of a head that does not come
  static constexpr std::size_t kSmall = std::size_t{16} * 1024;   ///< heads and small bodies
  static constexpr std::size_t kLarge = std::size_t{128} * 1024;  ///< while a large body flows

  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { free(); }

  std::string_view view() const { return {data_ + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  std::size_t capacity() const { return capacity_; }

  /// Makes room for at least `wanted` more bytes behind those there are; moves them if need be (views break).
  void reserve(std::size_t wanted);
  char* tail() { return data_ + end_; }
  std::size_t room() const { return capacity_ - end_; }
  void commit(std::size_t bytes) { end_ += bytes; }
  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  void append(std::string_view bytes);
  /// Before a wait for more: a few bytes move to a block of their own size, so that whoever drips them holds little (views break).
  void shrink();
  void clear() { begin_ = end_ = 0; }
  /// Gives the block back.
  void free();

  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
  }

 private:
  char* data_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace drover::proxy
