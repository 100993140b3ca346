// The readers of values that are strings or made of strings.
#include "base/text.hpp"
#include "config/reader.hpp"

#include <algorithm>

namespace drover::config {

namespace {

const char* wanted_text(Type type) {
  switch (type) {
    case Type::duration: return "a duration in quotes";
    case Type::bytes: return "a size in quotes";
    case Type::percent: return "a percentage in quotes";
    case Type::ports: return "a range of ports in quotes";
    case Type::bind: return "an address in quotes";
    case Type::signal: return "a signal's name in quotes";
    case Type::umask: return "octal digits in quotes";
    default: return "a string";
  }
}

/// What a plain number would have to be written as.
std::string number_hint(Type type, const Node& node) {
  if (node.kind != Node::Kind::integer || node.integer < 0) return {};
  const std::string digits = std::to_string(node.integer);
  switch (type) {
    case Type::duration: return "write \"" + digits + "s\" or \"" + digits + "ms\"";
    case Type::bytes: return "write \"" + digits + "B\", or a larger unit: KiB, MiB, GiB";
    case Type::percent: return "write \"" + digits + "%\"";
    case Type::bind: return "write \"127.0.0.1:" + digits + "\", or \":" + digits + "\" for all addresses";
    case Type::umask: return "like \"022\"";
    case Type::ports: return "like \"20000-29999\"";
    default: return "write \"" + digits + "\"";
  }
}

/// How a command that was written as one string would look as a list; "" when quotes or shell signs make it unclear.
std::string as_list(const std::string& line) {
  if (line.empty() || line.size() > 120 || line.find_first_of("\"'\\|&;<>()*?`\n") != std::string::npos) return {};
  std::string out = "[";
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    if (end > at) out += (out.size() > 1 ? ", " : "") + quoted(line.substr(at, end - at));
    at = end + 1;
  }
  return out + "]";
}

}  // namespace

std::optional<Value> Reader::text_value(const Key& key, const Node& node) {
  if (node.kind != Node::Kind::text) {
    wrong_kind(key, node, wanted_text(key.type), number_hint(key.type, node));
    return std::nullopt;
  }
  if (has_nul(key, node)) return std::nullopt;
  Value value{.text = node.text};
  const auto take = [&](const auto& read, auto& member) {
    if (read) {
      member = *read;
      return true;
    }
    complain(key, node, read.error().what, read.error().hint);
    return false;
  };
  bool good = true;
  switch (key.type) {
    case Type::duration:
      good = take(read_duration(node.text), value.duration) && in_range(key, node, static_cast<double>(value.duration.count()));
      break;
    case Type::bytes: good = take(read_bytes(node.text), value.bytes) && in_range(key, node, static_cast<double>(value.bytes.value)); break;
    case Type::percent: good = take(read_percent(node.text), value.number) && in_range(key, node, value.number); break;
    case Type::ports: good = take(read_ports(node.text), value.ports); break;
    case Type::bind: good = take(read_bind(node.text), value.bind); break;
    case Type::signal: good = take(read_signal(node.text), value.integer); break;
    case Type::umask: good = take(read_umask(node.text), value.integer); break;
    case Type::url_path: good = take(read_url_path(node.text), value.text); break;
    case Type::host: good = take(read_host(node.text), value.text); break;
    case Type::header: good = take(read_host_header(node.text), value.text); break;
    case Type::token:
      if (!is_token(node.text)) {
        complain(key, node, quoted(node.text) + " can't be a name here", "letters, digits and !#$%&'*+-.^_`|~");
        good = false;
      }
      break;
    case Type::field_value:
      good = take(read_field_value(node.text), value.text);
      if (good && node.text.empty()) {
        complain(key, node, "is empty", "take the line out for the default");
        good = false;
      }
      break;
    case Type::body:
      if (node.text.size() > kMaxResponse) {
        complain(key, node, "has more than 64 KiB", "let a worker serve it");
        good = false;
      }
      break;
    case Type::log_path:
      if (node.text != "-" && !node.text.starts_with('/')) {
        complain(key, node, quoted(node.text) + " is not an absolute path", "a path that begins with '/', or \"-\" for standard output");
        good = false;
      }
      break;
    case Type::path:
      if (!node.text.starts_with('/')) {
        complain(key, node, quoted(node.text) + " is not an absolute path", "a path that begins with '/'");
        good = false;
      }
      break;
    default:
      if (node.text.empty()) {
        complain(key, node, "is empty", "take the line out for the default");
        good = false;
      }
      break;
  }
  return good ? std::optional(std::move(value)) : std::nullopt;
}

std::optional<Value> Reader::command_value(const Key& key, const Node& node, const std::string& path) {
  if (node.kind == Node::Kind::text) {
    const std::string list = as_list(node.text);
    wrong_kind(key, node, "a list of strings", list.empty() ? "for a shell's line write [\"sh\", \"-c\", \"exec …\"]" : "write " + list);
    return std::nullopt;
  }
  if (node.kind != Node::Kind::list) {
    wrong_kind(key, node, "a list of strings", "like [\"php\", \"-S\", \"127.0.0.1:${PORT}\"]");
    return std::nullopt;
  }
  if (node.entries.empty() || node.entries.size() > kMaxArguments) {
    complain(key, node, node.entries.empty() ? "is an empty list" : "has more than 1024 parts",
             "a program and its arguments, like [\"php\", \"-S\", \"127.0.0.1:${PORT}\"]");
    return std::nullopt;
  }
  Value value;
  for (const Entry& entry : node.entries) {
    if (entry.value.kind != Node::Kind::text) {
      std::string hint = number_hint(key.type, entry.value);
      wrong_kind(key, entry.value, "strings only", hint.empty() ? "in quotes" : std::move(hint));
      return std::nullopt;
    }
    if (has_nul(key, entry.value)) return std::nullopt;
    places_[path + "." + std::to_string(value.list.size())] = entry.value.place;
    value.list.push_back(entry.value.text);
  }
  if (!value.list[0].empty()) return value;
  complain(key, node.entries[0].value, "names no program", "the first part is the program");
  return std::nullopt;
}

std::optional<Value> Reader::environment_value(const Key& key, const Node& node, const std::string& path) {
  if (node.kind != Node::Kind::table) {
    wrong_kind(key, node, "a table", "like env = { APP_ENV = \"production\" }");
    return std::nullopt;
  }
  Value value;
  bool good = true;
  for (const Entry& entry : node.entries) {
    if (entry.name.empty() || entry.name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      mistake(entry.place, "env: '" + base::printable(entry.name, 80) + "' can't name a variable", "a name is not empty and holds no '='");
      good = false;
    } else if (entry.value.kind != Node::Kind::text) {
      std::string hint = number_hint(key.type, entry.value);
      if (entry.value.kind == Node::Kind::flag) hint = entry.value.flag ? "write \"true\"" : "write \"false\"";
      wrong_kind(key, entry.value, "strings only", std::move(hint));
      good = false;
    } else if (has_nul(key, entry.value)) {
      good = false;
    } else {
      places_[path + "." + entry.name] = entry.value.place;
      value.environment[entry.name] = entry.value.text;
    }
  }
  return good ? std::optional(std::move(value)) : std::nullopt;
}

}  // namespace drover::config
