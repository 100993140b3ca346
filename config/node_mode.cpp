#include "config/model.hpp"

#include <string_view>

namespace drover::config {

NodeMode node_mode(const Pool& pool) {
  if (pool.node == "cluster") return NodeMode::cluster;
  if (pool.node == "fork") return NodeMode::fork;
  if (pool.node != "auto" || pool.command.empty()) return NodeMode::off;
  std::string_view program = pool.command.front();
  program.remove_prefix(program.rfind('/') + 1);  // npos + 1 is 0
  return program == "node" || program == "nodejs" ? NodeMode::cluster : NodeMode::off;
}

}  // namespace drover::config
