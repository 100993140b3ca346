#include "base/log.hpp"

#include "base/text.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <spdlog/async.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <memory>

namespace drover::base::log {

namespace {

constexpr std::size_t kQueueLines = 8192;

struct State {
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
  s.logger = std::make_shared<spdlog::async_logger>("drover", std::make_shared<spdlog::sinks::stderr_sink_mt>(), spdlog::thread_pool(),
                                                    spdlog::async_overflow_policy::overrun_oldest);
  s.logger->set_level(spdlog::level::debug);
  s.logger->flush_on(spdlog::level::debug);
  s.logger->set_pattern(format == Format::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                        spdlog::pattern_time_type::utc);
}

void stop() {
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
