// What an env_file may hold, and what is refused rather than guessed.
#include "config/env_file.hpp"
#include "test_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

namespace drover::config {
namespace {

using Environment = std::map<std::string, std::string>;

Environment taken_as(std::string_view text) {
  const auto result = parse_env(text, "a.env");
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return {};
  }
  return *result;
}

std::string refusal_of(std::string_view text) {
  const auto result = parse_env(text, "a.env");
  return result ? "was taken" : result.error().message;
}

TEST(EnvFile, TakesNamesAndValues) {
  EXPECT_EQ(taken_as("A=1\nB_2=two words\n\n# a comment=1\n  # another\n\t C=c\t \nexport D=d\nexport\tE=e\n_=\nlast=one"),
            (Environment{{"A", "1"}, {"B_2", "two words"}, {"C", "c"}, {"D", "d"}, {"E", "e"}, {"_", ""}, {"last", "one"}}));
  EXPECT_EQ(taken_as(""), Environment{});
  EXPECT_EQ(taken_as("A=1\r\nB=\"2\"\r\n"), (Environment{{"A", "1"}, {"B", "2"}}));
}

TEST(EnvFile, LeavesUnquotedValuesAsTheyAre) {
  EXPECT_EQ(taken_as("A=$HOME ${X} \\n\nB=a=b=c\nC=it's\nD={\"a\": 1}\nE=#1\nF=a#b\nexported=1\nexport=2\n"), (Environment{{"A", "$HOME ${X} \\n"},
                                                                                                                           {"B", "a=b=c"},
                                                                                                                           {"C", "it's"},
                                                                                                                           {"D", "{\"a\": 1}"},
                                                                                                                           {"E", "#1"},
                                                                                                                           {"F", "a#b"},
                                                                                                                           {"exported", "1"},
                                                                                                                           {"export", "2"}}));
}

TEST(EnvFile, SingleQuotesTakeEverythingAsItIs) {
  EXPECT_EQ(taken_as("A='a \\n \"$b\" # c '\nB=''\nC='x' # comment\n"), (Environment{{"A", "a \\n \"$b\" # c "}, {"B", ""}, {"C", "x"}}));
}

TEST(EnvFile, DoubleQuotesKnowFiveEscapes) {
  EXPECT_EQ(taken_as(R"(A="line\n\ttab \"q\" \\ \$x $y 'z' # no comment"   # comment)"),
            (Environment{{"A", "line\n\ttab \"q\" \\ $x $y 'z' # no comment"}}));
  EXPECT_EQ(taken_as("A=\"\"\n"), (Environment{{"A", ""}}));
}

TEST(EnvFile, SaysWhichLineIsWrongAndWhy) {
  EXPECT_EQ(refusal_of("A=1\nB\n"), "a.env:2: has no '='; write NAME=value, and a value of several lines as \"one\\nline\"");
  EXPECT_EQ(refusal_of("\n\nA =1\n"), "a.env:3: has a blank before its '='; write NAME=value");
  EXPECT_EQ(refusal_of("A= 1\n"), "a.env:1: A has a blank after its '='; write NAME=value, a value that begins with a blank in quotes");
  EXPECT_EQ(refusal_of("1A=x\n"), "a.env:1: \"1A\" can't name a variable: letters, digits and '_', not a digit first");
  EXPECT_THAT(refusal_of("=x\n"), testing::StartsWith("a.env:1: \"\" can't name a variable"));
  EXPECT_THAT(refusal_of("a.b=x\n"), testing::StartsWith("a.env:1: \"a.b\" can't name a variable"));
  EXPECT_EQ(refusal_of("A=1\nB=2\nexport A=3\n"), "a.env:3: A is already set in line 1; take one of them out");
  EXPECT_EQ(refusal_of("A=x # y\n"),
            "a.env:1: A holds a blank and '#': comment or value? Put the value in quotes, or the comment in a line of its own");
  EXPECT_EQ(refusal_of(std::string_view("A=a\0b\n", 6)), "a.env:1: holds a NUL character; no variable can");
}

TEST(EnvFile, SaysWhatIsWrongWithQuotes) {
  EXPECT_EQ(refusal_of("A=\"x\n\"\n"), "a.env:1: A begins with a double quote and has no second one in its line; write a line's end as \\n");
  EXPECT_EQ(refusal_of("A='x\n"), "a.env:1: A begins with a single quote and has no second one in its line");
  EXPECT_EQ(refusal_of("A=\"x\"y\n"), "a.env:1: A goes on behind its closing quote; put the whole value in one pair of quotes");
  EXPECT_THAT(refusal_of("A='x'#y\n"), testing::HasSubstr("goes on behind its closing quote"));
  EXPECT_THAT(refusal_of("A=\"\\x41\"\n"), testing::StartsWith("a.env:1: A holds a '\\' that means nothing"));
  EXPECT_THAT(refusal_of("A=\"x\\"), testing::StartsWith("a.env:1: A holds a '\\' that means nothing"));
}

TEST(EnvFile, NeverRepeatsAValue) {
  for (const char* text :
       {"A= hunter2", "A=\"hunter2", "A='hunter2", "A=\"hunter2\"x", "A=hunter2 # x", "A=\"hunter2\\q\"", "hunter2", "A=1\nA=hunter2"}) {
    EXPECT_THAT(refusal_of(text), testing::Not(testing::HasSubstr("hunter2")));
    EXPECT_NE(refusal_of(text), "was taken") << text;
  }
}

TEST(EnvFile, IsBounded) {
  EXPECT_EQ(refusal_of(std::string(kMaxEnvFile + 1, '\n')), "a.env is larger than 1 MiB");
  std::string many;
  for (std::size_t i = 0; i < kMaxEnvEntries; ++i) many += "A" + std::to_string(i) + "=1\n";
  EXPECT_EQ(taken_as(many).size(), kMaxEnvEntries);
  EXPECT_THAT(refusal_of(many + "B=1\n"), testing::HasSubstr("a.env:4097: more than 4096 variables"));
  EXPECT_EQ(taken_as("A=" + std::string(kMaxEnvEntry - 2, 'x')).at("A").size(), kMaxEnvEntry - 2);
  EXPECT_THAT(refusal_of("A=" + std::string(kMaxEnvEntry - 1, 'x')), testing::HasSubstr("A has more than 128 KiB"));
}

TEST(EnvFile, SaysWhyAFileCannotBeRead) {
  EXPECT_EQ(read_env_file("/no/such.env").error().message, "/no/such.env can't be read: No such file or directory");
  EXPECT_EQ(read_env_file("/no/such.env").error().code, ENOENT);
  EXPECT_EQ(read_env_file("/").error().message, "/ is a folder");
  EXPECT_EQ(read_env_file("/dev/zero").error().message, "/dev/zero is not a plain file");
}

TEST(EnvFile, DoesNotWaitForAPipe) {
  const std::string path = testing::TempDir() + "/drover-env-pipe-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto result = read_env_file(path);
  std::filesystem::remove(path);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, path + " is not a plain file");
}

TEST(EnvFile, IsReadFromTheDisk) {
  const std::string path = testing::TempDir() + "/drover-env-" + std::to_string(::getpid());
  write_file(path, "A=1\nB='2'\n");
  const auto result = read_env_file(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(*result, (Environment{{"A", "1"}, {"B", "2"}}));
}

}  // namespace
}  // namespace drover::config
