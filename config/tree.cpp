#include "config/tree.hpp"

#include "config/utf8.hpp"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// A debug build's assertions fire on "[{": the parser goes on to report it as the mistake that it is, as in a release build.
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <optional>

namespace drover::config {

namespace {

Place place_of(const toml::source_position& position) { return {position.line, position.column}; }

Node convert(const toml::node& from);

void by_place(std::vector<Entry>& entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.place < b.place; });
}

void convert_table(const toml::table& from, Node& to) {
  to.kind = Node::Kind::table;
  for (const auto& [key, value] : from) {
    to.entries.push_back({std::string(key.str()), place_of(key.source().begin), convert(value)});
  }
  by_place(to.entries);
}

void convert_list(const toml::array& from, Node& to) {
  to.kind = Node::Kind::list;
  for (const toml::node& value : from) to.entries.push_back({"", place_of(value.source().begin), convert(value)});
}

Node convert(const toml::node& from) {
  Node to;
  to.place = place_of(from.source().begin);
  switch (from.type()) {
    case toml::node_type::table: convert_table(*from.as_table(), to); break;
    case toml::node_type::array: convert_list(*from.as_array(), to); break;
    case toml::node_type::string:
      to.kind = Node::Kind::text;
      to.text = from.as_string()->get();
      break;
    case toml::node_type::integer:
      to.kind = Node::Kind::integer;
      to.integer = from.as_integer()->get();
      break;
    case toml::node_type::floating_point:
      to.kind = Node::Kind::number;
      to.number = from.as_floating_point()->get();
      break;
    case toml::node_type::boolean:
      to.kind = Node::Kind::flag;
      to.flag = from.as_boolean()->get();
      break;
    default: to.kind = Node::Kind::date; break;
  }
  return to;
}

/// Walks over the text before the parser does, to bound how deep its recursion can go: strings and comments are skipped,
/// brackets and the dots of one key are counted. What is not ASCII stands in those only; elsewhere the parser's behaviour is undefined.
class DepthScan {
 public:
  explicit DepthScan(std::string_view text) : text_(text), at_(text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0) {}

