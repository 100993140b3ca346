#include "base/text.hpp"
#include "ipc/json_reader.hpp"
#include "ipc/message.hpp"
#include "ipc/state_store.hpp"

#include <boost/json/serialize.hpp>

#include <cerrno>
#include <map>
#include <utility>

namespace drover::ipc {

namespace {

namespace json = boost::json;

constexpr int kExpiredAtOnce = 256;
constexpr std::size_t kShownKey = 64;

/// Values are kept as their JSON text: what is counted is what is used (a value of many small parts needs twenty times its text).
class MemoryStore final : public StateStore {
 public:
  explicit MemoryStore(const StateLimits& limits) : limits_(limits) {}

  std::optional<json::value> get(std::string_view key, base::TimePoint now) override;
  base::Result<void> set(std::string_view key, json::value value, const Given& given, base::TimePoint now) override;
  bool remove(std::string_view key, std::uint64_t by, base::TimePoint now) override;
  base::Result<json::value> incr(std::string_view key, const json::value& amount, const Given& given, base::TimePoint now) override;
  base::Result<void> compare_and_set(std::string_view key, const std::optional<json::value>& expected, std::optional<json::value> value,
                                     const Given& given, base::TimePoint now) override;
  void each(std::string_view prefix, std::string_view after, base::TimePoint now,
            const std::function<bool(const std::string& key, const json::value& value)>& visit) override;
  std::uint64_t watch(Watcher watcher) override;
  void unwatch(std::uint64_t watch) override { watchers_.erase(watch); }
  bool expire(base::TimePoint now) override;
  std::optional<base::TimePoint> next_expiry() const override;
  const StateLimits& limits() const override { return limits_; }
  std::size_t keys() const override { return entries_.size(); }
  std::size_t bytes() const override { return bytes_; }

 private:
  struct Entry;
  using Entries = std::map<std::string, Entry, std::less<>>;
  using Expiries = std::multimap<base::TimePoint, Entries::iterator>;
  struct Entry {
    std::string text;
    std::optional<Expiries::iterator> expiry;
  };

  /// As it was written by put(), which saw to it that it can be read.
  static json::value value_of(const Entry& entry) { return *read_json(entry.text, kMaxJsonDepth); }
  static bool expired(const Entry& entry, base::TimePoint now) { return entry.expiry && (*entry.expiry)->first <= now; }
  base::Result<void> check(std::string_view key, const Given& given) const;
  /// The key's entry that is alive; one that has expired is removed first.
  Entries::iterator alive(std::string_view key, base::TimePoint now);
  /// Within the limits; returns the key's entry, whose expiry is as it was.
  base::Result<Entries::iterator> put(Entries::iterator at, std::string_view key, const json::value& value, std::uint64_t by, base::TimePoint now);
  struct Room {
    std::size_t keys;   ///< more
    std::size_t bytes;  ///< more
    std::size_t freed;  ///< fewer
  };
  /// Removes what has expired until there is room. Not bounded otherwise: each removal was paid for by the call that set it.
  base::Result<void> make_room(std::string_view key, const Room& room, base::TimePoint now);
  void set_expiry(Entries::iterator at, std::optional<base::Millis> after, base::TimePoint now);
  void take_out(Entries::iterator at, std::uint64_t by);
  void tell(const StateChange& change) const;

