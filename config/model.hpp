// Role: what one cluster.toml means, as plain structs with units and defaults. cluster.example.toml names the same keys.
// Thread: any; never changed after validation. Ownership: values all through.
#pragma once

#include "base/units.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
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

enum class AccessFormat : std::uint8_t { json, common, combined };

struct Log {
  struct Access {
    std::string path;  ///< "" = no access log; "-" = standard output
    AccessFormat format = AccessFormat::json;
    bool operator==(const Access&) const = default;
  };
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  Access access;
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
  /// The slowest that a client may send, averaged over the time that drover has waited for it; looked at after `grace`. No rate: as slow as
  /// `timeouts` let it. No grace: 3 s for a head, for a body 10 s or, if that is longer, one silence such as `timeouts.body` allows.
  struct Rates {
    std::optional<Bytes> head;  ///< per second
    std::optional<Bytes> body = Bytes{100};
    std::optional<Millis> grace;
    bool operator==(const Rates&) const = default;
  };
  /// Of one client address (an IPv6 one: its /64); 0: no limit. More is answered 429.
  struct PerClient {
    std::uint32_t connections = 0;  ///< open at once
    double requests = 0;            ///< per second, in the long run
    std::uint32_t burst = 0;        ///< requests at once; 0: those of one second, one at least
    bool operator==(const PerClient&) const = default;
  };
  std::string name;
  Bind bind;
  Timeouts timeouts;
  Limits limits;
  Rates rates;
  PerClient per_client;
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
    Millis floor = 100ms;   ///< the shortest whole exchange that a client's X-Request-Timeout can ask for
    bool operator==(const Timeouts&) const = default;
  };
  struct Retry {
    std::uint32_t attempts = 3;
    double budget = 20;  ///< percent of requests
    bool operator==(const Retry&) const = default;
  };
  enum class QueueOrder : std::uint8_t {
    oldest,  ///< first come, first served
    newest   ///< the last to come first: under overload some are served in time, instead of all too late
  };
  struct Queue {
    std::uint32_t max = 256;
    Millis wait = 5s;
    QueueOrder order = QueueOrder::oldest;
    bool operator==(const Queue&) const = default;
  };
  /// The pool as a whole is let alone for a while when too many of its exchanges fail.
  struct Breaker {
    double errors = 0;            ///< percent of the exchanges of `window`, as many or more; 0: off
    std::uint32_t requests = 20;  ///< fewer exchanges in `window` prove nothing
    Millis window = 10s;
    Millis open = 5s;  ///< answered 503 for that long; then one exchange is let through; the head of its response decides
    bool operator==(const Breaker&) const = default;
  };
  /// A client comes back to its worker.
  struct Sticky {
    std::string cookie;    ///< its name; "" = off
    std::string key_file;  ///< path of the secret that signs it; "" = one made at each start of drover
    Millis age{0};         ///< Max-Age; 0: as long as the browser runs
    bool secure = false;   ///< only over https
    bool operator==(const Sticky&) const = default;
  };
  /// What consistent-hash goes by.
  enum class HashBy : std::uint8_t { address, path, header, cookie };
  struct Hash {
    HashBy by = HashBy::address;
    std::string name;     ///< of the header or the cookie
    double bound = 1.25;  ///< no worker gets more than this many times the mean of the exchanges in flight
    bool operator==(const Hash&) const = default;
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
  Millis slow_start{0};             ///< a fresh worker's share grows to its whole over that time; 0: at once
  Breaker breaker;
  Sticky sticky;
  Hash hash;
  std::optional<std::uint32_t> spill_to;  ///< position in Config::pools: takes what this pool can't (full, nobody there, broken)
  std::map<int, std::string> errors;      ///< by status: path of the page that drover sends with an answer of its own
  bool operator==(const Pool&) const = default;
};

/// auto is cluster if the command's program is node or nodejs (in whatever folder), else off.
NodeMode node_mode(const Pool& pool);

struct Field {
  std::string name;
  std::string value;
  bool operator==(const Field&) const = default;
};

/// Changes to a head, in this order: remove, set (in the place of all of that name), add.
struct HeaderEdits {
  std::vector<std::string> remove;
  std::vector<Field> set;
  std::vector<Field> add;
  bool operator==(const HeaderEdits&) const = default;
};

struct Route {
  /// A part of the route's requests.
  struct Part {
    std::uint32_t pool = 0;  ///< position in Config::pools
    std::uint32_t weight = 1;
    bool operator==(const Part&) const = default;
  };
  struct Redirect {
    std::string to;    ///< "" = none; "${host}", "${path}", "${query}" ("?" and what follows, or nothing) are filled in
    int status = 302;  ///< 301, 302, 303, 307 or 308
    bool operator==(const Redirect&) const = default;
  };
  struct Respond {
    int status = 0;  ///< 0: none
    std::string body;
    std::string type = "text/plain; charset=utf-8";
    bool operator==(const Respond&) const = default;
  };
  std::string host = "*";
  std::string path = "/";
  bool exact = false;                  ///< `path` is the whole path, not a prefix
  std::vector<std::string> methods{};  ///< only these; empty: any
  std::vector<Field> headers{};        ///< only with all of these; value "*": any
  std::uint32_t pool = 0;              ///< position in Config::pools; of no meaning with split, redirect or respond
  std::vector<Part> split{};           ///< in the place of `pool`: each gets its weight's part of the requests
  std::string strip{};                 ///< prefix that is taken off the path
  std::string prefix{};                ///< put before the path (after strip)
  HeaderEdits request{};
  HeaderEdits response{};
  Redirect redirect{};
  Respond respond{};
  std::optional<Millis> timeout{};  ///< of the whole exchange, to the last byte of the response
  int priority = 0;                 ///< when a line is full, the lowest goes first

  bool answered_here() const { return !redirect.to.empty() || respond.status != 0; }
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
