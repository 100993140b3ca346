#include "backends/limits.hpp"

#include "backends/oom.hpp"
#include "backends/worker_launch.hpp"
#include "host_support.hpp"

#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace drover::backends::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

config::Pool pool_with(const config::Pool::Limits& limits) {
  config::Pool pool;
  pool.name = "shop";
  pool.command = {"true"};
  pool.limits = limits;
  return pool;
}

std::string refused(const config::Pool::Limits& limits) {
  const auto made = child_limits(pool_with(limits), false);
  return made ? "" : made.error().message;
}

/// In a process that may raise nothing; 0: every expectation held.
int as_an_ordinary_user(const std::function<bool()>& what) {
  return in_a_child([&] {
    const rlimit files{256, 512};
    const rlimit core{0, 4096};
    const rlimit memory{1ULL << 50U, 1ULL << 50U};  // a sanitizer has reserved terabytes
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_CORE, &core);
    setrlimit(RLIMIT_AS, &memory);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) return 90;
    return what() ? 0 : 1;
  });
}

TEST(ChildLimitsOf, TakeWhatThePoolSays) {
  config::Pool::Limits wanted;
  wanted.memory = config::Bytes{1ULL << 30U};
  wanted.files = 64;
  wanted.nice = getpriority(PRIO_PROCESS, 0);
  wanted.core = config::Bytes{0};
  const auto made = child_limits(pool_with(wanted), false);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->address_space, 1ULL << 30U);
  EXPECT_EQ(made->files, 64U);
  EXPECT_EQ(made->nice, wanted.nice);
  EXPECT_EQ(made->core, 0U);
  EXPECT_FALSE(child_limits(pool_with(wanted), true)->address_space) << "the cgroup holds it";
}

TEST(ChildLimitsOf, NothingGivenIsNothingSet) {
  const auto made = child_limits(pool_with({}), false);
  ASSERT_TRUE(made);
  EXPECT_FALSE(made->address_space || made->files || made->core || made->nice);
}

TEST(ChildLimitsOf, MoreThanTheHardLimitIsNamedWithTheFix) {
  EXPECT_EQ(as_an_ordinary_user([] {
              config::Pool::Limits files;
              files.files = 513;
              config::Pool::Limits core;
              core.core = config::Bytes{4097};
              config::Pool::Limits memory;
              memory.memory = config::Bytes{1ULL << 51U};
              return refused(files).find("limits.files = 513 is above the hard limit of this machine or user, 512: raise that (ulimit -Hn)") !=
                         std::string::npos &&
                     refused(core).find("ulimit -Hc") != std::string::npos && refused(memory).find("ulimit -Hv") != std::string::npos;
            }),
            0);
  EXPECT_EQ(as_an_ordinary_user([] {
              config::Pool::Limits fits;
              fits.files = 512;
              fits.core = config::Bytes{4096};
              return refused(fits).empty();
            }),
            0);
}

TEST(ChildLimitsOf, NiceBelowOursNeedsARight) {
  EXPECT_EQ(as_an_ordinary_user([] {
              setpriority(PRIO_PROCESS, 0, 5);
              config::Pool::Limits lower;
              lower.nice = 4;
              config::Pool::Limits same;
              same.nice = 5;
              return refused(lower).find("limits.nice = 4 is below drover's own niceness, 5") != std::string::npos && refused(same).empty();
            }),
            0);
}

/// A cgroup tree of plain files. What the kernel makes in a new group by itself is made here beforehand.
struct FakeTree : ::testing::Test {
  fs::path mount = make_folder();
  fs::path own = mount / "system.slice" / "drover.service";
  fs::path root = own / ("drover." + std::to_string(getpid()));
  std::string self = (mount / "self").string();

  FakeTree() {
    fs::create_directories(root / "main");
    write(self, "12:memory:/elsewhere\n0::/system.slice/drover.service\n");
    write(own / "cgroup.controllers", "cpu memory pids\n");
    write(own / "cgroup.subtree_control", "");
    write(own / "cgroup.type", "domain\n");
    write(own / "cgroup.procs", std::to_string(getpid()) + "\n");
    write(root / "cgroup.subtree_control", "");
    write(root / "main" / "cgroup.procs", "");
    for (const char* name : {"shop.1.1", "shop.1.2"}) {
      fs::create_directories(root / name);
      for (const char* file : {"cgroup.procs", "cgroup.kill", "memory.max"}) write(root / name / file, "");
      write(root / name / "memory.current", "12345678\n");
      write(root / name / "memory.events", "low 0\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n");
    }
  }
  ~FakeTree() override { fs::remove_all(mount); }

