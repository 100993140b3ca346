#include "config/reader.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace drover::config {

namespace {

/// The defaults of the whole key table as nodes, made once.
const std::map<const Key*, Node>& fallbacks() {
  static const std::map<const Key*, Node> all = [] {
    std::map<const Key*, Node> nodes;
    const auto collect = [&nodes](const auto& self, const Section& of) -> void {
      for (const Key& key : of.keys()) {
        if (key.fields != nullptr) self(self, *key.fields);
        if (key.fallback.empty()) continue;
        if (auto tree = parse_tree("default = " + std::string(key.fallback))) nodes.emplace(&key, tree->entries[0].value);
      }
    };
    for (const Section& each : sections()) collect(collect, each);
    return nodes;
  }();
  return all;
}

std::string name_list(std::span<const Key> keys) {
  std::string all = "known here: ";
  for (const Key& key : keys) {
    if (key.later) continue;
    all += (all.ends_with(": ") ? "" : ", ") + std::string(key.name);
  }
  return all;
}

/// The inline table of `section` that has a key of this name: people forget in which one it stands.
const Key* table_with(std::string_view name, const Section& section) {
  for (const Key& key : section.keys()) {
    if (key.fields == nullptr) continue;
    for (const Key& field : key.fields->keys()) {
      if (field.name == name) return &key;
    }
  }
  return nullptr;
}

/// What shows how the key is used.
std::string_view example_of(const Key& key) { return key.example.empty() ? key.fallback : key.example; }

/// "interval = "30s"": one field as it could be written.
std::string example_of(const Section& fields) {
  for (const Key& key : fields.keys()) {
    if (!key.example.empty()) return std::string(key.name) + " = " + std::string(key.example);
  }
  const Key* shown = nullptr;
  for (const Key& key : fields.keys()) {
    if (!key.fallback.empty() && (shown == nullptr || (shown->type != Type::duration && key.type == Type::duration))) shown = &key;
  }
  return shown == nullptr ? "…" : std::string(shown->name) + " = " + std::string(shown->fallback);
}

/// For a value of another kind altogether, which says nothing of what was meant.
std::string usual_fix(const Key& key) {
  if (key.type == Type::integer && !range_text(key).empty()) return range_text(key);
  if (const std::string_view example = example_of(key); !example.empty()) return "like " + std::string(example);
  switch (key.type) {
    case Type::url_path: return "like \"/api\"";
    case Type::duration: return "like \"30s\"";
    case Type::bytes: return "like \"100MiB\"";
    default: return "in quotes";
  }
}

std::string whole(double amount) { return std::to_string(static_cast<std::int64_t>(amount)); }

}  // namespace

void Reader::mistake(Place place, std::string what, std::string hint) {
  mistakes_.push_back({place.line, place.column, std::move(what), std::move(hint)});
}

void Reader::complain(const Key& key, const Node& node, const std::string& what, std::string hint) {
  mistake(node.place, std::string(key.name) + ": " + what, std::move(hint));
}

void Reader::wrong_kind(const Key& key, const Node& node, const std::string& wanted, std::string hint) {
  complain(key, node, "wants " + wanted + ", not " + kind_text(node.kind), hint.empty() ? usual_fix(key) : std::move(hint));
}

void Reader::read(const Node& table, const Section& section, void* target, const std::string& path, const std::string& shown) {
  for (const Entry& entry : table.entries) read_entry(entry, section, target, path, shown);
  for (const Key& key : section.keys()) {
    const bool given = std::any_of(table.entries.begin(), table.entries.end(), [&](const Entry& entry) { return entry.name == key.name; });
    if (given) continue;
    if (key.fields != nullptr) read(Node{}, *key.fields, key.inner(target), path, shown);
    const auto fallback = fallbacks().find(&key);
    if (fallback != fallbacks().end()) assign(key, fallback->second, target, {});
  }
}

void Reader::read_entry(const Entry& entry, const Section& section, void* target, const std::string& path, const std::string& shown) {
  const auto keys = section.keys();
  const auto key = std::find_if(keys.begin(), keys.end(), [&](const Key& each) { return each.name == entry.name; });
  if (key == keys.end()) return unknown(entry, section, shown);
  if (key->later) {
    return mistake(entry.place, "'" + entry.name + "' in " + shown + " is not available yet", "it comes with a later version: take it out for now");
  }
  const std::string full = path + "." + entry.name;
  places_[full] = entry.value.place;
  if (key->type != Type::table) return assign(*key, entry.value, target, full);
  if (entry.value.kind != Node::Kind::table) {
    return wrong_kind(*key, entry.value, "a table", "like " + entry.name + " = { " + example_of(*key->fields) + " }");
  }
  const std::string inside = "'" + entry.name + "' of " + shown;
  read(entry.value, *key->fields, key->inner(target), full, inside);
  for (const Key& field : key->fields->keys()) {
    const bool given = std::ranges::any_of(entry.value.entries, [&](const Entry& each) { return each.name == field.name; });
    if (field.needed && !given) {
      mistake(entry.value.place, inside + " has no " + std::string(field.name), "add it, or take the whole table out");
    }
  }
}

