#include "config/effective.hpp"

#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

namespace drover::config {

namespace {

constexpr std::string_view kHidden = "(hidden)";

/// A basic string of TOML.
std::string string_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\u%04X", byte);
      out += code.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string key_text(std::string_view name) {
  const bool bare = name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == std::string_view::npos;
  return bare && !name.empty() ? std::string(name) : string_text(name);
}

struct Unit {
  std::uint64_t size;
  const char* name;
};

/// In the largest unit that leaves no rest: "90s", "1536MiB". The last unit has the size 1. `nothing` is how zero is written.
std::string amount_text(std::uint64_t amount, std::span<const Unit> units, std::string_view nothing) {
  if (amount == 0) return string_text(nothing);
  const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& each) { return amount % each.size == 0; });
  return '"' + std::to_string(amount / unit->size) + unit->name + '"';
}

constexpr std::array kDurations{Unit{3'600'000, "h"}, Unit{60'000, "m"}, Unit{1000, "s"}, Unit{1, "ms"}};
constexpr std::array kSizes{Unit{1ULL << 40U, "TiB"}, Unit{1ULL << 30U, "GiB"}, Unit{1ULL << 20U, "MiB"}, Unit{1ULL << 10U, "KiB"}, Unit{1, "B"}};

std::string octal(std::int64_t mask) {
  std::array<char, 8> out{};
  std::snprintf(out.data(), out.size(), "\"%03o\"", static_cast<unsigned>(mask & 0777));
  return out.data();
}

template <class List, class Text>
std::string joined(const List& list, Text text) {
  std::string out;
  for (const auto& each : list) out += (out.empty() ? "" : ", ") + text(each);
  return out;
}

template <class List, class Text>
std::string table_text(const List& list, Text text) {
  return list.empty() ? "{}" : "{ " + joined(list, text) + " }";
}

bool holds_any(std::string_view name, std::span<const std::string_view> words) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return upper.find(word) != std::string::npos; });
}
constexpr std::array<std::string_view, 5> kSecretNames{"PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL"};
constexpr std::array<std::string_view, 2> kSecretFields{"AUTH", "COOKIE"};

std::string environment_text(const std::map<std::string, std::string>& all, Secrets secrets) {
  if (all.empty()) return "{}";
  return "{ " +
         joined(all,
                [&](const auto& each) {
                  const bool hide = secrets == Secrets::hidden && may_be_secret(each.first, each.second);
                  return key_text(each.first) + " = " + string_text(hide ? kHidden : std::string_view(each.second));
                }) +
         " }";
}

/// What a route writes into a head may let somebody in.
std::string fields_text(const std::vector<Field>& all, Secrets secrets) {
  return table_text(all, [&](const Field& each) {
    const bool hide = secrets == Secrets::hidden && (may_be_secret(each.name, each.value) || holds_any(each.name, kSecretFields));
    return key_text(each.name) + " = " + string_text(hide ? kHidden : std::string_view(each.value));
  });
}

std::string choice_text(const Key& key, const Value& value) {
  if (!value.text.empty()) return string_text(value.text);
  const auto position = static_cast<std::size_t>(value.integer);
  return string_text(position < key.choices.size() ? key.choices[position].name : std::string_view());
}

std::string signal_text(std::int64_t number) {
  for (const SignalName& each : signal_names()) {
    if (each.number == number) return string_text(each.name);
  }
  return string_text(std::to_string(number));
}

std::string workers_text(const Value& value) {
  if (value.most == 0) return std::to_string(value.integer);
  return "{ min = " + std::to_string(value.integer) + ", max = " + std::to_string(value.most) + " }";
}

std::string value_text(const Key& key, const Value& value, Secrets secrets) {
  switch (key.type) {
    case Type::choice: return choice_text(key, value);
    case Type::duration: return amount_text(static_cast<std::uint64_t>(value.duration.count()), kDurations, "0s");
    case Type::bytes: return amount_text(value.bytes.value, kSizes, "0");
    case Type::percent: return '"' + number_text(value.number) + "%\"";
    case Type::integer: return std::to_string(value.integer);
    case Type::fraction: return number_text(value.number);
    case Type::workers: return workers_text(value);
    case Type::flag: return value.flag ? "true" : "false";
    case Type::command: return "[" + joined(value.list, string_text) + "]";
    case Type::environment: return environment_text(value.environment, secrets);
    case Type::statuses: return "[" + joined(value.numbers, [](int each) { return std::to_string(each); }) + "]";
    case Type::methods:
    case Type::names: return "[" + joined(value.list, string_text) + "]";
    case Type::fields:
    case Type::wanted: return fields_text(value.fields, secrets);
    case Type::pages: return table_text(value.pages, [](const auto& each) { return std::to_string(each.first) + " = " + string_text(each.second); });
    case Type::ports: return '"' + std::to_string(value.ports.first) + "-" + std::to_string(value.ports.last) + '"';
    case Type::bind: return string_text(value.bind.text);
    case Type::signal: return signal_text(value.integer);
    case Type::umask: return octal(value.integer);
    case Type::text:
    case Type::path:
    case Type::file:
    case Type::folder:
    case Type::url_path:
    case Type::host:
    case Type::log_path:
    case Type::body:
    case Type::field_value:
    case Type::token:
    case Type::header: return string_text(value.text);
    case Type::split:
    case Type::table: break;  // names pools; has fields instead
  }
  return {};
}