  static fs::path make_folder() {
    std::string name = (fs::temp_directory_path() / "drover-cgroup-XXXXXX").string();
    return mkdtemp(name.data());
  }
  static void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  Cgroups create() const { return Cgroups::create(mount.string(), self); }
  std::string why_not() const { return create().why_not(); }
};

TEST_F(FakeTree, OurProcessesMoveAsideAndBack) {
  {
    const Cgroups groups = create();
    EXPECT_TRUE(groups.available()) << groups.why_not();
    EXPECT_EQ(read(root / "main" / "cgroup.procs"), std::to_string(getpid()));
    EXPECT_EQ(read(own / "cgroup.subtree_control"), "+memory");
    EXPECT_EQ(read(root / "cgroup.subtree_control"), "+memory");
    write(own / "cgroup.procs", "");
  }
  EXPECT_EQ(read(own / "cgroup.subtree_control"), "-memory");
  EXPECT_EQ(read(own / "cgroup.procs"), std::to_string(getpid()));
}

TEST_F(FakeTree, StrangersInOurGroupAreNotDisturbed) {
  write(own / "cgroup.procs", std::to_string(getpid()) + "\n1\n");
  EXPECT_THAT(why_not(), AllOf(HasSubstr("holds other processes too (pid 1)"), HasSubstr("Delegate=yes")));
  EXPECT_EQ(read(own / "cgroup.subtree_control"), "");
  EXPECT_EQ(read(root / "main" / "cgroup.procs"), "");
}

TEST_F(FakeTree, WhereMemoryIsGivenAlreadyNobodyMoves) {
  write(own / "cgroup.subtree_control", "memory pids\n");
  { EXPECT_TRUE(create().available()); }
  EXPECT_EQ(read(root / "main" / "cgroup.procs"), "");
  EXPECT_EQ(read(own / "cgroup.subtree_control"), "memory pids\n") << "what others gave is not ours to take back";
}

TEST_F(FakeTree, TheMachinesRootMayHaveProcesses) {
  fs::remove(own / "cgroup.type");
  write(own / "cgroup.procs", "1\n2\n");
  EXPECT_TRUE(create().available());
  EXPECT_EQ(read(root / "main" / "cgroup.procs"), "");
}

TEST_F(FakeTree, WhatIsMissingIsSaid) {
  write(own / "cgroup.controllers", "cpu pids\n");
  EXPECT_THAT(why_not(), HasSubstr("memory controller is not given to our cgroup"));
  fs::remove(own / "cgroup.controllers");
  EXPECT_THAT(why_not(), HasSubstr("no cgroup v2 is mounted at"));
  write(self, "4:memory:/x\n");
  EXPECT_THAT(why_not(), HasSubstr("names none"));
  write(self, "0::/../outside\n");
  EXPECT_THAT(why_not(), HasSubstr("outside of this container's cgroup namespace"));
  self = "/no/such/file";
  EXPECT_THAT(why_not(), HasSubstr("/no/such/file"));
}

TEST_F(FakeTree, NoRightToMakeGroupsIsSaid) {
  fs::remove_all(root);
  chmod(mount.c_str(), 0755);
  EXPECT_EQ(as_an_ordinary_user([&] {
              chmod(own.c_str(), 0555);  // if it is this user's own
              return why_not().find("can't make a cgroup in") != std::string::npos;
            }),
            0);
  chmod(own.c_str(), 0755);
}

