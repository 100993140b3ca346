#include "config/served_files.hpp"

#include "base/unique_fd.hpp"
#include "config/keys.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace drover::config {

namespace {

/// One byte more than `most` shows that the file is too large.
base::Result<std::string> read_bounded(const std::string& path, std::size_t most) {
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

}  // namespace

base::Result<std::string> read_page(const std::string& path) {
  auto text = read_bounded(path, kMaxResponse);
  if (text && text->size() > kMaxResponse) return base::Error{path + " has more than 64 KiB", EFBIG};
  return text;
}

base::Result<std::string> read_key(const std::string& path) {
  auto text = read_bounded(path, kLongestKey);
  if (!text) return text;
  if (text->size() > kLongestKey) return base::Error{path + " has more than 4096 bytes", EFBIG};
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  if (text->size() < kShortestKey) {
    return base::Error{path + " holds " + std::to_string(text->size()) + " bytes, fewer than " + std::to_string(kShortestKey), EINVAL};
  }
  return text;
}

bool open_to_others(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & 0077U) != 0;
}

}  // namespace drover::config
