#include "base/unique_fd.hpp"
#include "config/parse.hpp"
#include "config/tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace drover::config {

namespace {

Mistakes refuse(const std::string& file, std::string what, std::string hint) { return {file, "", {{0, 0, std::move(what), std::move(hint)}}}; }

Mistakes cannot_open(const std::string& file, int code) {
  const std::string what = std::string("can't be read: ") + std::strerror(code);
  if (code == ENOENT || code == ENOTDIR) {
    return refuse(file, what, "give the file's name: drover run FILE; without one it is ./cluster.toml");
  }
  if (code == EACCES || code == EPERM) return refuse(file, what, "it must be readable by the user that starts drover");
  return refuse(file, what, "");
}

Mistakes is_folder(const std::string& file) {
  const std::string inside = file + (file.ends_with('/') ? "" : "/") + "cluster.toml";
  return refuse(file, "is a folder", ::access(inside.c_str(), F_OK) == 0 ? "did you mean '" + inside + "'?" : "give the file's name");
}

}  // namespace

base::Result<Config, Mistakes> load(const std::string& file) {
  if (file.find('\0') != std::string::npos) return refuse(file, "can't be read: its name holds a NUL character", "");
  const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return cannot_open(file, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return cannot_open(file, errno);
  if (S_ISDIR(info.st_mode)) return is_folder(file);
  std::string text(kMaxText + 1, '\0');  // one more than allowed: parse() sees that it is too large
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return cannot_open(file, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return parse(text, file);
}

}  // namespace drover::config
