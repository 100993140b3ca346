// Role: what the admin side needs of a running cluster, as functions: compose.cpp fills them from the Supervisor, tests with fakes.
// Thread: supervisor; none of them blocks. Ownership: refers to things that outlive every AdminServer.
#pragma once

#include "backends/events.hpp"
#include "backends/messages.hpp"
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
  /// A message of that type for one worker, or for all of a pool: to how many it went. Error: ENOENT unknown target, ENOTCONN nobody there
  /// has a channel now, EINVAL a type that is drover's own, EMSGSIZE.
  std::function<base::Result<std::size_t>(const backends::Target&, const std::string& type, const boost::json::value& data)> send;
  /// The same, and each answer goes to the watcher, which is not called before request() returns.
  std::function<base::Result<backends::RequestNumber>(const backends::Target&, const std::string& type, const boost::json::value& data,
                                                      base::Millis timeout, backends::AnswerWatcher)>
      request;
  std::function<void(backends::RequestNumber)> forget_request;
  /// One of the requests of ipc/state_service.hpp: {type: "state:get", key, …}; its answer. Error: ENOENT no such pool, and those of the store.
  std::function<base::Result<boost::json::value>(const std::string& pool, const boost::json::object& request)> state;
  /// `key`: "" = all keys; ending in "*": those that begin so.
  std::function<base::Result<backends::StateWatchId>(const std::string& pool, const std::string& key, backends::StateWatcher)> watch_state;
  std::function<void(backends::StateWatchId)> unwatch_state;
};

}  // namespace drover::admin