TEST_F(FakeTree, EachIncarnationHasItsGroupAndItsLimit) {
  Cgroups groups = create();
  const auto first = groups.join_fd("shop", 1, 1, config::Bytes{256ULL << 20U});
  const auto second = groups.join_fd("shop", 1, 2, std::nullopt);
  ASSERT_TRUE(first && second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(read(root / "shop.1.1" / "memory.max"), "268435456");
  EXPECT_EQ(read(root / "shop.1.2" / "memory.max"), "max");
  ASSERT_EQ(::write(*second, "0", 1), 1);
  EXPECT_EQ(read(root / "shop.1.2" / "cgroup.procs"), "0");
  EXPECT_EQ(groups.memory("shop", 1, 1), 12345678U);
  EXPECT_FALSE(groups.memory("shop", 2, 1));
}

TEST_F(FakeTree, OomKillsAreToldOnce) {
  Cgroups groups = create();
  ASSERT_TRUE(groups.join_fd("shop", 1, 1, std::nullopt));
  EXPECT_EQ(groups.oom_kills("shop", 1, 1), 0U) << "what was counted before it was ours";
  write(root / "shop.1.1" / "memory.events", "oom_kill 3\n");
  const auto now = base::Clock::now();
  EXPECT_THAT(oom_evidence(groups, "shop", 1, 1, now), HasSubstr("2 OOM kills in its cgroup"));
  EXPECT_EQ(oom_evidence(groups, "shop", 1, 1, now), "");
  fs::remove(root / "shop.1.1" / "memory.events");
  EXPECT_FALSE(groups.oom_kills("shop", 1, 1));
}

TEST_F(FakeTree, GroupIsKilledAndRemoved) {
  Cgroups groups = create();
  ASSERT_TRUE(groups.join_fd("shop", 1, 1, std::nullopt));
  EXPECT_TRUE(groups.kill("shop", 1, 1));
  EXPECT_EQ(read(root / "shop.1.1" / "cgroup.kill"), "1");
  EXPECT_FALSE(groups.kill("shop", 7, 1));
  groups.forget("shop", 1, 1);
  EXPECT_FALSE(groups.memory("shop", 1, 1));
  EXPECT_TRUE(fs::exists(root / "shop.1.1")) << "the kernel holds a group that is in use; here its files do";
  for (const auto& entry : fs::directory_iterator(root / "shop.1.1")) fs::remove(entry);
  ASSERT_TRUE(groups.join_fd("shop", 1, 2, std::nullopt));
  EXPECT_FALSE(fs::exists(root / "shop.1.1"));
  for (const auto& entry : fs::directory_iterator(root / "shop.1.2")) fs::remove(entry);
}

TEST_F(FakeTree, GroupThatCantBeSetUpIsAnError) {
  Cgroups groups = create();
  const auto none = groups.join_fd("shop", 9, 1, std::nullopt);  // the kernel would have made its files
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("shop.9.1"));
  EXPECT_FALSE(fs::exists(root / "shop.9.1"));
}

TEST_F(FakeTree, WorkerJoinsItsGroupInPlaceOfTheAddressSpaceLimit) {
  Cgroups groups = create();
  config::Pool::Limits wanted;
  wanted.memory = config::Bytes{128ULL << 20U};
  const config::Pool pool = pool_with(wanted);
  const auto launch = WorkerLaunch::create(pool, {}, -1, false, &groups);
  ASSERT_TRUE(launch) << launch.error().message;
  WorkerEndpoint endpoint;
  endpoint.port = 20001;
  const auto spec = launch->spec({{0, 1}, 1}, endpoint);
  ASSERT_TRUE(spec);
  EXPECT_GE(spec->limits.cgroup, 0);
  EXPECT_FALSE(spec->limits.address_space);
  EXPECT_EQ(read(root / "shop.1.1" / "memory.max"), "134217728");
  const auto without = launch->spec({{0, 5}, 1}, endpoint);  // a group that can't be made
  ASSERT_TRUE(without);
  EXPECT_EQ(without->limits.cgroup, -1);
  EXPECT_EQ(without->limits.address_space, 128ULL << 20U);
  for (const auto& entry : fs::directory_iterator(root / "shop.1.1")) fs::remove(entry);
}

TEST(CgroupsHere, SayWhyTheyAreNot) {
  Cgroups groups = Cgroups::create();
  if (groups.available()) GTEST_SKIP() << "this machine gives us a cgroup";
  EXPECT_FALSE(groups.why_not().empty());
  const auto none = groups.join_fd("shop", 1, 1, std::nullopt);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr(groups.why_not()));
  EXPECT_FALSE(groups.kill("shop", 1, 1));
  EXPECT_FALSE(groups.oom_kills("shop", 1, 1));
}

struct Counting : FakeTree {
  std::string file = (mount / "memory.events").string();
  base::TimePoint now = base::TimePoint{} + 100s;
  void count(int kills) const { write(file, "oom 7\noom_kill " + std::to_string(kills) + "\n"); }
};

