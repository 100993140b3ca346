#include "backends/endpoint.hpp"
#include "host_support.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace drover::backends::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Launch : HostTest {
  std::filesystem::path folder = make_folder();

  ~Launch() override { std::filesystem::remove_all(folder); }

  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "drover-launch-XXXXXX").string();
    return mkdtemp(name.data());
  }
  std::string file(const std::string& name, const std::string& text, mode_t mode) const {
    const std::string path = (folder / name).string();
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
  std::string failure(const LaunchSpec& what) {
    const auto pid = host.start(what);
    EXPECT_FALSE(pid) << "it ran";
    siginfo_t info{};
    EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1) << "the failed child was left unreaped";
    return pid ? "" : pid.error().message;
  }
};

TEST_F(Launch, MissingCommandIsNamedWithTheFix) {
  EXPECT_THAT(failure(spec({"drover-no-such-command"})), AllOf(HasSubstr("shop.1"), HasSubstr("command not found"),
                                                               HasSubstr("\"drover-no-such-command\""), HasSubstr("/usr/local/bin:/usr/bin:/bin")));
  EXPECT_THAT(failure(spec({"/no/such/server"})), AllOf(HasSubstr("command not found"), HasSubstr("\"/no/such/server\"")));
}

TEST_F(Launch, NotExecutableSaysChmod) {
  const auto path = file("server.sh", "#!/bin/sh\n", 0644);
  EXPECT_THAT(failure(spec({path})), HasSubstr("not executable: chmod +x " + path));
}

TEST_F(Launch, OtherExecFailuresNameTheirFix) {
  EXPECT_THAT(failure(spec({folder.string()})), HasSubstr("is a folder"));
  EXPECT_THAT(failure(spec({file("lost", "#!/no/such/interpreter\n", 0755)})), HasSubstr("interpreter"));
  EXPECT_THAT(failure(spec({file("plain", "echo hello\n", 0755)})), HasSubstr("\"#!"));
  auto nowhere = spec({"true"});
  nowhere.dir = "/no/such/folder";
  EXPECT_THAT(failure(nowhere), AllOf(HasSubstr("can't enter dir \"/no/such/folder\""), HasSubstr("No such file")));
  EXPECT_THAT(failure(spec({})), HasSubstr("command is empty"));
}

TEST_F(Launch, UserWithoutRightsIsNamed) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  chmod(folder.c_str(), 0700);
  auto secret = spec({file("server.sh", "#!/bin/sh\n", 0755)});
  secret.user = *find_user("nobody");
  EXPECT_THAT(failure(secret), AllOf(HasSubstr("may not be executed by the pool's user"), HasSubstr("each folder above")));
}

TEST_F(Launch, UnknownUserIsNamed) {
  const auto user = find_user("drover-no-such-user");
  ASSERT_FALSE(user);
  EXPECT_THAT(user.error().message, AllOf(HasSubstr("drover-no-such-user"), HasSubstr("useradd")));
}

TEST_F(Launch, PathIsThatOfTheWorker) {
  file("only-here", "#!/bin/sh\necho found\n", 0755);
  auto what = spec({"only-here"});
  what.env = {"PATH=/nowhere:" + folder.string() + ":/usr/bin:/bin"};
  EXPECT_THAT(output_of(what), ElementsAre("found"));
}

TEST_F(Launch, EnvironmentIsExactlyTheGivenOne) {
  setenv("DROVER_TEST_LEAK", "1", 1);
  auto what = spec({"/usr/bin/env"});
  what.env = {"A=1", "B=two words", "C="};
  EXPECT_THAT(output_of(what), ElementsAre("A=1", "B=two words", "C="));
}

TEST_F(Launch, ListenPidIsTheChildsOwn) {
  auto what = shell("echo $$ $LISTEN_PID; env | grep -c ^LISTEN_PID=");
  what.env.emplace_back("LISTEN_FDS=1");
  what.listen_pid = true;
  const auto lines = output_of(what);
  ASSERT_EQ(lines.size(), 2U);
  const std::string pid = lines[0].substr(0, lines[0].find(' '));
  EXPECT_GT(std::atoi(pid.c_str()), 1);
  EXPECT_EQ(lines[0], pid + " " + pid);
  EXPECT_EQ(lines[1], "1");
}

TEST_F(Launch, ListenPidIsLeftAloneUnlessAskedFor) { EXPECT_THAT(output_of(shell("echo ${LISTEN_PID:-none}")), ElementsAre("none")); }

