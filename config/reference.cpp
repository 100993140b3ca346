#include "config/reference.hpp"

#include "config/keys.hpp"

#include <array>

namespace drover::config {

namespace {

constexpr std::string_view kOpening = R"(# cluster.toml

<!-- Made by `drover check --keys > docs/cluster.toml.md` from the key table (config/keys.cpp). Change that, not this page. -->

One file describes everything that one drover does. `drover run` and `drover check` take its name; without one they read `./cluster.toml`.
The smallest file is a pool with a command. This one shows what most files grow into:

)";

constexpr std::string_view kExample = R"([admin]
listen = "127.0.0.1:9180"               # /metrics, /status, /livez, /readyz

[listener.web]
bind   = "127.0.0.1:3000"               # ":80" listens on all addresses
limits = { body = "100MiB" }            # a larger request body is answered with 413

[pool.shop]
command     = ["drover", "demo-worker", "--port", "${PORT}"]   # your server's command line; ${PORT} is filled in
workers     = 2                         # copies of it
strategy    = "least-connections"
concurrency = 8                         # connections that one worker holds at once; more requests wait in the queue
ready       = { http = "/health", timeout = "20s" }            # gets requests from then on
health      = { http = "/health", interval = "5s" }
restart     = { delay = "500ms", max_delay = "10s" }
env         = { APP_ENV = "production" }

[pool.api]
command = ["drover", "demo-worker", "--socket", "${SOCKET}"]
endpoint = "unix"
workers = 1

[[route]]                               # needed as soon as there are two pools
path = "/"
pool = "shop"

[[route]]
path = "/api"                           # of one host's routes the longest path wins
pool = "api"
)";

constexpr std::string_view kRules = R"(
- The unit is always written: durations as `"500ms"`, `"30s"`, `"10m"`, `"12h"`; sizes as `"64B"`, `"8KiB"`, `"400MiB"`, `"1GiB"`, `"1TiB"`; percentages as `"80%"`.
  Only a size of `"0"` goes without.
- A key that is not listed here is an error, with its place and the nearest known name. Every mistake is told at once; `drover check` and
  `drover run` then exit with 78.
- A key with fields is a table, written inline, `stop = { grace = "5s" }`, or under a header of its own, `[pool.shop.stop]`.
- *not yet*: the name is known and reserved; a file that uses it is refused, and told so by name.
)";

constexpr std::string_view kWorkers = R"(
## What a worker is given

In `command` and `env`, `${NAME}` is filled in for each worker, and `$$` is a dollar. An unknown name is an error at start.

| name | in `${…}` | in the environment | value |
|---|---|---|---|
| `PORT`, `HOST` | yes, with `endpoint = "tcp"` | yes | where to listen; the host is 127.0.0.1 |
| `SOCKET` | yes, with `endpoint = "unix"` | yes | path of the Unix socket to listen on |
| `WORKER` | yes | no | the slot: 1, 2, … |
| `DROVER_POOL`, `DROVER_WORKER`, `DROVER_INCARNATION` | no | yes | pool, slot and life of this process; never change them: they are how escaped descendants are found |
| `HOME`, `USER`, `LOGNAME` | yes | yes | with `user`: that user's; else drover's own |
| `NOTIFY_SOCKET` | no | yes | where it may say READY=1, STATUS=…, WATCHDOG=1, STOPPING=1, RELOADING=1 (sd_notify) |
| any other | yes | yes | from the pool's `env` (in the environment and in `command`), else from its `env_file`, else from drover's own environment |

Never passed on from drover's own environment: `NOTIFY_SOCKET`, `WATCHDOG_PID`, `WATCHDOG_USEC`, `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`,
and the names above that drover sets itself. Standard input is `/dev/null`; standard output and error go into drover's log.
)";

/// Sections of which each table has a name, and the one that is an array.
std::string header_of(std::string_view section) {
  const std::string name(section);
  if (name == "listener" || name == "pool") return "[" + name + ".NAME]";
  return name == "route" ? "[[" + name + "]]" : "[" + name + "]";
}

