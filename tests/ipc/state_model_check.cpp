#include "base/rng.hpp"
#include "tests/ipc/state_conformance.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <map>

namespace drover::ipc::test {

namespace {

namespace json = boost::json;
using base::Millis;
using Value = std::optional<json::value>;

constexpr int kSeeds = 40;
constexpr int kSteps = 1500;
constexpr long double kExact = 9007199254740992.0L;

/// A value of which equal ones look alike: whole numbers are integers.
json::value plain(json::value value) {
  if (value.is_double() && std::abs(value.get_double()) <= static_cast<double>(kExact) && value.get_double() == std::trunc(value.get_double())) {
    return static_cast<std::int64_t>(value.get_double());
  }
  if (json::array* array = value.if_array()) {
    for (json::value& each : *array) each = plain(each);
  }
  if (json::object* object = value.if_object()) {
    for (auto& each : *object) each.value() = plain(each.value());
  }
  return value;
}

/// The store as one would write it if it never had to be fast: what has expired is swept out before every operation.
class Naive {
 public:
  explicit Naive(const StateLimits& limits) : limits_(limits) {}

  void sweep(base::TimePoint now) {
    for (auto at = entries_.begin(); at != entries_.end();) {
      if (at->second.until && *at->second.until <= now) {
        expired.push_back(to_text(Heard{at->first, {}, at->second.value, 0}));
        at = entries_.erase(at);
      } else {
        ++at;
      }
    }
  }
  Value get(const std::string& key) const { return entries_.contains(key) ? Value(entries_.at(key).value) : Value(); }
  /// errno, 0: done.
  int set(const std::string& key, const json::value& value, const StateStore::Given& given, base::TimePoint now, bool keep = false) {
    if (const int wrong = check(key, given); wrong != 0) return wrong;
    const Value old = get(key);
    if (!old || plain(*old) != plain(value)) {
      const std::size_t size = json::serialize(value).size();
      if (size > limits_.value_bytes) return E2BIG;
      const std::size_t old_size = old ? json::serialize(*old).size() : 0;
      if (!old && entries_.size() >= limits_.keys) return ENOSPC;
      if (size > old_size && bytes() - old_size + size + (old ? 0 : key.size()) > limits_.bytes) return ENOSPC;
      entries_[key].value = value;
      changes.push_back(to_text(Heard{key, value, old, given.by}));
    }
    if (given.expires) {
      entries_[key].until = now + *given.expires;
    } else if (!keep) {
      entries_[key].until.reset();
    }
    return 0;
  }
  int incr(const std::string& key, const json::value& amount, const StateStore::Given& given, base::TimePoint now) {
    if (const int wrong = check(key, given); wrong != 0) return wrong;
    if (!amount.is_number()) return EINVAL;
    const json::value before = get(key).value_or(json::value(0));
    if (!before.is_number()) return EDOM;
    const auto total = before.to_number<long double>() + amount.to_number<long double>();
    if (std::abs(total) > kExact) return EDOM;
    return set(key, plain(json::value(static_cast<double>(total))), given, now, true);
  }
  int compare_and_set(const std::string& key, const Value& expected, const Value& value, const StateStore::Given& given, base::TimePoint now) {
    if (const int wrong = check(key, given); wrong != 0) return wrong;
    const Value present = get(key);
    if (present.has_value() != expected.has_value() || (present && plain(*present) != plain(*expected))) return EEXIST;
    if (value) return set(key, *value, given, now);
    remove(key, given.by);
    return 0;
  }
  bool remove(const std::string& key, std::uint64_t by) {
    const Value old = get(key);
    if (old) changes.push_back(to_text(Heard{key, {}, old, by}));
    return entries_.erase(key) > 0;
  }
  std::string list() const {
    std::string all;
    for (const auto& [key, entry] : entries_) all += key + "=" + json::serialize(plain(entry.value)) + " ";
    return all;
  }
  std::size_t keys() const { return entries_.size(); }
  std::size_t bytes() const {
    std::size_t all = 0;
    for (const auto& [key, entry] : entries_) all += key.size() + json::serialize(entry.value).size();
    return all;
  }

  std::vector<std::string> changes;
  std::vector<std::string> expired;  ///< of which the store may tell now or later

 private:
  int check(const std::string& key, const StateStore::Given& given) const {
    if (key.empty()) return EINVAL;
    if (key.size() > limits_.key_bytes) return ENAMETOOLONG;
    return given.expires && (given.expires->count() < 1 || *given.expires > limits_.longest) ? EINVAL : 0;
  }
  struct Entry {
    json::value value;
    std::optional<base::TimePoint> until;
  };
  StateLimits limits_;
  std::map<std::string, Entry> entries_;
};

json::value some_value(base::Rng& rng, int depth = 0) {
  switch (rng.below(depth < 2 ? 10 : 7)) {
    case 0: return nullptr;
    case 1: return rng.below(2) == 0;
    case 2: return static_cast<double>(rng.below(4));
    case 3: return static_cast<double>(rng.below(8)) / 4;
    case 4: return json::string(rng.below(30), rng.below(4) == 0 ? '\n' : 'x');
    case 5:
    case 6: return static_cast<std::int64_t>(rng.below(4));
    case 7: {
      json::array array;
      for (std::uint64_t i = rng.below(3); i > 0; --i) array.push_back(some_value(rng, depth + 1));
      return array;
    }
    default: {
      json::object object;
      for (std::uint64_t i = rng.below(3); i > 0; --i) object[std::string(1, static_cast<char>('a' + rng.below(3)))] = some_value(rng, depth + 1);
      return object;
    }
  }
}

template <class T>
int code_of(const base::Result<T>& result) {
  return result ? 0 : result.error().code;
}

class Run {
 public:
  Run(const MakeStore& make, std::uint64_t seed) : rng_(seed), limits_(limits(rng_)), store_(make(limits_)), listener_(*store_), naive_(limits_) {}

