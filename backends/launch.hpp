// Role: starts one child: clone3(CLONE_PIDFD) or fork, the steps in the child in their order, exec. Names what failed and the fix.
// Thread: supervisor's deciding thread (PR_SET_PDEATHSIG fires when the forking thread ends). Ownership: hands pidfd and pipe to the caller.
#pragma once

#include "backends/process_host.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"

#include <sys/resource.h>
#include <sys/types.h>

namespace drover::backends {

struct Launched {
  pid_t pid = 0;
  base::UniqueFd pidfd;
  base::UniqueFd output;  ///< reading end, non-blocking; none if output is not captured
};

/// Returns when the child has passed exec, or failed to, or after kLaunchTimeout. A child that failed is reaped here.
/// `files`: the child's RLIMIT_NOFILE unless spec.limits names one: the one that drover was started with, not the supervisor's own, raised one.
base::Result<Launched> launch(const LaunchSpec& spec, const rlimit& files);

}  // namespace drover::backends
