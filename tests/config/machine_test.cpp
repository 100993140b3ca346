// What a file says against the machine it is on, and files that can't be read.
#include "config/parse.hpp"
#include "config/tree.hpp"
#include "test_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace drover::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A folder of its own with a program, a plain file and a folder in it.
class MachineCheck : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/drover-config-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    write_file(dir_ + "/program", "#!/bin/sh\n");
    ASSERT_EQ(::chmod((dir_ + "/program").c_str(), 0755), 0);
    write_file(dir_ + "/plain", "text");
    ASSERT_EQ(::chmod((dir_ + "/plain").c_str(), 0644), 0);
    ASSERT_EQ(::mkdir((dir_ + "/folder").c_str(), 0755), 0);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  /// "line:column what" of each mistake of a pool with these lines.
  std::vector<std::string> check(const std::string& lines) {
    std::string text = "[pool.shop]\n" + lines;
    for (std::size_t at = text.find("DIR"); at != std::string::npos; at = text.find("DIR")) text.replace(at, 3, dir_);
    const auto config = parse(text, "cluster.toml", 2);
    if (!config) {
      ADD_FAILURE() << render(config.error());
      return {};
    }
    const auto shown = [this](std::string said) {
      for (std::size_t at = said.find(dir_); at != std::string::npos; at = said.find(dir_)) said.replace(at, dir_.size(), "DIR");
      return said;
    };
    std::vector<std::string> out;
    hints_.clear();
    for (const Mistake& each : check_machine(*config)) {
      out.push_back(shown(std::to_string(each.line) + ":" + std::to_string(each.column) + " " + each.what));
      hints_.push_back(shown(each.hint));
    }
    return out;
  }

  void secret(const std::string& name, const std::string& text) {
    write_file(dir_ + "/" + name, text);
    ASSERT_EQ(::chmod((dir_ + "/" + name).c_str(), 0600), 0);
  }

  std::string dir_;
  std::vector<std::string> hints_;  ///< of the last check()
};

TEST_F(MachineCheck, ReadsErrorPagesAndKeysBeforeAnythingStarts) {
  write_file(dir_ + "/page", std::string(64UL * 1024, 'a'));
  write_file(dir_ + "/large", std::string(64UL * 1024 + 1, 'a'));
  secret("key", "0123456789abcdef\n");
  secret("short", "0123456789abcde\n");
  const std::string command = "command = [\"sh\"]\n";
  EXPECT_THAT(check(command + "errors = { 503 = \"DIR/page\" }\nsticky = { cookie = \"a\", key_file = \"DIR/key\" }\n"), IsEmpty());
  EXPECT_THAT(check(command + "errors = { 502 = \"DIR/large\", 503 = \"DIR/nothing\", 504 = \"DIR/folder\" }\n"),
              ElementsAre("3:18 errors: DIR/large has more than 64 KiB", HasSubstr("errors: DIR/nothing can't be read"),
                          HasSubstr("errors: DIR/folder is a folder")));
  EXPECT_THAT(hints_, ElementsAre("shorten it", "it is read when drover starts, by drover's user", "name the page itself, a plain file"));
  EXPECT_THAT(check(command + "sticky = { cookie = \"a\", key_file = \"DIR/short\" }\n"),
              ElementsAre("3:37 key_file: DIR/short holds 15 bytes, fewer than 16"));
  EXPECT_THAT(check(command + "sticky = { cookie = \"a\", key_file = \"DIR/nothing\" }\n"),
              ElementsAre(HasSubstr("3:37 key_file: DIR/nothing can't be read")));
}

TEST_F(MachineCheck, AddsUpTheErrorPagesOfAllPools) {
  write_file(dir_ + "/page", std::string(64UL * 1024, 'a'));
  write_file(dir_ + "/one", "a");
  const std::string six =
      R"(errors = { 400 = "DIR/page", 408 = "DIR/page", 413 = "DIR/page", 502 = "DIR/page", 503 = "DIR/page", 504 = "DIR/page" })";
  std::string pools = "command = [\"sh\"]\n";
  for (int i = 0; i < 42; ++i) pools += "[pool.p" + std::to_string(i) + "]\ncommand = [\"sh\"]\n" + six + "\n";
  pools += "[pool.last]\ncommand = [\"sh\"]\nerrors = { 502 = \"DIR/page\", 503 = \"DIR/page\", 504 = \"DIR/page\" }\n";
  const std::string route = "[[route]]\npool = \"shop\"\n";
  EXPECT_THAT(check(pools + route), IsEmpty()) << "255 of 64 KiB";
  const std::string further = "[pool.more]\ncommand = [\"sh\"]\nerrors = { 502 = \"DIR/page\", 503 = \"DIR/one\", 504 = \"DIR/one\" }\n";
  EXPECT_THAT(
      check(pools + further + route),
      ElementsAre(AllOf(testing::StartsWith("134:"), HasSubstr(" errors: with \"DIR/one\" the error pages of all pools have more than 16 MiB"))));
}

