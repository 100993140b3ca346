#include "app/tables.hpp"

#include "app/json_view.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace drover::app {

namespace {

namespace json = boost::json;

constexpr std::size_t kMemoryPoints = 6;  ///< shown of a memory curve
constexpr std::size_t kFiguresShown = 3;  ///< of those that a worker reports
constexpr std::size_t kErrorShown = 60;   ///< characters of the error that it reported last

std::string whole(double number) { return fmt::format("{:.0f}", number); }

std::string counted(double count, const char* thing) { return whole(count) + " " + thing + (count == 1 ? "" : "s"); }

std::string bytes(double count) { return count <= 0 ? "-" : base::to_text(base::Bytes{static_cast<std::uint64_t>(count)}); }

/// "3d 4h", "2h05m", "3m12s", "45s".
std::string span(double seconds) {
  const auto all = static_cast<std::int64_t>(std::max(0.0, std::min(seconds, 1e12)));
  const std::int64_t days = all / 86400;
  const std::int64_t hours = all / 3600 % 24;
  const std::int64_t minutes = all / 60 % 60;
  if (days > 0) return fmt::format("{}d{:02}h", days, hours);
  if (hours > 0) return fmt::format("{}h{:02}m", hours, minutes);
  if (minutes > 0) return fmt::format("{}m{:02}s", minutes, all % 60);
  return fmt::format("{}s", all);
}

/// A span that may be short: "0.25s".
std::string precise(double seconds) { return seconds < 10 ? fmt::format("{:.2g}s", std::max(0.0, seconds)) : span(seconds); }

std::string rate(const Rates& rates, const std::string& name) {
  const auto found = rates.find(name);
  if (found == rates.end()) return "-";
  return found->second < 10 ? fmt::format("{:.1f}", found->second) : whole(found->second);
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

/// The first `most` characters, never half of one.
std::string_view cut(std::string_view text, std::size_t most) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U && ++seen > most) return text.substr(0, i);
  }
  return text;
}

std::string state_of(const json::value& worker) {
  std::string lifecycle = text_in(worker, "lifecycle");
  if (flag_in(worker, "paused")) return "paused";
  if (text_in(worker, "intent") == "drained" && (lifecycle == "stopped" || lifecycle.empty())) return "drained";
  return lifecycle;
}

std::string health_of(const json::value& worker) {
  if (number_in(worker, "pid") == 0) return "-";
  for (const char* fact : {"suspect", "ejected", "declined"}) {
    if (flag_in(worker, fact)) return fact;
  }
  return text_in(worker, "health");
}

/// What it says of itself on its channel: "reports 12 requests, 1 error (no such table), queue 3"; "" = nothing.
std::string reported_of(const json::value& worker) {
  const auto* channel = member(worker, "channel");
  if (channel == nullptr) return "";
  std::vector<std::string> parts;
  if (const auto requests = number_in(*channel, "requests"); requests > 0) parts.push_back(counted(requests, "request"));
  if (const auto errors = number_in(*channel, "errors"); errors > 0) {
    const std::string last = text_in(*channel, "last_error");
    parts.push_back(counted(errors, "error") + (last.empty() ? "" : " (" + std::string(cut(last, kErrorShown)) + ")"));
  }
  const auto* metrics = member(*channel, "metrics");
  if (metrics != nullptr && metrics->is_object()) {
    std::size_t shown = 0;
    for (const auto& each : metrics->get_object()) {
      if (!each.value().is_number() || ++shown > kFiguresShown) continue;
      parts.push_back(base::printable({each.key().data(), each.key().size()}, 64) + " " +
                      fmt::format("{:.6g}", number_in(*metrics, {each.key().data(), each.key().size()})));
    }
    if (shown > kFiguresShown) parts.push_back(fmt::format("{} more", shown - kFiguresShown));
  }
  return parts.empty() ? "" : "reports " + fmt::format("{}", fmt::join(parts, ", "));
}

