#include "backends/obituary.hpp"

#include "base/text.hpp"

#include <boost/json/array.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace drover::backends {

namespace {

constexpr std::size_t kRequestsInLine = 5;
constexpr std::size_t kLinesInLine = 2;
constexpr std::size_t kTextInLine = 200;  // bytes of each piece of foreign text
constexpr std::size_t kTextInRecord = 1024;

std::string worker_name(const Obituary& record) { return record.pool + "." + std::to_string(record.slot); }

std::string duration_text(double seconds) {
  // Of a long life nobody wants the milliseconds.
  const double unit = seconds < 10 ? 1e-3 : seconds < 600 ? 1 : 60;
  const double whole = std::round(std::clamp(seconds, 0.0, 1e9) / unit) * unit;
  return base::to_text(base::Millis(std::llround(whole * 1000)));
}

std::string age_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1fs", std::clamp(seconds, 0.0, 1e9));
  return text.data();
}

std::string rounded(std::uint64_t bytes) {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  return base::to_text(base::Bytes{bytes >= kMiB ? (bytes + kMiB / 2) / kMiB * kMiB : bytes});
}

std::string in_a_row(const Obituary& record) {
  if (!record.was_ready) {
    const std::string before = record.asked_for && record.cause != Cause::never_ready ? "" : ", before it was ready";
    return record.never_ready_in_row > 1 ? before + " (" + std::to_string(record.never_ready_in_row) + " times in a row)" : before;
  }
  return record.young && record.young_in_row > 1 ? ", young (" + std::to_string(record.young_in_row) + " times in a row)" : "";
}

std::string memory_text(const Obituary& record) {
  if (record.peak_memory == 0) return "";
  const std::string peak = "memory peak " + rounded(record.peak_memory);
  if (record.memory.size() < 2) return "; " + peak;
  return "; memory " + rounded(record.memory.front().bytes) + " to " + rounded(record.memory.back().bytes) + " in its last " +
         duration_text(record.memory.front().seconds_before) + ", " + peak.substr(7);
}

std::string requests_text(const Obituary& record) {
  const std::size_t total = std::max<std::size_t>(record.in_flight_total, record.in_flight.size());
  if (total == 0) return "; no request inside";
  std::string out = "; " + std::to_string(total) + (total == 1 ? " request" : " requests") + " inside: ";
  const std::size_t shown = std::min(kRequestsInLine, record.in_flight.size());
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& each = record.in_flight[i];
    out += (i > 0 ? ", " : "") + base::printable(each.method, kTextInLine) + " " + base::printable(each.path, kTextInLine) + " (" +
           age_text(each.age_seconds) + ")";
  }
  return total > shown ? out + (shown > 0 ? ", …" : "…") : out;
}

std::string words_text(const Obituary& record) {
  if (record.last_lines.empty()) return "; it printed nothing";
  std::string out = "; last words: ";
  const std::size_t shown = std::min(kLinesInLine, record.last_lines.size());
  for (std::size_t i = record.last_lines.size() - shown; i < record.last_lines.size(); ++i) {
    out += base::printable(record.last_lines[i], kTextInLine) + (i + 1 < record.last_lines.size() ? " | " : "");
  }
  return out;
}

}  // namespace

const char* to_text(Cause cause) {
  switch (cause) {
    case Cause::exit_zero: return "exit_zero";
    case Cause::exit_nonzero: return "exit_nonzero";
    case Cause::own_signal: return "own_signal";
    case Cause::out_of_memory: return "out_of_memory";
    case Cause::outside_signal: return "outside_signal";
    case Cause::never_ready: return "never_ready";
    case Cause::spawn_failed: return "spawn_failed";
    case Cause::port_taken: return "port_taken";
  }
  return "?";
}

std::string in_one_line(const Obituary& record) {
  std::string out = worker_name(record) + " (incarnation " + std::to_string(record.incarnation) + ") ";
  out += (record.asked_for ? "ended after " : "died after ") + duration_text(record.uptime_seconds) + in_a_row(record);
  out += ": " + base::printable(record.exit, kTextInLine);
  if (record.asked_for) out += ", asked for: " + (record.asked_why.empty() ? "stop" : base::printable(record.asked_why, kTextInLine));
  if (record.cause == Cause::port_taken) out += ", its port was taken by somebody else";
  if (!record.out_of_memory.empty()) out += ", out of memory: " + base::printable(record.out_of_memory, kTextInLine);
  out += memory_text(record) + requests_text(record);
  if (!record.asked_for) {
    out += words_text(record);
    if (!record.was_ready && !record.last_probe.empty()) out += "; last probe: " + base::printable(record.last_probe, kTextInLine);
  }
  if (!record.then.empty()) out += "; then: " + base::printable(record.then, kTextInLine);
  return out;
}

boost::json::object to_json(const Obituary& record) {
  const auto text = [](const std::string& foreign) { return base::printable(foreign, kTextInRecord); };
  boost::json::array memory;
  for (const MemoryPoint& point : record.memory) memory.push_back({{"before", point.seconds_before}, {"bytes", point.bytes}});
  boost::json::array lines;
  const std::size_t skipped = record.last_lines.size() - std::min(record.last_lines.size(), Obituary::kMaxLines);
  for (std::size_t i = skipped; i < record.last_lines.size(); ++i) lines.emplace_back(text(record.last_lines[i]));
  boost::json::array inside;
  for (std::size_t i = 0; i < std::min(record.in_flight.size(), Obituary::kMaxRequests); ++i) {
    const auto& each = record.in_flight[i];
    inside.push_back({{"method", text(each.method)}, {"path", text(each.path)}, {"age", each.age_seconds}});
  }
  boost::json::object out;
  out["worker"] = worker_name(record);
  out["pool"] = record.pool;
  out["slot"] = record.slot;
  out["incarnation"] = record.incarnation;
  out["time"] = record.time;
  out["uptime"] = record.uptime_seconds;
  out["was_ready"] = record.was_ready;
  out["young"] = record.young;
  out["asked_for"] = record.asked_for;
  out["asked_why"] = text(record.asked_why);
  out["cause"] = to_text(record.cause);
  out["self_inflicted"] = self_inflicted(record.cause);
  out["exit"] = text(record.exit);
  out["out_of_memory"] = text(record.out_of_memory);
  out["peak_memory"] = record.peak_memory;
  out["memory"] = std::move(memory);
  out["last_lines"] = std::move(lines);
  out["in_flight"] = std::move(inside);
  out["in_flight_total"] = record.in_flight_total;
  out["never_ready_in_row"] = record.never_ready_in_row;
  out["young_in_row"] = record.young_in_row;
  out["last_probe"] = text(record.last_probe);
  out["then"] = text(record.then);
  return out;
}

void Obituaries::add(Obituary record) {
  auto& of_slot = kept_[{record.pool, record.slot}];
  of_slot.push_back(std::move(record));
  if (of_slot.size() > kPerSlot) of_slot.pop_front();
}

std::vector<const Obituary*> Obituaries::of(const std::string& pool, std::uint32_t slot) const {
  std::vector<const Obituary*> out;
  for (auto entry = kept_.lower_bound({pool, slot}); entry != kept_.end() && entry->first.first == pool; ++entry) {
    if (slot != 0 && entry->first.second != slot) break;
    for (auto record = entry->second.rbegin(); record != entry->second.rend(); ++record) out.push_back(&*record);
  }
  std::ranges::stable_sort(out, [](const Obituary* a, const Obituary* b) { return a->time > b->time; });
  return out;
}

}  // namespace drover::backends
