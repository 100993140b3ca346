// Role: the messages that travel on a channel (CLUSTER's section 5): what a worker's line is, and the lines that drover writes.
// Thread: any; pure. Ownership: values.
//
// Any message is {id, type, data, timestamp (ms), from (pid), worker ("shop.3"), target?}; `from`, `worker` and `timestamp` are set by
// drover, whatever the sender wrote there. Members that drover does not know are passed on as they are.
#pragma once

#include "base/result.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover::ipc {

enum class MessageKind : std::uint8_t {
  node,      ///< Node's own: {"cmd": "NODE_…"}
  report,    ///< of itself: types request, stats, error, health, metrics, ready (or the bare string "ready"), without target or broadcast
  state,     ///< type "state:…"
  response,  ///< type "response"
  user,      ///< all else, any JSON value
};

struct Message {
  MessageKind kind = MessageKind::user;
  boost::json::value value;

  const boost::json::object* object() const { return value.if_object(); }
  /// "" if it has none. Of the bare string "ready": "ready".
  std::string_view type() const;
  /// A member, at the top or, if it is not there, in `data`; nullptr: in neither.
  const boost::json::value* member(std::string_view name) const;
};

inline constexpr std::size_t kMaxJsonDepth = 32;

/// One line. Error: no JSON, or nested too deeply; the message says where. ERANGE: JSON with a number beyond a
/// double; E2BIG: with more than kMostJsonValues.
base::Result<Message> parse_message(std::string_view line);

/// A number beyond a double is read as infinite and would be written as what is no JSON, at which a Node worker would die. Such become
/// null, as with JSON.stringify; true: there were any. For values that did not come through parse_message; nested as kMaxJsonDepth allows.
bool without_infinity(boost::json::value& value);

/// Whom a message is for.
struct Addressee {
  enum class Whom : std::uint8_t { nobody, worker, pool, unknown };
  Whom whom = Whom::nobody;  ///< nobody: it has neither target nor broadcast; unknown: a target of no known form
  std::string pool;          ///< "" = the sender's
  std::uint32_t slot = 0;
  std::string text;  ///< target as written, for messages
};
/// `target`: 3, "3", "shop.3" (one worker) or "shop" (all of that pool); broadcast: true: all of the sender's pool.
Addressee addressee_of(const boost::json::object& message);

/// id of a message: a string of at most kMaxId bytes or a number, kept as it is. nullptr: none.
inline constexpr std::size_t kMaxId = 256;
const boost::json::value* id_of(const boost::json::object& message);

struct Origin {
  pid_t pid = 0;
  std::string worker;  ///< "shop.3"; "" = drover itself, on behalf of the operator
};

std::int64_t now_ms();  ///< Unix time
/// A copy of `message` as its receiver gets it: from, worker and timestamp set, `id` replaced if one is given.
std::string forwarded_line(boost::json::object message, const Origin& origin, std::optional<std::string> id);
/// {id?, type, data, timestamp, from}
std::string message_line(std::string_view type, const boost::json::value& data, const Origin& origin, std::optional<std::string> id = {});
/// {type:"response", originalId, data, error: null, timestamp, from, worker}
std::string response_line(const boost::json::value& original_id, const boost::json::value& data, const Origin& origin);
/// The same with error {message} and data null. `message` names the thing, the reason and the fix.
std::string error_line(const boost::json::value& original_id, std::string_view message, const Origin& origin);

}  // namespace drover::ipc
