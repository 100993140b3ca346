// Role: what the admin side needs of a running cluster, as functions: compose.cpp fills them from the Supervisor, tests with fakes.
// Thread: supervisor; none of them blocks. Ownership: refers to things that outlive every AdminServer.
#pragma once

#include "backends/events.hpp"
#include "backends/orders.hpp"
#include "backends/status.hpp"

#include <boost/json/array.hpp>

#include <functional>
#include <string>

namespace drover::admin {

using StatusFn = std::function<backends::ClusterStatus()>;

struct ClusterDoor {
  StatusFn status;
  backends::EventJournal* events = nullptr;
  backends::OutputJournal* output = nullptr;
  std::function<boost::json::array(const backends::Target& target)> deaths;  ///< obituaries, newest first
  std::string file;                                                          ///< the configuration's path, as given
  std::function<std::string()> effective;                                    ///< the configuration as it holds, as TOML
  std::function<base::Result<backends::OrderId>(const backends::Order&, backends::OrderWatcher)> order;
  std::function<void(backends::OrderId)> forget;
};

}  // namespace drover::admin
