// Role: drover's log: one line a happening, with the thing it is about ("shop.3", "proxy", "supervisor") in a field of its own.
// Thread: any; lines are written by one background thread from a bounded queue (oldest dropped), so that a blocked
// standard error never blocks a caller. Ownership: process-wide, the one global; start() once per process, after its last fork
// that runs on without exec. Before start() lines go straight to standard error.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace drover::base::log {

enum class Level { debug, info, warn, error };
enum class Format { text, json };

void start(Level level, Format format);
/// Writes what is queued and ends the background thread.
void stop();

bool enabled(Level level);
void write(Level level, std::string_view subject, std::string_view message);

template <class... Args>
void debug(std::string_view subject, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, subject, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(std::string_view subject, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, subject, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(std::string_view subject, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::warn)) write(Level::warn, subject, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view subject, fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, subject, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace drover::base::log
