// Role: fills ${…} in a pool's command and environment for one worker.
// Thread: supervisor. Ownership: values.
#pragma once

#include "base/result.hpp"

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::config {

using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

/// "--port=${PORT}" → "--port=20001"; "$$" is a dollar; any other "$" stands for itself. Error: unknown name, "${" without end.
base::Result<std::string> expand(std::string_view text, const Lookup& lookup);

/// The names that `text` uses, as often as it does. Error: "${" without end, "${}", a name that no variable can have.
base::Result<std::vector<std::string>> names_in(std::string_view text);

/// What a worker never inherits: drover's own, or made anew under the same name for each worker.
inline constexpr std::array<std::string_view, 13> kWithheldNames{
    "NOTIFY_SOCKET", "WATCHDOG_PID",  "WATCHDOG_USEC",      "LISTEN_PID",        "LISTEN_FDS",      "LISTEN_FDNAMES",
    "DROVER_POOL",   "DROVER_WORKER", "DROVER_INCARNATION", "DROVER_CHANNEL_FD", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID"};

}  // namespace drover::config
