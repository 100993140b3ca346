// Role: evidence that the kernel killed for want of memory: its own count in this cgroup.
// Thread: supervisor's deciding thread. Ownership: remembers the count last seen.
#pragma once

namespace drover::backends {

/// Has the kernel's count of OOM kills in our cgroup grown since the last call (or the first, at start)? Unreadable: no.
bool new_oom_kill();

}  // namespace drover::backends