TEST_F(Counting, TellsEachKillOnce) {
  count(5);
  OomCount count_of({"/no/such/file", file});
  EXPECT_EQ(count_of.file(), file);
  EXPECT_FALSE(count_of.take(now)) << "killed before anybody looked";
  count(7);
  EXPECT_TRUE(count_of.take(now));
  EXPECT_TRUE(count_of.take(now)) << "two of the same moment";
  EXPECT_FALSE(count_of.take(now));
}

TEST_F(Counting, ForgetsAKillThatNobodyAskedAbout) {
  count(0);
  OomCount count_of({file});
  count(2);
  EXPECT_TRUE(count_of.take(now));
  EXPECT_FALSE(count_of.take(now + 2 * OomCount::kCredit)) << "the second was of somebody's descendant";
}

TEST_F(Counting, UnreadableIsNoEvidence) {
  OomCount count_of({"/no/such/file"});
  EXPECT_EQ(count_of.file(), "");
  EXPECT_FALSE(count_of.take(now));
}

struct WorkerEnvironment : FakeTree {
  std::string file = (mount / "environment").string();

  static std::vector<std::string> env_of(const config::Pool& pool, const std::string& notify = "") {
    const auto launch = WorkerLaunch::create(pool, {"PATH=/bin", "A=inherited", "B=inherited"}, -1, false);
    if (!launch) return {launch.error().message};
    WorkerEndpoint endpoint;
    endpoint.port = 20001;
    endpoint.notify_path = notify;
    const auto spec = launch->spec({{0, 1}, 1}, endpoint);
    return spec ? spec->env : std::vector{spec.error().message};
  }
};

TEST_F(WorkerEnvironment, CarriesItsNotifySocket) {
  const auto env = env_of(pool_with({}), "/run/drover-x/.notify/shop.1.1");
  EXPECT_THAT(env, Contains("NOTIFY_SOCKET=/run/drover-x/.notify/shop.1.1"));
  EXPECT_THAT(env, Contains("PORT=20001"));
  EXPECT_THAT(env_of(pool_with({})), Not(Contains(StartsWith("NOTIFY_SOCKET="))));
}

TEST_F(WorkerEnvironment, EnvGoesBeforeEnvFileBeforeWhatIsInherited) {
  write(file, "A=file\nC=file\nPATH=/file\n");
  config::Pool pool = pool_with({});
  pool.env_file = file;
  pool.env = {{"C", "env"}, {"D", "${A}-${PORT}"}};
  EXPECT_THAT(env_of(pool), IsSupersetOf({"A=file", "B=inherited", "C=env", "D=file-20001", "PATH=/file"}));
}

TEST_F(WorkerEnvironment, EnvFileIsReadAtEachStart) {
  config::Pool pool = pool_with({});
  pool.env_file = file;
  write(file, "C=1\n");
  const auto launch = WorkerLaunch::create(pool, {}, -1, false);
  ASSERT_TRUE(launch);
  WorkerEndpoint endpoint;
  endpoint.port = 20001;
  EXPECT_THAT(launch->spec({{0, 1}, 1}, endpoint)->env, Contains("C=1"));
  write(file, "C=2\n");
  EXPECT_THAT(launch->spec({{0, 1}, 2}, endpoint)->env, Contains("C=2"));
  fs::remove(file);
  const auto failed = launch->spec({{0, 1}, 3}, endpoint);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, AllOf(HasSubstr("pool shop: env_file: "), HasSubstr(file)));
}

TEST_F(WorkerEnvironment, EnvFileCantSpeakForDrover) {
  write(file, "DROVER_WORKER=9\nNOTIFY_SOCKET=/else\nLISTEN_PID=1\nPORT=1\nC=\"$C ${A}\"\n");
  config::Pool pool = pool_with({});
  pool.env_file = file;
  const auto env = env_of(pool);
  EXPECT_THAT(env, IsSupersetOf({"DROVER_WORKER=1", "PORT=20001", "C=$C ${A}"}));
  EXPECT_THAT(env, Not(Contains(AnyOf("NOTIFY_SOCKET=/else", "LISTEN_PID=1", "DROVER_WORKER=9", "PORT=1"))));
}

}  // namespace
}  // namespace drover::backends::test
