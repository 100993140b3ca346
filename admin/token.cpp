#include "admin/token.hpp"

#include "base/unique_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace drover::admin {

base::Result<std::string> read_token(const std::string& path) {
  const std::string name = "[admin] token_file " + path;
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return base::system_error(name, errno);
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return base::system_error(name, errno);
  if (!S_ISREG(about.st_mode)) return base::Error{name + " is not a file"};
  if ((about.st_mode & 0077U) != 0) {
    return base::Error{fmt::format("{} has mode {:04o}: others than its owner may open it; chmod 600 {}", name, about.st_mode & 07777U, path)};
  }
  std::array<char, kLongestToken + 1> bytes{};
  std::size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < bytes.size(); size += static_cast<std::size_t>(got)) {
    got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0) return base::system_error(name, errno);
  }
  if (size > kLongestToken) return base::Error{fmt::format("{} is longer than {} characters", name, kLongestToken)};
  std::string token(bytes.data(), size);
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  if (token.size() < kShortestToken) {
    return base::Error{fmt::format("{} holds {} characters, fewer than {}: openssl rand -hex 32 > {}", name, token.size(), kShortestToken, path)};
  }
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!visible) return base::Error{name + " holds something else than one line of visible ASCII characters"};
  return {boost::system::in_place_value, std::move(token)};
}

bool same_token(std::string_view given, std::string_view token) {
  // volatile: the compiler may not stop at the first difference.
  volatile unsigned difference = given.size() == token.size() && !token.empty() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = token.empty() ? '\0' : token[i % token.size()];
    difference = difference | static_cast<unsigned>(static_cast<unsigned char>(given[i] ^ expected));
  }
  return difference == 0;
}

}  // namespace drover::admin
