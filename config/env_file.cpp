#include "config/env_file.hpp"

#include "base/text.hpp"
#include "config/bounded_file.hpp"

#include <algorithm>
#include <cerrno>

namespace drover::config {

namespace {

using Environment = std::map<std::string, std::string>;

constexpr std::string_view kBlanks = " \t";
constexpr const char* kNameRule = "letters, digits and '_', not a digit first";

bool is_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto further = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), further);
}

bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// What one '\\' and the letter after it stand for; 0: nothing.
char escaped(char letter) {
  switch (letter) {
    case 'n': return '\n';
    case 't': return '\t';
    case '"':
    case '\\':
    case '$': return letter;
    default: return '\0';
  }
}

/// One file's reading. Messages never hold a value: it may be a secret.
class EnvReader {
 public:
  explicit EnvReader(const std::string& path) : path_(path) {}

  base::Result<Environment> run(std::string_view text) {
    while (!text.empty()) {
      ++number_;
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view one = text.substr(0, end);
      if (one.ends_with('\r')) one.remove_suffix(1);
      if (auto read = line(without_blanks(one)); !read) return read.error();
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return std::move(all_);
  }

 private:
  base::Error refuse(const std::string& why) const { return base::Error{path_ + ":" + std::to_string(number_) + ": " + why, EINVAL}; }

  base::Result<void> line(std::string_view text);
  base::Result<std::string> value(const std::string& name, std::string_view text) const;
  base::Result<std::string> quoted_value(const std::string& name, std::string_view text) const;
  base::Result<void> nothing_more(const std::string& name, std::string_view text) const;

  const std::string& path_;
  std::size_t number_ = 0;
  Environment all_;
  std::map<std::string, std::size_t> lines_;  ///< where each name stands
};

base::Result<void> EnvReader::line(std::string_view text) {
  if (text.empty() || text.starts_with('#')) return {};
  if (text.find('\0') != std::string_view::npos) return refuse("holds a NUL character; no variable can");
  if (text.starts_with("export") && text.size() > 6 && is_blank(text[6])) text = without_blanks(text.substr(6));
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return refuse("has no '='; write NAME=value, and a value of several lines as \"one\\nline\"");
  const std::string name(text.substr(0, equals));
  if (!name.empty() && is_blank(name.back())) return refuse("has a blank before its '='; write NAME=value");
  if (!is_name(name)) return refuse("\"" + base::printable(name, 40) + "\" can't name a variable: " + kNameRule);
  auto read = value(name, text.substr(equals + 1));
  if (!read) return read.error();
  if (name.size() + 1 + read->size() > kMaxEnvEntry) return refuse(name + " has more than 128 KiB; a program can't be started with it");
  if (all_.size() == kMaxEnvEntries) return refuse("more than 4096 variables; split the file, or take out what nobody reads");
  const auto [first, fresh] = lines_.try_emplace(name, number_);
  if (!fresh) return refuse(name + " is already set in line " + std::to_string(first->second) + "; take one of them out");
  all_.emplace(name, std::move(*read));
  return {};
}

base::Result<std::string> EnvReader::value(const std::string& name, std::string_view text) const {
  if (text.empty()) return {boost::system::in_place_value, std::string()};
  if (is_blank(text[0])) return refuse(name + " has a blank after its '='; write NAME=value, a value that begins with a blank in quotes");
  if (text[0] == '"') return quoted_value(name, text.substr(1));
  if (text[0] == '\'') {
    const std::size_t end = text.find('\'', 1);
    if (end == std::string_view::npos) return refuse(name + " begins with a single quote and has no second one in its line");
    if (auto rest = nothing_more(name, text.substr(end + 1)); !rest) return rest.error();
    return {boost::system::in_place_value, text.substr(1, end - 1)};
  }
  if (text.find(" #") != std::string_view::npos || text.find("\t#") != std::string_view::npos) {
    return refuse(name + " holds a blank and '#': comment or value? Put the value in quotes, or the comment in a line of its own");
  }
  return {boost::system::in_place_value, text};
}

/// `text` begins behind the opening quote.
base::Result<std::string> EnvReader::quoted_value(const std::string& name, std::string_view text) const {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') {
      if (auto rest = nothing_more(name, text.substr(at + 1)); !rest) return rest.error();
      return {boost::system::in_place_value, std::move(out)};
    }
    if (text[at] != '\\') {
      out += text[at];
      continue;
    }
    const char meant = ++at < text.size() ? escaped(text[at]) : '\0';
    if (meant == '\0') return refuse(name + R"( holds a '\' that means nothing: in double quotes there are \n, \t, \", \\ and \$)");
    out += meant;
  }
  return refuse(name + " begins with a double quote and has no second one in its line; write a line's end as \\n");
}

/// Behind a closing quote a comment may follow, and nothing else.
base::Result<void> EnvReader::nothing_more(const std::string& name, std::string_view text) const {
  const std::string_view rest = without_blanks(text);
  if (rest.empty() || (rest.starts_with('#') && is_blank(text[0]))) return {};
  return refuse(name + " goes on behind its closing quote; put the whole value in one pair of quotes");
}

}  // namespace

base::Result<Environment> parse_env(std::string_view text, const std::string& path) {
  if (text.size() > kMaxEnvFile) return base::Error{path + " is larger than 1 MiB", EFBIG};
  return EnvReader(path).run(text);
}

base::Result<Environment> read_env_file(const std::string& path) {
  const auto text = read_bounded(path, kMaxEnvFile);
  if (!text) return text.error();
  return parse_env(*text, path);
}

}  // namespace drover::config
