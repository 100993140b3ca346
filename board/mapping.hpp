// Role: one shared mapping of a memfd, and the first page that both sides check.
// Thread: any. Ownership: unmaps on destruction; the descriptor is owned elsewhere.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "board/shape.hpp"

#include <cstddef>
#include <cstdint>

namespace drover::board {

class Mapping {
 public:
  enum class Access { read_only, read_write };

  static base::Result<Mapping> map(int fd, std::size_t size, Access access);

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  Mapping(std::byte* data, std::size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// First words of each board; the rest of the first page belongs to the board's own header.
struct FirstPage {
  std::uint64_t magic = 0;
  std::uint32_t layout_version = 0;
  std::uint32_t pools = 0;
  std::uint32_t rows = 0;
  std::uint32_t threads = 0;
  std::uint32_t listeners = 0;
  std::uint32_t reserved = 0;
  std::uint64_t total_bytes = 0;
};

inline constexpr std::size_t kPageBytes = 4096;

/// What a board of this shape must find on its first page.
FirstPage first_page(std::uint64_t magic, const Shape& shape, std::size_t total_bytes);

/// Maps an inherited board after checking its size, its seals and its first page against `expected`. `name` is for the message.
base::Result<Mapping> map_checked(int fd, const FirstPage& expected, Mapping::Access access, const char* name);

/// A memfd of `size` bytes that can't grow or shrink. `name` shows in /proc/PID/maps.
base::Result<base::UniqueFd> make_memfd(const char* name, std::size_t size);

}  // namespace drover::board
