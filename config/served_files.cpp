#include "config/served_files.hpp"

#include "config/bounded_file.hpp"
#include "config/keys.hpp"

#include <sys/stat.h>

#include <cerrno>

namespace drover::config {

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