/// Of a key whose value is remembered nowhere: the only one that it can have.
std::optional<std::string> only_choice(const Key& key) {
  std::optional<std::string> only;
  for (const Choice& choice : key.choices) {
    if (choice.later) continue;
    if (only) return std::nullopt;
    only = string_text(choice.name);
  }
  return only;
}

/// Writes the tables of one Config. Structs are reached through Key::inner, which wants them changeable: hence copies.
class Writer {
 public:
  explicit Writer(Secrets secrets) : secrets_(secrets) {}

  /// `pools`: what names pools, by key: in the Config they are positions.
  void section(const std::string& header, const Section& of, void* target, const std::map<std::string_view, std::string>& pools = {}) {
    if (!out_.empty()) out_ += '\n';
    out_ += header + "\n";
    for (const Key& key : of.keys()) {
      if (key.later) continue;
      const std::string name(key.name);
      if (key.fields != nullptr) {
        fields(key, key.inner(target));
      } else if (const auto found = pools.find(key.name); found != pools.end()) {
        out_ += name + " = " + found->second + "\n";
      } else if (const auto text = value(key, target)) {
        out_ += name + " = " + *text + "\n";
      } else {
        out_ += "# " + name + " is not given\n";
      }
    }
  }

  std::string take() { return std::move(out_); }

 private:
  /// none: it has no value.
  std::optional<std::string> value(const Key& key, const void* target) const {
    if (key.access.get == nullptr) return only_choice(key);
    Value value;
    key.access.get(target, value);
    if (!value.word) return value_text(key, value, secrets_);
    return key.word.empty() ? std::nullopt : std::optional(string_text(key.word));
  }

  void fields(const Key& table, const void* target) {
    std::string given;
    std::string missing;
    const bool silent = std::ranges::any_of(table.fields->keys(), [&](const Key& key) { return key.needed && !value(key, target); });
    if (silent) {
      out_ += "# " + std::string(table.name) + " is not given\n";
      return;
    }
    for (const Key& key : table.fields->keys()) {
      if (key.later) continue;
      const auto text = value(key, target);
      std::string& list = text ? given : missing;
      list += (list.empty() ? "" : ", ") + std::string(key.name) + (text ? " = " + *text : "");
    }
    out_ += std::string(table.name) + (given.empty() ? " = {}" : " = { " + given + " }");
    out_ += missing.empty() ? "\n" : "  # not given: " + missing + "\n";
  }

  Secrets secrets_;
  std::string out_;
};

using Pools = std::map<std::string_view, std::string>;

/// Where a route's requests go.
Pools targets(const Config& config, const Route& route) {
  if (route.answered_here()) return {};
  const auto part = [&](const Route::Part& each) { return key_text(config.pools[each.pool].name) + " = " + std::to_string(each.weight); };
  if (!route.split.empty()) return {{"split", table_text(route.split, part)}};
  return {{"pool", string_text(config.pools[route.pool].name)}};
}

/// "postgres://user:password@host/".
bool is_url_with_password(std::string_view value) {
  const std::size_t start = value.find("://");
  if (start == std::string_view::npos) return false;
  const std::string_view authority = value.substr(start + 3, value.find_first_of("/?#", start + 3) - (start + 3));
  const std::size_t at = authority.rfind('@');
  return at != std::string_view::npos && authority.substr(0, at).find(':') != std::string_view::npos;
}

}  // namespace

bool may_be_secret(std::string_view name, std::string_view value) { return holds_any(name, kSecretNames) || is_url_with_password(value); }

std::string effective(const Config& config, Secrets secrets) {
  Config copy = config;
  Writer writer(secrets);
  const auto named = [&copy](std::string_view key, std::optional<std::uint32_t> pool) {
    return pool ? Pools{{key, string_text(copy.pools[*pool].name)}} : Pools{};
  };
  writer.section("[cluster]", section("cluster"), &copy.cluster);
  writer.section("[admin]", section("admin"), &copy.admin);
  writer.section("[log]", section("log"), &copy.log);
  writer.section("[proxy]", section("proxy"), &copy.proxy);
  for (Listener& each : copy.listeners) {
    writer.section("[listener." + each.name + "]", section("listener"), &each, named("pool", each.pool));
  }
  for (Pool& each : copy.pools) writer.section("[pool." + each.name + "]", section("pool"), &each, named("spill_to", each.spill_to));
  for (Route& each : copy.routes) writer.section("[[route]]", section("route"), &each, targets(copy, each));
  return writer.take();
}

}  // namespace drover::config
