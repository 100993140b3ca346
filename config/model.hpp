// Role: what one cluster.toml means, as plain structs with units and defaults. cluster.example.toml names the same keys.
// Thread: any; never changed after validation. Ownership: values all through.
#pragma once

#include "base/units.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover::config {

using base::Bytes;
using base::Millis;
using namespace std::chrono_literals;

/// Where something stands in the file; both count from 1, a column is one character. 0: the file as a whole.
struct Place {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  auto operator<=>(const Place&) const = default;
};

/// Where to listen. TCP: host (empty: all addresses) and port (0: any free one). Unix: path.
struct Bind {
  bool unix_path = false;
  std::string host;
  std::uint16_t port = 0;
  std::string path;
  std::string text;  ///< as written, for messages
  bool operator==(const Bind&) const = default;
};

struct PortRange {
  std::uint16_t first = 20000;
  std::uint16_t last = 29999;
  bool operator==(const PortRange&) const = default;
};

struct Cluster {
  PortRange ports;
  Millis shutdown = 25s;  ///< whole graceful stop, at most
  bool operator==(const Cluster&) const = default;
};

struct Admin {
  std::optional<Bind> listen;  ///< none: closed
  std::string socket;          ///< path of the command line's Unix socket; "" = by user (see the example)
  bool operator==(const Admin&) const = default;
};

enum class LogLevel : std::uint8_t { debug, info, warn, error };
enum class LogFormat : std::uint8_t { text, json };

struct Log {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  bool operator==(const Log&) const = default;
};

struct Proxy {
  unsigned threads = 1;  ///< resolved: "auto" is one per CPU
  std::string user;      ///< "" = drover if it exists, else nobody; used only when started as root
  bool operator==(const Proxy&) const = default;
};

struct Listener {
  struct Timeouts {
    Millis head = 10s;  ///< whole head
    Millis body = 30s;  ///< silence between two reads
    Millis idle = 60s;  ///< between requests
    Millis send = 30s;  ///< silence between two writes
    bool operator==(const Timeouts&) const = default;
  };
  struct Limits {
    Bytes target{8 * 1024};
    Bytes head{32 * 1024};
    std::optional<Bytes> body;  ///< none: unlimited
    std::uint32_t connections = 10'000;
    bool operator==(const Limits&) const = default;
  };
  std::string name;
  Bind bind;
  Timeouts timeouts;
  Limits limits;
  bool operator==(const Listener&) const = default;
};

enum class Endpoint : std::uint8_t { tcp, unix_path };

struct Pool {
  struct Ready {
    std::string http;  ///< path; "" = tcp
    std::vector<int> status{200};
    Millis timeout = 30s;
    bool operator==(const Ready&) const = default;
  };
  struct Health {
    std::string http;  ///< path; "" = tcp
    std::vector<int> status{200};
    Millis interval = 30s;
    Millis timeout = 2s;
    std::uint32_t rise = 2;
    std::uint32_t fall = 3;
    std::optional<Millis> restart_after = 60s;  ///< none: never
    bool operator==(const Health&) const = default;
  };
  struct Restart {
    Millis delay = 1s;
    Millis max_delay = 30s;
    std::uint32_t max = 10;  ///< 0: no limit
    Millis within = 10min;
    Millis young = 10s;
    bool give_up = false;
    bool operator==(const Restart&) const = default;
  };
  struct Stop {
    int signal = 15;
    Millis grace = 10s;
    bool operator==(const Stop&) const = default;
  };
  struct Drain {
    Millis http = 10s;
    Millis tunnel = 10s;
    bool operator==(const Drain&) const = default;
  };
  struct Alert {
    Bytes memory{500ULL * 1024 * 1024};
    double cpu = 80;  ///< percent of one core over the last interval
    bool operator==(const Alert&) const = default;
  };
  struct Timeouts {
    Millis connect = 2s;
    Millis response = 60s;  ///< to its first byte
    Millis stall = 60s;     ///< silence within it
    Millis idle = 4s;       ///< reuse of worker connections
    bool operator==(const Timeouts&) const = default;
  };
  struct Retry {
    std::uint32_t attempts = 3;
    double budget = 20;  ///< percent of requests
    bool operator==(const Retry&) const = default;
  };
  struct Queue {
    std::uint32_t max = 256;
    Millis wait = 5s;
    bool operator==(const Queue&) const = default;
  };

  std::string name;
  std::vector<std::string> command;  ///< as written; expand() fills in ${…}
  std::string dir;                   ///< "" = drover's own
  std::string user;                  ///< "" = drover's own
  std::map<std::string, std::string> env;
  std::optional<unsigned> umask;
  std::uint32_t workers = 1;  ///< resolved: "auto" is the number of CPUs
  std::string strategy = "round-robin";
  std::uint32_t concurrency = 0;  ///< open connections per worker, busy or idle; 0: no limit
  bool keepalive = true;
  Endpoint endpoint = Endpoint::tcp;
  Ready ready;
  Health health;
  Restart restart;
  Stop stop;
  Drain drain;
  Alert alert;
  Timeouts timeouts;
  Retry retry;
  Queue queue;
  bool operator==(const Pool&) const = default;
};

struct Route {
  std::string host = "*";
  std::string path = "/";
  std::uint32_t pool = 0;  ///< position in Config::pools
  bool operator==(const Route&) const = default;
};

struct Config {
  std::string file;   ///< as given on the command line
  std::string text;   ///< the file's bytes: what a proxy parses again
  unsigned cpus = 1;  ///< what "auto" stands for; a proxy is told, so that both sides count the same workers
  Cluster cluster;
  Admin admin;
  Log log;
  Proxy proxy;
  std::vector<Listener> listeners;
  std::vector<Pool> pools;
  std::vector<Route> routes;
  std::vector<std::string> warnings;  ///< "file:line:column: warning: …", not fatal
  /// Where each given thing stands, by its full name: "pool.shop" is the header, "pool.shop.user" that key's value,
  /// "pool.shop.command.0" a list's element, "route.0" the first [[route]]. For messages only: two files that differ in
  /// nothing but layout mean the same. A name that isn't here was not given.
  std::map<std::string, Place> places;
};

}  // namespace drover::config