TEST_F(MachineCheck, RefusesSecretsThatOthersMayOpen) {
  secret("key", "0123456789abcdef");
  for (const auto& [mode, refused] : std::vector<std::pair<mode_t, std::size_t>>{{0600, 0}, {0400, 0}, {0640, 2}, {0604, 2}, {0660, 2}}) {
    ASSERT_EQ(::chmod((dir_ + "/key").c_str(), mode), 0);
    const auto found = check("command = [\"sh\"]\nsticky = { cookie = \"a\", key_file = \"DIR/key\" }\n[admin]\ntoken_file = \"DIR/key\"\n");
    ASSERT_EQ(found.size(), refused) << mode;
    if (refused == 0) continue;
    EXPECT_EQ(found[0], "5:14 token_file: \"DIR/key\" may be opened by others than its owner");
    EXPECT_EQ(found[1], "3:37 key_file: \"DIR/key\" may be opened by others than its owner");
    EXPECT_EQ(hints_[0], "chmod 600 DIR/key");
  }
}

TEST_F(MachineCheck, RefusesAnAccessLogThatCannotBeOpened) {
  const auto log = [this](const std::string& path) { return check("command = [\"/bin/sh\"]\n[log]\naccess = { path = \"" + path + "\" }\n"); };
  for (const char* path : {"-", "DIR/new.log", "DIR/plain", "/dev/null"}) EXPECT_THAT(log(path), IsEmpty()) << path;
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/new.log")) << "check makes nothing";
  EXPECT_THAT(log("DIR/folder"), ElementsAre("4:19 access: \"DIR/folder\" is a folder"));
  EXPECT_THAT(hints_, ElementsAre("name a file in it, like \"DIR/folder/access.log\""));
  EXPECT_THAT(log("DIR/none/a.log"), ElementsAre("4:19 access: the folder of \"DIR/none/a.log\" can't be used: No such file or directory"));
  EXPECT_THAT(hints_, ElementsAre("make it before drover starts: mkdir -p DIR/none"));
  EXPECT_THAT(log("DIR/plain/a.log"), ElementsAre("4:19 access: \"DIR/plain\" is not a folder"));
}

/// Root may write everywhere: what it may must not decide what is tested.
TEST_F(MachineCheck, RefusesAnAccessLogWithoutTheRightToWriteIt) {
  ASSERT_EQ(::chmod(dir_.c_str(), 0555), 0);
  ASSERT_EQ(::chmod((dir_ + "/plain").c_str(), 0444), 0);
  const uid_t before = ::geteuid();
  if (before == 0) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const std::string lines = "command = [\"/bin/sh\"]\n[log]\naccess = { path = \"DIR/";
  const auto in_folder = check(lines + "a.log\" }\n");
  const auto plain = check(lines + "plain\" }\n");
  if (before == 0) {
    ASSERT_EQ(::seteuid(before), 0);
  }
  ASSERT_EQ(::chmod(dir_.c_str(), 0755), 0);
  EXPECT_THAT(in_folder, ElementsAre("4:19 access: \"DIR\" can't be written: Permission denied"));
  EXPECT_THAT(plain, ElementsAre("4:19 access: \"DIR/plain\" can't be written: Permission denied"));
}

TEST_F(MachineCheck, FindsProgramsWhereTheyWouldBeFound) {
  EXPECT_THAT(check("command = [\"sh\"]\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"DIR/program\"]\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"./program\"]\ndir = \"DIR\"\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"program\"]\nenv = { PATH = \"/nowhere:DIR\" }\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"drover\", \"demo-worker\"]\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"${BASE}/program\"]\nenv = { BASE = \"DIR\" }\n"), IsEmpty());
}

