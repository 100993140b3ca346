#include "backends/process_tree.hpp"

#include <unistd.h>

#include <algorithm>

namespace drover::backends {

namespace {

constexpr std::size_t kMaxDepth = 32 * 1024;  // of parents above a process; a table read while it changed could hold a circle

}  // namespace

const std::vector<ProcessRow>& ProcessTrees::members(const ChildKey& key) const {
  static const std::vector<ProcessRow> none;
  const auto found = members_.find(key);
  return found == members_.end() ? none : found->second;
}

void ProcessTrees::refresh(const std::vector<TreeRoot>& roots, base::Millis max_age) {
  const auto now = base::Clock::now();
  if (taken_ != base::TimePoint{} && now - taken_ <= max_age) return;
  attribute(scan_processes(), roots);
  taken_ = now;
}

/// Whose is a descendant that no living member of a tree has as its child?
ProcessTrees::Owner ProcessTrees::owner_of_orphan(const ProcessRow& row, const std::vector<TreeRoot>& roots, bool direct_child) const {
  const auto root_with = [&](auto&& test) {
    const auto found = std::find_if(roots.begin(), roots.end(), test);
    return found == roots.end() ? nullptr : &*found;
  };
  if (const auto known = known_.find(row.pid); known != known_.end() && known->second.start == row.start) {
    if (const auto* root = root_with([&](const TreeRoot& r) { return r.key == known->second.key; })) return {true, root};
  }
  if (!direct_child) return {true, nullptr};
  if (const auto* root = root_with([&](const TreeRoot& r) { return r.running && r.main == row.group; })) return {true, root};
  // A pid is not given out again while a group of that number has members: so a group is its old leader's, unless a process with
  // the leader's pid exists, which then is not that leader.
  if (const auto* root = root_with([&](const TreeRoot& r) { return !r.running && r.main == row.group && r.main != row.pid; })) {
    if (!read_process(root->main)) return {true, root};
  }
  return {true, root_with([&](const TreeRoot& r) { return environment_has(row.pid, *r.marks); })};
}

void ProcessTrees::attribute(const std::vector<ProcessRow>& rows, const std::vector<TreeRoot>& roots) {
  const pid_t self = getpid();
  std::unordered_map<pid_t, const ProcessRow*> by_pid;
  for (const auto& row : rows) by_pid.emplace(row.pid, &row);
  std::unordered_map<pid_t, Owner> owners;
  for (const auto& root : roots) {
    if (root.running) owners[root.main] = {true, &root};
  }
  std::vector<const ProcessRow*> path;
  for (const auto& row : rows) {
    // Up to the first whose owner is known, then down again: each process is decided once.
    path.clear();
    Owner owner;
    for (const ProcessRow* at = &row; at != nullptr && path.size() < kMaxDepth;) {
      if (const auto known = owners.find(at->pid); known != owners.end()) {
        owner = known->second;
        break;
      }
      path.push_back(at);
      if (at->parent == self) {
        owner = {true, nullptr};
        break;
      }
      const auto parent = by_pid.find(at->parent);
      at = parent == by_pid.end() ? nullptr : parent->second;
    }
    for (auto it = path.rbegin(); it != path.rend(); ++it) {
      if (owner.ours && owner.root == nullptr && !(*it)->dead()) owner = owner_of_orphan(**it, roots, (*it)->parent == self);
      owners[(*it)->pid] = owner;
    }
  }
  members_.clear();
  known_.clear();
  for (const auto& row : rows) {
    const Owner& owner = owners[row.pid];
    if (owner.root == nullptr || row.dead()) continue;
    auto& members = members_[owner.root->key];
    members.insert(owner.root->running && row.pid == owner.root->main ? members.begin() : members.end(), row);
    known_[row.pid] = Known{row.start, owner.root->key};
  }
}

}  // namespace drover::backends
