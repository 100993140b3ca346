// Role: evidence that the kernel killed for want of memory: its counts of OOM kills, of the worker's cgroup or of our own.
// Thread: supervisor's deciding thread. Ownership: remembers the counts last seen.
#pragma once

#include "backends/limits.hpp"
#include "base/units.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace drover::backends {

/// The count of one file ("oom_kill N"), of which each kill is told once.
class OomCount {
 public:
  /// The first of `files` that can be read.
  explicit OomCount(const std::vector<std::string>& files);

  /// Has one more process been killed? Two that die in the same moment are told one after the other; a kill that nobody asks about
  /// within kCredit of being seen was of a process that is nobody's main one, and is forgotten.
  bool take(base::TimePoint now);
  const std::string& file() const { return file_; }  ///< "" = none can be read

  static constexpr base::Millis kCredit{1000};

 private:
  std::string file_;
  std::uint64_t seen_ = 0;
  std::uint64_t untold_ = 0;
  base::TimePoint seen_at_{};
};

/// Of our own cgroup (v2, else v1), from the first call on.
OomCount& own_oom_count();

/// In words, why a process killed by SIGKILL was out of memory: the count of its own group where there are such, else of ours.
/// "" = no evidence. To be asked once for each such death.
std::string oom_evidence(Cgroups& cgroups, const std::string& pool, std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now);

}  // namespace drover::backends