/// Requests or errors of a worker: what drover has seen, or where it sees none (handoff, shared) what the worker reports.
double counted_of(const json::value& pool, const json::value& worker, std::string_view what) {
  const auto* channel = flag_in(pool, "requests_reported") ? member(worker, "channel") : nullptr;
  return number_in(channel == nullptr ? worker : *channel, what);
}

/// What is worth saying first: what happens to it, then why it is as it is, then its own word.
std::string note_of(const json::value& worker) {
  std::vector<std::string> parts;
  if (const auto why = text_in(worker, "replacing"); !why.empty()) parts.push_back("to be replaced: " + why);
  if (const auto next = number_in(worker, "successor"); next > 0) parts.push_back(fmt::format("incarnation {:.0f} gets ready", next));
  if (const auto leaving = number_in(worker, "leaving"); leaving > 0) parts.push_back(fmt::format("{:.0f} leaving", leaving));
  if (const auto in = number_in(worker, "restart_in", -1); in >= 0) parts.push_back("starts in " + precise(in));
  if (const auto stalled = number_in(worker, "stalled"); stalled >= 1) parts.push_back("no byte for " + span(stalled));
  if (const auto forecast = number_in(worker, "memory_forecast", -1); forecast >= 0) parts.push_back("memory limit in " + span(forecast));
  if (const auto share = number_in(worker, "share", 100); share != 100) parts.push_back(whole(share) + "% share");
  if (const auto warming = number_in(worker, "warming", -1); warming >= 0) parts.push_back("warm in " + precise(warming));
  const std::string reason = text_in(worker, "health_reason");
  const std::string note = text_in(worker, "note");
  if (!reason.empty()) parts.push_back(reason);
  if (!note.empty() && note != reason) parts.push_back(note);
  if (const auto* report = member(worker, "report"); report != nullptr && !text_in(*report, "status").empty()) {
    parts.push_back("\"" + text_in(*report, "status") + "\"");
  }
  if (const std::string reported = reported_of(worker); !reported.empty()) parts.push_back(reported);
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string memory_of(const json::value& worker) {
  const auto* memory = member(worker, "memory");
  return memory == nullptr ? "-" : bytes(number_in(*memory, "bytes"));
}

/// "12:03:04.567" of Unix seconds, in the zone of whoever reads.
std::string clock_time(double unix_seconds, bool with_date) {
  const auto seconds = static_cast<std::time_t>(std::max(0.0, std::min(unix_seconds, 2.5e11)));
  std::tm local{};
  ::localtime_r(&seconds, &local);
  const auto milliseconds = static_cast<int>((unix_seconds - std::floor(unix_seconds)) * 1000);
  return with_date ? fmt::format("{:%Y-%m-%d %H:%M:%S}", local) : fmt::format("{:%H:%M:%S}.{:03}", local, std::clamp(milliseconds, 0, 999));
}

/// A few points of its last minute, the oldest and the newest among them.
std::string memory_curve(const json::value& record) {
  std::vector<std::string> points;
  for_each_in(record, "memory", [&points](const json::value& point) {
    points.push_back(fmt::format("{} ({} before)", bytes(number_in(point, "bytes")), precise(number_in(point, "before"))));
  });
  if (points.size() <= kMemoryPoints) return fmt::format("{}", fmt::join(points, ", "));
  std::vector<std::string> some;
  for (std::size_t i = 0; i < kMemoryPoints; ++i) some.push_back(points[i * (points.size() - 1) / (kMemoryPoints - 1)]);
  return fmt::format("{}", fmt::join(some, ", "));
}

std::string pool_line(const json::value& pool) {
  std::size_t ready = 0;
  for_each_in(pool, "workers", [&ready](const json::value& worker) { ready += flag_in(worker, "eligible") ? 1 : 0; });
  std::string line =
      fmt::format("pool {}: {} of {} ready, {}, {:.0f} in flight, {:.0f} waiting", text_in(pool, "name"), ready, whole(number_in(pool, "desired")),
                  text_in(pool, "strategy"), number_in(pool, "in_flight"), number_in(pool, "queue_length"));
  if (flag_in(pool, "asleep")) line += ", asleep";
  if (const auto held = number_in(pool, "held", -1); held >= 0) line += ", held for " + precise(held) + " more";
  if (const auto* maintenance = member(pool, "maintenance"); maintenance != nullptr && maintenance->is_object()) {
    const std::string message = text_in(*maintenance, "message");
    line += ", in maintenance" + (message.empty() ? "" : " (" + message + ")");
  }
  const std::string breaker = text_in(pool, "breaker");
  if (breaker == "open" || breaker == "half_open") line += ", circuit breaker open";
  if (const auto* roll = member(pool, "roll"); roll != nullptr) {
    const std::string phase = text_in(*roll, "phase");
    if (phase == "running") line += fmt::format(", rolling restart {:.0f} of {:.0f}", number_in(*roll, "done"), number_in(*roll, "total"));
    if (phase == "failed") line += ", the last rolling restart failed: " + text_in(*roll, "reason");
  }
  line += '\n';
  for_each_in(pool, "blocked", [&line](const json::value& each) {
    line += fmt::format("  {} {} is answered 503 for {} more: {:.0f} workers died of it\n", text_in(each, "method"), text_in(each, "path"),
                        span(number_in(each, "seconds_left")), number_in(each, "deaths"));
  });
  return line;
}

}  // namespace