  /// "" or what was wrong.
  std::string step() {
    now_ += Millis(rng_.below(3) == 0 ? rng_.below(200) : 0);
    naive_.sweep(now_);
    std::string wrong = operation();
    for (const Heard& heard : listener_.take()) told_.push_back(to_text(heard));
    // Of what expires a store tells when it meets it, or in expire() at the latest.
    for (const std::string& change : std::exchange(told_, {})) {
      const auto found = std::ranges::find(naive_.expired, change);
      if (found != naive_.expired.end() && (naive_.changes.empty() || naive_.changes.front() != change)) {
        naive_.expired.erase(found);
      } else if (!naive_.changes.empty() && naive_.changes.front() == change) {
        naive_.changes.erase(naive_.changes.begin());
      } else {
        wrong += " told of a change that was none: " + change;
      }
    }
    if (!naive_.changes.empty()) wrong += " did not tell: " + naive_.changes.front();
    if (rng_.below(3) == 0) wrong += sweep();
    return wrong;
  }

 private:
  static StateLimits limits(base::Rng& rng) {
    return {.keys = 3 + rng.below(5), .key_bytes = 6, .value_bytes = 30, .bytes = 40 + rng.below(80), .longest = Millis(500)};
  }
  std::string key() {
    const std::uint64_t which = rng_.below(40);
    if (which == 0) return "";
    if (which == 1) return "toolong";
    return std::string(1 + which % 2, static_cast<char>('a' + which % 5));
  }
  StateStore::Given given() {
    StateStore::Given given{{}, 1 + rng_.below(3)};
    if (rng_.below(3) == 0)
      given.expires = Millis(rng_.below(12) == 0 ? static_cast<std::int64_t>(rng_.below(2)) * 501 : 1 + static_cast<std::int64_t>(rng_.below(300)));
    return given;
  }
  /// Often the value that is there, so that comparing succeeds.
  Value likely(const std::string& key) {
    if (rng_.below(2) == 0) return naive_.get(key);
    return rng_.below(4) == 0 ? Value() : Value(some_value(rng_));
  }

  std::string operation() {
    const std::string name = key();
    const StateStore::Given with = given();
    const auto differs = [&](const std::string& what, int got, int expected) {
      return got == expected ? std::string() : what + " " + name + " gave " + std::to_string(got) + ", not " + std::to_string(expected);
    };
    switch (rng_.below(10)) {
      case 0:
      case 1:
      case 2: {
        const json::value value = likely(name).value_or(json::value("new"));
        return differs("set", code_of(store_->set(name, value, with, now_)), naive_.set(name, value, with, now_));
      }
      case 3: return differs("remove", store_->remove(name, with.by, now_) ? 1 : 0, naive_.remove(name, with.by) ? 1 : 0);
      case 4:
      case 5: {
        const json::value amount = rng_.below(8) == 0 ? json::value(1LL << 52U) : some_value(rng_);
        const auto sum = store_->incr(name, amount, with, now_);
        std::string wrong = differs("incr", code_of(sum), naive_.incr(name, amount, with, now_));
        if (sum && wrong.empty() && plain(*sum) != plain(*naive_.get(name))) wrong = "incr gave " + json::serialize(*sum);
        return wrong;
      }
      case 6:
      case 7: {
        const Value expected = likely(name);
        const Value value = likely(name);
        return differs("compare_and_set", code_of(store_->compare_and_set(name, expected, value, with, now_)),
                       naive_.compare_and_set(name, expected, value, with, now_));
      }
      case 8: {
        const Value got = store_->get(name, now_);
        const Value expected = naive_.get(name);
        return got.has_value() == expected.has_value() && (!got || plain(*got) == plain(*expected)) ? "" : "get " + name;
      }
      default: {
        std::string all;
        store_->each("", "", now_, [&](const std::string& each, const json::value& value) {
          return all += each + "=" + json::serialize(plain(value)) + " ", true;
        });
        return all == naive_.list() ? "" : "each: " + all + "not " + naive_.list();
      }
    }
  }

  std::string sweep() {
    for (int calls = 0; store_->expire(now_); ++calls) {
      if (calls > 100) return "expire() never ends";
    }
    for (const Heard& heard : listener_.take()) {
      const auto found = std::ranges::find(naive_.expired, to_text(heard));
      if (found == naive_.expired.end()) return "expire() told of " + to_text(heard);
      naive_.expired.erase(found);
    }
    if (!naive_.expired.empty()) return "nobody told of " + naive_.expired.front();
    if (store_->keys() != naive_.keys()) return "keys are " + std::to_string(store_->keys()) + ", not " + std::to_string(naive_.keys());
    if (store_->bytes() != naive_.bytes()) return "bytes are " + std::to_string(store_->bytes()) + ", not " + std::to_string(naive_.bytes());
    return "";
  }

  base::Rng rng_;
  StateLimits limits_;
  std::unique_ptr<StateStore> store_;
  Listener listener_;
  Naive naive_;
  std::vector<std::string> told_;
  base::TimePoint now_{std::chrono::hours(500)};
};

}  // namespace

void model_check(const MakeStore& make, Findings& findings) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Run run(make, seed);
    for (int step = 0; step < kSteps; ++step) {
      const std::string wrong = run.step();
      if (wrong.empty()) continue;
      return findings.expect(false, "seed " + std::to_string(seed) + ", step " + std::to_string(step) + ": " + wrong);
    }
  }
}

}  // namespace drover::ipc::test