  StateLimits limits_;
  Entries entries_;
  Expiries expiries_;
  std::size_t bytes_ = 0;
  std::uint64_t last_watch_ = 0;
  std::map<std::uint64_t, Watcher> watchers_;
};

std::string named(std::string_view key) { return "state key \"" + base::printable(key, kShownKey) + "\""; }

base::Result<void> MemoryStore::check(std::string_view key, const Given& given) const {
  if (const auto form = check_key(key, limits_); !form) return form;
  if (!given.expires || (given.expires->count() > 0 && *given.expires <= limits_.longest)) return {};
  return base::Error{named(key) + " can't expire after " + std::to_string(given.expires->count()) + " ms: give 1 ms to " +
                         base::to_text(limits_.longest) + ", or none",
                     EINVAL};
}

MemoryStore::Entries::iterator MemoryStore::alive(std::string_view key, base::TimePoint now) {
  const auto at = entries_.find(key);
  if (at == entries_.end() || !expired(at->second, now)) return at;
  take_out(at, 0);
  return entries_.end();
}

std::optional<json::value> MemoryStore::get(std::string_view key, base::TimePoint now) {
  const auto at = entries_.find(key);
  if (at == entries_.end() || expired(at->second, now)) return std::nullopt;
  return value_of(at->second);
}

base::Result<void> MemoryStore::set(std::string_view key, json::value value, const Given& given, base::TimePoint now) {
  if (const auto right = check(key, given); !right) return right;
  const auto at = put(alive(key, now), key, value, given.by, now);
  if (!at) return at.error();
  set_expiry(*at, given.expires, now);
  return {};
}

bool MemoryStore::remove(std::string_view key, std::uint64_t by, base::TimePoint now) {
  const auto at = alive(key, now);
  if (at == entries_.end()) return false;
  take_out(at, by);
  return true;
}

base::Result<json::value> MemoryStore::incr(std::string_view key, const json::value& amount, const Given& given, base::TimePoint now) {
  if (const auto right = check(key, given); !right) return right.error();
  const auto before = alive(key, now);
  auto total = sum(key, before == entries_.end() ? json::value(0) : value_of(before->second), amount);
  if (!total) return total;
  const auto at = put(before, key, *total, given.by, now);
  if (!at) return at.error();
  if (given.expires) set_expiry(*at, given.expires, now);
  return total;
}

base::Result<void> MemoryStore::compare_and_set(std::string_view key, const std::optional<json::value>& expected, std::optional<json::value> value,
                                                const Given& given, base::TimePoint now) {
  if (const auto right = check(key, given); !right) return right;
  const auto before = alive(key, now);
  const bool there = before != entries_.end();
  if (there != expected.has_value() || (there && !same(value_of(before->second), *expected))) {
    return base::Error{named(key) + (there ? " has another value" : " has no value") + "; read it and try again", EEXIST};
  }
  if (!value) {
    if (there) take_out(before, given.by);
    return {};
  }
  const auto at = put(before, key, *value, given.by, now);
  if (!at) return at.error();
  set_expiry(*at, given.expires, now);
  return {};
}

void MemoryStore::each(std::string_view prefix, std::string_view after, base::TimePoint now,
                       const std::function<bool(const std::string& key, const json::value& value)>& visit) {
  auto at = after < prefix || after.empty() ? entries_.lower_bound(prefix) : entries_.upper_bound(after);
  for (; at != entries_.end() && at->first.starts_with(prefix); ++at) {
    if (!expired(at->second, now) && !visit(at->first, value_of(at->second))) return;
  }
}

std::uint64_t MemoryStore::watch(Watcher watcher) {
  watchers_.emplace(++last_watch_, std::move(watcher));
  return last_watch_;
}

bool MemoryStore::expire(base::TimePoint now) {
  for (int i = 0; i < kExpiredAtOnce; ++i) {
    if (expiries_.empty() || expiries_.begin()->first > now) return false;
    take_out(expiries_.begin()->second, 0);
  }
  return !expiries_.empty() && expiries_.begin()->first <= now;
}

std::optional<base::TimePoint> MemoryStore::next_expiry() const { return expiries_.empty() ? std::nullopt : std::optional(expiries_.begin()->first); }

base::Result<MemoryStore::Entries::iterator> MemoryStore::put(Entries::iterator at, std::string_view key, const json::value& value, std::uint64_t by,
                                                              base::TimePoint now) {
  std::optional<json::value> old;
  std::string text = json::serialize(value);
  if (at != entries_.end()) {
    if (at->second.text == text) return at;
    old = value_of(at->second);
    if (same(*old, value)) return at;
  }
  if (text.size() > limits_.value_bytes) {
    return base::Error{named(key) + ": its value has " + std::to_string(text.size()) + " bytes as JSON; the limit is " +
                           std::to_string(limits_.value_bytes) + ": store less, or raise state = { value = … } of the pool",
                       E2BIG};
  }
  if (const auto again = read_json(text, kMaxJsonDepth); !again) {
    return base::Error{named(key) + ": its value can't be kept: " + again.error().message, EINVAL};
  }
  const Room room{.keys = old ? 0U : 1U, .bytes = text.size() + (old ? 0 : key.size()), .freed = old ? at->second.text.size() : 0};
  if (const auto made = make_room(key, room, now); !made) return made.error();
  bytes_ += room.bytes;
  bytes_ -= room.freed;
  text.shrink_to_fit();
  if (old) {
    at->second.text = std::move(text);
  } else {
    at = entries_.emplace(key, Entry{std::move(text), {}}).first;
  }
  tell({at->first, &value, old ? &*old : nullptr, by});
  return at;
}

base::Result<void> MemoryStore::make_room(std::string_view key, const Room& room, base::TimePoint now) {
  while (true) {
    const bool keys = entries_.size() + room.keys <= limits_.keys;
    const bool bytes = bytes_ - room.freed + room.bytes <= limits_.bytes || room.bytes <= room.freed;
    if (keys && bytes) return {};
    if (!expiries_.empty() && expiries_.begin()->first <= now) {
      take_out(expiries_.begin()->second, 0);
      continue;
    }
    const std::string refused = named(key) + " is not kept: the pool has ";
    if (!keys) {
      return base::Error{refused + std::to_string(entries_.size()) + " keys; the limit is " + std::to_string(limits_.keys) +
                             ": delete some, let them expire, or raise state = { keys = … } of the pool",
                         ENOSPC};
    }
    return base::Error{refused + std::to_string(bytes_) + " bytes of state, this needs " + std::to_string(room.bytes - room.freed) +
                           " more; the limit is " + std::to_string(limits_.bytes) +
                           ": delete some, let them expire, or raise state = { bytes = … } of the pool",
                       ENOSPC};
  }
}

void MemoryStore::set_expiry(Entries::iterator at, std::optional<base::Millis> after, base::TimePoint now) {
  if (at->second.expiry) expiries_.erase(*at->second.expiry);
  at->second.expiry.reset();
  if (after) at->second.expiry = expiries_.emplace(now + *after, at);
}

void MemoryStore::take_out(Entries::iterator at, std::uint64_t by) {
  if (at->second.expiry) expiries_.erase(*at->second.expiry);
  bytes_ -= at->first.size() + at->second.text.size();
  const auto gone = entries_.extract(at);
  if (watchers_.empty()) return;
  const json::value old = value_of(gone.mapped());
  tell({gone.key(), nullptr, &old, by});
}

void MemoryStore::tell(const StateChange& change) const {
  for (const auto& [number, watcher] : watchers_) watcher(change);
}

}  // namespace

std::unique_ptr<StateStore> make_memory_store(const StateLimits& limits) { return std::make_unique<MemoryStore>(limits); }

}  // namespace drover::ipc
