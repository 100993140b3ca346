// Role: what an operator may say to workers and do with their shared state, and how answers come back.
// Thread: supervisor's deciding thread. Ownership: values; a watcher is kept until it was told `last` or is forgotten.
#pragma once

#include "backends/orders.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "ipc/json_reader.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace drover::backends {

/// What the operator sends, read as exactly as what workers send: see ipc/json_reader.hpp.
inline base::Result<boost::json::value> read_data(std::string_view text, std::size_t depth) { return ipc::read_json(text, depth); }

/// One worker's answer to a request, or why there is none.
struct WorkerAnswer {
  std::string worker;        ///< "shop.3"
  bool ok = false;           ///< it answered, and without error
  boost::json::value data;   ///< its answer's
  boost::json::value error;  ///< its own error, whatever it sent; or drover's words: no answer within 5s, it has ended, …
  bool last = false;         ///< no other follows
};
using AnswerWatcher = std::function<void(const WorkerAnswer&)>;
using RequestNumber = std::uint64_t;

/// {key, value?, oldValue?}
using StateWatcher = std::function<void(const boost::json::object& change)>;
using StateWatchId = std::uint64_t;

}  // namespace drover::backends
