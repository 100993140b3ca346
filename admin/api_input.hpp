// Role: what the API takes from outside: queries, bodies, targets; each bounded, each refusal with its HTTP status and the fix.
// Thread: supervisor; pure. Ownership: values.
#pragma once

#include "backends/orders.hpp"
#include "backends/status.hpp"
#include "base/result.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace drover::admin {

/// Not an aggregate: with one a bool would also be half a Bad.
struct Bad {
  Bad() = default;
  Bad(unsigned http_status, std::string text) : status(http_status), message(std::move(text)) {}
  unsigned status = 400;
  std::string message;
};

inline constexpr std::size_t kMaxDepth = 8;          ///< of a body's JSON
inline constexpr std::size_t kMaxMessageDepth = 32;  ///< of one that carries a message or a value: as deep as a channel's lines
inline constexpr std::uint32_t kMaxCount = 1'000'000;

struct Query {
  std::string after;
  std::string target;
  std::string lines;
  std::string pool;
  std::string key;
  std::string prefix;
  bool follow = false;
  bool wait = true;
};

/// `target`: path with query. `known`: names that the path takes, comma-separated.
base::Result<Query, Bad> read_query(std::string_view target, std::string_view known);

/// "" is {}. A member that is not known is an error, so that a slip of the pen changes nothing.
base::Result<boost::json::object, Bad> read_body(std::string_view body, std::span<const std::string_view> known, std::size_t depth = kMaxDepth);
base::Result<std::string, Bad> text_member(const boost::json::object& body, std::string_view name);
base::Result<std::uint32_t, Bad> count_member(const boost::json::object& body, std::string_view name);
/// Not given: false.
base::Result<bool, Bad> flag_member(const boost::json::object& body, std::string_view name);

base::Result<std::uint64_t, Bad> read_number(std::string_view text, std::string_view name, std::uint64_t most);

/// "5s", or milliseconds as a number; more than nothing and at most `most`. Not given: `otherwise`.
base::Result<base::Millis, Bad> time_member(const boost::json::object& body, std::string_view name, base::Millis otherwise, base::Millis most);

/// A pool or worker that there is; else 404, naming those that there are.
base::Result<backends::Target, Bad> find_target(std::string_view text, const backends::ClusterStatus& status);
/// The same, but no single worker.
base::Result<std::string, Bad> find_pool(std::string_view text, const backends::ClusterStatus& status);

}  // namespace drover::admin
