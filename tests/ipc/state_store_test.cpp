// Every store in the table, and stores with planted defects, each of which some check must find.
#include "tests/ipc/state_conformance.hpp"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <tuple>
#include <utility>

namespace drover::ipc::test {
namespace {

namespace json = boost::json;

struct StoreRow {
  const char* name;
  std::unique_ptr<StateStore> (*make)(const StateLimits&);
};
constexpr std::array kStores{StoreRow{"Memory", make_memory_store}};

class EveryStore : public ::testing::TestWithParam<std::tuple<StoreRow, Check>> {};

TEST_P(EveryStore, KeepsItsPromises) {
  const auto& [store, check] = GetParam();
  Findings findings;
  check.run(store.make, findings);
  EXPECT_TRUE(findings.broken().empty()) << findings.text();
}

INSTANTIATE_TEST_SUITE_P(Table, EveryStore, ::testing::Combine(::testing::ValuesIn(kStores), ::testing::ValuesIn(checks().begin(), checks().end())),
                         [](const auto& tested) {
                           return std::string(std::get<0>(tested.param).name) + "_" + std::string(std::get<1>(tested.param).name);
                         });

enum class Defect {
  none,
  shows_expired,
  expires_early,
  repeats_equal,
  always_removed,
  forgets_who,
  keeps_watchers,
  silent_expiry,
  counts_values_only,
  ignores_key_limit,
  ignores_byte_limit,
  compares_nothing,
  null_is_nothing,
  after_is_included,
  ignores_prefix,
  keeps_old_expiry,
  incr_drops_expiry,
  incr_in_doubles,
  accepts_any_key,
};
constexpr Defect kLastDefect = Defect::accepts_any_key;

/// The store in memory with one defect.
class Planted final : public StateStore {
 public:
  Planted(Defect defect, const StateLimits& limits) : defect_(defect), limits_(limits), store_(make_memory_store(inner(limits))) {
    store_->watch([this](const StateChange& change) {
      const bool expired = change.value == nullptr && change.by == 0;
      if (expired && has(Defect::silent_expiry)) return;
      StateChange told = change;
      if (has(Defect::forgets_who)) told.by = 0;
      for (const auto& [number, watcher] : watchers_) watcher(told);
    });
  }

