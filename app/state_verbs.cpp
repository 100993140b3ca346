// drover state: one pool's shared state, read, changed and followed.
#include "app/asking.hpp"
#include "app/json_argument.hpp"
#include "app/json_view.hpp"
#include "app/message_verbs.hpp"

#include "admin/json_text.hpp"

#include <boost/json/object.hpp>

#include <cstdio>

namespace drover::app {

namespace {

namespace json = boost::json;

constexpr std::size_t kKeyShown = 4096;

/// Members of a request's body that are known to be right; `value`: as it was written.
std::string body_of(const StateAsked& asked, const char* name, const std::string& value) {
  std::string body = "{\"pool\":";
  admin::append_json_string(body, asked.pool);
  body += ",\"key\":";
  admin::append_json_string(body, asked.key);
  if (!value.empty()) body += std::string(",\"") + name + "\":" + value;
  if (!asked.expires.empty()) {
    body += ",\"expires\":";
    admin::append_json_string(body, asked.expires);
  }
  return body + "}";
}

std::string value_text(const json::value& holder) {
  const auto* value = member(holder, "value");
  return value == nullptr ? "null" : admin::exact_json_text(*value);
}

/// No byte of a key steers a terminal or breaks the line.
std::string key_text(std::string_view key) { return base::printable(key, kKeyShown); }

int get_value(const Common& common, const StateAsked& asked) {
  const Got got = get(common, "/v1/state?pool=" + as_parameter(asked.pool) + "&key=" + as_parameter(asked.key));
  if (got.exit_code == 0) print(common.json ? got.text : value_text(parse_lenient(got.text)) + "\n");
  return got.exit_code;
}

int change_value(const Common& common, const StateAsked& asked, const char* name) {
  const auto value = json_argument(asked.value);
  if (!value) return wrong_usage("state " + asked.action, value.error());
  const Got got = ask(common, {.method = "POST", .target = "/v1/state/" + asked.action, .body = body_of(asked, name, *value)});
  if (got.exit_code != 0) return got.exit_code;
  if (common.json) {
    print(got.text);
  } else if (asked.action == "incr") {
    print(value_text(parse_lenient(got.text)) + "\n");
  } else if (asked.action == "delete" && member(got.value, "existed") != nullptr && !flag_in(got.value, "existed")) {
    std::fprintf(stderr, "drover: %s was not there\n", key_text(asked.key).c_str());
  }
  return 0;
}

void print_values(const json::object& values, bool as_json) {
  std::string text;
  for (const auto& each : values) {
    const std::string_view key(each.key().data(), each.key().size());
    if (as_json) {
      text += "{\"key\":";
      admin::append_json_string(text, key);
      text += ",\"value\":" + admin::exact_json_text(each.value()) + "}\n";
    } else {
      text += key_text(key) + "\t" + admin::exact_json_text(each.value()) + "\n";
    }
  }
  print(text);
}

/// Page after page; each begins after the last key of the one before, so that it ends.
int list_values(const Common& common, const StateAsked& asked) {
  std::string after;
  for (;;) {
    const Got got =
        get(common, "/v1/state/list?pool=" + as_parameter(asked.pool) + "&prefix=" + as_parameter(asked.key) + "&after=" + as_parameter(after));
    if (got.exit_code != 0) return got.exit_code;
    const json::value page = parse_lenient(got.text);  // exactly, unlike what is for people
    const auto* values = member(page, "values");
    if (values == nullptr || !values->is_object()) return fail("what answered is not a drover of this kind: no values in its list");
    print_values(values->get_object(), common.json);
    if (!flag_in(page, "more")) return 0;
    const auto* next = member(page, "after");
    const std::string last = next != nullptr && next->is_string() ? std::string(next->get_string().data(), next->get_string().size()) : "";
    if (last <= after) return fail("drover's list does not go on after key " + key_text(after));
    after = last;
  }
}

int watch_values(const Common& common, const StateAsked& asked) {
  const Asking asking{.target = "/v1/state/watch?pool=" + as_parameter(asked.pool) + "&key=" + as_parameter(asked.key)};
  return tell_lines(common, asking, [&common](std::string_view line) {
    const json::value change = parse_lenient(line);
    if (common.json) {
      print(std::string(line) + "\n");
    } else if (!said_gap(change)) {
      const bool there = change.is_object() && change.get_object().contains("value");
      print(text_in(change, "key") + "\t" + (there ? value_text(change) : "gone") + "\n");
    }
    return true;
  });
}

/// What is wrong with the words after the action; "" = nothing.
std::string wrong_words(const StateAsked& asked) {
  const bool sets = asked.action == "set";
  const bool sums = asked.action == "incr";
  const bool of_many = asked.action == "list" || asked.action == "watch";
  if (asked.key.empty() && !of_many) return "no key: drover state " + asked.action + " " + asked.pool + " KEY" + (sets ? " JSON" : "");
  if (sets && asked.value.empty()) return "no value: drover state set " + asked.pool + " " + asked.key + " JSON";
  if (!sets && !sums && !asked.value.empty()) return asked.action + " takes no value; " + base::printable(asked.value, 60) + " is one word too many";
  if (!sets && !sums && !asked.expires.empty()) return "--expires belongs to set and incr";
  return "";
}

}  // namespace

int state(const Common& common, const StateAsked& asked) {
  if (const std::string wrong = wrong_words(asked); !wrong.empty()) return wrong_usage("state", base::Error{wrong});
  if (asked.action == "get") return get_value(common, asked);
  if (asked.action == "list") return list_values(common, asked);
  if (asked.action == "watch") return watch_values(common, asked);
  return change_value(common, asked, asked.action == "incr" ? "by" : "value");
}

}  // namespace drover::app