void Reader::unknown(const Entry& entry, const Section& section, const std::string& shown) {
  std::vector<std::string_view> names;
  for (const Key& key : section.keys()) names.push_back(key.name);
  std::string hint = entry.name.size() > 64 ? std::string("known: ") : suggest(entry.name, names);
  if (const Key* table = table_with(entry.name, section)) {
    hint = "'" + entry.name + "' stands in '" + std::string(table->name) + "': write " + std::string(table->name) + " = { " + entry.name + " = … }";
  } else if (hint.starts_with("known: ")) {
    hint = name_list(section.keys());
  }
  mistake(entry.place, "unknown key '" + base::printable(entry.name, 80) + "' in " + shown, std::move(hint));
}

void Reader::assign(const Key& key, const Node& node, void* target, const std::string& path) {
  const auto value = value_of(key, node, path);
  if (value && key.access.set != nullptr) key.access.set(target, *value);
}

std::optional<Value> Reader::value_of(const Key& key, const Node& node, const std::string& path) {
  if (!key.word.empty() && node.kind == Node::Kind::text && node.text == key.word) {
    const std::int64_t most = key.range.most > 0 ? key.range.most : cpus_;
    return Value{.word = true, .integer = std::min<std::int64_t>(cpus_, most)};
  }
  switch (key.type) {
    case Type::integer: return integer_value(key, node);
    case Type::fraction: return fraction_value(key, node);
    case Type::workers: return workers_value(key, node, path);
    case Type::command: return command_value(key, node, path);
    case Type::environment: return environment_value(key, node, path);
    case Type::statuses: return statuses_value(key, node);
    case Type::methods:
    case Type::names: return tokens_value(key, node, path);
    case Type::fields:
    case Type::wanted: return fields_value(key, node, path);
    case Type::pages: return pages_value(key, node, path);
    case Type::split: return split_value(key, node, path);
    case Type::choice: return choice_value(key, node);
    case Type::flag:
      if (node.kind == Node::Kind::flag) return Value{.flag = node.flag};
      wrong_kind(key, node, "true or false", node.kind == Node::Kind::text ? "without quotes" : "");
      return std::nullopt;
    default: return text_value(key, node);
  }
}

std::optional<Value> Reader::integer_value(const Key& key, const Node& node) {
  const std::string word = key.word.empty() ? "" : " or \"" + std::string(key.word) + '"';
  if (node.kind != Node::Kind::integer) {
    std::string hint;
    if (node.kind == Node::Kind::text && !key.word.empty() && suggest(node.text, std::array{key.word}).starts_with("did")) {
      hint = "did you mean \"" + std::string(key.word) + "\"?";
    } else if (node.kind == Node::Kind::text && !node.text.empty() && node.text.find_first_not_of("0123456789_") == std::string::npos) {
      hint = "without quotes: " + base::printable(node.text, 20);
    } else if (node.kind == Node::Kind::number && std::abs(node.number) < 1e15) {
      hint = "write " + whole(std::round(node.number));
    }
    wrong_kind(key, node, "a whole number" + word, std::move(hint));
    return std::nullopt;
  }
  if (!in_range(key, node, static_cast<double>(node.integer))) return std::nullopt;
  return Value{.integer = node.integer};
}

std::optional<Value> Reader::fraction_value(const Key& key, const Node& node) {
  if (node.kind != Node::Kind::number && node.kind != Node::Kind::integer) {
    std::string hint;
    if (node.kind == Node::Kind::text) {
      if (const auto percent = read_percent(node.text)) hint = "write " + number_text(*percent / 100);
    }
    wrong_kind(key, node, "a number", std::move(hint));
    return std::nullopt;
  }
  const double number = node.kind == Node::Kind::number ? node.number : static_cast<double>(node.integer);
  if (std::isnan(number)) {
    complain(key, node, "is not a number", range_text(key));
    return std::nullopt;
  }
  if (!in_range(key, node, number * 1000)) return std::nullopt;
  return Value{.number = number};
}

