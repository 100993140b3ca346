// Whatever happens to a good file, parse() answers, render() stays bounded, and what is still good can be written out and read again. Seeds are
// fixed; a failing one is printed.
#include "base/rng.hpp"
#include "config/effective.hpp"
#include "config/parse.hpp"
#include "config/tree.hpp"
#include "test_files.hpp"

#include <gtest/gtest.h>

#include <array>

namespace drover::config {
namespace {

constexpr std::array<std::string_view, 24> kPieces{"[",      "]",   "[[",         "{",    "}",       "=",    "\"", "'''",
                                                   "\"\"\"", "#",   "\n",         ".",    "\\u0000", "${",   "}",  "9999999999999999999",
                                                   "-1",     "inf", "1979-05-27", "\xff", ",",       "auto", "$$", "[pool.x]\n"};

std::string mutate(std::string text, base::Rng& rng) {
  const std::uint64_t rounds = 1 + rng.below(4);
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const std::size_t at = rng.below(text.size() + 1);
    const std::size_t length = std::min<std::size_t>(rng.below(20), text.size() - at);
    switch (rng.below(5)) {
      case 0: text.erase(at, length); break;
      case 1: text.insert(at, kPieces[rng.below(kPieces.size())]); break;
      case 2: text.replace(at, length, kPieces[rng.below(kPieces.size())]); break;
      case 3: text.insert(at, text.substr(rng.below(text.size() + 1), rng.below(200))); break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(rng.next());
        break;
    }
  }
  return text;
}

void survives(const std::string& text, const std::string& what) {
  SCOPED_TRACE(what);
  const auto result = parse(text, "cluster.toml", 4);
  if (result) {
    EXPECT_FALSE(result->pools.empty());
    EXPECT_FALSE(result->listeners.empty());
    for (const Route& each : result->routes) EXPECT_LT(each.pool, result->pools.size());
    EXPECT_TRUE(parse(result->text, "cluster.toml", 4)) << "not taken a second time";
    const std::string written = effective(*result, Secrets::shown);
    const auto again = parse(written, "cluster.toml", 1);
    ASSERT_TRUE(again) << render(again.error()) << written;
    EXPECT_EQ(again->pools, result->pools) << written;
    EXPECT_EQ(again->listeners, result->listeners) << written;
    EXPECT_EQ(again->routes, result->routes) << written;
    return;
  }
  EXPECT_FALSE(result.error().list.empty());
  const std::string printed = render(result.error());
  EXPECT_TRUE(printed.ends_with("; nothing was started\n"));
  EXPECT_LT(printed.size(), 200'000U);
}

class Mutation : public testing::TestWithParam<std::string> {};

TEST_P(Mutation, NeverCrashes) {
  const std::string good = read_file(test_dir() + "/good/" + GetParam());
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    base::Rng rng(seed);
    survives(mutate(good, rng), "seed " + std::to_string(seed));
  }
}

INSTANTIATE_TEST_SUITE_P(Config, Mutation, testing::Values("example.toml", "everything.toml", "minimal.toml"),
                         [](const auto& each) { return each.param.substr(0, each.param.find('.')); });

TEST(Hostile, DeepAndWideFilesAreRefusedWithoutHarm) {
  const std::size_t many = 500'000;
  std::string dotted = "[a";
  for (std::size_t i = 0; i < many; ++i) dotted += ".a";
  survives(dotted + "]\n", "deep header");
  survives(dotted.substr(1) + " = 1\n", "deep key");
  survives("a = { " + dotted.substr(1) + " = 1 }\n", "deep key in a table");
  survives("a = " + std::string(many, '['), "brackets");
  survives("a = " + std::string(many, '{'), "braces");
  survives("a = \"" + std::string(many, 'x') + "\"\n", "long string");
  std::string tables;
  while (tables.size() < kMaxText - 100) tables += "[pool.p" + std::to_string(tables.size()) + "]\n";
  survives(tables, "tens of thousands of pools");
  std::string quotes = "[\"a\"";
  for (std::size_t i = 0; i < many / 4; ++i) quotes += ".\"a\"";
  survives(quotes + "]\n", "deep quoted header");
}

TEST(Hostile, DotsAndBracketsInStringsAreNotDeep) {
  const std::string dots(200, '.');
  const std::string brackets(200, '[');
  for (const std::string& quote : {std::string("\""), std::string("'"), std::string("\"\"\""), std::string("'''")}) {
    const std::string text = "[pool.a]\n# " + dots + brackets + "\ncommand = [\"a\", " + quote + dots + brackets + quote + "]\n";
    EXPECT_TRUE(parse(text, "cluster.toml", 4)) << text;
  }
}

TEST(Hostile, MistakesAreCountedButNotAllShown) {
  std::string text = "[pool.a]\ncommand = [\"a\"]\n";
  for (int i = 0; i < 1000; ++i) text += "zzzzzz" + std::to_string(i) + " = 1\n";
  const auto result = parse(text, "cluster.toml", 4);
  ASSERT_FALSE(result);
  const std::string printed = render(result.error());
  EXPECT_NE(printed.find("… and 900 more\n1000 mistakes in cluster.toml; nothing was started\n"), std::string::npos);
}

}  // namespace
}  // namespace drover::config