TEST_F(MachineCheck, SaysWhyAProgramCannotBeStarted) {
  EXPECT_THAT(check("command = [\"no-such-program-here\"]\n"), ElementsAre("2:12 command: \"no-such-program-here\" is not found in PATH"));
  EXPECT_THAT(check("command = [\"DIR/none\"]\n"), ElementsAre("2:12 command: \"DIR/none\" does not exist"));
  EXPECT_THAT(check("command = [\"DIR/plain\"]\n"), ElementsAre("2:12 command: \"DIR/plain\" is not executable"));
  EXPECT_THAT(check("command = [\"DIR/folder\"]\n"), ElementsAre("2:12 command: \"DIR/folder\" is a folder"));
  EXPECT_THAT(check("command = [\"plain\"]\nenv = { PATH = \"DIR\" }\n"), ElementsAre("2:12 command: \"DIR/plain\" is not executable"));
  EXPECT_THAT(check("command = [\"sh\"]\nenv = { PATH = \"DIR\" }\n"), ElementsAre("2:12 command: \"sh\" is not found in PATH"));
}

TEST_F(MachineCheck, NeedsTheFolderAndTheUser) {
  EXPECT_THAT(check("command = [\"sh\"]\ndir = \"DIR/none\"\n"), ElementsAre("3:7 dir: \"DIR/none\": No such file or directory"));
  EXPECT_THAT(check("command = [\"sh\"]\ndir = \"DIR/plain\"\n"), ElementsAre("3:7 dir: \"DIR/plain\" is not a folder"));
  EXPECT_THAT(check("command = [\"sh\"]\nuser = \"no-such-user\"\n"), ElementsAre("3:8 user: there is no user \"no-such-user\" on this machine"));
}

TEST_F(MachineCheck, NeedsTheVariablesThatAreUsed) {
  ASSERT_EQ(::setenv("DROVER_CONFIG_TEST", "1", 1), 0);
  EXPECT_THAT(check("command = [\"sh\", \"${DROVER_CONFIG_TEST}\", \"${PORT}${HOST}${WORKER}\", \"$$HOME\"]\n"), IsEmpty());
  ::unsetenv("DROVER_CONFIG_TEST");
  EXPECT_THAT(check("command = [\"sh\", \"${DROVER_CONFIG_TEST}\"]\nenv = { A = \"${port}\" }\n"),
              ElementsAre("2:18 command: ${DROVER_CONFIG_TEST} is not set in the environment", "3:13 env: ${port} is not set in the environment"));
}

TEST_F(MachineCheck, KnowsWhatAWorkerIsNotGiven) {
  EXPECT_THAT(check("command = [\"sh\", \"${NOTIFY_SOCKET}\", \"${LISTEN_FDS}\"]\n"),
              ElementsAre("2:18 command: ${NOTIFY_SOCKET} is not passed on to workers", "2:38 command: ${LISTEN_FDS} is not passed on to workers"));
  write_file(dir_ + "/vain.env", "NOTIFY_SOCKET=/mine\n");
  EXPECT_THAT(check("command = [\"sh\", \"${NOTIFY_SOCKET}\"]\nenv_file = \"DIR/vain.env\"\n"),
              ElementsAre("2:18 command: ${NOTIFY_SOCKET} is not passed on to workers"));
}

TEST_F(MachineCheck, NeedsTheEnvFile) {
  write_file(dir_ + "/good.env", "A=1\n");
  write_file(dir_ + "/bad.env", "A=1\nB\n");
  EXPECT_THAT(check("command = [\"sh\"]\nenv_file = \"DIR/good.env\"\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"sh\"]\nenv_file = \"DIR/none.env\"\n"),
              ElementsAre("3:12 env_file: DIR/none.env can't be read: No such file or directory"));
  EXPECT_THAT(check("command = [\"sh\"]\nenv_file = \"DIR/folder\"\n"), ElementsAre("3:12 env_file: DIR/folder is a folder"));
  EXPECT_THAT(check("command = [\"sh\"]\nenv_file = \"DIR/bad.env\"\n"), ElementsAre(HasSubstr("3:12 env_file: DIR/bad.env:2: has no '='")));
}

