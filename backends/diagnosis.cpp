#include "backends/diagnosis.hpp"

#include "backends/listening_sockets.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <vector>

namespace drover::backends {

namespace {

constexpr std::size_t kKindsInText = 4;
constexpr std::size_t kNameInText = 80;  // bytes of a file's path, a wait channel

/// What a sleeping thread waits for, as far as it matters.
enum class Wait : std::uint8_t { lock, lock_for_a_time, neutral, outside };

struct Call {
  long number;
  const char* name;
  Wait wait = Wait::outside;
  bool of_descriptor = false;  ///< its first argument
};

/// Neutral: what only somebody else's deed ends, a new client's, a signal's, a child's. All others have names of their own, no more.
constexpr Call kCalls[] = {
    {SYS_futex, "futex", Wait::lock},
    {SYS_accept, "accept", Wait::neutral},
    {SYS_accept4, "accept4", Wait::neutral},
    {SYS_wait4, "wait4", Wait::neutral},
    {SYS_waitid, "waitid", Wait::neutral},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", Wait::neutral},
    {SYS_rt_sigsuspend, "rt_sigsuspend", Wait::neutral},
    {SYS_read, "read", Wait::outside, true},
    {SYS_readv, "readv", Wait::outside, true},
    {SYS_pread64, "pread64", Wait::outside, true},
    {SYS_write, "write", Wait::outside, true},
    {SYS_writev, "writev", Wait::outside, true},
    {SYS_recvfrom, "recvfrom", Wait::outside, true},
    {SYS_recvmsg, "recvmsg", Wait::outside, true},
    {SYS_sendto, "sendto", Wait::outside, true},
    {SYS_sendmsg, "sendmsg", Wait::outside, true},
    {SYS_connect, "connect", Wait::outside, true},
    {SYS_fsync, "fsync", Wait::outside, true},
    {SYS_fdatasync, "fdatasync", Wait::outside, true},
    {SYS_flock, "flock", Wait::outside, true},
    {SYS_fcntl, "fcntl", Wait::outside, true},
    {SYS_ioctl, "ioctl", Wait::outside, true},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_semop, "semop"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_io_getevents, "io_getevents"},
#ifdef SYS_poll  // not on every architecture
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_pause, "pause", Wait::neutral},
#endif
};

/// Threads that do the same.
struct Kind {
  std::string what;  ///< "run", "are stopped", "wait in futex"
  std::size_t threads = 0;
};

struct Picture {
  std::vector<Kind> kinds;
  std::size_t threads = 0;
  std::size_t running = 0;
  std::size_t stopped = 0;
  std::size_t disk = 0;
  std::size_t locks = 0;    ///< without a time limit
  std::size_t outside = 0;  ///< sleep for something else, locks with a time limit apart
  bool main_stopped = false;
  bool cut = false;           ///< there are more than the bounds allow
  bool hidden = false;        ///< a process of it could not be read
  bool calls_hidden = false;  ///< what some thread waits for could not be read
};

std::string read_file(const std::string& path) {
  const base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  std::array<char, 1024> buffer;
  const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
  return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string();
}

/// "202 0x7f… 0x80 …": the call's number and its arguments. None: it is in none, or may not be looked at.
struct Entered {
  long number = 0;
  std::array<std::uint64_t, 6> arguments{};
};
std::optional<Entered> call_of(const std::string& text) {
  Entered out;
  const char* const end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, out.number);
  if (error != std::errc() || out.number < 0) return std::nullopt;
  for (std::uint64_t& argument : out.arguments) {
    if (end - at < 4) return std::nullopt;  // " 0x0"
    const auto next = std::from_chars(at + 3, end, argument, 16);
    if (next.ec != std::errc()) return std::nullopt;
    at = next.ptr;
  }
  return out;
}