Rates rates_between(const json::value& before, const json::value& after, double seconds) {
  Rates rates;
  if (seconds <= 0) return rates;
  std::map<std::string, double> old;
  const auto each_worker = [](const json::value& status, const auto& take) {
    for_each_in(status, "pools", [&take](const json::value& pool) {
      for_each_in(pool, "workers", [&](const json::value& worker) { take(text_in(worker, "name"), counted_of(pool, worker, "requests")); });
    });
  };
  each_worker(before, [&old](const std::string& name, double count) { old[name] = count; });
  each_worker(after, [&](const std::string& name, double count) {
    if (const auto found = old.find(name); found != old.end()) rates[name] = std::max(0.0, count - found->second) / seconds;
  });
  const auto* totals = member(before, "totals");
  const auto* now = member(after, "totals");
  if (totals != nullptr && now != nullptr) rates[""] = std::max(0.0, number_in(*now, "requests") - number_in(*totals, "requests")) / seconds;
  return rates;
}

std::string summary(const json::value& status, const Rates& rates) {
  const auto* totals = member(status, "totals");
  const json::value none = json::object();
  const json::value& sums = totals == nullptr ? none : *totals;
  const char* phase = flag_in(status, "stopping") ? "stopping" : flag_in(status, "ready") ? "ready" : "not ready";
  std::size_t up = 0;
  std::size_t wanted = 0;
  for_each_in(status, "pools", [&](const json::value& pool) {
    wanted += static_cast<std::size_t>(number_in(pool, "desired"));
    for_each_in(pool, "workers", [&up](const json::value& worker) { up += flag_in(worker, "eligible") ? 1 : 0; });
  });
  const double requests = number_in(sums, "requests");
  std::string out = fmt::format("drover {}  pid {:.0f}  up {}  {}  workers {} of {}\n", text_in(status, "version"), number_in(status, "pid"),
                                span(number_in(status, "uptime")), phase, up, wanted);
  out += fmt::format("requests {:.0f}{}  errors {:.0f}  per worker {:.0f}  created {:.0f}  died {:.0f}  restarted {:.0f}  health checks {:.0f}\n",
                     requests, rates.contains("") ? " (" + rate(rates, "") + "/s)" : "", number_in(sums, "errors"),
                     wanted == 0 ? 0 : requests / static_cast<double>(wanted), number_in(sums, "created"), number_in(sums, "died"),
                     number_in(sums, "restarted"), number_in(sums, "health_checks"));
  for_each_in(status, "listeners", [&out](const json::value& each) {
    out +=
        fmt::format("listener {}: {}, {:.0f} client connections\n", text_in(each, "name"), text_in(each, "address"), number_in(each, "connections"));
  });
  for_each_in(status, "pools", [&out](const json::value& pool) { out += pool_line(pool); });
  for_each_in(status, "degraded", [&out](const json::value& each) {
    if (each.is_string()) out += "degraded: " + base::printable({each.get_string().data(), each.get_string().size()}) + "\n";
  });
  return out;
}