TEST_F(MachineCheck, TakesVariablesOfTheEnvFile) {
  write_file(dir_ + "/good.env", "FROM_FILE=1\n");
  write_file(dir_ + "/path.env", "BASE=" + dir_ + "\nPATH=/nowhere:" + dir_ + "\n");
  EXPECT_THAT(check("command = [\"/bin/sh\", \"${FROM_FILE}\"]\nenv_file = \"DIR/good.env\"\nenv = { A = \"${FROM_FILE}\" }\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"program\"]\nenv_file = \"DIR/path.env\"\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"program\"]\nenv_file = \"DIR/path.env\"\nenv = { PATH = \"${BASE}\" }\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"${BASE}/program\"]\nenv_file = \"DIR/path.env\"\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"sh\"]\nenv_file = \"DIR/path.env\"\n"), ElementsAre("2:12 command: \"sh\" is not found in PATH"));
}

TEST_F(MachineCheck, AnEnvFileIsItsOwnPoolsAlone) {
  write_file(dir_ + "/good.env", "FROM_FILE=1\n");
  EXPECT_THAT(check("command = [\"sh\"]\nenv_file = \"DIR/good.env\"\n[pool.b]\ncommand = [\"sh\", \"${FROM_FILE}\"]\n[[route]]\npool = \"shop\"\n"),
              ElementsAre("5:18 command: ${FROM_FILE} is not set in the environment"));
}

TEST_F(MachineCheck, NeedsTheTokenFile) {
  secret("token", "secret\n");
  write_file(dir_ + "/empty", "");
  EXPECT_THAT(check("command = [\"sh\"]\n[admin]\ntoken_file = \"DIR/token\"\n"), IsEmpty());
  EXPECT_THAT(check("command = [\"sh\"]\n[admin]\ntoken_file = \"DIR/none\"\n"),
              ElementsAre("4:14 token_file: \"DIR/none\" can't be read: No such file or directory"));
  EXPECT_THAT(check("command = [\"sh\"]\n[admin]\ntoken_file = \"DIR/empty\"\n"), ElementsAre("4:14 token_file: \"DIR/empty\" is empty"));
  EXPECT_THAT(check("command = [\"sh\"]\n[admin]\ntoken_file = \"DIR/folder\"\n"),
              ElementsAre("4:14 token_file: \"DIR/folder\" is not a plain file"));
}

/// In a child without rights: what the parent may do must not decide what is tested.
TEST_F(MachineCheck, KnowsLimitsThatItMayNotGive) {
  EXPECT_THAT(check("command = [\"sh\"]\nlimits = { files = 16, nice = 19, memory = \"1GiB\", core = \"0\" }\n"), IsEmpty());
  const auto child = [this] {
    rlimit none{0, 0};
    ::setrlimit(RLIMIT_NICE, &none);
    ::setgroups(0, nullptr);
    if (::setresuid(65534, 65534, 65534) != 0 && ::geteuid() == 0) std::_Exit(3);
    rlimit files{100, 100};
    ::setrlimit(RLIMIT_NOFILE, &files);
    const auto found = check("command = [\"/bin/sh\"]\nlimits = { files = 101, nice = -20 }\n");
    for (const std::string& each : found) std::fprintf(stderr, "%s\n", each.c_str());
    std::_Exit(found.size() == 2 ? 7 : 1);
  };
  EXPECT_EXIT(child(), testing::ExitedWithCode(7), "files: 101 is more than drover itself may open: 100(.|\n)*nice: -20 is below drover's own");
}

TEST_F(MachineCheck, SaysAllAtOnce) {
  EXPECT_EQ(check("command = [\"none-of-this\"]\nuser = \"nobody-at-all\"\nenv = { A = \"${NOT_SET_ANYWHERE}\" }\n").size(), 3U);
}

Config two_pools(const std::string& ports) {
  return *parse("[cluster]\nports = \"" + ports +
                    "\"\n[pool.a]\ncommand = [\"a\"]\nuser = \"x\"\n[pool.b]\ncommand = [\"b\"]\n[[route]]\npool = \"a\"\n[[route]]\npath = "
                    "\"/b\"\npool = \"b\"\n",
                "cluster.toml", 2);
}

TEST(MachineWarnings, OfPortsThatTheKernelHandsOut) {
  const Machine machine{{32768, 60999}, false};
  EXPECT_THAT(warnings_for_machine(two_pools("20000-29999"), machine), IsEmpty());
  EXPECT_THAT(warnings_for_machine(two_pools("61000-65535"), machine), IsEmpty());
  EXPECT_THAT(warnings_for_machine(two_pools("30000-32768"), machine),
              ElementsAre(HasSubstr("cluster.toml:2:9: warning: ports 30000-32768 overlap 32768-60999")));
  EXPECT_EQ(warnings_for_machine(two_pools("60999-62000"), machine).size(), 1U);
  EXPECT_EQ(warnings_for_machine(two_pools("40000-41000"), machine).size(), 1U);
}

