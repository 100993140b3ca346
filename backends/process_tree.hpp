// Role: which living process belongs to which child: by parent, by process group, by the marks in its environment, and by having
//       belonged before. So a descendant that forked twice, ran setsid or rewrote its environment is still known.
// Thread: supervisor's deciding thread. Ownership: a picture of the process table, kept until it is too old.
#pragma once

#include "backends/process_host.hpp"
#include "backends/process_table.hpp"

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace drover::backends {

/// What is known of a child whose tree is looked for.
struct TreeRoot {
  ChildKey key;
  pid_t main = 0;                                   ///< also its process group
  bool running = false;                             ///< false: the main process was reaped, its pid may be someone else's by now
  const std::vector<std::string>* marks = nullptr;  ///< entries of its environment that name this incarnation; may be empty
};

class ProcessTrees {
 public:
  /// Looks again if the picture is older than `max_age`.
  void refresh(const std::vector<TreeRoot>& roots, base::Millis max_age);
  void invalidate() { taken_ = {}; }
  /// Living processes of the child's tree in the last picture, main first.
  const std::vector<ProcessRow>& members(const ChildKey& key) const;

 private:
  struct Known {
    std::uint64_t start = 0;
    ChildKey key;
  };
  struct Owner {
    bool ours = false;  ///< descends from this process
    const TreeRoot* root = nullptr;
  };
  Owner owner_of_orphan(const ProcessRow& row, const std::vector<TreeRoot>& roots, bool direct_child) const;
  void attribute(const std::vector<ProcessRow>& rows, const std::vector<TreeRoot>& roots);

  base::TimePoint taken_{};
  std::map<ChildKey, std::vector<ProcessRow>> members_;
  std::unordered_map<pid_t, Known> known_;  ///< members of the last picture
};

}  // namespace drover::backends
