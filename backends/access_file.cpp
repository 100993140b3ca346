#include "backends/access_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace drover::backends {

namespace {

constexpr mode_t kMode = 0640;

std::string_view hint(int code) {
  switch (code) {
    case ENOENT: return "; its folder does not exist: make it";
    case EACCES:
    case EPERM: return "; drover's user needs the right to write there";
    case EISDIR: return "; it is a folder: name a file in it";
    case EROFS: return "; the file system is read-only: name another place";
    default: return "";
  }
}

base::Result<base::UniqueFd> open_path(const std::string& path) {
  struct stat facts {};
  // Opened for reading too, a FIFO waits for no reader, and its reader may come and go.
  const bool fifo = ::stat(path.c_str(), &facts) == 0 && S_ISFIFO(facts.st_mode);
  const int direction = fifo ? O_RDWR : O_WRONLY;
  // Without waiting: neither this thread for an odd device, nor the proxy's writer for a full pipe.
  base::UniqueFd fd(::open(path.c_str(), direction | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, kMode));
  if (fd) return fd;
  const int code = errno;
  return base::Error{"access log: can't open '" + path + "': " + std::strerror(code) + std::string(hint(code)), code};
}

}  // namespace

base::Result<AccessFile> AccessFile::open(std::string path) {
  if (path == "-") {
    if (::fcntl(STDOUT_FILENO, F_GETFL) < 0) return base::Error{"access log: standard output is closed; give log.access a path", EBADF};
    return AccessFile(std::move(path), base::UniqueFd());
  }
  auto fd = open_path(path);
  if (!fd) return fd.error();
  return AccessFile(std::move(path), std::move(*fd));
}

base::Result<void> AccessFile::reopen() {
  if (is_output()) return {};
  auto fd = open_path(path_);
  if (!fd) return fd.error();
  fd_ = std::move(*fd);
  return {};
}

int AccessFile::fd() const { return is_output() ? STDOUT_FILENO : fd_.get(); }

}  // namespace drover::backends
