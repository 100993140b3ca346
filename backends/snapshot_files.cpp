#include "backends/snapshot_files.hpp"

#include "config/served_files.hpp"

#include <sys/random.h>

#include <cerrno>

namespace drover::backends {

namespace {

base::Result<std::string> made_key() {
  std::string key(kMadeKey, '\0');
  std::size_t size = 0;
  while (size < key.size()) {
    const ssize_t got = ::getrandom(key.data() + size, key.size() - size, 0);
    if (got < 0 && errno != EINTR) return base::system_error("getrandom", errno);
    if (got > 0) size += static_cast<std::size_t>(got);
  }
  return {boost::system::in_place_value, std::move(key)};
}

}  // namespace

base::Result<std::map<std::string, std::string>> snapshot_files(const config::Config& config) {
  std::map<std::string, std::string> files;
  std::size_t bytes = 0;
  for (const config::Pool& pool : config.pools) {
    const std::string path = "pool." + pool.name + ".";
    for (const auto& [status, file] : pool.errors) {
      auto page = config::read_page(file);
      if (!page) return base::Error{"[pool." + pool.name + "] errors: " + page.error().message, page.error().code};
      bytes += page->size();
      files[path + "errors." + std::to_string(status)] = std::move(*page);
    }
    if (pool.sticky.cookie.empty()) continue;
    auto key = pool.sticky.key_file.empty() ? made_key() : config::read_key(pool.sticky.key_file);
    if (!key) return base::Error{"[pool." + pool.name + "] sticky: key_file: " + key.error().message, key.error().code};
    files[path + "sticky.key_file"] = std::move(*key);
  }
  if (bytes > config::kMaxAllPages) return base::Error{"the error pages of all pools have more than 16 MiB", EFBIG};
  return files;
}

}  // namespace drover::backends
