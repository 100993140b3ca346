// Role: cuts a stream of bytes into lines: split and joined reads, "\n" or "\r\n", empty lines passed over. Pure: it reads nothing itself.
// Thread: one owner. Ownership: owns what was read and not yet given out; next to nothing when that is nothing (thousands of channels idle).
//
// Use: room(), read into it, filled(), next() until `more`; rest() when nothing is read for now.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace drover::ipc {

class LineReader {
 public:
  static constexpr std::size_t kLeastRoom = 4 * 1024;   ///< a first read; doubled by each one that was filled, until rest()
  static constexpr std::size_t kMostRoom = 64 * 1024;   ///< of one read
  static constexpr std::size_t kMostRested = 4 * 1024;  ///< kept in vain at rest, beside twice the beginning of a line

  /// A line is at most `max_line` bytes, without its end.
  explicit LineReader(std::size_t max_line) : max_line_(max_line) {}

  /// Where the next bytes go, at least one; valid until filled(). Views given out before become invalid.
  std::span<char> room();
  /// That many bytes were put at the beginning of room().
  void filled(std::size_t bytes);

  enum class What : std::uint8_t {
    line,
    too_long,  ///< told once, as soon as it is certain; the line is thrown away up to its end
    more,      ///< no whole line is left
  };
  struct Next {
    What what = What::more;
    std::string_view line;  ///< not empty, without its end; valid until room() or rest()
  };
  Next next();
  /// Gives back memory that is not needed to go on later.
  void rest();

  bool throwing_away() const { return throwing_away_; }
  std::size_t kept() const { return end_ - begin_; }
  std::size_t capacity() const { return capacity_; }

 private:
  Next cut(std::size_t at);
  Next unfinished();
  void resize(std::size_t capacity);

  std::size_t max_line_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;    // of what was not given out
  std::size_t end_ = 0;      // of what was read
  std::size_t scanned_ = 0;  // no "\n" between begin_ and here: a long line in small pieces is looked at once
  std::size_t want_ = kLeastRoom;
  bool throwing_away_ = false;
};

}  // namespace drover::ipc
