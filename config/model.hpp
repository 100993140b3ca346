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
  std::string socket;          ///< path of the command line's Unix socket; "" = by user: default_admin_socket()
  std::string token_file;      ///< path; what it holds lets the TCP side change things; "" = the TCP side only reads
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
  std::optional<std::uint32_t>
      pool;  ///< position in Config::pools: all its connections are that pool's (dispatch handoff or shared); none: the proxy's
  bool operator==(const Listener&) const = default;
};

/// Do its connections go to the proxy?
inline bool proxied(const Listener& listener) { return !listener.pool; }

/// Who accepts a pool's clients.
enum class Dispatch : std::uint8_t {
  proxy,    ///< the proxy: HTTP, with all that it offers
  handoff,  ///< the supervisor, which passes each connection to a worker that the strategy chooses
  shared,   ///< the workers themselves, on one socket: the kernel schedules
};
/// How drover talks to a Node program, `node = "auto"` resolved.
enum class NodeMode : std::uint8_t { off, fork, cluster };

enum class Endpoint : std::uint8_t { tcp, unix_path };
/// Whose turn it is in a rolling restart.
enum class RollOrder : std::uint8_t { slot, oldest, largest };

struct Pool {
  struct Ready {
    std::string http;     ///< path; "" = tcp
    std::string host;     ///< Host header of the probe; "" = the endpoint
    bool notify = false;  ///< only READY=1 over NOTIFY_SOCKET counts
    std::vector<int> status{200};
    Millis timeout = 30s;
    bool operator==(const Ready&) const = default;
  };
  struct Health {
    std::string http;  ///< path; "" = tcp
    std::string host;  ///< Host header of the probe; "" = the endpoint
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
  struct Recycle {
    std::optional<Bytes> memory;       ///< replace first, then drain
    std::optional<Bytes> hard_memory;  ///< no new work at once
    std::optional<std::uint64_t> requests;
    std::optional<Millis> age;
    double jitter = 0.1;  ///< part of a limit by which each incarnation's own is lower, at most
    bool operator==(const Recycle&) const = default;
  };
  struct Rolling {
    std::uint32_t max_surge = 1;        ///< more workers than desired, at most
    std::uint32_t max_unavailable = 0;  ///< fewer eligible ones than desired, at most; not both 0
    Millis soak = 0s;                   ///< a new incarnation must stay ready that long before the old one leaves
    RollOrder order = RollOrder::slot;
    bool operator==(const Rolling&) const = default;
  };
  struct Hang {
    std::optional<Millis> after;  ///< none: off
    int signal = 3;               ///< QUIT: many runtimes print their stacks
    bool operator==(const Hang&) const = default;
  };
  struct Outlier {
    std::uint32_t errors = 5;  ///< in a row; 0: off
    double ratio = 50;         ///< percent of the exchanges of `window` that failed; 0: off
    Millis window = 10s;
    double eject_max = 50;  ///< percent of the pool's workers; would more have to leave, all are used
    Millis base = 5s;       ///< away for that long; twice as long each further time
    bool operator==(const Outlier&) const = default;
  };
  struct Killer {
    std::uint32_t deaths = 3;  ///< 0: off
    Millis within = 5min;
    bool operator==(const Killer&) const = default;
  };
  struct Limits {
    std::optional<Bytes> memory;
    std::optional<std::uint32_t> files;
    std::optional<int> nice;
    std::optional<Bytes> core;
    bool operator==(const Limits&) const = default;
  };

  struct State {
    std::uint32_t keys = 10'000;
    Bytes value{64 * 1024};            ///< of one value, as JSON text
    Bytes bytes{16ULL * 1024 * 1024};  ///< of all
    bool operator==(const State&) const = default;
  };

  std::string name;
  std::vector<std::string> command;  ///< as written; expand() fills in ${…}
  std::string dir;                   ///< "" = drover's own
  std::string user;                  ///< "" = drover's own
  std::map<std::string, std::string> env;
  std::string env_file;  ///< path; read again at each start of a worker; `env` goes before it
  std::optional<unsigned> umask;
  std::uint32_t workers = 1;                 ///< at start, and the fewest while anybody asks; resolved: "auto" is the number of CPUs
  std::optional<std::uint32_t> workers_max;  ///< the pool grows up to it by itself; none: fixed
  std::string strategy = "round-robin";
  std::uint32_t concurrency = 0;  ///< open connections per worker, busy or idle; 0: no limit
  bool keepalive = true;
  Endpoint endpoint = Endpoint::tcp;
  Dispatch dispatch = Dispatch::proxy;
  std::string node = "auto";               ///< "auto", "cluster", "fork", "off": see node_mode()
  std::optional<std::uint16_t> node_port;  ///< of a Node program that listens on several: the one that clients are given; none: its first
  Ready ready;
  Health health;
  Restart restart;
  Stop stop;
  Drain drain;
  Alert alert;
  Timeouts timeouts;
  Retry retry;
  Queue queue;
  Recycle recycle;
  Rolling rolling;
  Hang hang;
  Outlier outlier;
  Killer killer;
  Limits limits;
  State state;                      ///< shared state of its workers
  std::optional<Millis> idle_stop;  ///< without a request for that long: no worker until the next one; none: off
  bool operator==(const Pool&) const = default;
};

/// auto is cluster if the command's program is node or nodejs (in whatever folder), else off.
NodeMode node_mode(const Pool& pool);

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