// What a worker that was started for socket activation finds: a listening socket at 3 that blocks, inherited through exec; and the same
// socket still blocks here, whatever else is passed.
TEST_F(Launch, ListeningSocketArrivesAtThree_Blocking) {
  auto opened =
      Listening::open({.unix_path = false, .host = "127.0.0.1", .port = 0, .path = {}, .text = {}}, "listener web", Listening::Accepts::by_others);
  ASSERT_TRUE(opened);
  auto what = python(
      "import os, socket\n"
      "s = socket.socket(fileno=3)\n"
      "print(os.get_blocking(3), s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), os.environ['LISTEN_PID'] == str(os.getpid()))\n"
      "print(sorted(int(f) for f in os.listdir('/proc/self/fd') if int(f) < 5 and os.path.exists('/proc/self/fd/' + f)))\n"
      "c = s.accept()[0]; c.sendall(c.recv(5)); c.close()\n");
  what.listen_pid = true;
  what.descriptors = {{opened->fd(), 3}};
  ASSERT_NE(start(what), 0);
  EXPECT_EQ(fcntl(opened->fd(), F_GETFL) & O_NONBLOCK, 0);
  const base::UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  socklen_t length = sizeof at;
  ASSERT_EQ(getsockname(opened->fd(), reinterpret_cast<sockaddr*>(&at), &length), 0);
  ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&at), length), 0);
  ASSERT_EQ(write(client.get(), "hello", 5), 5);
  ASSERT_TRUE(ended());
  std::array<char, 8> answer{};
  EXPECT_EQ(read(client.get(), answer.data(), answer.size()), 5);
  EXPECT_THAT(host.last_lines(key(1)), ElementsAre("True 1 True", "[0, 1, 2, 3]"));
}

// Numbers that are, before, those of what has to be passed: each must arrive where it belongs.
TEST_F(Launch, DescriptorsChangePlacesWithoutLoss) {
  std::vector<base::UniqueFd> files;
  for (const char* text : {"zero", "one", "two", "three"}) {
    files.emplace_back(memfd_create("file", MFD_CLOEXEC));
    ASSERT_EQ(pwrite(files.back().get(), text, std::strlen(text), 0), static_cast<ssize_t>(std::strlen(text)));
  }
  std::vector<int> numbers;
  for (const auto& file : files) numbers.push_back(file.get());
  auto what = shell("for i in " + std::to_string(numbers[0]) + " " + std::to_string(numbers[1]) + " " + std::to_string(numbers[2]) + " " +
                    std::to_string(numbers[3]) + " 3; do cat /proc/self/fd/$i; echo; done");
  what.descriptors = {{numbers[0], numbers[1]}, {numbers[1], numbers[2]}, {numbers[2], numbers[0]}, {numbers[3], numbers[3]}};
  if (std::ranges::find(numbers, 3) == numbers.end()) {
    what.descriptors.emplace_back(numbers[0], 3);  // one file twice
    EXPECT_THAT(output_of(what), ElementsAre("two", "zero", "one", "three", "zero"));
  } else {
    EXPECT_EQ(output_of(what).size(), 5U);
  }
}

TEST_F(Launch, SignalsAreDefaultAndUnblocked) {
  sigset_t some;
  sigset_t before;
  sigemptyset(&some);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&some, number);
  sigprocmask(SIG_BLOCK, &some, &before);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  const auto lines = output_of(spec({"sed", "-nE", "/^Sig(Blk|Ign|Cgt)/p", "/proc/self/status"}));
  signal(SIGPIPE, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_THAT(lines, ElementsAre("SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"));
}

TEST_F(Launch, SignalMaskOfTheSupervisorStays) {
  sigset_t before;
  sigset_t after;
  sigprocmask(SIG_SETMASK, nullptr, &before);
  start(spec({"true"}));
  sigprocmask(SIG_SETMASK, nullptr, &after);
  for (int number = 1; number < NSIG; ++number) EXPECT_EQ(sigismember(&before, number), sigismember(&after, number)) << number;
  EXPECT_TRUE(ended());
}

TEST_F(Launch, OnlyTheGivenDescriptorsArePassedOn) {
  const base::UniqueFd leak(open("/dev/zero", O_RDONLY));  // without O_CLOEXEC, as a library might
  const base::UniqueFd high(fcntl(leak.get(), F_DUPFD, 200));
  auto what = shell("ls /proc/$$/fd; true");
  what.descriptors = {{leak.get(), 7}};
  EXPECT_THAT(output_of(what), ElementsAre("0", "1", "2", "7"));
}

TEST_F(Launch, DescriptorsMaySwapNumbers) {
  const base::UniqueFd a(memfd_create("a", MFD_CLOEXEC));
  const base::UniqueFd b(memfd_create("b", MFD_CLOEXEC));
  ASSERT_EQ(write(a.get(), "A", 1), 1);
  ASSERT_EQ(write(b.get(), "B", 1), 1);
  const std::string from_a = std::to_string(a.get());
  const std::string from_b = std::to_string(b.get());
  auto what = python("import os; print(os.pread(" + from_a + ",1,0).decode(), os.pread(" + from_b + ",1,0).decode())");
  what.descriptors = {{a.get(), b.get()}, {b.get(), a.get()}};
  EXPECT_THAT(output_of(what), ElementsAre("B A"));
}

