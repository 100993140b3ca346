#include "admin/command_socket.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

namespace drover::admin {

namespace {

constexpr int kBacklog = 64;
constexpr base::Millis kLockPause{20};
constexpr int kLockTries = 8;  ///< each is lost only to a drover that ends in that instant

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

base::Error failed(std::string_view what, const std::string& path, int code) {
  std::string fix;
  if (code == EACCES || code == EPERM || code == EROFS) fix = "; choose another [admin] socket, in a folder that you may write";
  if (code == ENOENT) fix = "; make the folder " + folder_of(path) + " or choose another [admin] socket";
  return {fmt::format("{} {}: {}{}", what, path, std::strerror(code), fix), code};
}

/// The default folder may lie where anybody can make one (/tmp): it must be a real folder, ours, and closed to others.
base::Result<void> own_folder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed("can't make the folder", folder, errno);
  struct stat about {};
  if (::lstat(folder.c_str(), &about) != 0) return failed("can't look at the folder", folder, errno);
  std::string wrong;
  if (S_ISLNK(about.st_mode)) {
    wrong = "is a symbolic link";
  } else if (!S_ISDIR(about.st_mode)) {
    wrong = "is not a folder";
  } else if (about.st_uid != ::geteuid()) {
    wrong = fmt::format("belongs to user {}, not {}", about.st_uid, ::geteuid());
  } else if ((about.st_mode & 0022U) != 0) {
    wrong = fmt::format("has mode {:04o}: others may write it", about.st_mode & 07777U);
  }
  if (wrong.empty()) return {};
  return base::Error{fmt::format("{} {}: not safe for the command socket; remove it or choose another [admin] socket", folder, wrong)};
}

/// ", pid 12" or "".
std::string pid_of_peer(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0) return "";
  return fmt::format(" (pid {})", peer.pid);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

base::Error another(const std::string& path, const std::string& pid, std::string_view does) {
  return {fmt::format("another drover{} {} {}; stop it or choose another [admin] socket", pid, does, path), EADDRINUSE};
}

/// Error (EADDRINUSE): somebody listens there; another one: it can't be known.
base::Result<void> nobody_answers(const std::string& path) {
  const base::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return base::system_error("can't make a socket", errno);
  const sockaddr_un address = address_of(path);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return another(path, pid_of_peer(probe.get()), "answers on");
  }
  if (errno == EAGAIN) return another(path, "", "listens on");  // its queue is full
  if (errno != ECONNREFUSED && errno != ENOENT) return failed("can't reach", path, errno);
  return {};
}

/// Is there a file in the way? A socket that nobody listens on is removed.
base::Result<void> clear_path(const std::string& path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) return errno == ENOENT ? base::Result<void>() : failed("can't look at", path, errno);
  if (!S_ISSOCK(about.st_mode)) return base::Error{path + " exists and is not a socket; remove it or choose another [admin] socket"};
  if (auto nobody = nobody_answers(path); !nobody) return nobody;
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("can't remove the stale socket", path, errno);
  return {};
}

/// The file behind `fd` is still what stands at `path`.
bool same_file(int fd, const std::string& path) {
  struct stat ours {};
  struct stat there {};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/// ", pid 12" as the holder of the lock has written it.
std::string pid_in(int lock) {
  std::array<char, 16> text{};
  const ssize_t size = ::pread(lock, text.data(), text.size(), 0);
  pid_t pid = 0;
  if (size > 0) std::from_chars(text.data(), text.data() + size, pid);
  return pid > 0 ? fmt::format(" (pid {})", pid) : "";
}

/// A drover that was killed a moment ago still holds it while it ends what it had started: that is waited for.
base::Result<base::UniqueFd> take_lock(const std::string& socket, base::Millis patience) {
  const std::string path = socket + ".lock";
  const base::TimePoint give_up = base::Clock::now() + patience;
  for (int i = 0; i < kLockTries;) {
    base::UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) return failed("can't open", path, errno);
    // In a folder that others may write the name may have been put on a file of ours that is none of a lock's business.
    struct stat about {};
    if (::fstat(lock.get(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_nlink > 1) {
      return base::Error{path + " is not a lock file of drover's; remove it or choose another [admin] socket"};
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return failed("can't lock", path, errno);
      const auto nobody = nobody_answers(socket);
      if (!nobody && nobody.error().code == EADDRINUSE) return nobody.error();
      if (base::Clock::now() >= give_up) return another(socket, pid_in(lock.get()), "has taken");  // it starts or stops
      std::this_thread::sleep_for(kLockPause);
      continue;
    }
    ++i;
    if (!same_file(lock.get(), path)) continue;  // its holder has ended and removed it meanwhile
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0) return failed("can't write", path, errno);
    return lock;
  }
  return another(socket, "", "is taking");
}

}  // namespace

base::Result<CommandSocket> CommandSocket::open(const std::string& path, bool make_folder, base::Millis patience) {
  if (path.empty() || path.size() >= sizeof sockaddr_un::sun_path) {
    return base::Error{fmt::format("[admin] socket {}: a Unix socket's path has 1 to {} bytes, this one {}; choose a shorter one", path,
                                   sizeof sockaddr_un::sun_path - 1, path.size())};
  }
  if (make_folder) {
    if (auto own = own_folder(folder_of(path)); !own) return std::move(own.error());
  }
  CommandSocket made;
  auto lock = take_lock(path, patience);
  if (!lock) return std::move(lock.error());
  made.lock_ = std::move(*lock);
  made.path_ = path;
  if (auto cleared = clear_path(path); !cleared) return std::move(cleared.error());
  made.listening_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.listening_) return base::system_error("can't make the command socket", errno);
  // Before bind: Linux takes the file's mode from the socket, so that it is never open to others, not even for an instant.
  if (::fchmod(made.listening_.get(), 0600) != 0) return failed("can't set the mode of", path, errno);
  const sockaddr_un address = address_of(path);
  if (::bind(made.listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failed("can't bind the command socket", path, errno);
  }
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) return failed("can't look at", path, errno);
  made.device_ = about.st_dev;
  made.inode_ = about.st_ino;
  if ((about.st_mode & 0077U) != 0) {
    return base::Error{fmt::format("{} came out with mode {:04o}, open to others; choose another [admin] socket", path, about.st_mode & 07777U)};
  }
  if (::listen(made.listening_.get(), kBacklog) != 0) return failed("can't listen on", path, errno);
  return made;
}

CommandSocket::~CommandSocket() {
  if (!lock_) return;
  struct stat about {};
  const bool bound = inode_ != 0;
  if (bound && ::lstat(path_.c_str(), &about) == 0 && about.st_dev == device_ && about.st_ino == inode_) ::unlink(path_.c_str());
  const std::string lock = path_ + ".lock";
  if (same_file(lock_.get(), lock)) ::unlink(lock.c_str());
}

}  // namespace drover::admin
