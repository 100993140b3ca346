#include "admin/api_input.hpp"

#include "backends/messages.hpp"
#include "base/text.hpp"
#include "config/values.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <vector>

namespace drover::admin {

namespace {

namespace json = boost::json;

constexpr std::size_t kShown = 64;  ///< of what somebody sent, in a message about it

std::string shown(std::string_view text) { return '"' + base::printable(text, kShown) + '"'; }

bool in_list(std::string_view list, std::string_view name) {
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    if (list.substr(at, end - at) == name) return !name.empty();
    at = end + 1;
  }
  return false;
}

base::Result<bool, Bad> read_flag(std::string_view text, std::string_view name) {
  if (text == "1" || text == "true" || text.empty()) return true;
  if (text == "0" || text == "false") return false;
  return Bad{400, std::string(name) + ": " + shown(text) + " is neither 1 nor 0"};
}

/// "shop (shop.1 … shop.4), blog (no workers)"
std::string known_targets(const backends::ClusterStatus& status) {
  std::string list;
  for (const backends::PoolStatus& pool : status.pools) {
    list += (list.empty() ? "" : ", ") + pool.name;
    if (pool.workers.empty()) {
      list += " (no workers)";
    } else {
      const std::string first = pool.name + "." + std::to_string(pool.workers.front().slot);
      const std::string last = pool.name + "." + std::to_string(pool.workers.back().slot);
      list += " (" + first + (first == last ? "" : " … " + last) + ")";
    }
  }
  return list.empty() ? "none" : list;
}

}  // namespace

base::Result<Query, Bad> read_query(std::string_view target, std::string_view known) {
  Query query;
  const auto url = boost::urls::parse_origin_form(boost::urls::string_view(target.data(), target.size()));
  if (!url) return Bad{400, "the query is not properly encoded"};
  for (const auto& each : url->params()) {
    const std::string_view name(each.key);
    if (!in_list(known, name)) {
      return Bad{400, "unknown parameter " + shown(name) + "; " + (known.empty() ? "there is none here" : "known: " + std::string(known))};
    }
    if (name == "after") query.after = each.value;
    if (name == "target") query.target = each.value;
    if (name == "lines") query.lines = each.value;
    if (name == "pool") query.pool = each.value;
    if (name == "key") query.key = each.value;
    if (name == "prefix") query.prefix = each.value;
    if (name != "follow" && name != "wait") continue;
    const auto flag = read_flag(each.value, name);
    if (!flag) return flag.error();
    (name == "follow" ? query.follow : query.wait) = *flag;
  }
  return query;
}

base::Result<json::object, Bad> read_body(std::string_view body, std::span<const std::string_view> known, std::size_t depth) {
  if (body.empty()) return json::object();
  const auto value = backends::read_data(body, depth);
  if (!value) return Bad{value.error().code == E2BIG ? 413U : 400U, "the body: " + value.error().message + "; send an object, {} for nothing"};
  const json::object* object = value->if_object();
  if (object == nullptr) return Bad{400, "the body is JSON but not an object; send {} for nothing"};
  for (const auto& each : *object) {
    const std::string_view name(each.key().data(), each.key().size());
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string message = "unknown member " + shown(name);
    const std::string_view near = base::nearest(name, known);
    if (!near.empty()) message += "; did you mean \"" + std::string(near) + "\"?";
    message += " known:";
    for (const auto each_known : known) message += " " + std::string(each_known);
    return Bad{400, std::move(message)};
  }
  return *object;
}

base::Result<std::string, Bad> text_member(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains({name.data(), name.size()});
  if (value == nullptr) return Bad{400, "no \"" + std::string(name) + "\" in the body"};
  const json::string* text = value->if_string();
  if (text == nullptr) return Bad{400, "\"" + std::string(name) + "\" is not a string"};
  return {boost::system::in_place_value, text->data(), text->size()};
}

base::Result<std::uint32_t, Bad> count_member(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains({name.data(), name.size()});
  if (value == nullptr) return Bad{400, "no \"" + std::string(name) + "\" in the body"};
  const std::int64_t* number = value->if_int64();
  if (number == nullptr || *number < 0 || *number > kMaxCount) {
    return Bad{400, "\"" + std::string(name) + "\" is not a whole number from 0 to " + std::to_string(kMaxCount)};
  }
  return static_cast<std::uint32_t>(*number);
}

base::Result<bool, Bad> flag_member(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains({name.data(), name.size()});
  if (value == nullptr) return false;
  const bool* flag = value->if_bool();
  if (flag == nullptr) return Bad{400, "\"" + std::string(name) + "\" is neither true nor false"};
  return *flag;
}

base::Result<base::Millis, Bad> time_member(const json::object& body, std::string_view name, base::Millis otherwise, base::Millis most) {
  const json::value* value = body.if_contains({name.data(), name.size()});
  if (value == nullptr) return otherwise;
  std::optional<base::Millis> time;
  if (const auto* text = value->if_string()) {
    if (const auto read = config::read_duration({text->data(), text->size()})) time = *read;
  } else if (const auto* number = value->if_int64(); number != nullptr && *number <= most.count()) {
    time = base::Millis(*number);
  }
  if (time && *time > base::Millis(0) && *time <= most) return *time;
  return Bad{400, "\"" + std::string(name) + "\" is no time of at most " + base::to_text(most) + "; write \"5s\", or 5000 for milliseconds"};
}

base::Result<std::uint64_t, Bad> read_number(std::string_view text, std::string_view name, std::uint64_t most) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > most) {
    return Bad{400, std::string(name) + ": " + shown(text) + " is not a whole number from 0 to " + std::to_string(most)};
  }
  return number;
}

base::Result<backends::Target, Bad> find_target(std::string_view text, const backends::ClusterStatus& status) {
  if (text.empty()) return Bad{400, "no target; known: " + known_targets(status)};
  auto target = backends::parse_target(text);
  if (!target) return Bad{400, target.error().message + "; known: " + known_targets(status)};
  std::vector<std::string_view> names;
  for (const backends::PoolStatus& pool : status.pools) {
    names.push_back(pool.name);
    if (pool.name != target->pool) continue;
    if (!target->slot) return *target;
    for (const backends::WorkerStatus& worker : pool.workers) {
      if (worker.slot == *target->slot) return *target;
    }
    return Bad{404, "no worker " + shown(text) + "; known: " + known_targets(status)};
  }
  const std::string_view near = base::nearest(target->pool, names);
  return Bad{404, "no pool " + shown(target->pool) + (near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?") +
                      (near.empty() ? "; known: " : " known: ") + known_targets(status)};
}

base::Result<std::string, Bad> find_pool(std::string_view text, const backends::ClusterStatus& status) {
  auto target = find_target(text, status);
  if (!target) return target.error();
  if (target->slot) return Bad{400, "state belongs to a pool (\"" + target->pool + "\"), not to one worker"};
  return {boost::system::in_place_value, std::move(target->pool)};
}

}  // namespace drover::admin
