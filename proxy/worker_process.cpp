#include "proxy/worker_process.hpp"

#include "base/unique_fd.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>

namespace drover::proxy {

namespace {

constexpr std::uint64_t kExiting = 0x4;  ///< PF_EXITING
constexpr int kFlagsAfterState = 6;      ///< fields behind the name, the first of them the state

/// Not to be seen, as with hidepid, is not gone.
bool is_gone(std::int32_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

}  // namespace

bool is_dying(std::int32_t pid) {
  if (pid <= 0) return false;
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return is_gone(pid);
  std::array<char, 512> buffer{};
  const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
  if (got <= 0) return is_gone(pid);
  std::string_view text(buffer.data(), static_cast<std::size_t>(got));
  const std::size_t name_ends = text.rfind(')');  // the name may have anything in it
  if (name_ends == std::string_view::npos) return false;
  text.remove_prefix(name_ends + 1);
  for (int field = 0; field < kFlagsAfterState; ++field) text.remove_prefix(std::min(text.find(' ', 1), text.size()));
  if (text.empty()) return false;
  std::uint64_t flags = 0;
  std::from_chars(text.data() + 1, text.data() + text.size(), flags);
  return (flags & kExiting) != 0;
}

}  // namespace drover::proxy
