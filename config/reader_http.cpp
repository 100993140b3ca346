// The readers of values that are made of parts of HTTP: methods, header fields, statuses with their pages; and weights.
#include "base/text.hpp"
#include "config/reader.hpp"

#include <algorithm>
#include <array>

namespace drover::config {

namespace {

/// What drover answers with when it has a pool for the request. 404, 414, 417, 429, 431 and 501 come before there is one.
constexpr std::array<int, 6> kPageStatuses{400, 408, 413, 502, 503, 504};
constexpr const char* kNameHint = "letters, digits and !#$%&'*+-.^_`|~";

/// "write { X-A = … }", "like { … }": what the table could be.
const char* example_of(Type type) {
  switch (type) {
    case Type::wanted: return "like { X-Canary = \"1\" }, \"*\" is any value";
    case Type::pages: return "like { 503 = \"/etc/drover/busy.html\" }";
    case Type::split: return "like { shop = 90, canary = 10 }";
    default: return "like { X-Frame-Options = \"DENY\" }";
  }
}

std::string text_hint(const Node& node) {
  if (node.kind == Node::Kind::integer) return "write \"" + std::to_string(node.integer) + '"';
  if (node.kind == Node::Kind::flag) return node.flag ? "write \"true\"" : "write \"false\"";
  return "in quotes";
}

}  // namespace

bool Reader::is_table(const Key& key, const Node& node, std::size_t most) {
  if (node.kind != Node::Kind::table) {
    wrong_kind(key, node, "a table", example_of(key.type));
    return false;
  }
  if (node.entries.size() <= most) return true;
  complain(key, node, "has " + std::to_string(node.entries.size()) + " parts", "at most " + std::to_string(most));
  return false;
}

/// Methods, or names of header fields: those are the same in any case, methods are not.
std::optional<Value> Reader::tokens_value(const Key& key, const Node& node, const std::string& path) {
  const bool methods = key.type == Type::methods;
  const std::string hint = methods ? "like [\"GET\", \"HEAD\"]" : "like [\"Server\"]";
  const std::size_t most = methods ? kMaxMethods : kMaxFields;
  if (node.kind != Node::Kind::list) {
    wrong_kind(key, node, "a list of strings", node.kind == Node::Kind::text ? "write [" + quoted(node.text) + "]" : hint);
    return std::nullopt;
  }
  if (node.entries.size() > most) {
    complain(key, node, "has " + std::to_string(node.entries.size()) + " parts", "at most " + std::to_string(most));
    return std::nullopt;
  }
  Value value;
  bool good = true;
  for (const Entry& entry : node.entries) {
    const std::string& text = entry.value.text;
    const auto refuse = [&](const std::string& what, std::string fix) {
      complain(key, entry.value, what, std::move(fix));
      good = false;
    };
    if (entry.value.kind != Node::Kind::text) {
      wrong_kind(key, entry.value, "strings only", text_hint(entry.value));
      good = false;
    } else if (!is_token(text)) {
      refuse(quoted(text) + (methods ? " is not a method" : " can't name a header field"), methods ? hint : kNameHint);
    } else if (methods && std::ranges::any_of(text, [](char c) { return c >= 'a' && c <= 'z'; })) {
      std::string upper(text);
      std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
      refuse(quoted(text) + " is no method that a client would send: they are told apart by case", "write " + quoted(upper));
    } else if (std::ranges::any_of(value.list, [&](const std::string& other) { return base::equal_ignoring_case(other, text); })) {
      refuse(quoted(text) + " is there a second time", "once is enough");
    } else {
      places_[path + "." + std::to_string(value.list.size())] = entry.value.place;
      value.list.push_back(text);
    }
  }
  return good ? std::optional(std::move(value)) : std::nullopt;
}

std::optional<Value> Reader::fields_value(const Key& key, const Node& node, const std::string& path) {
  if (!is_table(key, node, kMaxFields)) return std::nullopt;
  Value value;
  bool good = true;
  for (const Entry& entry : node.entries) {
    const auto twin = [&](const Field& other) { return base::equal_ignoring_case(other.name, entry.name); };
    if (!is_token(entry.name)) {
      mistake(entry.place, std::string(key.name) + ": " + quoted(entry.name) + " can't name a header field", kNameHint);
      good = false;
    } else if (std::ranges::any_of(value.fields, twin)) {
      mistake(entry.place, std::string(key.name) + ": " + quoted(entry.name) + " is there a second time", "names are the same in any case");
      good = false;
    } else if (entry.value.kind != Node::Kind::text) {
      wrong_kind(key, entry.value, "strings only", text_hint(entry.value));
      good = false;
    } else if (const auto read = read_field_value(entry.value.text); !read) {
      complain(key, entry.value, read.error().what, read.error().hint);
      good = false;
    } else {
      places_[path + "." + entry.name] = entry.value.place;
      value.fields.push_back({entry.name, *read});
    }
  }
  return good ? std::optional(std::move(value)) : std::nullopt;
}

std::optional<Value> Reader::pages_value(const Key& key, const Node& node, const std::string& path) {
  if (!is_table(key, node, kMaxPages)) return std::nullopt;
  Value value;
  bool good = true;
  for (const Entry& entry : node.entries) {
    const bool number = entry.name.size() == 3 && std::ranges::all_of(entry.name, [](unsigned char c) { return std::isdigit(c) != 0; });
    const int status = number ? std::stoi(entry.name) : 0;
    if (std::ranges::find(kPageStatuses, status) == kPageStatuses.end()) {
      mistake(entry.place, std::string(key.name) + ": " + quoted(entry.name) + " is no status that drover answers itself for a pool",
              "400, 408, 413, 502, 503 and 504 are");
      good = false;
    } else if (entry.value.kind != Node::Kind::text) {
      wrong_kind(key, entry.value, "strings only", "path of a file, like \"/etc/drover/busy.html\"");
      good = false;
    } else if (has_nul(key, entry.value)) {
      good = false;
    } else if (!entry.value.text.starts_with('/')) {
      complain(key, entry.value, quoted(entry.value.text) + " is not an absolute path", "a path that begins with '/'");
      good = false;
    } else {
      places_[path + "." + entry.name] = entry.value.place;
      value.pages[status] = entry.value.text;
    }
  }
  return good ? std::optional(std::move(value)) : std::nullopt;
}

/// Which pools these are is judged when all are known.
std::optional<Value> Reader::split_value(const Key& key, const Node& node, const std::string& path) {
  if (!is_table(key, node, kMaxParts)) return std::nullopt;
  Value value;
  std::int64_t sum = 0;
  bool good = true;
  for (const Entry& entry : node.entries) {
    places_[path + "." + entry.name] = entry.value.place;
    Key weight = key;
    weight.range = {0, kMaxWeight};
    if (entry.value.kind != Node::Kind::integer) {
      wrong_kind(key, entry.value, "whole numbers as weights", example_of(key.type));
      good = false;
      continue;
    }
    good = integer_value(weight, entry.value).has_value() && good;
    sum += good ? entry.value.integer : 0;
  }
  if (good && sum == 0) {
    complain(key, node, node.entries.empty() ? "names no pool" : "all weights are 0: no pool would get a request", example_of(key.type));
    good = false;
  }
  return good ? std::optional(std::move(value)) : std::nullopt;
}

}  // namespace drover::config
