#include "base/log.hpp"

#include "base/text.hpp"

#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <memory>
#include <mutex>

namespace drover::base::log {

namespace {

constexpr std::size_t kQueueLines = 8192;

/// Standard error, never waited for long: a reader that has stopped reading loses lines, and can't keep drover from ending.
class PatientSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  void hurry() { patience_ms_ = 0; }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const char* at = line.data();
    std::size_t left = line.size();
    while (left > 0) {
      pollfd out{STDERR_FILENO, POLLOUT, 0};
      if (::poll(&out, 1, patience_ms_) <= 0) return;
      // A pipe that polls writable takes this much without blocking (pipe(7)).
      const ssize_t wrote = ::write(STDERR_FILENO, at, std::min<std::size_t>(left, PIPE_BUF));
      if (wrote < 0 && errno != EINTR) return;
      at += std::max<ssize_t>(wrote, 0);
      left -= static_cast<std::size_t>(std::max<ssize_t>(wrote, 0));
    }
  }
  void flush_() override {}

  std::atomic<int> patience_ms_{1000};
};

struct State {
  std::shared_ptr<PatientSink> sink;
  std::shared_ptr<spdlog::logger> logger;
  Level level = Level::info;
  Format format = Format::text;
};

State& state() {
  static State instance;
  return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string body(Format format, std::string_view subject, std::string_view message) {
  const std::string clean = printable(message, 16 * 1024);
  if (format == Format::text) return fmt::format("{:<12} {}", subject, clean);
  return fmt::format("\"subject\":{},\"message\":{}", boost::json::serialize(boost::json::string(subject)),
                     boost::json::serialize(boost::json::string(clean)));
}

}  // namespace

void start(Level level, Format format) {
  auto& s = state();
  s.level = level;
  s.format = format;
  spdlog::init_thread_pool(kQueueLines, 1);
  s.sink = std::make_shared<PatientSink>();
  s.logger = std::make_shared<spdlog::async_logger>("drover", s.sink, spdlog::thread_pool(), spdlog::async_overflow_policy::overrun_oldest);
  s.logger->set_level(spdlog::level::debug);
  s.logger->set_pattern(format == Format::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                        spdlog::pattern_time_type::utc);
}

void stop() {
  if (state().sink) state().sink->hurry();
  state().logger.reset();
  spdlog::shutdown();
}

bool enabled(Level level) { return level >= state().level; }

void write(Level level, std::string_view subject, std::string_view message) {
  auto& s = state();
  const std::string line = body(s.format, subject, message);
  if (s.logger) {
    s.logger->log(to_spdlog(level), line);
  } else {
    std::fprintf(stderr, "drover: %s\n", line.c_str());
  }
}

}  // namespace drover::base::log
