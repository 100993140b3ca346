#include "backends/notify_socket.hpp"

#include "backends/worker_launch.hpp"
#include "host_support.hpp"

#include <boost/asio/steady_timer.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

namespace drover::backends::test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

/// What sd_notify(3) does, byte for byte: a datagram to the path, with descriptors if there are any. errno, 0 on success.
int send_to(const std::string& path, const std::string& text, const std::vector<int>& descriptors = {}, int flags = 0) {
  const base::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  iovec from{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  message.msg_iov = &from;
  message.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(sizeof(int) * descriptors.size()));
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    std::memcpy(CMSG_DATA(head), descriptors.data(), sizeof(int) * descriptors.size());
  }
  return sendmsg(fd.get(), &message, MSG_NOSIGNAL | flags) < 0 ? errno : 0;
}

struct Notify : HostTest {
  std::string folder = make_folder();
  std::string path = folder + "/shop.1.1";
  std::vector<Report> reports;
  std::unique_ptr<NotifySocket> listening = open_at(path);

  ~Notify() override { std::filesystem::remove_all(folder); }
  static std::string make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "drover-notify-XXXXXX").string();
    return mkdtemp(name.data());
  }
  std::unique_ptr<NotifySocket> open_at(const std::string& where, std::optional<uid_t> owner = {}) {
    auto made = NotifySocket::open(io, where, owner, [this](const Report& report) { reports.push_back(report); });
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }
  bool heard(std::size_t count) {
    return until([&] { return reports.size() >= count; });
  }
};

TEST_F(Notify, HearsWhatIsSaid) {
  ASSERT_EQ(send_to(path, "READY=1\nSTATUS=warm"), 0);
  ASSERT_EQ(send_to(path, "WATCHDOG=1"), 0);
  ASSERT_TRUE(heard(2));
  EXPECT_EQ(reports[0].ready, true);
  EXPECT_EQ(reports[0].status, "warm");
  EXPECT_TRUE(reports[1].alive);
}

TEST_F(Notify, UnderstandsTheRealSender) {
  if (access("/usr/bin/systemd-notify", X_OK) != 0) GTEST_SKIP() << "no systemd-notify here";
  auto what = spec({"/usr/bin/systemd-notify", "--ready", "--status=up and running"});
  what.env.push_back("NOTIFY_SOCKET=" + path);
  const auto begun = base::Clock::now();
  start(what);
  ASSERT_TRUE(ended());
  EXPECT_EQ(exits[key(1)].value, 0);
  EXPECT_LT(base::Clock::now() - begun, 4s) << "it waited for its barrier in vain";
  ASSERT_TRUE(heard(1));
  EXPECT_EQ(reports[0].ready, true);
  EXPECT_EQ(reports[0].status, "up and running");
}

TEST_F(Notify, BarrierIsReleasedAtOnce) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd reader(ends[0]);
  base::UniqueFd writer(ends[1]);
  ASSERT_EQ(send_to(path, "BARRIER=1", {writer.get()}), 0);
  writer.reset();
  ASSERT_EQ(send_to(path, "WATCHDOG=1"), 0);
  ASSERT_TRUE(heard(1));
  pollfd waiting{reader.get(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 0), 1);
  EXPECT_NE(waiting.revents & POLLHUP, 0);
}

TEST_F(Notify, PassedDescriptorsNeverBecomeOurs) {
  const auto before = count_descriptors(getpid());
  const std::vector<int> many(200, STDIN_FILENO);
  for (std::size_t i = 1; i <= 50; ++i) {
    ASSERT_EQ(send_to(path, "FDSTORE=1\nWATCHDOG=1", many), 0);
    ASSERT_TRUE(heard(i));
  }
  EXPECT_EQ(count_descriptors(getpid()), before);
}

TEST_F(Notify, TruncatedAndUnknownDatagramsAreDropped) {
  ASSERT_EQ(send_to(path, "READY=1\nSTATUS=" + std::string(NotifySocket::kMaxDatagram, 'x')), 0);
  ASSERT_EQ(send_to(path, ""), 0);
  ASSERT_EQ(send_to(path, std::string("\0\xff\n=\n", 5)), 0);
  ASSERT_EQ(send_to(path, "STOPPING=1"), 0);
  ASSERT_TRUE(heard(1));
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].wants_work, false);
}

TEST_F(Notify, LargestDatagramIsHeard) {
  ASSERT_EQ(send_to(path, "READY=1\nX=" + std::string(NotifySocket::kMaxDatagram - 10, 'x')), 0);
  EXPECT_TRUE(heard(1));
}

TEST_F(Notify, FloodNeitherStarvesTheLoopNorGoesBeyondItsRate) {
  auto what = python(
      "import os, socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
      "while True:\n  s.sendto(b'WATCHDOG=1', os.environ['NOTIFY_SOCKET'])");
  what.env.push_back("NOTIFY_SOCKET=" + path);
  start(what);
  ASSERT_TRUE(heard(1));
  const auto begun = base::Clock::now();
  asio::steady_timer timer(io);
  int turns = 0;
  std::function<void()> tick = [&] {
    timer.expires_after(10ms);
    timer.async_wait([&](const boost::system::error_code& error) {
      if (error) return;
      ++turns;
      tick();
    });
  };
  tick();
  ASSERT_TRUE(until([&] { return base::Clock::now() - begun > 1500ms && reports.size() >= NotifySocket::kPerSecond; }));
  const auto windows = std::chrono::duration_cast<std::chrono::seconds>(base::Clock::now() - begun).count() + 2;
  timer.cancel();
  EXPECT_GT(turns, 20) << "other handlers starved";
  EXPECT_LE(reports.size(), static_cast<std::size_t>(windows * NotifySocket::kPerSecond));
}

