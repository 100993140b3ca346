#include "config/model.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace drover::config {

namespace {

/// `node -e CODE`: with no script Node does not set its cluster module up, and would wait for its port without an end.
bool runs_code(const std::vector<std::string>& command) {
  for (std::size_t i = 1; i < command.size() && command[i].starts_with('-'); ++i) {
    const std::string_view option = command[i];
    if (option == "-e" || option == "-p" || option == "-pe" || option.starts_with("--eval") || option.starts_with("--print")) return true;
  }
  return false;
}

}  // namespace

NodeMode node_mode(const Pool& pool) {
  if (pool.node == "cluster") return NodeMode::cluster;
  if (pool.node == "fork") return NodeMode::fork;
  if (pool.node != "auto" || pool.command.empty()) return NodeMode::off;
  std::string_view program = pool.command.front();
  program.remove_prefix(program.rfind('/') + 1);  // npos + 1 is 0
  return (program == "node" || program == "nodejs") && !runs_code(pool.command) ? NodeMode::cluster : NodeMode::off;
}

}  // namespace drover::config
