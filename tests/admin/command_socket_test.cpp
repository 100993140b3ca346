// The command line's socket: who may open it, and what stands in its way.
#include "admin/command_socket.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace drover::admin {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Commands : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/drover-socket-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/own/drover.sock";
  }
  void TearDown() override { fs::remove_all(folder_); }

  static mode_t mode_of(const std::string& path) {
    struct stat about {};
    return ::lstat(path.c_str(), &about) == 0 ? about.st_mode & 07777U : 0;
  }
  static bool answers(const std::string& path) {
    const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  static std::string error_of(base::Result<CommandSocket> opened) { return opened ? "" : opened.error().message; }
  /// A socket that nobody closes properly: the file stays.
  void leave_stale(const std::string& path) {
    const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(fd.get(), 1), 0);
  }

  std::string folder_;
  std::string path_;
};

TEST_F(Commands, IsItsOwnersAloneAndGoesWithIt) {
  const mode_t before = ::umask(0);
  {
    const auto made = CommandSocket::open(path_, true);
    ::umask(before);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(mode_of(folder_ + "/own"), 0700U);
    EXPECT_EQ(mode_of(path_), 0600U);
    EXPECT_TRUE(answers(path_));
  }
  EXPECT_TRUE(fs::is_empty(folder_ + "/own")) << "neither the socket nor its lock stays";
}

TEST_F(Commands, ASecondOneIsRefusedByName) {
  const auto first = CommandSocket::open(path_, true);
  ASSERT_TRUE(first);
  const std::string error = error_of(CommandSocket::open(path_, true));
  EXPECT_THAT(error, HasSubstr("another drover (pid " + std::to_string(::getpid()) + ") answers on " + path_));
  EXPECT_THAT(error, HasSubstr("choose another [admin] socket"));
  EXPECT_TRUE(answers(path_)) << "the first goes on";
}

TEST_F(Commands, OneThatIsAboutToListenIsNotOverrun) {
  fs::create_directory(folder_ + "/own");
  const base::UniqueFd lock(::open((path_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  ASSERT_EQ(::write(lock.get(), "4711\n", 5), 5);
  EXPECT_THAT(error_of(CommandSocket::open(path_, false, base::Millis(50))), HasSubstr("another drover (pid 4711) has taken " + path_));
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Commands, OneThatIsAboutToEndIsWaitedFor) {
  fs::create_directory(folder_ + "/own");
  base::UniqueFd lock(::open((path_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  std::string error = "not tried yet";
  std::thread starting([&] { error = error_of(CommandSocket::open(path_, false, base::Millis(60'000))); });
  lock.reset();
  starting.join();
  EXPECT_EQ(error, "");
}

TEST_F(Commands, AFileThatAStrangerNamedAsTheLockIsNotWrittenTo) {
  fs::create_directory(folder_ + "/own");
  std::ofstream(folder_ + "/precious") << "precious";
  fs::create_hard_link(folder_ + "/precious", path_ + ".lock");
  EXPECT_THAT(error_of(CommandSocket::open(path_, false)), HasSubstr("not a lock file of drover's"));
  EXPECT_EQ(fs::file_size(folder_ + "/precious"), 8U);
}

TEST_F(Commands, AStaleSocketIsReplaced) {
  fs::create_directory(folder_ + "/own");
  leave_stale(path_);
  ASSERT_TRUE(fs::exists(path_));
  const auto made = CommandSocket::open(path_, false);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(answers(path_));
}

TEST_F(Commands, ASocketOnWhichSomebodyElseListensIsLeftAlone) {
  fs::create_directory(folder_ + "/own");
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  EXPECT_THAT(error_of(CommandSocket::open(path_, false)), HasSubstr("answers on " + path_));
  EXPECT_TRUE(answers(path_));
  EXPECT_FALSE(fs::exists(path_ + ".lock")) << "a failed start leaves nothing";
}

TEST_F(Commands, AnotherFileIsNeverRemoved) {
  fs::create_directory(folder_ + "/own");
  std::ofstream(path_) << "precious";
  EXPECT_THAT(error_of(CommandSocket::open(path_, false)), HasSubstr("not a socket"));
  EXPECT_TRUE(fs::is_regular_file(path_));
}

TEST_F(Commands, ASocketThatTookItsPlaceIsNotRemoved) {
  auto made = CommandSocket::open(path_, true);
  ASSERT_TRUE(made);
  fs::remove(path_);
  leave_stale(path_);
  { const CommandSocket gone = std::move(*made); }
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(Commands, TheDefaultFolderMustBeOurs) {
  const std::string own = folder_ + "/own";
  fs::create_directory(folder_ + "/elsewhere");
  fs::create_symlink(folder_ + "/elsewhere", own);
  EXPECT_THAT(error_of(CommandSocket::open(path_, true)), HasSubstr("symbolic link"));
  EXPECT_TRUE(fs::is_empty(folder_ + "/elsewhere"));
  fs::remove(own);
  std::ofstream(own) << "file";
  EXPECT_THAT(error_of(CommandSocket::open(path_, true)), HasSubstr("not a folder"));
  fs::remove(own);
  fs::create_directory(own);
  fs::permissions(own, fs::perms::all);
  EXPECT_THAT(error_of(CommandSocket::open(path_, true)), HasSubstr("others may write"));
  if (::geteuid() != 0) return;  // only root can give a folder away
  fs::permissions(own, fs::perms::owner_all);
  ASSERT_EQ(::chown(own.c_str(), 12345, 12345), 0);
  EXPECT_THAT(error_of(CommandSocket::open(path_, true)), HasSubstr("belongs to user 12345"));
}

TEST_F(Commands, MissingFoldersAndLongPathsAreNamedWithTheFix) {
  const std::string none = folder_ + "/none/drover.sock";
  EXPECT_THAT(error_of(CommandSocket::open(none, false)), HasSubstr("make the folder " + folder_ + "/none"));
  const std::string error = error_of(CommandSocket::open("/tmp/" + std::string(120, 'x'), false));
  EXPECT_THAT(error, HasSubstr("107 bytes"));
  EXPECT_THAT(error, HasSubstr("shorter"));
  EXPECT_THAT(error_of(CommandSocket::open("", false)), HasSubstr("[admin] socket"));
}

}  // namespace
}  // namespace drover::admin
