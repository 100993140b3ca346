// Role: a status as text for people: the summary, the table of workers, an obituary. Nothing in it can steer a terminal.
// Thread: any; pure. Ownership: values. `status` everywhere: the JSON of /v1/status; what is missing in it is shown as a dash.
#pragma once

#include <boost/json/value.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace drover::app {

inline constexpr std::size_t kAnyWidth = 0;  ///< nothing is cut

/// Requests per second by worker ("shop.3"), and "" for the whole cluster.
using Rates = std::map<std::string, double>;
/// From the counts of two statuses that were taken `seconds` apart.
Rates rates_between(const boost::json::value& before, const boost::json::value& after, double seconds);

/// The cluster in a few lines, one per pool.
std::string summary(const boost::json::value& status, const Rates& rates = {});
/// WORKER PID STATE HEALTH UPTIME REQ/S REQUESTS ERRORS IN MEM CPU RESTARTS NOTE. Lines are cut at `width` characters.
std::string worker_table(const boost::json::value& status, const Rates& rates, std::size_t width);

/// One death, as `drover why` tells it.
std::string obituary_text(const boost::json::value& record);
/// A line of output or of an event's kind, with its time: "12:03:04.567 shop.3  text".
std::string log_text(const boost::json::value& line);

/// Columns as wide as their widest cell; those in `right` are aligned to the right; the last one is not padded.
std::string align(const std::vector<std::vector<std::string>>& rows, std::string_view right, std::size_t width);

}  // namespace drover::app
