// Role: is a worker's process on its way out? A killed one closes its connections before anybody can be told of its death.
// Thread: any. Ownership: none.
#pragma once

#include <cstdint>

namespace drover::proxy {

/// By its flags in /proc/PID/stat (proc(5)): they are set before a process that exits or is killed closes its first descriptor. 0, or what
/// can't be read: false. Some system calls: for what is rare.
bool is_dying(std::int32_t pid);

}  // namespace drover::proxy