TEST_F(Launch, InputIsEmptyAndFolderAndUmaskHold) {
  auto what = shell("readlink /proc/self/fd/0; pwd; umask; ps -o pgid= -p $$ | tr -d ' '; echo $$");
  what.dir = std::filesystem::canonical(folder).string();
  what.umask = 027;
  const auto lines = output_of(what);
  ASSERT_EQ(lines.size(), 5U);
  EXPECT_EQ(lines[0], "/dev/null");
  EXPECT_EQ(lines[1], what.dir);
  EXPECT_EQ(lines[2], "0027");
  EXPECT_EQ(lines[3], lines[4]) << "not the leader of a group of its own";
}

TEST_F(Launch, LimitsHoldInTheWorker) {
  auto what = shell("ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -v; nice");
  what.limits.files = 123;
  what.limits.core = 512 * 1024;
  what.limits.address_space = 1ULL << 30U;
  what.limits.nice = getpriority(PRIO_PROCESS, 0) + 3;
  EXPECT_THAT(output_of(what), ElementsAre("123", "123", "1024", "1048576", std::to_string(*what.limits.nice)));
}

TEST_F(Launch, WithoutLimitsTheWorkerKeepsWhatDroverWasStartedWith) {
  rlimit own{};
  getrlimit(RLIMIT_CORE, &own);
  const std::string core = own.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(own.rlim_cur / 512);
  EXPECT_THAT(output_of(shell("ulimit -c; ulimit -v")), ElementsAre(core, "unlimited"));
}

TEST_F(Launch, LimitThatCantBeSetIsNamedWithTheFix) {
  // More than fs.nr_open is refused to everybody.
  auto what = spec({"true"});
  what.limits.files = UINT64_MAX - 1;
  EXPECT_THAT(failure(what), AllOf(HasSubstr("limits.files"), HasSubstr(strerror(EPERM)), HasSubstr("ulimit -Hn")));
}

TEST_F(Launch, LimitsOfAnOrdinaryUserAreNamedToo) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become an ordinary user";
  const auto start_as_nobody = [&](void (*limit)(ChildLimits&), const char* name) {
    return in_a_child([&] {
      const rlimit small{1U << 20U, 1U << 20U};
      setrlimit(RLIMIT_CORE, &small);
      if (setresuid(65534, 65534, 65534) != 0) return 90;
      auto what = spec({"true"});
      limit(what.limits);
      asio::io_context own(1);
      ProcessHost other(own, {[](const ChildKey&, ExitStatus) {}, nullptr});
      const auto pid = other.start(what);
      if (pid) return 91;
      return pid.error().message.find(name) != std::string::npos ? 0 : 92;
    });
  };
  EXPECT_EQ(start_as_nobody([](ChildLimits& limits) { limits.core = 1U << 30U; }, "limits.core"), 0);
  EXPECT_EQ(start_as_nobody([](ChildLimits& limits) { limits.nice = -20; }, "limits.nice"), 0);
}

TEST_F(Launch, NiceIsTakenBeforeTheUserIsChanged) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto what = spec({"nice"});
  what.user = *find_user("nobody");
  what.limits.nice = getpriority(PRIO_PROCESS, 0) - 1;
  EXPECT_THAT(output_of(what), ElementsAre(std::to_string(*what.limits.nice)));
}

TEST_F(Launch, WorkerEntersItsGroupItself) {
  const auto group = file("cgroup.procs", "", 0644);
  const base::UniqueFd procs(open(group.c_str(), O_WRONLY | O_CLOEXEC));
  auto what = shell("ls /proc/$$/fd; true");
  what.limits.cgroup = procs.get();
  EXPECT_THAT(output_of(what), ElementsAre("0", "1", "2"));
  std::string written;
  std::ifstream(group) >> written;
  EXPECT_EQ(written, "0");
}

TEST_F(Launch, GroupThatCantBeEnteredIsNamed) {
  auto what = spec({"true"});
  what.limits.cgroup = 10'000;
  EXPECT_THAT(failure(what), AllOf(HasSubstr("can't enter its cgroup"), HasSubstr("Delegate=yes")));
}