TEST_F(Notify, WhoListensMayEndTheSocket) {
  int calls = 0;
  std::unique_ptr<NotifySocket> brief;
  const std::string other = folder + "/shop.2.1";
  auto made = NotifySocket::open(io, other, {}, [&](const Report&) {
    ++calls;
    brief.reset();
  });
  ASSERT_TRUE(made);
  brief = std::move(*made);
  ASSERT_EQ(send_to(other, "READY=1"), 0);
  ASSERT_EQ(send_to(other, "READY=1"), 0);
  ASSERT_TRUE(until([&] { return calls > 0; }));
  ASSERT_EQ(send_to(path, "READY=1"), 0);
  ASSERT_TRUE(heard(1)) << "the loop goes on";
  EXPECT_EQ(calls, 1);
  EXPECT_NE(access(other.c_str(), F_OK), 0) << "its path is left behind";
}

TEST_F(Notify, PathThatIsTooLongIsRefused) {
  const auto made = NotifySocket::open(io, folder + "/" + std::string(200, 'x'), {}, [](const Report&) {});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, AllOf(HasSubstr("107 bytes"), HasSubstr("XDG_RUNTIME_DIR")));
}

TEST_F(Notify, StalePathIsReplaced) {
  const std::string stale = folder + "/shop.3.1";
  { const base::UniqueFd file(open(stale.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); }
  const auto again = open_at(stale);
  ASSERT_EQ(send_to(stale, "READY=1"), 0);
  EXPECT_TRUE(heard(1));
}

int send_as(uid_t user, const std::string& path) {
  return in_a_child([&] { return setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0 ? 250 : send_to(path, "READY=1"); });
}

TEST_F(Notify, OnlyTheWorkersUserAndRootMaySend) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(chmod(folder.c_str(), 0711), 0);
  const uid_t worker = 61'234;
  const auto owned = open_at(folder + "/shop.4.1", worker);
  EXPECT_EQ(send_as(worker, owned->path()), 0);
  EXPECT_EQ(send_as(worker + 1, owned->path()), EACCES);
  EXPECT_EQ(send_as(worker, path), EACCES) << "a socket that was given to nobody";
  EXPECT_EQ(send_to(owned->path(), "READY=1"), 0);
}

TEST_F(Notify, WorkerOfAnotherUserReachesItsSocketInTheRuntimeFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto runtime = RuntimeDir::create(gid_t{65534});
  ASSERT_TRUE(runtime) << runtime.error().message;
  config::Pool pool;
  pool.name = "shop";
  const auto user = find_user("nobody");
  ASSERT_TRUE(user);
  const std::string where = runtime->notify_path(pool, 3, 7);
  const auto owned = open_at(where, user->uid);
  EXPECT_EQ(send_as(user->uid, where), 0);
  EXPECT_TRUE(heard(1));
  struct stat of_folder {};
  ASSERT_EQ(stat(std::filesystem::path(where).parent_path().c_str(), &of_folder), 0);
  EXPECT_EQ(of_folder.st_uid, 0U) << "a folder of the worker's own would let it put links in our way";
  EXPECT_EQ(of_folder.st_mode & 0777U, 0711U);
}

TEST(RuntimeFolder, NotifyPathsAreShortAndDiffer) {
  auto runtime = RuntimeDir::create({});
  ASSERT_TRUE(runtime) << runtime.error().message;
  config::Pool pool;
  pool.name = std::string(63, 'a');
  config::Pool other;
  other.name = std::string(62, 'a') + "b";
  const std::string longest = runtime->notify_path(pool, UINT32_MAX, UINT32_MAX);
  EXPECT_LE(longest.size(), sizeof(sockaddr_un{}.sun_path) - 1);
  EXPECT_NE(longest, runtime->notify_path(other, UINT32_MAX, UINT32_MAX));
  EXPECT_NE(runtime->notify_path(pool, 1, 2), runtime->notify_path(pool, 2, 1));
}

TEST(RuntimeFolder, LeavesNothingBehind) {
  std::filesystem::path folder;
  {
    auto runtime = RuntimeDir::create({});
    ASSERT_TRUE(runtime) << runtime.error().message;
    config::Pool pool;
    pool.name = "shop";
    ASSERT_TRUE(runtime->add_pool(pool, {}));
    const std::filesystem::path path = runtime->notify_path(pool, 1, 1);
    folder = path.parent_path().parent_path();
    const base::UniqueFd left(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    struct stat of_folder {};
    ASSERT_EQ(stat(folder.c_str(), &of_folder), 0);
    EXPECT_EQ(of_folder.st_mode & 0777U, 0700U);
  }
  EXPECT_FALSE(std::filesystem::exists(folder)) << folder;
}

}  // namespace
}  // namespace drover::backends::test