/// "a pipe", "a socket", a file's path; "" where it can't be told.
std::string descriptor_text(pid_t pid, std::uint64_t descriptor) {
  std::array<char, 256> target{};
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(descriptor);
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  const std::string_view text(target.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  if (text.starts_with("pipe:")) return "a pipe";
  if (text.starts_with("socket:")) return "a socket";
  return base::printable(text, kNameInText);
}

void count(Picture& picture, const std::string& what) {
  const auto found = std::ranges::find(picture.kinds, what, &Kind::what);
  ++(found != picture.kinds.end() ? *found : picture.kinds.emplace_back(Kind{what, 0})).threads;
}

/// A sleeping thread: what for?
void add_sleeper(Picture& picture, pid_t pid, const std::string& folder) {
  const std::string text = read_file(folder + "syscall");
  if (text.starts_with("running")) {  // it has woken since its state was read
    ++picture.running;
    return count(picture, "run");
  }
  if (const auto entered = call_of(text)) {
    const auto* call = std::ranges::find(kCalls, entered->number, &Call::number);
    if (call == std::end(kCalls)) {
      ++picture.outside;
      return count(picture, "wait in system call " + std::to_string(entered->number));
    }
    Wait wait = call->wait;
    constexpr std::size_t kTimeLimit = 3;  // futex: address, operation, value, time limit
    if (wait == Wait::lock && entered->arguments[kTimeLimit] != 0) wait = Wait::lock_for_a_time;
    picture.locks += wait == Wait::lock ? 1 : 0;
    picture.outside += wait == Wait::outside ? 1 : 0;
    const std::string object = call->of_descriptor ? descriptor_text(pid, entered->arguments[0]) : "";
    return count(picture, "wait in " + std::string(call->name) + (wait == Wait::lock_for_a_time ? " (with a time limit)" : "") +
                              (object.empty() ? "" : " (" + object + ")"));
  }
  const std::string channel = read_file(folder + "wchan");
  if (channel.empty() || channel == "0") {
    if (read_file(folder + "stat").empty()) {  // it has just ended
      --picture.threads;
      return;
    }
    picture.calls_hidden = true;
    ++picture.outside;
    return count(picture, "sleep");
  }
  const bool lock = channel.starts_with("futex");
  picture.locks += lock ? 1 : 0;
  picture.outside += lock ? 0 : 1;
  count(picture, "wait in " + base::printable(channel, kNameInText));
}

void add_thread(Picture& picture, pid_t pid, const std::string& folder) {
  const std::string stat = read_file(folder + "stat");
  const auto name_end = stat.rfind(')');  // the name itself may hold brackets
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return;
  const char state = stat[name_end + 2];
  if (state == 'Z' || state == 'X') return;
  ++picture.threads;
  switch (state) {
    case 'R': ++picture.running; return count(picture, "run");
    case 'T':
    case 't': ++picture.stopped; return count(picture, "are stopped");
    case 'D': {
      ++picture.disk;
      const std::string channel = read_file(folder + "wchan");
      return count(picture, "wait uninterruptibly" + (channel.size() > 1 ? " in " + base::printable(channel, kNameInText) : ""));
    }
    default: return add_sleeper(picture, pid, folder);
  }
}

void add_process(Picture& picture, pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(tasks.c_str()), closedir);
  if (!folder) {
    picture.hidden = picture.hidden || (errno != ENOENT && errno != ESRCH);
    return;
  }
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    if (picture.threads == kMaxDiagnosedThreads) {
      picture.cut = true;
      return;
    }
    add_thread(picture, pid, tasks + "/" + entry->d_name + "/");
  }
}

Condition conclude(const Picture& picture) {
  if (picture.threads == 0) return Condition::busy;
  if (picture.main_stopped) return Condition::stopped;
  if (picture.running > 0) return Condition::busy;
  if (picture.stopped > 0) return Condition::stopped;
  const bool all_seen = !picture.cut && !picture.hidden;
  return picture.disk == 0 && picture.outside == 0 && picture.locks > 0 && all_seen ? Condition::deadlocked : Condition::blocked;
}

/// "3 threads wait in futex, 1 in accept4"
std::string threads_text(Picture& picture) {
  std::ranges::stable_sort(picture.kinds, std::ranges::greater(), &Kind::threads);
  std::string out;
  constexpr std::string_view kWait = "wait ";
  bool waits = false;
  for (std::size_t i = 0; i < std::min(kKindsInText, picture.kinds.size()); ++i) {
    const Kind& kind = picture.kinds[i];
    std::string what = kind.what;
    const bool again = waits && what.starts_with(kWait);
    waits = what.starts_with(kWait);
    if (again) {
      what.erase(0, kWait.size());
    } else if (kind.threads == 1) {
      what = what.starts_with("are ") ? "is " + what.substr(4) : what.insert(std::min(what.find(' '), what.size()), "s");
    }
    out += (i > 0 ? ", " : "") + std::to_string(kind.threads) + (i > 0 ? " " : kind.threads == 1 ? " thread " : " threads ") + what;
  }
  return picture.kinds.size() > kKindsInText ? out + ", …" : out;
}

/// Of the socket to which the kernel gives a connection to that address.
std::uint64_t accept_queue(std::uint16_t port, std::uint32_t host) {
  const auto sockets = listening_sockets(port, host).value_or(std::vector<ListeningSocket>{});
  Fit closest = Fit::none;
  for (const auto& socket : sockets) closest = std::max(closest, socket.fit);
  std::uint64_t waiting = 0;
  for (const auto& socket : sockets) waiting += closest != Fit::none && socket.fit == closest ? socket.waiting : 0;
  return waiting;
}

}  // namespace

const char* to_text(Condition condition) {
  switch (condition) {
    case Condition::busy: return "busy";
    case Condition::stopped: return "stopped";
    case Condition::blocked: return "blocked";
    case Condition::deadlocked: return "deadlocked";
  }
  return "?";
}

Diagnosis diagnose(std::span<const pid_t> tree, std::uint16_t port, std::uint32_t host) {
  Picture picture;
  picture.cut = tree.size() > kMaxDiagnosedProcesses;
  for (const pid_t pid : tree.first(std::min(tree.size(), kMaxDiagnosedProcesses))) {
    add_process(picture, pid);
    if (pid == tree.front()) picture.main_stopped = picture.threads > 0 && picture.stopped == picture.threads;
  }
  Diagnosis out;
  out.condition = conclude(picture);
  out.text = std::string(to_text(out.condition)) + ": " + (picture.threads == 0 ? "nothing of it could be read in /proc" : threads_text(picture));
  if (picture.cut) out.text += "; it has more threads than were looked at";
  if (picture.hidden && picture.threads > 0) out.text += "; some of its processes may not be read in /proc";
  if (picture.calls_hidden) out.text += "; what they wait for may not be read (CAP_SYS_PTRACE would allow it)";
  if (const std::uint64_t waiting = port == 0 ? 0 : accept_queue(port, host); waiting > 0) {
    out.text += "; " + std::to_string(waiting) + (waiting == 1 ? " connection waits" : " connections wait") + " in its accept queue";
  }
  return out;
}

}  // namespace drover::backends
