// What a hint proposes is taken when it is put in its place.
#include "config/keys.hpp"
#include "config/parse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover::config {
namespace {

std::string line(std::string_view key, std::string_view value) { return std::string(key) + " = " + std::string(value) + "\n"; }

/// A file that is whole but for `text`, which stands in the section and says something about `key`.
std::string file_with(std::string_view section, std::string_view key, const std::string& text) {
  std::string file = "[[route]]\npath = \"/other\"\nsplit = { shop = 1, canary = 1 }\n[pool.canary]\ncommand = [\"a\"]\n[pool.shop]\n";
  if (section != "pool" || key != "command") file += "command = [\"a\"]\n";
  if (section == "pool") return file + text;
  if (section == "listener") return file + "[listener.web]\n" + text;
  if (section != "route") return file + "[" + std::string(section) + "]\n" + text;
  file += "[[route]]\n";
  if (key != "path") file += "path = \"/api\"\n";
  const bool answered = key == "pool" || key == "split" || key == "redirect" || key == "respond";
  return file + (answered ? "" : "pool = \"shop\"\n") + text;
}

std::string wrong_value(const Key& key) {
  if (key.fields != nullptr) return "\"x\"";
  return key.type == Type::flag ? "1" : "true";
}

/// The only mistake of a file. Without hint: a failure.
std::string hint_of(const std::string& file) {
  const auto result = parse(file, "cluster.toml", 4);
  if (result || result.error().list.size() != 1 || result.error().list[0].hint.empty()) {
    ADD_FAILURE() << "not one mistake with a fix\n" << (result ? "taken" : render(result.error())) << file;
    return {};
  }
  return result.error().list[0].hint;
}

/// "like { a = 1 }, why", "write \"5\"", "like env = { A = \"b\" }": the value; "": it proposes none.
std::string proposal(std::string hint, std::string_view key) {
  for (const std::string_view verb : {"like ", "write "}) {
    if (!hint.starts_with(verb)) continue;
    hint.erase(0, verb.size());
    if (const std::size_t end = hint.find("}, "); end != std::string::npos) hint.resize(end + 1);
    return hint.starts_with(std::string(key) + " = ") ? hint.substr(key.size() + 3) : hint;
  }
  return {};
}

void expect_taken(const std::string& file, bool without_warning) {
  const auto result = parse(file, "cluster.toml", 4);
  ASSERT_TRUE(result) << render(result.error()) << file;
  if (without_warning) {
    EXPECT_THAT(result->warnings, testing::IsEmpty()) << file;
  }
}

/// The fields without which the table says nothing.
std::string needed_beside(const Section& fields, const Key& but) {
  std::string out;
  for (const Key& key : fields.keys()) {
    if (key.needed && key.name != but.name) out += std::string(key.name) + " = " + std::string(key.example) + ", ";
  }
  return out;
}

class Hints : public testing::TestWithParam<std::string> {};

TEST_P(Hints, OfEachKeyAreThere_AndWhatTheyProposeIsTaken) {
  for (const Key& key : section(GetParam()).keys()) {
    if (key.later) continue;
    const std::string value = proposal(hint_of(file_with(GetParam(), key.name, line(key.name, wrong_value(key)))), key.name);
    EXPECT_TRUE(key.fields == nullptr || !value.empty()) << key.name << " shows no example";
    if (!value.empty()) expect_taken(file_with(GetParam(), key.name, line(key.name, value)), key.fields != nullptr);
    if (key.fields == nullptr) continue;
    for (const Key& field : key.fields->keys()) {
      const auto table = [&](const std::string& given) {
        return file_with(GetParam(), key.name, line(key.name, "{ " + needed_beside(*key.fields, field) + line(field.name, given) + "}"));
      };
      const auto one_line = [](std::string text) {
        text.erase(text.rfind("\n}"), 1);
        return text;
      };
      const std::string proposed = proposal(hint_of(one_line(table(wrong_value(field)))), field.name);
      if (!proposed.empty()) expect_taken(one_line(table(proposed)), false);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Config, Hints, testing::Values("cluster", "log", "admin", "proxy", "listener", "pool", "route"),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace drover::config