TEST_F(Launch, UserAndGroupsAreTaken) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto nobody = find_user("nobody");
  ASSERT_TRUE(nobody);
  auto what = spec({"sh", "-c", "grep -E '^(Uid|Gid|Groups)' /proc/self/status; echo open > /dev/stderr"});
  what.user = *nobody;
  const auto lines = output_of(what);
  ASSERT_EQ(lines.size(), 4U);
  const std::string uid = std::to_string(nobody->uid);
  EXPECT_EQ(lines[0], "Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid);
  EXPECT_THAT(lines[1], HasSubstr(std::to_string(nobody->gid)));
  EXPECT_THAT(lines[2], Not(HasSubstr("\t0")));
  EXPECT_EQ(lines[3], "open") << "/dev/stderr can't be opened anew by the worker's user";
}

TEST_F(Launch, OwnBinaryRunsByDescriptor) {
  const base::UniqueFd program(open("/bin/echo", O_RDONLY | O_CLOEXEC));
  auto what = spec({"not-in-any-path", "by", "descriptor"});
  what.executable = program.get();
  EXPECT_THAT(output_of(what), ElementsAre("by descriptor"));
}

TEST_F(Launch, OutputIsInheritedUnlessCaptured) {
  auto what = spec({"true"});
  what.capture_output = false;
  start(what);
  EXPECT_TRUE(ended());
  EXPECT_TRUE(host.last_lines(what.key).empty());
}

TEST_F(Launch, NoDescriptorsLeakInTheSupervisor) {
  const auto count = [] { return count_descriptors(getpid()).value_or(0); };
  start(spec({"true"}, 1));
  ASSERT_TRUE(ended(1));
  host.forget(key(1));
  const auto before = count();
  for (base::Incarnation incarnation = 2; incarnation < 12; ++incarnation) {
    start(spec({"true"}, incarnation));
    ASSERT_TRUE(ended(incarnation));
    host.forget(key(incarnation));
    EXPECT_FALSE(host.start(spec({"/no/such/server"}, 100)));
  }
  EXPECT_EQ(count(), before);
}

/// 0: a child was started, seen to end and told; 50: no filter here.
int start_without(std::uint32_t call, std::uint32_t code, const LaunchSpec& what) {
  if (!refuse_call(call, code)) return 50;
  asio::io_context io(1);
  std::optional<ExitStatus> end;
  ProcessHost host(io, {[&](const ChildKey&, ExitStatus status) { end = status; }, nullptr});
  if (!host.start(what)) return 51;
  const auto deadline = base::Clock::now() + kPatience;
  while (!end && base::Clock::now() < deadline) io.run_one_for(5ms);
  return end && end->value == 7 ? 0 : 52;
}

TEST_F(Launch, WorksWhereClone3IsRefused) {
  for (const std::uint32_t code : {EPERM, ENOSYS}) {
    const int result = in_a_child([&] { return start_without(SYS_clone3, code, shell("exit 7")); });
    if (result == 50) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << strerror(static_cast<int>(code));
  }
}

TEST_F(Launch, PassesNothingOnWhereCloseRangeIsMissing) {
  const base::UniqueFd leak(open("/dev/zero", O_RDONLY));
  const int result = in_a_child(
      [&] { return start_without(SYS_close_range, ENOSYS, python("import os, sys; sys.exit(7 if len(os.listdir('/proc/self/fd')) == 4 else 1)")); });
  if (result == 50) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(result, 0);
}

/// The deciding thread's process, killed with -9, takes the worker along: also when the worker changed its user.
pid_t worker_of_a_killed_supervisor(const LaunchSpec& what) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return 0;
  const base::UniqueFd reader(fds[0]);
  base::UniqueFd writer(fds[1]);
  const pid_t supervisor = fork();
  if (supervisor == 0) {
    asio::io_context io(1);
    ProcessHost host(io, {[](const ChildKey&, ExitStatus) {}, nullptr});
    const auto pid = host.start(what);
    const pid_t number = pid ? *pid : -1;
    if (write(writer.get(), &number, sizeof number) != sizeof number) _exit(1);
    for (;;) pause();
  }
  writer.reset();
  pid_t worker = 0;
  const bool told = read(reader.get(), &worker, sizeof worker) == sizeof worker;
  kill(supervisor, SIGKILL);
  waitpid(supervisor, nullptr, 0);
  return told ? worker : 0;
}

TEST_F(Launch, WorkerEndsWithTheSupervisor) {
  const pid_t worker = worker_of_a_killed_supervisor(spec({"sleep", "1000"}));
  ASSERT_GT(worker, 0);
  EXPECT_TRUE(until([&] { return gone(worker); }, 2s));
}

TEST_F(Launch, WorkerOfAnotherUserEndsWithTheSupervisor) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto what = spec({"sleep", "1000"});
  what.user = *find_user("nobody");
  const pid_t worker = worker_of_a_killed_supervisor(what);
  ASSERT_GT(worker, 0);
  EXPECT_TRUE(until([&] { return gone(worker); }, 2s));
}

}  // namespace
}  // namespace drover::backends::test