/// A table cell: a bar would end it.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string_view kind_of(Type type) {
  switch (type) {
    case Type::text: return "string";
    case Type::path: return "absolute path";
    case Type::file: return "file";
    case Type::folder: return "folder";
    case Type::url_path: return "URL path";
    case Type::host: return "host name";
    case Type::header: return "host name, with or without a port";
    case Type::choice: return "";
    case Type::duration: return "duration";
    case Type::bytes: return "size";
    case Type::percent: return "percentage";
    case Type::integer: return "whole number";
    case Type::fraction: return "number";
    case Type::workers: return "whole number or `{ min, max }`";
    case Type::flag: return "`true` or `false`";
    case Type::command: return "list of strings";
    case Type::environment: return "table of strings";
    case Type::statuses: return "list of status codes";
    case Type::log_path: return "absolute path, or `\"-\"`";
    case Type::body: return "string";
    case Type::field_value: return "header field's value";
    case Type::token: return "name";
    case Type::methods: return "list of methods";
    case Type::names: return "list of header fields";
    case Type::fields: return "table of header fields";
    case Type::wanted: return "table of header fields";
    case Type::pages: return "table: status to absolute path";
    case Type::split: return "table: pool to weight";
    case Type::ports: return "`\"first-last\"`";
    case Type::bind: return "address";
    case Type::signal: return "signal's name";
    case Type::umask: return "octal string";
    case Type::table: return "table";
  }
  return "";
}

std::string type_text(const Key& key) {
  std::string out(kind_of(key.type));
  for (const Choice& choice : key.choices) {
    if (!choice.later) out += (out.empty() ? "`\"" : ", `\"") + std::string(choice.name) + "\"`";
  }
  if (key.type == Type::signal) {
    for (const SignalName& each : signal_names()) out += (out.ends_with("name") ? ": " : ", ") + std::string(each.name);
  }
  const std::string range = range_text(key);
  if (!range.empty()) out += ", " + range;
  if (!key.word.empty()) out += ", or `\"" + std::string(key.word) + "\"`";
  return out;
}

std::string help_text(const Key& key) {
  std::string out(key.help);
  for (const Choice& choice : key.choices) {
    if (!choice.help.empty() && !choice.later) out += "; " + code(choice.name) + ": " + std::string(choice.help);
  }
  return out;
}

void write_rows(std::string& out, std::span<const Key> keys, const std::string& prefix) {
  for (const Key& key : keys) {
    if (key.later) continue;
    const std::string name = prefix + std::string(key.name);
    if (key.fields != nullptr) {
      out += "| **" + code(name) + "** | table | | " + cell(key.help) + " |\n";
      write_rows(out, key.fields->keys(), name + ".");
      continue;
    }
    out += "| " + code(name) + " | " + cell(type_text(key)) + " | " + (key.fallback.empty() ? "" : code(key.fallback)) + " | " +
           cell(help_text(key)) + " |\n";
  }
}

/// Names that are reserved: keys, and values of keys that are there.
void write_later(std::string& out, std::span<const Key> keys) {
  std::string list;
  const auto add = [&list](const std::string& item) { list += (list.empty() ? "" : " · ") + item; };
  for (const Key& key : keys) {
    if (key.later) add(code(key.name) + " (" + std::string(key.help) + ")");
    for (const Choice& choice : key.choices) {
      if (choice.later) add(code(std::string(key.name) + " = \"" + std::string(choice.name) + "\""));
    }
  }
  if (!list.empty()) out += "\n*Not yet*: " + list + "\n";
}

std::string limits() {
  const auto number = [](auto value) { return std::to_string(value); };
  return "\n## Limits\n\nAt most " + number(kMaxPools) + " pools of " + number(kMaxWorkers) + " workers each, " + number(kMaxListeners) +
         " listeners, " + number(kMaxRoutes) + " routes, and " + number(kMaxArguments) + " arguments in one command.\n";
}

}  // namespace

std::string_view reference_example() { return kExample; }

std::string reference() {
  std::string out(kOpening);
  out += "```toml\n" + std::string(kExample) + "```\n";
  out += kRules;
  for (const Section& each : sections()) {
    out += "\n## " + header_of(each.name) + "\n\n" + std::string(each.help) + "\n\n| key | value | default | meaning |\n|---|---|---|---|\n";
    write_rows(out, each.keys(), "");
    write_later(out, each.keys());
  }
  out += kWorkers;
  return out + limits();
}

}  // namespace drover::config
