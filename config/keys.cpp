#include "config/keys.hpp"

#include "base/text.hpp"

#include <sys/signal.h>

#include <array>
#include <concepts>
#include <limits>

namespace drover::config {

namespace {

void put(bool& field, const Value& v) { field = v.flag; }
void put(double& field, const Value& v) { field = v.number; }
void put(Millis& field, const Value& v) { field = v.duration; }
void put(Bytes& field, const Value& v) { field = v.bytes; }
void put(std::string& field, const Value& v) { field = v.text; }
void put(std::vector<std::string>& field, const Value& v) { field = v.list; }
void put(std::vector<int>& field, const Value& v) { field = v.numbers; }
void put(std::map<std::string, std::string>& field, const Value& v) { field = v.environment; }
void put(PortRange& field, const Value& v) { field = v.ports; }
void put(Bind& field, const Value& v) { field = v.bind; }
void put(std::optional<unsigned>& field, const Value& v) { field = static_cast<unsigned>(v.integer); }
void put(std::optional<Millis>& field, const Value& v) { field = v.word ? std::nullopt : std::optional(v.duration); }
void put(std::optional<Bytes>& field, const Value& v) { field = v.word ? std::nullopt : std::optional(v.bytes); }
void put(std::optional<Bind>& field, const Value& v) { field = v.word ? std::nullopt : std::optional(v.bind); }
template <class T>
requires std::integral<T> || std::is_enum_v<T>
void put(T& field, const Value& v) { field = static_cast<T>(v.integer); }

template <class>
struct Split;
template <class C, class F>
struct Split<F C::*> {
  using Struct = C;
};

template <auto Member>
void set(void* target, const Value& v) {
  put(static_cast<typename Split<decltype(Member)>::Struct*>(target)->*Member, v);
}
template <auto Member>
void* inner(void* target) {
  return &(static_cast<typename Split<decltype(Member)>::Struct*>(target)->*Member);
}

constexpr std::int64_t kSecond = 1000;
constexpr std::int64_t kDay = 24 * 3600 * kSecond;
constexpr Range kMayBeZero{0, 30 * kDay};
constexpr Range kPositive{1, 30 * kDay};
constexpr Range kTick{10, 30 * kDay};  ///< what repeats: not faster than a loop can bear
constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = kKiB * 1024;
constexpr Range kAnyBytes{0, std::numeric_limits<std::int64_t>::max()};
constexpr std::int64_t kUnbounded = std::int64_t{1} << 50;  ///< an upper end beyond it is none

std::string amount_text(Type type, std::int64_t amount) {
  switch (type) {
    case Type::duration: return base::to_text(Millis(amount));
    case Type::bytes: return base::to_text(Bytes{static_cast<std::uint64_t>(amount)});
    case Type::percent: return std::to_string(amount) + "%";
    default: return std::to_string(amount);
  }
}

// Not yet: the name is reserved, so that a mistyped key can be told from one that comes later.
constexpr Key later(std::string_view name, std::string_view help) { return {.name = name, .help = help, .later = true}; }
constexpr Key table(std::string_view name, const Section& fields, void* (*target)(void*)) {
  return {.name = name, .type = Type::table, .help = fields.help, .fields = &fields, .inner = target};
}

constexpr std::array kStrategies{std::string_view("round-robin"), std::string_view("least-connections"), std::string_view("least-memory"),
                                 std::string_view("random-of-two")};
constexpr std::array kStrategyChoices{Choice{kStrategies[0], false, "the next in turn"},
                                      Choice{kStrategies[1], false, "fewest exchanges in flight now"},
                                      Choice{kStrategies[2], false, "smallest memory, by its own report, else as sampled"},
                                      Choice{kStrategies[3], false, "of two drawn by lot the one with fewer exchanges in flight"}};
constexpr std::array kLevels{Choice{"debug"}, Choice{"info"}, Choice{"warn"}, Choice{"error"}};
constexpr std::array kFormats{Choice{"text"}, Choice{"json"}};
constexpr std::array kModes{Choice{"http"}, Choice{"tcp", true}};
constexpr std::array kEndpoints{Choice{"tcp"}, Choice{"unix"}};
constexpr std::array kDispatches{Choice{"proxy"}, Choice{"handoff", true}, Choice{"shared", true}};
constexpr std::array kNodes{Choice{"auto"}, Choice{"cluster", true}, Choice{"fork", true}, Choice{"off"}};

template <const auto& Keys>
std::span<const Key> as_span() {
  return Keys;
}

// clang-format off
constexpr std::array kCluster{
  Key{"ports", Type::ports, R"("20000-29999")",
      "where workers' ports are taken from; should lie outside the kernel's ephemeral range (else a warning)", set<&Cluster::ports>},
  Key{"shutdown", Type::duration, R"("25s")", "whole graceful stop, at most; what is left then is killed", set<&Cluster::shutdown>, kMayBeZero},
};

constexpr std::array kAdmin{
  Key{"listen", Type::bind, R"("127.0.0.1:9180")", "/metrics, /livez, /readyz and /status; \"off\" to close", set<&Admin::listen>, {}, "off"},
  Key{"socket", Type::path, "",
      "reserved for the command line's Unix socket: checked, but nothing listens there yet",
      set<&Admin::socket>},
  later("token_file", "lets the TCP side change things"),
};

constexpr std::array kLog{
  Key{"level", Type::choice, R"("info")", "least important line that is written", set<&Log::level>, {}, {}, kLevels},
  Key{"format", Type::choice, R"("text")", "for people or for programs", set<&Log::format>, {}, {}, kFormats},
  later("access", "access log"),
};

constexpr std::array kProxy{
  Key{"threads", Type::integer, R"("auto")", "threads of the proxy; auto: one per CPU", set<&Proxy::threads>, {1, 256}, "auto"},
  Key{"user", Type::text, "", "the proxy's user when started as root; default: drover if it exists, else nobody", set<&Proxy::user>},
};

constexpr std::array kListenerTimeouts{
  Key{"head", Type::duration, R"("10s")", "whole request head", set<&Listener::Timeouts::head>, kPositive},
  Key{"body", Type::duration, R"("30s")", "silence between two reads of a request body", set<&Listener::Timeouts::body>, kPositive},
  Key{"idle", Type::duration, R"("60s")", "between two requests", set<&Listener::Timeouts::idle>, kPositive},
  Key{"send", Type::duration, R"("30s")", "silence between two writes to a client", set<&Listener::Timeouts::send>, kPositive},
};
constexpr Section kListenerTimeoutsSection{"", "how long a client may take", as_span<kListenerTimeouts>};

constexpr std::array kListenerLimits{
  Key{"target", Type::bytes, R"("8KiB")", "request target; more is 414", set<&Listener::Limits::target>, {64, kMiB}},
  Key{"head", Type::bytes, R"("32KiB")", "whole request head; more is 431", set<&Listener::Limits::head>, {256, kMiB}},
  Key{"body", Type::bytes, R"("unlimited")", "request body; more is 413", set<&Listener::Limits::body>, kAnyBytes, "unlimited"},
  Key{"connections", Type::integer, "10_000", "clients at once; further ones wait in the kernel's queue", set<&Listener::Limits::connections>, {1, 1'000'000}},
};
constexpr Section kListenerLimitsSection{"", "how much a client may send", as_span<kListenerLimits>};

constexpr std::array kListener{
  Key{"bind", Type::bind, R"("127.0.0.1:3000")", "\"host:port\", \":port\" (all addresses), \"[::1]:port\", \"unix:/path\"", set<&Listener::bind>},
  Key{"mode", Type::choice, R"("http")", "what clients speak", nullptr, {}, {}, kModes},
  table("timeouts", kListenerTimeoutsSection, inner<&Listener::timeouts>),
  table("limits", kListenerLimitsSection, inner<&Listener::limits>),
  later("pool", "where everything goes when no route can be read"),
  later("tls", "certificates"),
  later("redirect_https", "send clients to https"),
  later("trusted_proxies", "networks whose X-Forwarded-* is believed"),
  later("proxy_protocol", "PROXY header before each connection"),
  later("backlog", "connections the kernel keeps waiting"),
};

constexpr std::array kReady{
  Key{"tcp", Type::flag, "", "ready when it accepts a connection; the same as no `http`"},
  Key{"http", Type::url_path, "", "ready when a GET of this path answers with one of `status`; a JSON answer with \"ready\": false is not", set<&Pool::Ready::http>},
  Key{"status", Type::statuses, "[200]", "statuses that count as ready", set<&Pool::Ready::status>},
  Key{"timeout", Type::duration, R"("30s")", "from start to ready; later is a death before ready", set<&Pool::Ready::timeout>, kPositive},
};
constexpr Section kReadySection{"", "when a worker may get work", as_span<kReady>};

constexpr std::array kHealth{
  Key{"http", Type::url_path, "", "probe by a GET of this path, else by a connection; a JSON answer may report memory (bytes), cpu (percent of one core), ready", set<&Pool::Health::http>},
  Key{"status", Type::statuses, "[200]", "statuses that count as passed", set<&Pool::Health::status>},
  Key{"interval", Type::duration, R"("30s")", "between two probes", set<&Pool::Health::interval>, kTick},
  Key{"timeout", Type::duration, R"("2s")", "of one probe", set<&Pool::Health::timeout>, kPositive},
  Key{"rise", Type::integer, "2", "passed probes until a failing worker gets work again", set<&Pool::Health::rise>, {1, 1000}},
  Key{"fall", Type::integer, "3", "failed probes until a worker gets no new work", set<&Pool::Health::fall>, {1, 1000}},
  Key{"restart_after", Type::duration, R"("60s")",
      "failing that long: replaced, one worker of a pool at a time; \"off\": never", set<&Pool::Health::restart_after>, kPositive, "off"},
};
constexpr Section kHealthSection{"", "probes of running workers", as_span<kHealth>};

constexpr std::array kRestart{
  Key{"delay", Type::duration, R"("1s")",
      "before a dead worker is started again; doubles (jitter 10%) with each death before ready or by its own fault; a life beyond `young` starts it anew", set<&Pool::Restart::delay>, kTick},
  Key{"max_delay", Type::duration, R"("30s")", "what the delay grows to", set<&Pool::Restart::max_delay>, kTick},
  Key{"max", Type::integer, "10",
      "with more deaths than this `within`, before ready or young, the slot is failed and retried each `max_delay`; 0: no limit", set<&Pool::Restart::max>, {0, 1'000'000}},
  Key{"within", Type::duration, R"("10m")", "window of `max`", set<&Pool::Restart::within>, kPositive},
  Key{"young", Type::duration, R"("10s")", "a death that soon after ready counts", set<&Pool::Restart::young>, kMayBeZero},
  Key{"give_up", Type::flag, "false", "a failed slot is not retried; drover exits 1 when all pools have failed", set<&Pool::Restart::give_up>},
};
constexpr Section kRestartSection{"", "what happens after a death", as_span<kRestart>};

constexpr std::array kStop{
  Key{"signal", Type::signal, R"("TERM")", "sent after the drain", set<&Pool::Stop::signal>},
  Key{"grace", Type::duration, R"("10s")", "from the signal to KILL", set<&Pool::Stop::grace>, kMayBeZero},
};
constexpr Section kStopSection{"", "how a worker is ended", as_span<kStop>};

constexpr std::array kDrain{
  Key{"http", Type::duration, R"("10s")", "exchanges may end within, when their worker is replaced", set<&Pool::Drain::http>, kMayBeZero},
  Key{"tunnel", Type::duration, R"("10s")", "the same for tunnels (websocket), when all is stopped: then the longest `http` or `tunnel` of all pools holds for every client", set<&Pool::Drain::tunnel>, kMayBeZero},
};
constexpr Section kDrainSection{"", "how long old work may last", as_span<kDrain>};

constexpr std::array kAlert{
  Key{"memory", Type::bytes, R"("500MiB")", "a log line when a worker rises above it", set<&Pool::Alert::memory>, {1, kAnyBytes.most}},
  Key{"cpu", Type::percent, R"("80%")", "of one core over the last second; a log line when a worker rises above it", set<&Pool::Alert::cpu>, {0, 100'000}},
};
constexpr Section kAlertSection{"", "when to speak up", as_span<kAlert>};

constexpr std::array kPoolTimeouts{
  Key{"connect", Type::duration, R"("2s")", "connection to a worker", set<&Pool::Timeouts::connect>, kPositive},
  Key{"response", Type::duration, R"("60s")", "to the first byte of its response", set<&Pool::Timeouts::response>, kPositive},
  Key{"stall", Type::duration, R"("60s")", "silence within its response", set<&Pool::Timeouts::stall>, kPositive},
  Key{"idle", Type::duration, R"("4s")", "reuse of a connection to a worker", set<&Pool::Timeouts::idle>, kMayBeZero},
};
constexpr Section kPoolTimeoutsSection{"", "how long a worker may take", as_span<kPoolTimeouts>};

constexpr std::array kRetry{
  Key{"attempts", Type::integer, "3", "tries in all, the first included", set<&Pool::Retry::attempts>, {1, 100}},
  Key{"budget", Type::percent, R"("20%")", "retries, of requests", set<&Pool::Retry::budget>, {0, 100}},
};
constexpr Section kRetrySection{"", "a request's further tries", as_span<kRetry>};

constexpr std::array kQueue{
  Key{"max", Type::integer, "256", "waiting requests; 0: none waits", set<&Pool::Queue::max>, {0, 100'000}},
  Key{"wait", Type::duration, R"("5s")", "longest wait", set<&Pool::Queue::wait>, kMayBeZero},
};
constexpr Section kQueueSection{"", "requests that wait for a worker", as_span<kQueue>};

constexpr std::array kPool{
  Key{"command", Type::command, "",
      "required: program and arguments; ${PORT}, ${HOST}, ${SOCKET}, ${WORKER}, ${ENV_NAME}; \"$$\" is a dollar; \"drover\" as program is this very executable",
      set<&Pool::command>},
  Key{"dir", Type::folder, "", "folder to start in; drover's own if not given", set<&Pool::dir>},
  Key{"user", Type::text, "", "user to run as; needs root; drover's own if not given", set<&Pool::user>},
  Key{"env", Type::environment, "", "environment variables; ${…} as in command", set<&Pool::env>},
  Key{"umask", Type::umask, "", "like \"022\"; drover's own if not given", set<&Pool::umask>},
  Key{"workers", Type::integer, R"("auto")", "copies of the command; auto: number of CPUs; { min, max } is not available yet", set<&Pool::workers>, {1, kMaxWorkers}, "auto"},
  Key{"strategy", Type::choice, R"("round-robin")", "orders workers for each request", set<&Pool::strategy>, {}, {}, kStrategyChoices},
  Key{"concurrency", Type::integer, "0", "open connections per worker, busy or idle; 0: no limit", set<&Pool::concurrency>, {0, 1'000'000}},
  Key{"keepalive", Type::flag, "true", "reuse connections to workers", set<&Pool::keepalive>},
  Key{"endpoint", Type::choice, R"("tcp")", "where workers listen; unix: command must use ${SOCKET}", set<&Pool::endpoint>, {}, {}, kEndpoints},
  Key{"dispatch", Type::choice, R"("proxy")", "who accepts clients", nullptr, {}, {}, kDispatches},
  Key{"node", Type::choice, R"("auto")", "how to talk to a Node program", nullptr, {}, {}, kNodes},
  table("ready", kReadySection, inner<&Pool::ready>),
  table("health", kHealthSection, inner<&Pool::health>),
  table("restart", kRestartSection, inner<&Pool::restart>),
  table("stop", kStopSection, inner<&Pool::stop>),
  table("drain", kDrainSection, inner<&Pool::drain>),
  table("alert", kAlertSection, inner<&Pool::alert>),
  table("timeouts", kPoolTimeoutsSection, inner<&Pool::timeouts>),
  table("retry", kRetrySection, inner<&Pool::retry>),
  table("queue", kQueueSection, inner<&Pool::queue>),
  later("env_file", "environment variables from a file"),
  later("recycle", "replace workers by age, memory or requests"),
  later("rolling", "pace of a rolling restart"),
  later("hang", "what a worker that hangs gets"),
  later("outlier", "passive eviction"),
  later("killer", "requests that kill workers"),
  later("limits", "resource limits"),
  later("slow_start", "less work for a fresh worker"),
  later("idle_stop", "stop workers that nobody asks for"),
  later("spill_to", "pool that takes what this one can't"),
  later("protocol", "what workers speak"),
  later("node_port", "port a Node program asks for"),
};

/// A route's target is the name as written until pools are known.
constexpr std::array kRoute{
  Key{"host", Type::host, R"("*")", "\"*\", \"*.example.org\" or a name, without a port; a name goes before \"*.…\", that before \"*\"", set<&Route::host>},
  Key{"path", Type::url_path, R"("/")", "prefix, on segment boundaries; of one host's routes the longest path wins", set<&Route::path>},
  Key{"pool", Type::text, "", "where its requests go; required with more than one pool"},
  later("methods", "only these"),
  later("headers", "only with these"),
  later("strip", "prefix to take off"),
  later("timeout", "of the whole exchange"),
  later("priority", "before longer paths"),
};

constexpr std::array kSections{
  Section{"cluster", "what holds for everything", as_span<kCluster>},
  Section{"admin", "where drover is observed", as_span<kAdmin>},
  Section{"log", "drover's log, on standard error", as_span<kLog>},
  Section{"proxy", "the process that forwards", as_span<kProxy>},
  Section{"listener", "where clients connect", as_span<kListener>},
  Section{"pool", "a group of identical workers", as_span<kPool>},
  Section{"route", "host + path to pool", as_span<kRoute>},
};

constexpr std::array kSignals{
  SignalName{"TERM", SIGTERM}, SignalName{"INT", SIGINT}, SignalName{"QUIT", SIGQUIT}, SignalName{"HUP", SIGHUP}, SignalName{"USR1", SIGUSR1},
  SignalName{"USR2", SIGUSR2}, SignalName{"KILL", SIGKILL}, SignalName{"WINCH", SIGWINCH}, SignalName{"ABRT", SIGABRT}, SignalName{"ALRM", SIGALRM},
};
// clang-format on

}  // namespace

std::span<const Section> sections() { return kSections; }

const Section& section(std::string_view name) {
  for (const Section& candidate : kSections) {
    if (candidate.name == name) return candidate;
  }
  return kSections[0];
}

std::string range_text(const Key& key) {
  const auto [least, most] = key.range;
  if (most == 0 || (least == 0 && most > kUnbounded)) return {};
  if (most > kUnbounded) return "at least " + amount_text(key.type, least);
  return "from " + amount_text(key.type, least) + " to " + amount_text(key.type, most);
}

std::span<const std::string_view> strategy_names() { return kStrategies; }
std::span<const SignalName> signal_names() { return kSignals; }

}  // namespace drover::config
