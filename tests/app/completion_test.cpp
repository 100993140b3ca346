// Completion scripts know every verb and option, and shells understand them.
#include "app/completion.hpp"

#include "app/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace drover::app {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<VerbShape> shape() { return shape_of(CommandLine().app()); }

/// What the shell says of the script; "" is well.
std::string judged(const std::string& shell, const std::string& script) {
  std::string pattern = testing::TempDir() + "/drover-completion-XXXXXX";
  EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path folder(pattern);
  std::ofstream(folder / "script") << script;
  const int code = std::system((shell + " -n " + (folder / "script").string() + " > " + (folder / "said").string() + " 2>&1").c_str());
  std::ifstream file(folder / "said");
  std::string said{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove_all(folder);
  return code == 0 ? said : said + " (code " + std::to_string(code) + ")";
}

bool there_is(const std::string& shell) { return std::system(("command -v " + shell + " >/dev/null 2>&1").c_str()) == 0; }

TEST(Completion, KnowsEveryVerbAndOption) {
  const auto verbs = shape();
  std::vector<std::string> names;
  for (const VerbShape& each : verbs) names.push_back(each.name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("run", "check", "status", "ps", "top", "events", "logs", "why", "config", "restart", "drain",
                                                   "resume", "scale", "hold", "maintenance", "stop", "send", "request", "state", "completion",
                                                   "version", "demo-worker"));
  for (const std::string& script : {bash_completion(verbs), zsh_completion(verbs), fish_completion(verbs)}) {
    for (const VerbShape& verb : verbs) {
      EXPECT_THAT(script, HasSubstr(verb.name));
      for (const OptionShape& option : verb.options) {
        ASSERT_FALSE(option.names.empty()) << verb.name;
        EXPECT_THAT(script, HasSubstr(option.names[0].substr(option.names[0].find_first_not_of('-')))) << verb.name;
      }
    }
    EXPECT_THAT(script, Not(HasSubstr("proxy")));
    EXPECT_THAT(script, HasSubstr("drover targets"));
  }
}

TEST(Completion, TargetsFollowWhereTheyAreTaken) {
  for (const VerbShape& verb : shape()) {
    const std::set<std::string> takers{"restart", "drain", "resume", "logs", "why", "scale", "hold", "maintenance"};
    const bool targets = takers.contains(verb.name);
    EXPECT_EQ(verb.follows == Follows::target, targets) << verb.name;
    EXPECT_EQ(verb.follows == Follows::one_target, verb.name == "send" || verb.name == "request") << verb.name;
    EXPECT_EQ(verb.follows == Follows::action, verb.name == "state") << verb.name;
    const bool files = verb.name == "run" || verb.name == "check" || verb.name == "config";
    EXPECT_EQ(verb.follows == Follows::file, files) << verb.name;
  }
}

TEST(Completion, EveryAskingVerbFindsItsDrover) {
  for (const VerbShape& verb : shape()) {
    bool json = false;
    for (const OptionShape& option : verb.options) json = json || option.names[0] == "--json";
    const bool local = verb.name == "run" || verb.name == "check" || verb.name == "completion" || verb.name == "demo-worker";
    EXPECT_EQ(json, !local) << verb.name;
  }
}

TEST(Completion, BashUnderstandsItsScript) {
  const auto script = bash_completion(shape());
  EXPECT_EQ(judged("bash", script), "");
  std::string pattern = testing::TempDir() + "/drover-bash-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path folder(pattern);
  std::ofstream(folder / "script") << script << "drover() { echo shop; echo shop.1; }\n"
                                   << "try() { COMP_WORDS=(drover \"$@\"); COMP_CWORD=$#; _drover; echo \"$*: ${COMPREPLY[*]}\"; }\n"
                                   << "try rest; try restart s; try restart --w; try completion z; try events --socket /dev/nul; try stop x\n"
                                   << "try send sho; try send shop x; try state d; try state get ''; try state get shop x; try state --e\n";
  ASSERT_EQ(std::system(("bash " + (folder / "script").string() + " > " + (folder / "said").string() + " 2>&1").c_str()), 0);
  std::ifstream file(folder / "said");
  const std::string said{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(said,
            "rest: restart\nrestart s: shop shop.1\nrestart --w: --wait\ncompletion z: zsh\nevents --socket /dev/nul: /dev/null\nstop x: \n"
            "send sho: shop shop.1\nsend shop x: \nstate d: delete\nstate get : shop shop.1\nstate get shop x: \nstate --e: --expires\n");
  std::filesystem::remove_all(folder);
}

TEST(Completion, ZshUnderstandsItsScript) {
  if (!there_is("zsh")) GTEST_SKIP() << "zsh is not installed";
  EXPECT_EQ(judged("zsh", zsh_completion(shape())), "");
}

TEST(Completion, FishUnderstandsItsScript) {
  if (!there_is("fish")) GTEST_SKIP() << "fish is not installed";
  EXPECT_EQ(judged("fish", fish_completion(shape())), "");
}

TEST(Completion, HelpWithQuotesAndBracketsIsNoCode) {
  const std::vector<VerbShape> odd{{"odd", "it's [a] \"test\": $(x)", {{{"--x"}, true, false, "it's [b]: c"}}, Follows::nothing, {}}};
  EXPECT_EQ(judged("bash", bash_completion(odd)), "");
  EXPECT_THAT(fish_completion(odd), HasSubstr("'it'\\''s [a] \"test\": $(x)'"));
  EXPECT_THAT(zsh_completion(odd), HasSubstr("'--x[it'\\''s \\[b\\]\\: c]:value:'"));
}

}  // namespace
}  // namespace drover::app
