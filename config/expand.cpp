#include "config/expand.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace drover::config {

namespace {

bool is_name(std::string_view name) {
  const auto letter = [](unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto further = [&](unsigned char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && letter(static_cast<unsigned char>(name[0])) && std::all_of(name.begin(), name.end(), further);
}

/// Calls `plain` with each stretch that stands for itself and `named` with each name. One reading of the syntax for both uses.
template <class Plain, class Named>
base::Result<void> walk(std::string_view text, Plain plain, Named named) {
  while (!text.empty()) {
    const std::size_t dollar = text.find('$');
    plain(text.substr(0, dollar));
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      plain(text.substr(0, 1));
      text.remove_prefix(1);
      continue;
    }
    if (!text.starts_with('{')) {
      plain("$");
      continue;
    }
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos) return base::Error{"\"$" + base::printable(text, 40) + "\" has no end: '}' is missing (\"$$\" is a dollar)"};
    const std::string_view name = text.substr(1, end - 1);
    if (!is_name(name)) {
      return base::Error{"\"${" + base::printable(name, 40) +
                         "}\" names no variable: letters, digits and '_' between '{' and '}' (\"$$\" is a dollar)"};
    }
    if (auto result = named(name); !result) return result;
    text.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace

base::Result<std::string> expand(std::string_view text, const Lookup& lookup) {
  std::string out;
  const auto plain = [&](std::string_view part) { out += part; };
  const auto named = [&](std::string_view name) -> base::Result<void> {
    auto value = lookup(name);
    if (!value) return base::Error{"\"${" + std::string(name) + "}\" is unknown: neither drover's own nor set in the environment"};
    out += *value;
    return {};
  };
  if (auto walked = walk(text, plain, named); !walked) return walked.error();
  return {boost::system::in_place_value, std::move(out)};
}

base::Result<std::vector<std::string>> names_in(std::string_view text) {
  std::vector<std::string> names;
  const auto named = [&](std::string_view name) -> base::Result<void> {
    names.emplace_back(name);
    return {};
  };
  if (auto walked = walk(
          text, [](std::string_view) {}, named);
      !walked)
    return walked.error();
  return names;
}

}  // namespace drover::config
