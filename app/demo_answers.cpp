#include "app/demo_answers.hpp"

#include "base/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

namespace drover::app {
namespace {

namespace http = boost::beast::http;
namespace json = boost::json;

constexpr std::size_t kShownTarget = 32 * 1024;

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::uint64_t resident_bytes() {
  unsigned long long size = 0, resident = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%llu %llu", &size, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::string timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char text[40];
  const auto length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1'000'000);
  return text;
}

json::value worker_id() {
  const char* given = std::getenv("DROVER_WORKER");
  if (!given) return nullptr;
  const std::string_view text(given);
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed == std::errc{} && end == text.data() + text.size()) return number;
  return json::string(text);
}

DemoResponse json_response(http::status status, unsigned version, const json::object& body) {
  DemoResponse response(status, version);
  response.set(http::field::content_type, "application/json");
  response.body() = json::serialize(body) + "\n";
  return response;
}

}  // namespace

DemoAnswers::DemoAnswers() : id_(worker_id()), cpu_at_(seconds(CLOCK_PROCESS_CPUTIME_ID)), asked_at_(seconds(CLOCK_MONOTONIC)) {}

json::object DemoAnswers::health() {
  const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), now = seconds(CLOCK_MONOTONIC);
  const double passed = now - asked_at_;
  const double percent = passed > 0 ? 100 * (cpu - cpu_at_) / passed : 0;
  cpu_at_ = cpu;
  asked_at_ = now;
  return {{"memory", resident_bytes()}, {"cpu", percent}, {"ready", true}, {"status", "ok"}};
}

DemoResponse DemoAnswers::answer(const DemoRequest& request) {
  const std::string_view target(request.target().data(), request.target().size());
  if (target.substr(0, target.find('?')) == "/health") return json_response(http::status::ok, request.version(), health());
  return json_response(http::status::ok, request.version(),
                       {{"message", "Hello from drover's demo worker"},
                        {"worker", {{"id", id_}, {"pid", getpid()}}},
                        {"timestamp", timestamp()},
                        {"url", base::printable(target, kShownTarget)},
                        {"method", std::string_view(request.method_string().data(), request.method_string().size())}});
}

DemoResponse DemoAnswers::refusal(http::status status, std::string_view reason) { return json_response(status, 11, {{"error", reason}}); }

}  // namespace drover::app