std::string worker_table(const json::value& status, const Rates& rates, std::size_t width) {
  std::vector<std::vector<std::string>> rows{
      {"WORKER", "PID", "STATE", "HEALTH", "UPTIME", "REQ/S", "REQUESTS", "ERRORS", "IN", "MEM", "CPU", "RESTARTS", "NOTE"}};
  for_each_in(status, "pools", [&](const json::value& pool) {
    for_each_in(pool, "workers", [&](const json::value& worker) {
      const std::string name = text_in(worker, "name");
      const double pid = number_in(worker, "pid");
      rows.push_back({name, pid == 0 ? "-" : whole(pid), state_of(worker), health_of(worker), pid == 0 ? "-" : span(number_in(worker, "uptime")),
                      rate(rates, name), whole(counted_of(pool, worker, "requests")), whole(counted_of(pool, worker, "errors")),
                      whole(number_in(worker, "in_flight")), pid == 0 ? "-" : memory_of(worker),
                      pid == 0 ? "-" : whole(number_in(worker, "cpu")) + "%", whole(number_in(worker, "restarts")), note_of(worker)});
    });
  });
  return align(rows, ".r..rrrrrrrr.", width);
}

std::string align(const std::vector<std::vector<std::string>>& rows, std::string_view right, std::size_t width) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - columns_of(row[i]), ' ');
      const bool to_right = i < right.size() && right[i] == 'r';
      if (i > 0) line += "  ";
      line += to_right ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += width == kAnyWidth ? line : std::string(cut(line, width));
    out += '\n';
  }
  return out;
}

std::string obituary_text(const json::value& record) {
  const auto line = [](std::string_view name, const std::string& value) { return value.empty() ? "" : fmt::format("  {:<14}{}\n", name, value); };
  std::string out = fmt::format("{} (incarnation {:.0f}) ended at {} after {}: {}\n", text_in(record, "worker"), number_in(record, "incarnation"),
                                clock_time(number_in(record, "time"), true), precise(number_in(record, "uptime")), text_in(record, "exit"));
  const std::string why = text_in(record, "asked_why");
  out += line("asked for", flag_in(record, "asked_for") ? (why.empty() ? "yes" : why) : "no");
  out += line("cause", text_in(record, "cause"));
  out += line("out of memory", text_in(record, "out_of_memory"));
  if (!flag_in(record, "was_ready"))
    out += line("ready", fmt::format("never; {:.0f} such lives in a row", number_in(record, "never_ready_in_row", 1)));
  if (flag_in(record, "young") && !flag_in(record, "asked_for"))
    out += line("young", fmt::format("yes; {:.0f} such deaths in a row", number_in(record, "young_in_row", 1)));
  out += line("last probe", text_in(record, "last_probe"));
  const std::string memory = memory_curve(record);
  if (number_in(record, "peak_memory") > 0)
    out += line("memory", "peak " + bytes(number_in(record, "peak_memory")) + (memory.empty() ? "" : "; " + memory));
  const double inside = number_in(record, "in_flight_total");
  if (inside > 0) out += line("requests", fmt::format("{:.0f} inside", inside));
  for_each_in(record, "in_flight", [&out](const json::value& each) {
    out += fmt::format("    {} {} ({})\n", text_in(each, "method"), text_in(each, "path"), precise(number_in(each, "age")));
  });
  bool first = true;
  for_each_in(record, "last_lines", [&](const json::value& each) {
    if (std::exchange(first, false)) out += "  last words\n";
    if (each.is_string()) out += "    " + base::printable({each.get_string().data(), each.get_string().size()}, 8192) + "\n";
  });
  return out + line("then", text_in(record, "then"));
}

std::string log_text(const json::value& line) {
  return fmt::format("{} {}  {}", clock_time(number_in(line, "time"), false), text_in(line, "worker"), text_in(line, "text"));
}

}  // namespace drover::app