/// One number, or { min, max }. An end is read like the number, under its own name.
std::optional<Value> Reader::workers_value(const Key& key, const Node& node, const std::string& path) {
  if (node.kind != Node::Kind::table) return integer_value(key, node);
  constexpr std::array<std::string_view, 2> kEnds{"min", "max"};
  std::array<std::optional<std::int64_t>, 2> ends;
  std::array<bool, 2> given{};
  bool good = true;
  for (const Entry& entry : node.entries) {
    const auto end = std::find(kEnds.begin(), kEnds.end(), entry.name);
    if (end == kEnds.end()) {
      const std::string owner = path.substr(0, path.rfind('.'));
      mistake(entry.place, "unknown key '" + base::printable(entry.name, 80) + "' in 'workers' of [" + owner + "]",
              suggest(entry.name.substr(0, 64), kEnds));
      good = false;
      continue;
    }
    const auto position = static_cast<std::size_t>(end - kEnds.begin());
    Key as_end = key;
    as_end.name = *end;
    as_end.type = Type::integer;
    as_end.word = {};
    places_[path + "." + entry.name] = entry.value.place;
    given[position] = true;
    if (position == 0 && entry.value.kind == Node::Kind::integer && entry.value.integer == 0) {
      complain(as_end, entry.value, "0 is too small", range_text(key) + "; for no worker while nobody asks add idle_stop = \"10m\"");
      continue;
    }
    if (const auto value = integer_value(as_end, entry.value)) ends[position] = value->integer;
  }
  if (good && !(given[0] && given[1])) {
    complain(key, node, given[0] || given[1] ? std::string("has no ") + (given[0] ? "max" : "min") : "has neither min nor max",
             "write { min = 2, max = 8 }, or one number");
  }
  if (!good || !ends[0] || !ends[1]) return std::nullopt;
  if (*ends[0] <= *ends[1]) return Value{.integer = *ends[0], .most = *ends[1]};
  complain(key, node, "min (" + std::to_string(*ends[0]) + ") is more than max (" + std::to_string(*ends[1]) + ")",
           "write { min = " + std::to_string(*ends[1]) + ", max = " + std::to_string(*ends[0]) + " }");
  return std::nullopt;
}

bool Reader::in_range(const Key& key, const Node& node, double amount) {
  if (key.range.most == 0) return true;
  const auto [least, most] = key.range;
  const bool low = amount < static_cast<double>(least);
  if (!low && amount <= static_cast<double>(most)) return true;
  const std::string given = node.kind == Node::Kind::text     ? quoted(node.text)
                            : node.kind == Node::Kind::number ? number_text(node.number)
                                                              : std::to_string(node.integer);
  complain(key, node, given + (low ? " is too small" : " is too large"), range_text(key));
  return false;
}

bool Reader::has_nul(const Key& key, const Node& node) {
  if (node.text.find('\0') == std::string::npos) return false;
  complain(key, node, "holds a NUL character", "neither a program's arguments nor its environment nor a path can");
  return true;
}

std::optional<Value> Reader::choice_value(const Key& key, const Node& node) {
  std::vector<std::string_view> now;
  for (const Choice& choice : key.choices) {
    if (!choice.later) now.push_back(choice.name);
  }
  if (node.kind != Node::Kind::text) {
    wrong_kind(key, node, "a string", suggest("", now));
    return std::nullopt;
  }
  for (std::size_t i = 0; i < key.choices.size(); ++i) {
    if (key.choices[i].name != node.text) continue;
    if (!key.choices[i].later) return Value{.integer = static_cast<std::int64_t>(i), .text = node.text};
    complain(key, node, quoted(node.text) + " is not available yet", now.size() == 1 ? "only " + quoted(now[0]) + " for now" : suggest("", now));
    return std::nullopt;
  }
  complain(key, node, "unknown value " + quoted(node.text), suggest(node.text, now));
  return std::nullopt;
}

std::optional<Value> Reader::statuses_value(const Key& key, const Node& node) {
  const char* hint = "a list of status codes from 100 to 599, like [200, 204]";
  if (node.kind != Node::Kind::list || node.entries.empty()) {
    if (node.kind == Node::Kind::list) {
      complain(key, node, "is an empty list", hint);
    } else {
      wrong_kind(key, node, "a list", node.kind == Node::Kind::integer ? "write [" + std::to_string(node.integer) + "]" : hint);
    }
    return std::nullopt;
  }
  Value value;
  for (const Entry& entry : node.entries) {
    if (entry.value.kind != Node::Kind::integer || entry.value.integer < 100 || entry.value.integer > 599) {
      complain(key, entry.value, "holds something that is not a status code", hint);
      return std::nullopt;
    }
    value.numbers.push_back(static_cast<int>(entry.value.integer));
  }
  return value;
}

}  // namespace drover::config
