#include "config/bounded_file.hpp"

#include "base/unique_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace drover::config {

base::Result<std::string> read_bounded(const std::string& path, std::size_t most) {
  if (path.find('\0') != std::string::npos) return base::Error{"its name holds a NUL character", EINVAL};
  // Not to wait for the other end of a pipe of that name.
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return base::system_error(path + " can't be read", errno);
  if (!S_ISREG(info.st_mode)) return base::Error{path + (S_ISDIR(info.st_mode) ? " is a folder" : " is not a plain file"), EINVAL};
  std::string text(most + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error(path + " can't be read", errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return {boost::system::in_place_value, std::move(text)};
}

}  // namespace drover::config