TEST(MachineWarnings, OfWorkersThatRunAsRoot) {
  EXPECT_THAT(warnings_for_machine(two_pools("20000-29999"), {{32768, 60999}, true}),
              ElementsAre("cluster.toml:6:1: warning: [pool.b] has no user: its workers run as root; add user = \"…\""));
}

TEST(MachineWarnings, OfFewerFilesThanTheProxyMayNeed) {
  Config config = *parse(
      "[listener.web]\nbind = \":0\"\nlimits = { connections = 900 }\n[pool.a]\ncommand = [\"a\"]\nworkers = 4\nconcurrency = 20\n"
      "[[route]]\npool = \"a\"\n",
      "cluster.toml", 2);
  config.proxy.threads = 1;
  const std::uint64_t need = 15 + 1 * (8 + 1) + 900 + 4 * 20;
  const PortRange elsewhere{32768, 60999};
  EXPECT_THAT(warnings_for_machine(config, {elsewhere, false, need}), IsEmpty());
  EXPECT_THAT(warnings_for_machine(config, {elsewhere, false}), IsEmpty()) << "no limit";
  EXPECT_THAT(warnings_for_machine(config, {elsewhere, false, need - 1}),
              ElementsAre(AllOf(HasSubstr("the proxy may need 1004 open files"), HasSubstr("can have 1003"), HasSubstr("LimitNOFILE="))));
  config.pools[0].workers_max = 5;
  EXPECT_THAT(warnings_for_machine(config, {elsewhere, false, need}), ElementsAre(HasSubstr("may need 1024 open files")));
}

TEST(MachineWarnings, ReadTheMachine) {
  const Machine machine = this_machine();
  EXPECT_LE(machine.ephemeral.first, machine.ephemeral.last);
  EXPECT_EQ(machine.root, ::geteuid() == 0);
}

std::string refusal(const std::string& file) {
  const auto result = load(file);
  return result ? "was taken" : render(result.error());
}

TEST(Load, SaysWhyAFileCannotBeRead) {
  EXPECT_EQ(refusal("/no/such/file.toml"),
            "/no/such/file.toml: error: can't be read: No such file or directory\n"
            "  = give the file's name: drover run FILE; without one it is ./cluster.toml\n"
            "1 mistake in /no/such/file.toml; nothing was started\n");
  EXPECT_THAT(refusal(test_dir()), HasSubstr("error: is a folder"));
  EXPECT_THAT(refusal(test_dir() + "/broken/empty_file.toml"), HasSubstr("error: the file is empty"));
  EXPECT_THAT(refusal(test_dir() + "/broken/not_utf8.toml"), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal("/proc/self/mem"), HasSubstr("can't be read: "));
}

TEST_F(MachineCheck, LoadRefusesAFileItMayNotRead) {
  ASSERT_EQ(::chmod((dir_ + "/plain").c_str(), 0), 0);
  const uid_t before = ::geteuid();
  if (before == 0) {
    ASSERT_EQ(::seteuid(65534), 0);  // root may read everything
  }
  const std::string printed = refusal(dir_ + "/plain");
  if (before == 0) {
    ASSERT_EQ(::seteuid(before), 0);
  }
  EXPECT_THAT(printed, HasSubstr("can't be read: Permission denied"));
}

TEST_F(MachineCheck, LoadPointsFromAFolderToTheFileInIt) {
  write_file(dir_ + "/cluster.toml", "[pool.a]\ncommand = [\"a\"]\n");
  EXPECT_THAT(refusal(dir_), HasSubstr("did you mean '" + dir_ + "/cluster.toml'?"));
  const auto config = load(dir_ + "/cluster.toml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->file, dir_ + "/cluster.toml");
}

TEST_F(MachineCheck, LoadRefusesAHugeFileWithoutReadingIt) {
  write_file(dir_ + "/huge.toml", std::string(3 * kMaxText, '#'));
  EXPECT_THAT(refusal(dir_ + "/huge.toml"), HasSubstr("error: the file is larger than 1 MiB"));
  EXPECT_THAT(refusal("/dev/zero"), HasSubstr("error: the file is larger than 1 MiB"));
}

TEST(Load, TakesTheExample) { EXPECT_TRUE(load(test_dir() + "/good/example.toml")); }

}  // namespace
}  // namespace drover::config
