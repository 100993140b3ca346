// Role: a TOML file as a plain tree with the place of every key and value, in the order of the file. toml++ ends here.
// Thread: any. Ownership: values all through; a Node owns what is below it.
// Bounded: a file of at most kMaxText bytes, names of at most kMaxDepth parts, brackets at most kMaxDepth deep.
#pragma once

#include "config/parse.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover::config {

inline constexpr std::size_t kMaxText = 1024 * 1024;
inline constexpr std::size_t kMaxDepth = 32;

struct Entry;

struct Node {
  enum class Kind : std::uint8_t { text, integer, number, flag, date, list, table };
  Kind kind = Kind::table;
  Place place;
  std::string text;
  std::int64_t integer = 0;
  double number = 0;
  bool flag = false;
  std::vector<Entry> entries;  ///< of a table: named; of a list: with empty names
};

struct Entry {
  std::string name;
  Place place;  ///< of the name
  Node value;
};

/// "a string", "a whole number" … for messages.
const char* kind_text(Node::Kind kind);

/// The tree, or the first mistake that keeps the text from being TOML.
base::Result<Node, Mistake> parse_tree(std::string_view text);

}  // namespace drover::config