  std::optional<Mistake> run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        skip_comment();
        continue;
      }
      if (static_cast<unsigned char>(c) >= 0x80) return foreign();
      ++at_;
      count(c);
      if (dots_ >= kMaxDepth) return too_deep("a name of more than 32 parts");
      if (open_ > kMaxDepth) return too_deep("brackets more than 32 deep");
    }
    return std::nullopt;
  }

 private:
  void count(char c) {
    if (c == '\n') ++line_;
    if (c == '.') {
      ++dots_;
    } else if (c == '[' || c == '{') {
      ++open_;
      dots_ = 0;
    } else if (c == ']' || c == '}') {
      open_ -= open_ > 0 ? 1 : 0;
      dots_ = 0;
    } else if (c == '=' || c == ',' || c == '\n') {
      dots_ = 0;
    }
  }

  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  void skip_string(char quote) {
    const std::string_view triple = quote == '"' ? R"(""")" : "'''";
    const bool multi_line = text_.substr(at_).starts_with(triple);
    at_ += multi_line ? 3 : 1;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\' && quote == '"') {
        at_ += 2;
        continue;
      }
      if (c == '\n') {
        if (!multi_line) return;  // never ended: the parser says so
        ++line_;
      }
      if (multi_line ? text_.substr(at_).starts_with(triple) : c == quote) {
        at_ += multi_line ? 3 : 1;
        return;
      }
      ++at_;
    }
  }

  Mistake too_deep(const char* what) const { return {line_, 1, std::string(what), "cluster.toml needs no more than three levels"}; }

  Mistake foreign() const {
    const Place place = place_at(text_, at_);
    return {place.line, place.column, "a character that is not ASCII stands outside of a string",
            "text stands in plain double quotes, like \"web\"; names are made of A-Z a-z 0-9 _ -"};
  }

  static constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  std::string_view text_;
  std::size_t at_;
  std::uint32_t line_ = 1;
  std::size_t open_ = 0;
  std::size_t dots_ = 0;
};

/// The bytes themselves: size, UTF-8, NUL.
std::optional<Mistake> check_bytes(std::string_view text) {
  if (text.size() > kMaxText) {
    return Mistake{0, 0, "the file is larger than 1 MiB", "a cluster.toml of a hundred pools has about 100 KiB: is this the right file?"};
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    return Mistake{0, 0, "the file is UTF-16, not UTF-8", "save it as UTF-8"};
  }
  const std::size_t bad = first_bad_utf8(text);
  const std::size_t nul = text.find('\0');
  if (bad == std::string_view::npos && nul == std::string_view::npos) return std::nullopt;
  const Place place = place_at(text, std::min(bad, nul));
  if (nul < bad) return Mistake{place.line, place.column, "a NUL byte", "a TOML file holds text only: is this the right file?"};
  return Mistake{place.line, place.column, "bytes that are not UTF-8", "save the file as UTF-8"};
}

/// What a syntax error usually means, by the parser's words for it and the line it stands in.
struct SyntaxHint {
  std::string_view words;
  std::string_view hint;
};
constexpr std::array kSyntaxHints{
    SyntaxHint{"could not determine value type", "text stands in double quotes, like \"web\""},
    SyntaxHint{"leading zeroes", "digits that are no number stand in quotes, like \"022\""},
    SyntaxHint{"unknown escape sequence", "write \\\\ for a backslash, or put the string in single quotes"},
    SyntaxHint{"expected '=', saw ':'", "this is TOML, not YAML: sections like [pool.web], and key = value"},
    SyntaxHint{"comments, saw '{'", "this is TOML, not JSON: sections like [pool.web], and key = value"},
    SyntaxHint{"parsing inline table", "a table in { } stands in one line, without a comma before the }"},
    SyntaxHint{"unescaped control characters", "the string has no end in its line: a quote is missing"},
    SyntaxHint{"encountered end-of-file", "something that was opened is never closed: a quote, a bracket or a brace"},
};

/// The parser's own words, without the name of what it was doing where the rest says it.
Mistake syntax_mistake(const toml::parse_error& error) {
  std::string what(error.description());
  std::string hint;
  if (what.find("redefine existing") != std::string::npos || what.find("duplicate") != std::string::npos) {
    const std::size_t open = what.find('\'');
    const std::size_t close = what.rfind('\'');
    const std::string name = open != std::string::npos && close > open ? what.substr(open, close - open + 1) : "this name";
    what = name + " is there a second time";
    hint = "each table and key may be given once: rename or join them";
  }
  for (const SyntaxHint& each : kSyntaxHints) {
    if (hint.empty() && what.find(each.words) != std::string::npos) hint = each.hint;
  }
  constexpr std::string_view kHabit = "Error while parsing ";
  if (const std::size_t colon = what.find(": "); what.starts_with(kHabit) && colon != std::string::npos) {
    what = "not TOML (" + what.substr(kHabit.size(), colon - kHabit.size()) + ")" + what.substr(colon);
  }
  const Place place = place_of(error.source().begin);
  return {place.line, place.column, std::move(what), std::move(hint)};
}

}  // namespace

const char* kind_text(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::text: return "a string";
    case Node::Kind::integer: return "a whole number";
    case Node::Kind::number: return "a number with a fraction";
    case Node::Kind::flag: return "true or false";
    case Node::Kind::date: return "a date or time";
    case Node::Kind::list: return "a list";
    case Node::Kind::table: return "a table";
  }
  return "a value";
}

base::Result<Node, Mistake> parse_tree(std::string_view text) {
  if (auto mistake = check_bytes(text)) return std::move(*mistake);
  if (auto mistake = DepthScan(text).run()) return std::move(*mistake);
  const toml::parse_result result = toml::parse(text);
  if (!result) return syntax_mistake(result.error());
  return convert(result.table());
}

}  // namespace drover::config
