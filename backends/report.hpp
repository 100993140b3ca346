// Role: a worker's own word, whichever way it came: a probe's answer, a NOTIFY_SOCKET datagram, a channel message. One form for all.
// Thread: supervisor's deciding thread. Ownership: values.
#pragma once

#include "ipc/message.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover::backends {

enum class ReportSource : std::uint8_t { probe, notify, channel };
const char* to_text(ReportSource source);

/// Each member is only there when the worker said it.
struct Report {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<double> cpu_percent;   ///< of one core
  std::optional<bool> ready;           ///< READY=1, {"ready": …}
  std::optional<bool> wants_work;      ///< false: down, drain, maint, STOPPING=1, RELOADING=1; true: up, ready, READY=1
  std::optional<bool> healthy;         ///< false: "down", "fail", "stopped", WATCHDOG=trigger; true: "up"
  std::optional<std::uint32_t> share;  ///< percent of its even part, 0 … 100: "50%"
  std::optional<std::string> status;   ///< STATUS=, {"status": …}, "#reason"; cleaned, at most kMaxStatus bytes; "" takes it back
  bool alive = false;                  ///< WATCHDOG=1: says nothing but that it lives
  bool reloading = false;              ///< RELOADING=1: not ready until the next READY=1
  bool empty() const;

  static constexpr std::size_t kMaxStatus = 256;
};

/// A probe's answer: a JSON object {"memory", "cpu", "ready", "status", "share"}, or HAProxy agent-check words ("up", "down #reason",
/// "drain", "maint", "ready", "fail", "stopped", "50%", also several in one line, in any case). Absolute weights and maxconn: say
/// nothing here. None: it is neither.
std::optional<Report> report_of_answer(std::string_view content_type, std::string_view body);
/// A NOTIFY_SOCKET datagram (sd_notify(3)). Unknown lines are passed over, a later one goes before an earlier one. None: nothing of
/// it is known.
std::optional<Report> report_of_notification(std::string_view datagram);
/// A channel's message of type stats, health or ready, its members at the top or in `data`; `memory` a number of bytes or an object
/// with `rss` (Node's process.memoryUsage()).
Report report_of_message(const ipc::Message& message);
/// What a message of type error says: text that any terminal may see.
std::string error_of_message(const ipc::Message& message);

}  // namespace drover::backends
