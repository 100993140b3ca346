#include "base/rng.hpp"
#include "ipc/message.hpp"
#include "tests/ipc/state_conformance.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <cerrno>
#include <limits>

namespace drover::ipc::test {

namespace {

namespace json = boost::json;
using base::Millis;
using Value = std::optional<json::value>;

const base::TimePoint kStart{std::chrono::hours(1000)};
constexpr std::int64_t kExact = 1LL << 53U;

StateLimits small() { return {.keys = 4, .key_bytes = 8, .value_bytes = 20, .bytes = 60, .longest = Millis(60'000)}; }

std::string text(const Value& value) { return value ? json::serialize(*value) : "nothing"; }

/// A store, who listens to it, and what was found.
struct Bench {
  Bench(const MakeStore& make, Findings& found, const StateLimits& limits = {}) : store(make(limits)), listener(*store), findings(found) {}

  void holds(std::string_view key, const Value& expected, base::TimePoint now = kStart) {
    const Value value = store->get(key, now);
    const bool right = value.has_value() == expected.has_value() && (!value || same(*value, *expected));
    findings.expect(right, std::string(key) + " is " + text(value) + ", not " + text(expected));
  }
  template <class T>
  void fails(const base::Result<T>& result, int code, const std::vector<std::string>& words, const std::string& what) {
    if (result) return findings.expect(false, what + " is accepted");
    const base::Error error = result.error();
    findings.expect(error.code == code, what + ": code " + std::to_string(error.code) + ", not " + std::to_string(code) + ": " + error.message);
    for (const std::string& word : words)
      findings.expect(error.message.find(word) != std::string::npos, what + ": no \"" + word + "\" in: " + error.message);
    for (const char c : error.message) findings.expect(static_cast<unsigned char>(c) >= 0x20, what + ": a control character in its message");
    findings.expect(error.message.size() < 600, what + ": its message is too long");
  }
  void succeeds(const base::Result<void>& result, const std::string& what) {
    findings.expect(result.has_value(), what + (result ? "" : ": " + result.error().message));
  }
  void set(std::string_view key, const json::value& value, const StateStore::Given& given = {}, base::TimePoint now = kStart) {
    succeeds(store->set(key, value, given, now), "set " + std::string(key));
  }
  void heard(const std::vector<std::string>& expected, const std::string& what) {
    std::vector<std::string> got;
    for (const Heard& each : listener.take()) got.push_back(to_text(each));
    std::string all;
    for (const std::string& each : got) all += "; " + each;
    findings.expect(got == expected, what + ": heard" + all);
  }

  std::unique_ptr<StateStore> store;
  Listener listener;
  Findings& findings;
};

void set_and_get(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  bench.holds("a", {});
  for (const char* each :
       {"null", "false", "0", "-7", "1.5", "\"text\"", "[]", "{}", R"({"a":[1,{"b":null}],"__proto__":1})", "18446744073709551615"}) {
    bench.set("a", json::parse(each));
    bench.holds("a", json::parse(each));
  }
  bench.set("b", 2);
  bench.holds("a", json::value(UINT64_MAX));
  findings.expect(bench.store->keys() == 2, "two keys are counted");
}

void numbers_stay_exact(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  base::Rng rng(5);
  for (int i = 0; i < 1000; ++i) {
    const double number = rng.unit() * 1000;
    bench.set("a", number);
    const Value value = bench.store->get("a", kStart);
    findings.expect(value && value->is_double() && value->get_double() == number, "a fraction comes back as it was");
  }
}

void deep_values(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  json::value value = 1;
  for (std::size_t i = 0; i < kMaxJsonDepth; ++i) value = json::array{std::move(value)};
  bench.set("a", value);
  bench.holds("a", value);
  bench.fails(bench.store->set("b", json::array{value}, {}, kStart), EINVAL, {"\"b\"", "too deep"}, "a value nested too deeply");
}

void removes(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  findings.expect(!bench.store->remove("a", 1, kStart), "there was nothing to remove");
  bench.set("a", 1);
  findings.expect(bench.store->remove("a", 1, kStart), "there was one to remove");
  bench.holds("a", {});
  findings.expect(!bench.store->remove("a", 1, kStart), "it is removed once");
  findings.expect(bench.store->keys() == 0 && bench.store->bytes() == 0, "nothing is left of it");
}

void watchers_hear(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  bench.set("a", 1, {{}, 7});
  bench.set("a", 2, {{}, 8});
  bench.store->remove("a", 9, kStart);
  bench.store->remove("a", 9, kStart);
  bench.heard({"a: 1 was nothing by 7", "a: 2 was 1 by 8", "a: nothing was 2 by 9"}, "set, set, remove");
  (void)bench.store->incr("a", 5, {{}, 3}, kStart);
  (void)bench.store->compare_and_set("a", json::value(5), json::value("x"), {{}, 4}, kStart);
  (void)bench.store->compare_and_set("a", json::value(5), json::value("y"), {{}, 4}, kStart);
  (void)bench.store->compare_and_set("a", json::value("x"), {}, {{}, 5}, kStart);
  bench.heard({"a: 5 was nothing by 3", "a: \"x\" was 5 by 4", "a: nothing was \"x\" by 5"}, "incr, compare-and-set");
  (void)bench.store->set("", 1, {}, kStart);
  (void)bench.store->incr("a", "x", {}, kStart);
  bench.heard({}, "what was refused");
}

void unwatched_hear_nothing(const MakeStore& make, Findings& findings) {
  const auto store = make({});
  int first = 0;
  int second = 0;
  const auto one = store->watch([&](const StateChange&) { ++first; });
  const auto two = store->watch([&](const StateChange&) { ++second; });
  findings.expect(one != two, "two watches have two numbers");
  (void)store->set("a", 1, {}, kStart);
  store->unwatch(one);
  store->unwatch(one);
  (void)store->set("a", 2, {}, kStart);
  findings.expect(first == 1 && second == 2, "each hears from watch() to unwatch()");
  store->unwatch(two);
}

void same_value_is_no_change(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  bench.set("a", json::parse(R"({"x":1,"y":[2.0,null]})"), {Millis(1000), 1});
  (void)bench.listener.take();
  bench.set("a", json::parse(R"({"y":[2,null],"x":1.0})"), {Millis(5000), 2});
  (void)bench.store->compare_and_set("a", json::parse(R"({"x":1,"y":[2,null]})"), json::parse(R"({"x":1,"y":[2,null]})"), {Millis(6000), 2}, kStart);
  bench.heard({}, "a value as before");
  findings.expect(bench.store->get("a", kStart + Millis(5999)).has_value(), "but its expiry is the new one");
  bench.set("a", json::parse(R"({"x":1,"y":[2,null]})"));
  findings.expect(!bench.store->next_expiry(), "and none if none is given");
  bench.set("a", json::parse(R"({"x":1,"y":[null,2]})"), {{}, 2});
  bench.set("b", nullptr, {{}, 2});
  bench.set("b", false, {{}, 2});
  bench.set("b", 0, {{}, 2});
  bench.set("b", "0", {{}, 2});
  findings.expect(bench.listener.take().size() == 5, "others are changes");
}

void expiry(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  bench.set("a", 1, {Millis(1000), 1});
  bench.set("b", 2, {Millis(3000), 1});
  bench.set("c", 3);
  findings.expect(bench.store->next_expiry() == kStart + Millis(1000), "the next expiry is the earliest");
  (void)bench.listener.take();
  bench.holds("a", json::value(1), kStart + Millis(999));
  bench.holds("a", {}, kStart + Millis(1000));
  std::string keys;
  bench.store->each("", "", kStart + Millis(1000), [&](const std::string& key, const json::value&) { return keys += key, true; });
  findings.expect(keys == "bc", "each() shows nothing that has expired: " + keys);
  findings.expect(!bench.store->expire(kStart + Millis(999)), "nothing to expire yet");
  findings.expect(bench.store->keys() == 3, "nothing is removed too early");
  findings.expect(!bench.store->expire(kStart + Millis(1000)), "one is expired at once");
  bench.heard({"a: nothing was 1 by 0"}, "expiry");
  findings.expect(bench.store->keys() == 2, "it is gone");
  findings.expect(bench.store->next_expiry() == kStart + Millis(3000), "then comes the next");
  bench.store->expire(kStart + Millis(100'000));
  bench.holds("c", json::value(3), kStart + Millis(100'000));
  findings.expect(!bench.store->next_expiry(), "what has no expiry stays");
}

void expiry_before_other_operations(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  const base::TimePoint later = kStart + Millis(1000);
  for (const char* key : {"a", "b", "c", "d"}) bench.set(key, 5, {Millis(1000), 1});
  (void)bench.listener.take();
  bench.set("a", 5, {{}, 2}, later);
  const auto sum = bench.store->incr("b", 1, {{}, 2}, later);
  findings.expect(sum && same(*sum, 1), "what has expired is not counted on");
  bench.fails(bench.store->compare_and_set("c", json::value(5), json::value(6), {{}, 2}, later), EEXIST, {}, "compare with what has expired");
  findings.expect(!bench.store->remove("d", 2, later), "what has expired was not there");
  bench.heard({"a: nothing was 5 by 0", "a: 5 was nothing by 2", "b: nothing was 5 by 0", "b: 1 was nothing by 2", "c: nothing was 5 by 0",
               "d: nothing was 5 by 0"},
              "expired, then set");
  findings.expect(!bench.store->next_expiry(), "a new value does not inherit an expiry");
}

void expiry_is_replaced(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  bench.set("a", 1, {Millis(1000), 1});
  bench.set("a", 2, {Millis(5000), 1});
  bench.holds("a", json::value(2), kStart + Millis(4999));
  bench.set("a", 3);
  bench.holds("a", json::value(3), kStart + Millis(9000));
  bench.set("n", 1, {Millis(1000), 1});
  (void)bench.store->incr("n", 1, {{}, 1}, kStart);
  findings.expect(bench.store->next_expiry() == kStart + Millis(1000), "incr keeps the expiry");
  (void)bench.store->incr("n", 1, {Millis(2000), 1}, kStart);
  findings.expect(bench.store->next_expiry() == kStart + Millis(2000), "unless another is given");
  bench.store->remove("n", 1, kStart);
  findings.expect(!bench.store->next_expiry(), "a removed key expires no more");
}

void expiry_is_bounded(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings, small());
  bench.fails(bench.store->set("a", 1, {Millis(0), 1}, kStart), EINVAL, {"\"a\"", "expire"}, "expiry 0");
  bench.fails(bench.store->set("a", 1, {Millis(-5), 1}, kStart), EINVAL, {"\"a\""}, "expiry -5");
  bench.fails(bench.store->set("a", 1, {Millis(60'001), 1}, kStart), EINVAL, {"1m"}, "expiry too late");
  bench.fails(bench.store->set("a", 1, {Millis::max(), 1}, kStart), EINVAL, {}, "expiry at the end of time");
  bench.fails(bench.store->incr("a", 1, {Millis(0), 1}, kStart), EINVAL, {}, "expiry 0 of a sum");
  bench.fails(bench.store->compare_and_set("a", {}, json::value(1), {Millis(0), 1}, kStart), EINVAL, {}, "expiry 0 of compare-and-set");
  bench.set("a", 1, {Millis(60'000), 1});
}

void expire_works_in_portions(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  for (int i = 0; i < 2000; ++i) bench.set("key" + std::to_string(i), i, {Millis(1 + i % 7), 1});
  (void)bench.listener.take();
  int calls = 1;
  std::size_t most = 0;
  bool more = true;
  for (; more && calls < 6000; ++calls) {
    more = bench.store->expire(kStart + Millis(100));
    most = std::max(most, bench.listener.take().size());
  }
  findings.expect(most <= 1000, "one call removed " + std::to_string(most));
  findings.expect(calls < 6000 && bench.store->keys() == 0 && bench.store->bytes() == 0, "all are gone in the end");
}

void incr(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  const auto add = [&](const char* key, const json::value& amount, const char* expected) {
    const auto sum = bench.store->incr(key, amount, {}, kStart);
    const std::string got = sum ? json::serialize(*sum) : sum.error().message;
    findings.expect(got == expected, "sum is " + got + ", not " + expected);
    if (sum) bench.holds(key, *sum);
  };
  add("n", 1, "1");
  add("n", 41, "42");
  add("n", -50, "-8");
  add("n", 0, "-8");
  add("n", 0.5, "-7.5E0");
  add("n", 0.5, "-7");
  add("zero", 0, "0");
  add("big", kExact - 1, "9007199254740991");
  add("big", 1, "9007199254740992");
  add("big", -2 * kExact, "-9007199254740992");
  add("wide", std::uint64_t{12}, "12");
}

void incr_is_refused(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  bench.set("big", kExact);
  bench.set("text", "5");
  bench.set("wide", UINT64_MAX);
  bench.set("float", 1e300);
  (void)bench.listener.take();
  bench.fails(bench.store->incr("big", 1, {}, kStart), EDOM, {"\"big\"", "2^53"}, "beyond 2^53");
  bench.fails(bench.store->incr("big", INT64_MAX, {}, kStart), EDOM, {}, "beyond an integer");
  bench.fails(bench.store->incr("low", INT64_MIN, {}, kStart), EDOM, {}, "below an integer");
  bench.fails(bench.store->incr("wide", 1, {}, kStart), EDOM, {}, "an unsigned integer");
  bench.fails(bench.store->incr("wide", 1.5, {}, kStart), EDOM, {}, "an unsigned integer and a fraction");
  bench.fails(bench.store->incr("float", -1e300, {}, kStart), EDOM, {}, "a large double");
  bench.fails(bench.store->incr("new", std::numeric_limits<double>::infinity(), {}, kStart), EDOM, {}, "infinity");
  bench.fails(bench.store->incr("new", std::numeric_limits<double>::quiet_NaN(), {}, kStart), EDOM, {}, "no number");
  bench.fails(bench.store->incr("text", 1, {}, kStart), EDOM, {"\"text\"", "number"}, "a text");
  for (const char* amount : {"null", "\"1\"", "{}", "[1]", "true"}) {
    bench.fails(bench.store->incr("big", json::parse(amount), {}, kStart), EINVAL, {"number"}, std::string("to add ") + amount);
  }
  bench.heard({}, "what was refused");
  bench.holds("big", json::value(kExact));
  bench.holds("new", {});
}

void compare_and_set(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  const auto cas = [&](const Value& expected, const Value& value) { return bench.store->compare_and_set("a", expected, value, {{}, 1}, kStart); };
  bench.fails(cas(json::value(1), json::value(2)), EEXIST, {"\"a\""}, "no value, one expected");
  bench.fails(cas(json::value(nullptr), json::value(2)), EEXIST, {}, "null is a value");
  bench.succeeds(cas({}, {}), "none, and none it stays");
  bench.succeeds(cas({}, json::value(1)), "none expected");
  bench.fails(cas({}, json::value(2)), EEXIST, {"\"a\""}, "one where none was expected");
  bench.fails(cas(json::value("1"), json::value(2)), EEXIST, {}, "1 is not \"1\"");
  bench.holds("a", json::value(1));
  bench.succeeds(cas(json::value(1.0), json::parse(R"({"x":1,"y":2})")), "1 is 1.0");
  bench.succeeds(cas(json::parse(R"({"y":2,"x":1})"), json::value(3)), "members have no order");
  bench.fails(bench.store->compare_and_set("a", json::value(3), json::value(json::string(70'000, 'x')), {}, kStart), E2BIG, {}, "too large");
  bench.holds("a", json::value(3));
  bench.succeeds(bench.store->compare_and_set("a", json::value(3), json::value(4), {Millis(10), 1}, kStart), "with an expiry");
  bench.holds("a", {}, kStart + Millis(10));
  bench.succeeds(cas(json::value(4), {}), "none to be");
  bench.holds("a", {});
}

void each_in_order(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  for (const char* key : {"b", "a/2", "a/10", "a/1", "a", "ab", "ä", "B"}) bench.set(key, key);
  const auto keys = [&](std::string_view prefix, std::string_view after, std::size_t most = 100) {
    std::string all;
    std::size_t seen = 0;
    bench.store->each(prefix, after, kStart, [&](const std::string& key, const json::value& value) {
      findings.expect(value == json::value(key), "each key comes with its value");
      all += (seen == 0 ? "" : " ") + key;
      return ++seen < most;
    });
    return all;
  };
  const auto shows = [&](const std::string& got, const std::string& expected) {
    findings.expect(got == expected, "\"" + got + "\", not \"" + expected + "\"");
  };
  shows(keys("", ""), "B a a/1 a/10 a/2 ab b ä");
  shows(keys("a/", ""), "a/1 a/10 a/2");
  shows(keys("a/", "a/1"), "a/10 a/2");
  shows(keys("a/", "a/15"), "a/2");
  shows(keys("a/", "a/2"), "");
  shows(keys("a/", "B"), "a/1 a/10 a/2");
  shows(keys("a/", "z"), "");
  shows(keys("", "b"), "ä");
  shows(keys("zz", ""), "");
  shows(keys("", "", 2), "B a");
}

void key_names(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings);
  using namespace std::string_view_literals;
  for (const std::string_view bad : {""sv, "a\nb"sv, "\0"sv, "a\x7f"sv, "\xff"sv, "\xc3"sv, "\xed\xa0\x80"sv, "\xc2\x85"sv, "\xc0\x80"sv}) {
    bench.fails(bench.store->set(bad, 1, {}, kStart), EINVAL, {"state key"}, "a key of wrong form");
    bench.fails(bench.store->incr(bad, 1, {}, kStart), EINVAL, {}, "a key of wrong form, incr");
    bench.fails(bench.store->compare_and_set(bad, {}, json::value(1), {}, kStart), EINVAL, {}, "a key of wrong form, compare-and-set");
    bench.holds(bad, {});
    findings.expect(!bench.store->remove(bad, 1, kStart), "a key of wrong form is not there");
  }
  for (const std::string_view good : {"__proto__"sv, " "sv, "\xf0\x9f\x98\x80"sv, "a\"b\\"sv, "constructor"sv}) {
    bench.set(good, 1);
    bench.holds(good, json::value(1));
  }
  const std::string longest(256, 'k');
  bench.set(longest, 1);
  bench.fails(bench.store->set(longest + "k", 1, {}, kStart), ENAMETOOLONG, {"257", "256", "kkk…"}, "a name too long");
  bench.fails(bench.store->set(std::string(1 << 20, 'k'), 1, {}, kStart), ENAMETOOLONG, {"1048576"}, "a key of 1 MiB");
  bench.holds(std::string(1 << 20, 'k'), {});
}

void limits(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings, small());
  findings.expect(bench.store->limits().keys == 4 && bench.store->limits().value_bytes == 20, "the limits can be asked for");
  bench.set("a", json::string(18, 'x'));
  bench.fails(bench.store->set("a", json::string(19, 'x'), {}, kStart), E2BIG, {"\"a\"", "21 bytes", "20", "state = { value"}, "a value of 21 bytes");
  bench.fails(bench.store->set("b", json::string(4, '\x01'), {}, kStart), E2BIG, {"26"}, "escapes, which count as they are written");
  bench.set("b", "a\n\x01");
  bench.set("c", 3);
  bench.set("d", 4);
  bench.fails(bench.store->set("e", 5, {}, kStart), ENOSPC, {"\"e\"", "4 keys", "limit is 4", "state = { keys"}, "a fifth key");
  bench.fails(bench.store->incr("e", 5, {}, kStart), ENOSPC, {}, "a fifth key, incr");
  bench.fails(bench.store->compare_and_set("e", {}, json::value(1), {}, kStart), ENOSPC, {}, "a fifth key, compare-and-set");
  bench.set("d", 44);
  bench.store->remove("c", 1, kStart);
  bench.set("e", 5);
  bench.holds("e", json::value(5));
  bench.fails(bench.store->set("e", std::numeric_limits<double>::infinity(), {}, kStart), EINVAL, {"\"e\""}, "infinity");
  bench.fails(bench.store->set("e", json::string("\xff"), {}, kStart), EINVAL, {"\"e\""}, "text that is not UTF-8");
}

void bytes_are_exact(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings, small());
  const auto counts = [&](std::size_t bytes) {
    findings.expect(bench.store->bytes() == bytes, "bytes are " + std::to_string(bench.store->bytes()) + ", not " + std::to_string(bytes));
  };
  counts(0);
  bench.set("key", "12345");  // 3 + 7
  counts(10);
  bench.set("key", 1);
  counts(4);
  bench.set("a", json::string(18, 'x'));
  bench.set("b", json::string(18, 'x'));
  counts(46);
  bench.fails(bench.store->set("c", json::string(12, 'x'), {}, kStart), ENOSPC, {"\"c\"", "46 bytes", "15 more", "60", "state = { bytes"},
              "beyond all bytes");
  counts(46);
  bench.set("c", json::string(11, 'x'));
  counts(60);
  bench.fails(bench.store->set("key", 12, {}, kStart), ENOSPC, {"1 more"}, "one byte more");
  bench.set("c", json::string(10, 'x'));
  bench.set("key", 12);
  counts(60);
  bench.set("a", 1);
  bench.store->remove("b", 1, kStart);
  counts(5 + 2 + 13);
}

void room_is_made_by_expiry(const MakeStore& make, Findings& findings) {
  Bench bench(make, findings, small());
  for (const char* key : {"a", "b", "c"}) bench.set(key, json::string(16, 'x'), {Millis(1000), 1});
  bench.set("d", 4);
  (void)bench.listener.take();
  bench.fails(bench.store->set("e", 5, {}, kStart + Millis(999)), ENOSPC, {}, "while all are there");
  bench.set("e", json::string(18, 'x'), {{}, 2}, kStart + Millis(1000));
  bench.holds("e", json::value(json::string(18, 'x')));
  const auto heard = bench.listener.take();
  findings.expect(heard.size() >= 2 && heard.back().key == "e" && !heard.front().value, "those that made room are told of");
}

void flood(const MakeStore& make, Findings& findings) {
  const auto store = make({.keys = 100, .key_bytes = 64, .value_bytes = 1024, .bytes = 10'000, .longest = Millis(1000)});
  std::size_t kept = 0;
  for (int i = 0; i < 10'000; ++i) kept += store->set("key " + std::to_string(i), i, {}, kStart) ? 1 : 0;
  findings.expect(kept == 100 && store->keys() == 100, "of many keys " + std::to_string(kept) + " are kept");
  findings.expect(store->bytes() <= 10'000, "bytes are bounded");
}

constexpr std::array kChecks{
    Check{"SetAndGet", set_and_get},
    Check{"NumbersStayExact", numbers_stay_exact},
    Check{"DeepValues", deep_values},
    Check{"Removes", removes},
    Check{"WatchersHear", watchers_hear},
    Check{"UnwatchedHearNothing", unwatched_hear_nothing},
    Check{"SameValueIsNoChange", same_value_is_no_change},
    Check{"Expiry", expiry},
    Check{"ExpiryBeforeOtherOperations", expiry_before_other_operations},
    Check{"ExpiryIsReplaced", expiry_is_replaced},
    Check{"ExpiryIsBounded", expiry_is_bounded},
    Check{"ExpireWorksInPortions", expire_works_in_portions},
    Check{"Incr", incr},
    Check{"IncrIsRefused", incr_is_refused},
    Check{"CompareAndSet", compare_and_set},
    Check{"EachInOrder", each_in_order},
    Check{"KeyNames", key_names},
    Check{"Limits", limits},
    Check{"BytesAreExact", bytes_are_exact},
    Check{"RoomIsMadeByExpiry", room_is_made_by_expiry},
    Check{"Flood", flood},
    Check{"Model", model_check},
};

}  // namespace

std::span<const Check> checks() { return kChecks; }

std::string Findings::text() const {
  std::string all;
  for (std::size_t i = 0; i < broken_.size() && i < 10; ++i) all += broken_[i] + "\n";
  return all;
}

Listener::Listener(StateStore& store)
    : store_(store), watch_(store.watch([this](const StateChange& change) {
        const auto copy = [](const json::value* value) { return value == nullptr ? Value() : Value(*value); };
        heard_.push_back({change.key, copy(change.value), copy(change.old_value), change.by});
      })) {}

std::string to_text(const Heard& heard) {
  return heard.key + ": " + text(heard.value) + " was " + text(heard.old_value) + " by " + std::to_string(heard.by);
}

}  // namespace drover::ipc::test
