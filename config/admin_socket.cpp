#include "config/admin_socket.hpp"

#include <sys/un.h>

namespace drover::config {

static_assert(kMaxSocketPath + 1 == sizeof(sockaddr_un::sun_path));

std::string default_admin_socket(bool root, unsigned uid, const char* xdg_runtime_dir) {
  if (root) return "/run/drover/drover.sock";
  std::string folder = xdg_runtime_dir == nullptr ? "" : xdg_runtime_dir;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  std::string path = folder + "/drover.sock";
  const bool usable = folder.starts_with('/') && folder != "/" && path.size() <= kMaxSocketPath;
  return usable ? path : "/tmp/drover-" + std::to_string(uid) + "/drover.sock";
}

std::string admin_socket_path(const Config& config, bool root, unsigned uid, const char* xdg_runtime_dir) {
  return config.admin.socket.empty() ? default_admin_socket(root, uid, xdg_runtime_dir) : config.admin.socket;
}

}  // namespace drover::config
