#include "base/text.hpp"
#include "config/parse.hpp"
#include "config/utf8.hpp"

#include <algorithm>

namespace drover::config {

namespace {

constexpr std::size_t kShownMistakes = 100;
constexpr std::size_t kShownColumns = 140;
constexpr std::size_t kBeforeCaret = 60;  ///< of a line that is too long to be shown whole

std::string_view line_of(std::string_view text, std::uint32_t line) {
  for (std::uint32_t i = 1; i < line; ++i) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

/// The line as it can be shown, and as much white space as puts a caret under `column`.
struct Shown {
  std::string line;
  std::string indent;
};

Shown show(std::string_view line, std::uint32_t column) {
  Shown shown;
  const std::size_t skip = column > kShownColumns - 20 ? column - kBeforeCaret : 0;
  std::size_t at = 0;
  std::size_t characters = 0;
  if (skip > 0) {
    shown.line = "… ";
    shown.indent = "  ";
  }
  for (; at < line.size(); ++characters) {
    const std::size_t step = std::max<std::size_t>(1, base::utf8_length(line.substr(at)));
    if (characters >= skip + kShownColumns) {
      shown.line += " …";
      break;
    }
    if (characters >= skip) {
      const std::string piece = base::printable(line.substr(at, step));
      shown.line += piece;
      // A tab is repeated, so that both lines are as wide wherever the tab stops are.
      if (characters + 1 < column)
        shown.indent += piece == "\t" ? "\t" : std::string(base::utf8_length(line.substr(at)) > 0 && piece.size() == step ? 1 : piece.size(), ' ');
    }
    at += step;
  }
  for (; characters + 1 < column && characters < skip + kShownColumns; ++characters) shown.indent += ' ';
  return shown;
}

std::string place_text(const std::string& file, const Mistake& mistake) {
  if (mistake.line == 0) return file + ": ";
  return file + ":" + std::to_string(mistake.line) + ":" + std::to_string(mistake.column) + ": ";
}

}  // namespace

std::string render(const Mistakes& mistakes) {
  const std::string file = base::printable(mistakes.file, 200);
  std::string out;
  for (std::size_t i = 0; i < mistakes.list.size() && i < kShownMistakes; ++i) {
    const Mistake& each = mistakes.list[i];
    out += place_text(file, each) + "error: " + base::printable(each.what) + "\n";
    if (each.line > 0) {
      const Shown shown = show(line_of(mistakes.text, each.line), each.column);
      const std::string number = std::to_string(each.line);
      out += "  " + number + " | " + shown.line + "\n";
      out += "  " + std::string(number.size(), ' ') + " | " + shown.indent + "^\n";
    }
    if (!each.hint.empty()) out += "  = " + base::printable(each.hint) + "\n";
  }
  const std::size_t count = mistakes.list.size();
  if (count > kShownMistakes) out += "… and " + std::to_string(count - kShownMistakes) + " more\n";
  out += std::to_string(count) + (count == 1 ? " mistake in " : " mistakes in ") + file + "; nothing was started\n";
  return out;
}

}  // namespace drover::config
