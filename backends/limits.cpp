#include "backends/limits.hpp"

#include "base/text.hpp"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

namespace drover::backends {

namespace {

constexpr int kNiceOfLimit = 20;  // RLIMIT_NICE n lets a process go down to 20 - n

bool has_capability(unsigned which) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  return (data[which / 32].effective >> (which % 32) & 1U) != 0;
}

rlim_t hard_limit(int resource) {
  rlimit limit{};
  return ::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0 ? limit.rlim_max : RLIM_INFINITY;
}

/// As many as any process may have, whoever starts it.
rlim_t most_files() {
  std::ifstream file("/proc/sys/fs/nr_open");
  rlim_t most = RLIM_INFINITY;
  return file >> most ? most : RLIM_INFINITY;
}

base::Error above(const config::Pool& pool, const std::string& limit, const std::string& hard, const char* option) {
  return {"pool " + pool.name + ": " + limit + " is above the hard limit of this machine or user, " + hard + ": raise that (ulimit -H" + option +
              ") or lower it",
          EPERM};
}

bool may_be_nice(int nice) {
  errno = 0;
  const int own = ::getpriority(PRIO_PROCESS, 0);
  if (nice >= own || has_capability(CAP_SYS_NICE)) return true;
  rlimit limit{};
  ::getrlimit(RLIMIT_NICE, &limit);
  return limit.rlim_cur == RLIM_INFINITY || nice >= kNiceOfLimit - static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 40));
}

}  // namespace

base::Result<ChildLimits> child_limits(const config::Pool& pool, bool memory_by_cgroup) {
  const config::Pool::Limits& wanted = pool.limits;
  const bool may_raise = has_capability(CAP_SYS_RESOURCE);
  ChildLimits out;
  if (wanted.files) {
    const rlim_t most = may_raise ? most_files() : hard_limit(RLIMIT_NOFILE);
    if (*wanted.files > most) return above(pool, "limits.files = " + std::to_string(*wanted.files), std::to_string(most), "n");
    out.files = *wanted.files;
  }
  if (wanted.core) {
    const rlim_t most = hard_limit(RLIMIT_CORE);
    if (!may_raise && wanted.core->value > most) {
      return above(pool, "limits.core = \"" + base::to_text(*wanted.core) + "\"", base::to_text(config::Bytes{most}), "c");
    }
    out.core = wanted.core->value;
  }
  if (wanted.memory && !memory_by_cgroup) {
    const rlim_t most = hard_limit(RLIMIT_AS);
    if (!may_raise && wanted.memory->value > most) {
      return above(pool, "limits.memory = \"" + base::to_text(*wanted.memory) + "\"", base::to_text(config::Bytes{most}), "v");
    }
    out.address_space = wanted.memory->value;
  }
  if (wanted.nice) {
    if (!may_be_nice(*wanted.nice)) {
      return base::Error{"pool " + pool.name + ": limits.nice = " + std::to_string(*wanted.nice) + " is below drover's own niceness, " +
                             std::to_string(::getpriority(PRIO_PROCESS, 0)) +
                             ", which needs root or RLIMIT_NICE (ulimit -e): start drover so or raise limits.nice",
                         EPERM};
    }
    out.nice = *wanted.nice;
  }
  return out;
}

}  // namespace drover::backends
