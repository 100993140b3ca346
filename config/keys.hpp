// Role: the key table: every key of cluster.toml declared once, with type, unit, default, help and where its value stands.
//       It drives parsing and effective(); the reference documentation is made from it (reference.hpp).
// Thread: any; constant. Ownership: static data.
#pragma once

#include "config/model.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace drover::config {

enum class Type : std::uint8_t {
  text,      ///< any string
  path,      ///< absolute path of a file
  file,      ///< path of a file, relative to drover's own folder
  folder,    ///< path of a folder, relative to drover's own
  url_path,  ///< "/health"
  host,      ///< "*", "*.example.org", "example.org"
  header,    ///< a Host header's value: "example.org", "example.org:8080"
  choice,    ///< one of `choices`
  duration,  ///< "500ms", "30s", "10m", "12h"
  bytes,     ///< "8KiB", "400MiB", "1GiB"
  percent,   ///< "80%"
  integer,
  fraction,     ///< a number: 0, 0.1
  workers,      ///< a whole number, or { min = 2, max = 8 }
  flag,         ///< true, false
  command,      ///< list of strings, not empty
  environment,  ///< table of strings
  statuses,     ///< list of HTTP status codes
  log_path,     ///< absolute path of a file, or "-" for standard output
  body,         ///< any text of at most 64 KiB, may be empty
  field_value,  ///< a header field's value
  token,        ///< RFC 9110 token: a cookie's or a header field's name
  methods,      ///< list of request methods
  names,        ///< list of header fields' names
  fields,       ///< table: header field's name → value
  wanted,       ///< the same as a condition: "*" is any value
  pages,        ///< table: status → path of a file
  split,        ///< table: pool's name → weight
  ports,        ///< "20000-29999"
  bind,         ///< "host:port", ":port", "[::1]:port", "unix:/path"
  signal,       ///< "TERM"
  umask,        ///< "022"
  table,        ///< of `fields`
};

/// A value as read or as it holds; which member counts is the Type's matter.
struct Value {
  bool word = false;  ///< the key's special word: "auto", "off", "unlimited"; of a key that has none: no value
  bool flag = false;
  std::int64_t integer = 0;  ///< whole numbers, a choice's position, a signal's number, a umask
  std::int64_t most = 0;     ///< workers: the end of the range that begins with `integer`; 0: one number
  double number = 0;
  Millis duration{0};
  Bytes bytes{};
  std::string text{};
  std::vector<std::string> list{};
  std::vector<int> numbers{};
  std::map<std::string, std::string> environment{};
  std::vector<Field> fields{};
  std::map<int, std::string> pages{};
  PortRange ports{};
  Bind bind{};
};

struct Choice {
  std::string_view name;
  bool later = false;       ///< known, refused as "not yet"
  std::string_view help{};  ///< "": the key's says it
};

/// Inclusive, in milliseconds, bytes, percent, thousandths of a fraction, or pieces.
struct Range {
  std::int64_t least = 0;
  std::int64_t most = 0;
};

struct Key;

/// A table of the file: "[pool.NAME]", or a key's inline table.
struct Section {
  std::string_view name;  ///< "pool"; "" for an inline table
  std::string_view help{};
  std::span<const Key> (*keys)();
};

/// Both ways between a Value and its place in a struct (`target`). Null: nothing is remembered.
struct Access {
  void (*set)(void* target, const Value& value) = nullptr;
  void (*get)(const void* target, Value& value) = nullptr;
};

struct Key {
  std::string_view name;
  Type type = Type::text;
  std::string_view fallback{};  ///< the default, as written in TOML; "" = none
  std::string_view help{};
  Access access{};
  Range range{};
  std::string_view word{};  ///< "auto", "off" or "unlimited": accepted in the place of a value
  std::span<const Choice> choices{};
  const Section* fields = nullptr;         ///< of a table
  void* (*inner)(void* target) = nullptr;  ///< a table's own struct
  bool later = false;                      ///< known, refused as "not yet"
  bool needed = false;                     ///< of a table's field: a table that is there must say this
  std::string_view example{};              ///< a value as written in TOML, for hints: where the default shows nothing
};

/// Sections that may stand at the top of the file, in the order of the documentation. `listener` and `pool` hold one table
/// per name, `route` is an array of tables.
std::span<const Section> sections();
const Section& section(std::string_view name);

/// "from 1 to 500", "at least 1B"; "" where the key has no range worth telling.
std::string range_text(const Key& key);

/// Signals by name without "SIG", as `stop.signal` takes them.
struct SignalName {
  std::string_view name;
  int number;
};
std::span<const SignalName> signal_names();

inline constexpr std::uint32_t kMaxWorkers = 500;  ///< of one pool; twice as many rows and a reserve fit a board's 1024
inline constexpr std::size_t kMaxPools = 256;
inline constexpr std::size_t kMaxListeners = 64;
inline constexpr std::size_t kMaxRoutes = 4096;
inline constexpr std::size_t kMaxArguments = 1024;
inline constexpr std::size_t kMaxMethods = 32;                       ///< of one route
inline constexpr std::size_t kMaxFields = 64;                        ///< in one table or list of header fields
inline constexpr std::size_t kMaxPages = 64;                         ///< of one pool
inline constexpr std::size_t kMaxParts = 16;                         ///< pools that one route is split over
inline constexpr std::int64_t kMaxWeight = 1'000'000;                ///< of one of them
inline constexpr std::size_t kMaxFieldValue = 4096;                  ///< bytes
inline constexpr std::size_t kMaxResponse = std::size_t{64} * 1024;  ///< bytes of a page or of a fixed answer
inline constexpr std::size_t kMaxSpills = 4;                         ///< pools one after the other, each of which spills to the next

}  // namespace drover::config
