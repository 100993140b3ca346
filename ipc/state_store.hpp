// Role: shared state of one pool: key → JSON value, with limits, expiry and watching. The interface that every store must fulfil
//       (tests/ipc/state_conformance.hpp runs on each), and the one in memory.
// Thread: supervisor; no call blocks. Ownership: values; a watcher must be taken off before what it refers to goes.
#pragma once

#include "base/result.hpp"
#include "base/units.hpp"

#include <boost/json/value.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace drover::ipc {

struct StateLimits {
  std::size_t keys = 10'000;
  std::size_t key_bytes = 256;                 ///< of a key's name
  std::size_t value_bytes = 64 * 1024;         ///< of one value, as JSON text
  std::size_t bytes = 16 * 1024 * 1024;        ///< of all names and values together
  base::Millis longest{30LL * 24 * 3600'000};  ///< expiry
};

/// A key's name: 1 to key_bytes bytes of UTF-8 without control characters. EINVAL, ENAMETOOLONG.
base::Result<void> check_key(std::string_view key, const StateLimits& limits);
/// Of a value as JSON text.
std::size_t text_bytes(const boost::json::value& value);
/// Do two say the same? A number is a number, however it is written: 1 is 1.0.
bool same(const boost::json::value& one, const boost::json::value& other);
/// The sum of two numbers, whole if it is whole. EINVAL: `amount` is no number; EDOM: `present` is none, or one or the sum is beyond ±2^53.
base::Result<boost::json::value> sum(std::string_view key, const boost::json::value& present, const boost::json::value& amount);

/// What happened to one key. Pointers are valid during the call; nullptr: it had, or has, no value.
struct StateChange {
  const std::string& key;
  const boost::json::value* value;
  const boost::json::value* old_value;
  std::uint64_t by = 0;  ///< whoever was named in the call; 0: nobody, or expiry
};

/// Errors (code, with a message that names the key, the limit and the fix): EINVAL a key, a value or an expiry of wrong form; ENAMETOOLONG, E2BIG the
/// name or the value is too large; ENOSPC keys or bytes of the pool; EEXIST compare-and-set met another value; EDOM incr of what is no
/// number, or beyond what a double holds exactly (2^53).
class StateStore {
 public:
  virtual ~StateStore() = default;

  struct Given {
    std::optional<base::Millis> expires;  ///< from now on; none: stays
    std::uint64_t by = 0;
  };
  virtual std::optional<boost::json::value> get(std::string_view key, base::TimePoint now) = 0;
  /// A value that is the same as before changes nothing but the expiry: no watcher is called.
  virtual base::Result<void> set(std::string_view key, boost::json::value value, const Given& given, base::TimePoint now) = 0;
  /// Was there one?
  virtual bool remove(std::string_view key, std::uint64_t by, base::TimePoint now) = 0;
  /// Adds to a number (none: 0) and returns the sum, see sum(). An expiry that was set before stays unless another is given.
  virtual base::Result<boost::json::value> incr(std::string_view key, const boost::json::value& amount, const Given& given, base::TimePoint now) = 0;
  /// Sets `value` (none: removes) if the present value equals `expected` (none: if there is none); else EEXIST.
  virtual base::Result<void> compare_and_set(std::string_view key, const std::optional<boost::json::value>& expected,
                                             std::optional<boost::json::value> value, const Given& given, base::TimePoint now) = 0;
  /// Keys in order, from the first after `after` on (""= from the beginning), that begin with `prefix`, until `visit` returns false.
  virtual void each(std::string_view prefix, std::string_view after, base::TimePoint now,
                    const std::function<bool(const std::string& key, const boost::json::value& value)>& visit) = 0;

  /// `watcher` hears of every change, expiry too. It must not call back into the store.
  using Watcher = std::function<void(const StateChange&)>;
  virtual std::uint64_t watch(Watcher watcher) = 0;
  virtual void unwatch(std::uint64_t watch) = 0;

  /// Removes what has expired; a read never shows it anyhow. Bounded work: call again at once while it returns true.
  virtual bool expire(base::TimePoint now) = 0;
  virtual std::optional<base::TimePoint> next_expiry() const = 0;

  virtual const StateLimits& limits() const = 0;
  virtual std::size_t keys() const = 0;  ///< what has expired and is not yet removed counts, here and for bytes()
  virtual std::size_t bytes() const = 0;
};

std::unique_ptr<StateStore> make_memory_store(const StateLimits& limits);

}  // namespace drover::ipc
