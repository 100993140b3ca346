#include "ipc/state_service.hpp"

#include "base/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

namespace drover::ipc {

namespace {

namespace json = boost::json;
using Answer = base::Result<json::value>;

constexpr std::size_t kShown = 64;
/// Beyond it no limit on an expiry can be: enough for the store to refuse it.
constexpr std::int64_t kEndless = 1LL << 50U;

std::string_view text_of(const json::string& text) { return {text.data(), text.size()}; }

base::Error wrong(const Message& request, const std::string& what) { return {base::printable(request.type(), kShown) + ": " + what, EINVAL}; }

/// A member that must be a string if it is there; "" if it is not. null counts as not there.
base::Result<std::string_view> text_member(const Message& request, std::string_view name) {
  const json::value* member = request.member(name);
  if (member == nullptr || member->is_null()) return std::string_view();
  if (const json::string* text = member->if_string()) return text_of(*text);
  return wrong(request, "\"" + std::string(name) + "\" is not a string");
}

base::Result<std::string_view> key_member(const Message& request, const StateLimits& limits) {
  const json::value* member = request.member("key");
  if (member == nullptr)
    return wrong(request, "there is no \"key\"; send {\"type\": \"" + base::printable(request.type(), kShown) + "\", \"key\": …}");
  const json::string* text = member->if_string();
  if (text == nullptr) return wrong(request, "\"key\" is not a string");
  if (const auto right = check_key(text_of(*text), limits); !right) return right.error();
  return text_of(*text);
}

struct DurationUnit {
  std::string_view name;
  std::int64_t factor;
};
constexpr std::array kUnits{DurationUnit{"ms", 1}, DurationUnit{"s", 1000}, DurationUnit{"m", 60'000}, DurationUnit{"h", 3'600'000}};

std::optional<base::Millis> duration_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0 || number > kEndless) return std::nullopt;
  const std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
  const auto found = std::ranges::find(kUnits, unit, &DurationUnit::name);
  if (found == kUnits.end()) return std::nullopt;
  return base::Millis(std::min(number, kEndless / found->factor) * found->factor);
}

/// "30s" or milliseconds; null, or not there: none.
base::Result<std::optional<base::Millis>> expiry_of(const Message& request) {
  const json::value* member = request.member("expires");
  if (member == nullptr || member->is_null()) return std::optional<base::Millis>();
  if (const json::string* text = member->if_string()) {
    if (const auto duration = duration_of(text_of(*text))) return std::optional(*duration);
  } else if (member->is_number()) {
    const auto figure = member->to_number<double>();
    if (figure > 0) return std::optional(base::Millis(static_cast<std::int64_t>(std::ceil(std::min(figure, static_cast<double>(kEndless))))));
  }
  return wrong(request, "\"expires\" is neither a duration like \"30s\" (ms, s, m, h) nor a number of milliseconds above 0");
}

json::object pair_of(std::string_view key, const json::value* value) {
  json::object pair;
  pair.reserve(2);
  pair["key"] = key;
  if (value != nullptr) pair["value"] = *value;
  return pair;
}

std::optional<json::value> optional_member(const Message& request, std::string_view name) {
  const json::value* member = request.member(name);
  return member == nullptr ? std::nullopt : std::optional(*member);
}

Answer get(StateStore& store, StateService::Member /*member*/, const Message& request, base::TimePoint now) {
  const auto key = key_member(request, store.limits());
  if (!key) return key.error();
  const auto value = store.get(*key, now);
  return json::value(pair_of(*key, value ? &*value : nullptr));
}

Answer set(StateStore& store, StateService::Member member, const Message& request, base::TimePoint now) {
  const auto key = key_member(request, store.limits());
  if (!key) return key.error();
  const json::value* value = request.member("value");
  if (value == nullptr) return wrong(request, "there is no \"value\" for \"" + base::printable(*key, kShown) + "\"; state:delete removes a key");
  const auto expires = expiry_of(request);
  if (!expires) return expires.error();
  const auto done = store.set(*key, *value, {*expires, member}, now);
  if (!done) return done.error();
  return json::value({{"success", true}});
}

Answer remove(StateStore& store, StateService::Member member, const Message& request, base::TimePoint now) {
  const auto key = key_member(request, store.limits());
  if (!key) return key.error();
  const bool existed = store.remove(*key, member, now);
  return json::value({{"success", true}, {"existed", existed}});
}

Answer all(StateStore& store, StateService::Member /*member*/, const Message& request, base::TimePoint now) {
  const auto prefix = text_member(request, "prefix");
  if (!prefix) return prefix.error();
  const auto after = text_member(request, "after");
  if (!after) return after.error();
  json::object values;
  std::size_t bytes = 0;
  bool more = false;
  std::string last;
  store.each(*prefix, *after, now, [&](const std::string& key, const json::value& value) {
    constexpr std::size_t kColonAndComma = 2;
    bytes += text_bytes(json::value(key)) + text_bytes(value) + kColonAndComma;
    more = bytes > StateService::kAllBytes && !values.empty();
    if (more) return false;
    values[key] = value;
    last = key;
    return true;
  });
  json::object answer{{"values", std::move(values)}, {"more", more}};
  if (more) answer["after"] = last;
  return json::value(std::move(answer));
}

Answer incr(StateStore& store, StateService::Member member, const Message& request, base::TimePoint now) {
  const auto key = key_member(request, store.limits());
  if (!key) return key.error();
  const auto expires = expiry_of(request);
  if (!expires) return expires.error();
  const json::value* by = request.member("by");
  const auto total = store.incr(*key, by == nullptr ? json::value(1) : *by, {*expires, member}, now);
  if (!total) return total.error();
  return json::value(pair_of(*key, &*total));
}

Answer cas(StateStore& store, StateService::Member member, const Message& request, base::TimePoint now) {
  const auto key = key_member(request, store.limits());
  if (!key) return key.error();
  const auto expires = expiry_of(request);
  if (!expires) return expires.error();
  const auto done = store.compare_and_set(*key, optional_member(request, "expected"), optional_member(request, "value"), {*expires, member}, now);
  if (!done && done.error().code != EEXIST) return done.error();
  json::object answer{{"success", done.has_value()}};
  if (auto value = store.get(*key, now)) answer["value"] = std::move(*value);
  return json::value(std::move(answer));
}

struct Request {
  std::string_view type;
  bool asks;
  Answer (*handle)(StateStore& store, StateService::Member member, const Message& request, base::TimePoint now);  ///< none: about subscriptions
};
constexpr std::string_view kSubscribe = "state:subscribe";
constexpr std::string_view kUnsubscribe = "state:unsubscribe";
constexpr std::array kRequests{
    Request{"state:get", true, get},     Request{"state:set", false, set},      Request{"state:delete", false, remove},
    Request{"state:all", true, all},     Request{"state:incr", true, incr},     Request{"state:cas", true, cas},
    Request{kSubscribe, false, nullptr}, Request{kUnsubscribe, false, nullptr},
};

base::Error unknown(const Message& request) {
  std::array<std::string_view, kRequests.size()> names;
  std::ranges::transform(kRequests, names.begin(), &Request::type);
  const std::string_view type = request.type();
  const std::string_view near = type.size() <= kShown ? base::nearest(type, names) : std::string_view();
  std::string text = "there is no request \"" + base::printable(type, kShown) + "\"";
  if (!near.empty()) return {text + "; did you mean \"" + std::string(near) + "\"?", EINVAL};
  text += "; there are";
  for (const auto name : names) text += " " + std::string(name);
  return {text, EINVAL};
}

}  // namespace

StateService::StateService(std::unique_ptr<StateStore> store, Hooks hooks)
    : store_(std::move(store)), hooks_(std::move(hooks)), self_{::getpid(), ""}, watch_(store_->watch([this](const StateChange& change) {
        changed(change);
      })) {}

StateService::~StateService() { store_->unwatch(watch_); }

Answer StateService::handle(Member member, const Message& request, base::TimePoint now) {
  const auto found = std::ranges::find(kRequests, request.type(), &Request::type);
  if (found == kRequests.end()) return unknown(request);
  if (found->handle != nullptr) return found->handle(*store_, member, request, now);
  if (found->type == kSubscribe) {
    const auto prefix = text_member(request, "prefix");
    if (!prefix) return prefix.error();
    // No key is longer, so nothing is lost by a bound on what is remembered.
    if (prefix->size() > store_->limits().key_bytes)
      return wrong(request, "\"prefix\" is longer than any key; the limit is " + std::to_string(store_->limits().key_bytes) + " bytes");
    subscribers_[member] = {std::string(*prefix)};
  } else {
    subscribers_.erase(member);
  }
  return json::value({{"success", true}});
}

bool StateService::asks(std::string_view type) {
  const auto found = std::ranges::find(kRequests, type, &Request::type);
  return found != kRequests.end() && found->asks;
}

bool StateService::only_asks(std::string_view type) {
  const auto found = std::ranges::find(kRequests, type, &Request::type);
  return found != kRequests.end() && (found->handle == get || found->handle == all);
}

void StateService::left(Member member) { subscribers_.erase(member); }

std::string StateService::sync_line(const std::string& key, base::TimePoint now) {
  const auto value = store_->get(key, now);
  return message_line("state:sync", pair_of(key, value ? &*value : nullptr), self_);
}

void StateService::changed(const StateChange& change) {
  if (hooks_.sync) hooks_.sync(change.key, change.by);
  if (!hooks_.change) return;
  // Written down first: a hook may find that a member's channel has ended, and that member leaves.
  std::vector<Member> hearers;
  for (const auto& [member, subscription] : subscribers_) {
    if (change.key.starts_with(subscription.prefix)) hearers.push_back(member);
  }
  if (hearers.empty()) return;
  json::object data = pair_of(change.key, change.value);
  if (change.old_value != nullptr) data["oldValue"] = *change.old_value;
  const std::string line = message_line("state:change", data, self_);
  for (const Member member : hearers) {
    if (subscribers_.contains(member)) hooks_.change(member, line);
  }
}

}  // namespace drover::ipc
