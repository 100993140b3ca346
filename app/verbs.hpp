// Role: the command-line verbs that talk to a running drover.
// Thread: the command's one; each verb is a process. Ownership: values. Each returns the exit code: 0, 1 it failed, 130 interrupted
//         while it waited.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace drover::app {

inline constexpr int kFailed = 1;
inline constexpr int kInterrupted = 130;
inline constexpr int kWrongConfig = 78;

/// How every such verb finds its drover, and what it prints.
struct Common {
  std::string socket;  ///< --socket; "" = by `config`
  std::string config;  ///< --config; "" = the default place
  bool json = false;
};

int show_status(const Common& common);
/// `sample`: how long requests are counted for REQ/S.
int show_workers(const Common& common, std::chrono::milliseconds sample);
/// The names of all pools and workers, one on a line: for completion; says nothing when no drover runs.
int show_targets(const Common& common);

struct EventsAsked {
  bool follow = false;
  bool names = false;  ///< instead: which events there are
  std::string after;   ///< number, "now", or "" = all that are kept
};
int show_events(const Common& common, const EventsAsked& asked);

struct LogsAsked {
  bool follow = false;
  std::uint32_t lines = 100;
  std::string target;
};
int show_logs(const Common& common, const LogsAsked& asked);

int show_why(const Common& common, const std::string& target);
/// `file`: "" = the running drover's configuration.
int show_config(const Common& common, const std::string& file, bool effective);

enum class Change : std::uint8_t { restart, drain, resume };
int change(const Common& common, Change change, const std::string& target, bool wait);
int scale(const Common& common, const std::string& pool, std::uint32_t workers, bool wait);
/// How a pool's requests are kept away from its workers.
struct DoorAsked {
  std::string pool;
  std::chrono::milliseconds most{30'000};  ///< hold
  std::string message;                     ///< maintenance
  bool off = false;
};
int hold(const Common& common, const DoorAsked& asked, bool wait);
int maintenance(const Common& common, const DoorAsked& asked);
int stop(const Common& common, bool force, bool wait);

/// The socket that `common` means, or why it can't be known (already printed: the exit code).
struct Found {
  std::string socket;
  int exit_code = 0;
};
Found find_socket(const Common& common);

/// "drover: …" on standard error.
int fail(const std::string& message);

}  // namespace drover::app