  std::optional<json::value> get(std::string_view key, base::TimePoint now) override {
    if (has(Defect::shows_expired)) now = base::TimePoint::min();
    if (has(Defect::expires_early)) now += base::Millis(1);
    return store_->get(key, now);
  }
  base::Result<void> set(std::string_view key, json::value value, const Given& given, base::TimePoint now) override {
    if (has(Defect::accepts_any_key) && !check_key(key, limits_)) return {};
    if (const auto before = store_->get(key, now); has(Defect::repeats_equal) && before && same(*before, value)) tell(key, value, given.by);
    Given with = given;
    if (has(Defect::keeps_old_expiry) && !given.expires && store_->get(key, now)) {
      if (const auto next = store_->next_expiry()) with.expires = std::chrono::duration_cast<base::Millis>(*next - now);
    }
    return store_->set(key, std::move(value), with, now);
  }
  bool remove(std::string_view key, std::uint64_t by, base::TimePoint now) override {
    return store_->remove(key, by, now) || has(Defect::always_removed);
  }
  base::Result<json::value> incr(std::string_view key, const json::value& amount, const Given& given, base::TimePoint now) override {
    if (has(Defect::incr_drops_expiry) && amount.is_number()) {
      const auto before = store_->get(key, now);
      if (before && before->is_number()) (void)store_->set(key, *before, {{}, given.by}, now);
    }
    if (has(Defect::incr_in_doubles) && amount.is_number()) {
      const auto before = store_->get(key, now).value_or(json::value(0));
      if (before.is_number()) {
        const json::value total = before.to_number<double>() + amount.to_number<double>();
        const auto done = store_->set(key, total, given, now);
        return done ? base::Result<json::value>(total) : done.error();
      }
    }
    return store_->incr(key, amount, given, now);
  }
  base::Result<void> compare_and_set(std::string_view key, const std::optional<json::value>& expected, std::optional<json::value> value,
                                     const Given& given, base::TimePoint now) override {
    if (has(Defect::compares_nothing)) return store_->compare_and_set(key, store_->get(key, now), std::move(value), given, now);
    if (has(Defect::null_is_nothing) && expected && expected->is_null() && !store_->get(key, now)) {
      return store_->compare_and_set(key, {}, std::move(value), given, now);
    }
    return store_->compare_and_set(key, expected, std::move(value), given, now);
  }
  void each(std::string_view prefix, std::string_view after, base::TimePoint now,
            const std::function<bool(const std::string& key, const json::value& value)>& visit) override {
    const auto at = store_->get(after, now);
    if (has(Defect::after_is_included) && at && after.starts_with(prefix) && !visit(std::string(after), *at)) return;
    store_->each(has(Defect::ignores_prefix) ? "" : prefix, after, now, visit);
  }
  std::uint64_t watch(Watcher watcher) override {
    watchers_.emplace(++last_, std::move(watcher));
    return last_;
  }
  void unwatch(std::uint64_t watch) override {
    if (has(Defect::keeps_watchers) && watchers_.size() > 1) return;
    watchers_.erase(watch);
  }
  bool expire(base::TimePoint now) override { return store_->expire(now); }
  std::optional<base::TimePoint> next_expiry() const override { return store_->next_expiry(); }
  const StateLimits& limits() const override { return limits_; }
  std::size_t keys() const override { return store_->keys(); }
  std::size_t bytes() const override {
    std::size_t names = 0;
    if (has(Defect::counts_values_only)) {
      store_->each("", "", base::TimePoint::min(), [&](const std::string& key, const json::value&) { return names += key.size(), true; });
    }
    return store_->bytes() - names;
  }

 private:
  bool has(Defect defect) const { return defect_ == defect; }
  StateLimits inner(StateLimits limits) const {
    if (has(Defect::ignores_key_limit)) ++limits.keys;
    if (has(Defect::ignores_byte_limit)) ++limits.bytes;
    return limits;
  }
  void tell(std::string_view key, const json::value& value, std::uint64_t by) {
    const std::string name(key);
    for (const auto& [number, watcher] : watchers_) watcher({name, &value, &value, by});
  }

  Defect defect_;
  StateLimits limits_;
  std::unique_ptr<StateStore> store_;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Watcher> watchers_;
};

/// The checks that find something.
std::vector<std::string> finders(Defect defect, bool model) {
  std::vector<std::string> names;
  for (const Check& check : checks()) {
    if ((check.name == "Model") != model) continue;
    Findings findings;
    check.run([defect](const StateLimits& limits) { return std::make_unique<Planted>(defect, limits); }, findings);
    if (!findings.broken().empty()) names.emplace_back(check.name);
  }
  return names;
}

TEST(PlantedDefects, AreFoundByTheChecksAndNothingIsFoundWhereThereIsNone) {
  EXPECT_TRUE(finders(Defect::none, false).empty());
  EXPECT_TRUE(finders(Defect::none, true).empty());
  for (int each = 1; each <= static_cast<int>(kLastDefect); ++each) {
    EXPECT_FALSE(finders(static_cast<Defect>(each), false).empty()) << "defect " << each << " is not found";
  }
}

TEST(PlantedDefects, AreFoundByTheModelWhereItLooks) {
  for (const Defect each : {Defect::shows_expired, Defect::repeats_equal, Defect::always_removed, Defect::forgets_who, Defect::silent_expiry,
                            Defect::counts_values_only, Defect::ignores_key_limit, Defect::ignores_byte_limit, Defect::compares_nothing,
                            Defect::null_is_nothing, Defect::keeps_old_expiry, Defect::incr_drops_expiry}) {
    EXPECT_FALSE(finders(each, true).empty()) << "defect " << static_cast<int>(each) << " is not found";
  }
}

}  // namespace
}  // namespace drover::ipc::test
