// One test per file of broken/: what is printed for it is NAME.expected, to the letter.
// DROVER_UPDATE_EXPECTED=1 writes the files instead; read the difference before you commit it.
#include "config/parse.hpp"
#include "test_files.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace drover::config {
namespace {

class Broken : public testing::TestWithParam<std::string> {};

TEST_P(Broken, IsRefusedInTheseWords) {
  const std::string path = test_dir() + "/broken/" + GetParam();
  const auto result = parse(read_file(path + ".toml"), "cluster.toml", 4);
  ASSERT_FALSE(result) << "was taken";
  const std::string printed = render(result.error());
  if (std::getenv("DROVER_UPDATE_EXPECTED") != nullptr) {
    write_file(path + ".expected", printed);
    return;
  }
  EXPECT_EQ(printed, read_file(path + ".expected"));
}

TEST_P(Broken, EachMistakeHasAFixAndAPlaceInTheFile) {
  const std::string text = read_file(test_dir() + "/broken/" + GetParam() + ".toml");
  const auto result = parse(text, "cluster.toml", 4);
  ASSERT_FALSE(result);
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  for (const Mistake& each : result.error().list) {
    EXPECT_FALSE(each.what.empty());
    EXPECT_LE(each.line, lines);
    EXPECT_EQ(each.line == 0, each.column == 0) << each.what;
  }
}

INSTANTIATE_TEST_SUITE_P(Config, Broken, testing::ValuesIn(names_in_folder("broken", ".toml")), [](const auto& each) { return each.param; });

TEST(Golden, HasNoExpectationWithoutItsFile) { EXPECT_EQ(names_in_folder("broken", ".expected"), names_in_folder("broken", ".toml")); }

}  // namespace
}  // namespace drover::config
