// [pool.NAME]
#include "config/key_tables.hpp"

namespace drover::config {

namespace {

#define DROVER_STRATEGY(name, help, ...) Choice{name, false, help},
constexpr Choice kStrategies[]{
#include "config/strategies.def"
};
#undef DROVER_STRATEGY
constexpr std::array kQueueOrders{Choice{"oldest", false, "first come, first served"},
                                  Choice{"newest", false, "the last to come first: under overload some are served in time, instead of all too late"}};
constexpr std::array kHashBys{Choice{"address", false, "the client's"}, Choice{"path", false, "of the request, without its query"},
                              Choice{"header", false, "the value of the one called `name`"}, Choice{"cookie", false, "likewise"}};
constexpr std::array kOrders{Choice{"slot", false, "by number"}, Choice{"oldest", false, "longest-lived first"},
                             Choice{"largest", false, "most memory first"}};
constexpr std::array kEndpoints{Choice{"tcp"}, Choice{"unix"}};
constexpr std::array kDispatches{
    Choice{"proxy", false, "the proxy: HTTP, with all that it offers"},
    Choice{"handoff", false, "drover, which passes each connection to a worker that `strategy` chooses; Node's cluster module"},
    Choice{"shared", false, "the workers, on one listening socket: the kernel chooses; by Node's cluster module or LISTEN_FDS"}};
constexpr std::array kNodes{Choice{"auto", false, "cluster if the command's program is node, else off"},
                            Choice{"cluster", false, "as a worker of Node's cluster module, whose primary drover is"},
                            Choice{"fork", false, "as a child of child_process.fork"}, Choice{"off", false, "no Node program"}};

/// One number, or the two ends of a range.
constexpr Access kWorkersAccess{[](void* target, const Value& v) {
                                  Pool& pool = *static_cast<Pool*>(target);
                                  pool.workers = static_cast<std::uint32_t>(v.integer);
                                  pool.workers_max = v.most > v.integer ? std::optional(static_cast<std::uint32_t>(v.most)) : std::nullopt;
                                },
                                [](const void* target, Value& v) {
                                  const Pool& pool = *static_cast<const Pool*>(target);
                                  v.integer = pool.workers;
                                  v.most = pool.workers_max.value_or(0);
                                }};

/// "off" is 0.
constexpr Access kBreakerErrors{[](void* target, const Value& v) { static_cast<Pool::Breaker*>(target)->errors = v.word ? 0 : v.number; },
                                [](const void* target, Value& v) {
                                  v.number = static_cast<const Pool::Breaker*>(target)->errors;
                                  v.word = v.number == 0;
                                }};

/// What is left when nothing else was chosen: remembered by the others' absence.
constexpr Access kReadyByTcp{nullptr, [](const void* target, Value& v) {
                               const Pool::Ready& ready = *static_cast<const Pool::Ready*>(target);
                               v.flag = true;
                               v.word = ready.notify || !ready.http.empty();
                             }};

// clang-format off
constexpr std::array kReady{
  Key{"tcp", Type::flag, "", "ready when it accepts a connection; the same as neither `http` nor `notify`", kReadyByTcp},
  Key{"http", Type::url_path, "", "ready when a GET of this path answers with one of `status`; a JSON answer with \"ready\": false is not", at<&Pool::Ready::http>},
  Key{"host", Type::header, "", "Host header of that GET; the endpoint if not given", at<&Pool::Ready::host>},
  Key{"notify", Type::flag, "false", "ready when it says READY=1 over NOTIFY_SOCKET, and not before; in the place of `http`", at<&Pool::Ready::notify>},
  Key{"status", Type::statuses, "[200]", "statuses that count as ready", at<&Pool::Ready::status>},
  Key{"timeout", Type::duration, R"("30s")", "from start to ready; later is a death before ready", at<&Pool::Ready::timeout>, kPositive},
};
constexpr Section kReadySection{"", "when a worker may get work", as_span<kReady>};

constexpr std::array kHealth{
  Key{"http", Type::url_path, "", "probe by a GET of this path, else by a connection; a JSON answer may report memory (bytes), cpu (percent of one core), ready, status, share (percent)", at<&Pool::Health::http>},
  Key{"host", Type::header, "", "Host header of that GET; the endpoint if not given", at<&Pool::Health::host>},
  Key{"status", Type::statuses, "[200]", "statuses that count as passed", at<&Pool::Health::status>},
  Key{"interval", Type::duration, R"("30s")", "between two probes", at<&Pool::Health::interval>, kTick},
  Key{"timeout", Type::duration, R"("2s")", "of one probe", at<&Pool::Health::timeout>, kPositive},
  Key{"rise", Type::integer, "2", "passed probes until a failing worker gets work again", at<&Pool::Health::rise>, {1, 1000}},
  Key{"fall", Type::integer, "3", "failed probes until a worker gets no new work", at<&Pool::Health::fall>, {1, 1000}},
  Key{"restart_after", Type::duration, R"("60s")",
      "failing that long: replaced, one worker of a pool at a time; \"off\": never", at<&Pool::Health::restart_after>, kPositive, "off"},
};
constexpr Section kHealthSection{"", "probes of running workers", as_span<kHealth>};

constexpr std::array kRestart{
  Key{"delay", Type::duration, R"("1s")",
      "before a dead worker is started again; doubles (jitter 10%) with each death before ready or by its own fault; a life beyond `young` starts it anew", at<&Pool::Restart::delay>, kTick},
  Key{"max_delay", Type::duration, R"("30s")", "what the delay grows to", at<&Pool::Restart::max_delay>, kTick},
  Key{"max", Type::integer, "10",
      "with more deaths than this `within`, before ready or young, the slot is failed and retried each `max_delay`; 0: no limit", at<&Pool::Restart::max>, {0, 1'000'000}},
  Key{"within", Type::duration, R"("10m")", "window of `max`", at<&Pool::Restart::within>, kPositive},
  Key{"young", Type::duration, R"("10s")", "a death that soon after ready counts", at<&Pool::Restart::young>, kMayBeZero},
  Key{"give_up", Type::flag, "false", "a failed slot is not retried; drover exits 1 when all pools have failed", at<&Pool::Restart::give_up>},
};
constexpr Section kRestartSection{"", "what happens after a death", as_span<kRestart>};

constexpr std::array kStop{
  Key{"signal", Type::signal, R"("TERM")", "sent after the drain", at<&Pool::Stop::signal>},
  Key{"grace", Type::duration, R"("10s")", "from the signal to KILL", at<&Pool::Stop::grace>, kMayBeZero},
};
constexpr Section kStopSection{"", "how a worker is ended", as_span<kStop>};

constexpr std::array kDrain{
  Key{"http", Type::duration, R"("10s")", "exchanges may end within, when their worker is replaced", at<&Pool::Drain::http>, kMayBeZero},
  Key{"tunnel", Type::duration, R"("10s")", "the same for tunnels (websocket), when all is stopped: then the longest `http` or `tunnel` of all pools holds for every client", at<&Pool::Drain::tunnel>, kMayBeZero},
};
constexpr Section kDrainSection{"", "how long old work may last", as_span<kDrain>};

constexpr std::array kAlert{
  Key{"memory", Type::bytes, R"("500MiB")", "a log line when a worker rises above it", at<&Pool::Alert::memory>, {1, kAnyBytes.most}},
  Key{"cpu", Type::percent, R"("80%")", "of one core over the last second; a log line when a worker rises above it", at<&Pool::Alert::cpu>, {0, 100'000}},
};
constexpr Section kAlertSection{"", "when to speak up", as_span<kAlert>};

constexpr std::array kPoolTimeouts{
  Key{"connect", Type::duration, R"("2s")", "connection to a worker", at<&Pool::Timeouts::connect>, kPositive},
  Key{"response", Type::duration, R"("60s")", "to the first byte of its response", at<&Pool::Timeouts::response>, kPositive},
  Key{"stall", Type::duration, R"("60s")", "silence within its response, and in a tunnel of which one side has ended", at<&Pool::Timeouts::stall>, kPositive},
  Key{"idle", Type::duration, R"("4s")", "reuse of a connection to a worker", at<&Pool::Timeouts::idle>, kMayBeZero},
  Key{"floor", Type::duration, R"("100ms")", "the shortest whole exchange that a request can ask for with X-Request-Timeout", at<&Pool::Timeouts::floor>, kPositive},
};
constexpr Section kPoolTimeoutsSection{"", "how long a worker may take", as_span<kPoolTimeouts>};

constexpr std::array kRetry{
  Key{"attempts", Type::integer, "3", "tries in all, the first included", at<&Pool::Retry::attempts>, {1, 100}},
  Key{"budget", Type::percent, R"("20%")", "retries, of requests; besides a reserve of 10 for the whole pool, refilled by 1 a second, not with 0%; after a worker's death they are free", at<&Pool::Retry::budget>, {0, 100}},
};
constexpr Section kRetrySection{"", "a request's further tries", as_span<kRetry>};

constexpr std::array kQueue{
  Key{"max", Type::integer, "256", "waiting requests; 0: none waits", at<&Pool::Queue::max>, {0, 100'000}},
  Key{"wait", Type::duration, R"("5s")", "longest wait", at<&Pool::Queue::wait>, kMayBeZero},
  Key{"order", Type::choice, R"("oldest")", "who is served first", at<&Pool::Queue::order>, {}, {}, kQueueOrders},
};
constexpr Section kQueueSection{"", "requests that wait for a worker", as_span<kQueue>};

constexpr std::array kRecycle{
  like(R"("400MiB")", {"memory", Type::bytes, R"("off")", "a larger worker, or one that will be before a successor could be ready, is replaced: successor first, then drained", at<&Pool::Recycle::memory>, {1, kAnyBytes.most}, "off"}),
  Key{"hard_memory", Type::bytes, R"("off")", "a larger worker gets no new work at once and is replaced in its place", at<&Pool::Recycle::hard_memory>, {1, kAnyBytes.most}, "off"},
  Key{"requests", Type::integer, R"("off")", "replaced after that many requests", at<&Pool::Recycle::requests>, {1, 1'000'000'000'000}, "off"},
  Key{"age", Type::duration, R"("off")", "replaced after that long", at<&Pool::Recycle::age>, kAWhile, "off"},
  Key{"jitter", Type::fraction, "0.1", "part of a limit by which each worker's own is lower, at most, so that not all reach it at once; `hard_memory` has none", at<&Pool::Recycle::jitter>, {0, 500}},
};
constexpr Section kRecycleSection{"", "when a worker has grown, served or lived enough; one of a pool at a time, and not while requests wait (but `hard_memory`)", as_span<kRecycle>};

constexpr std::array kRolling{
  Key{"max_surge", Type::integer, "1", "more workers than wanted, at most: successors that get ready beside the old", at<&Pool::Rolling::max_surge>, kPieces},
  Key{"max_unavailable", Type::integer, "0", "fewer workers in service than wanted, at most; not both 0", at<&Pool::Rolling::max_unavailable>, kPieces},
  Key{"soak", Type::duration, R"("0s")", "a successor must stay ready that long before the old one leaves", at<&Pool::Rolling::soak>, kMayBeZero},
  Key{"order", Type::choice, R"("slot")", "whose turn it is", at<&Pool::Rolling::order>, {}, {}, kOrders},
};
constexpr Section kRollingSection{"", "pace of a rolling restart", as_span<kRolling>};

constexpr std::array kHang{
  like(R"("30s")", {"after", Type::duration, R"("off")", "none of its exchanges moved for that long and it computes nothing: `signal`, then replaced", at<&Pool::Hang::after>, kLook, "off"}),
  Key{"signal", Type::signal, R"("QUIT")", "sent first; many runtimes then print their stacks", at<&Pool::Hang::signal>},
};
constexpr Section kHangSection{"", "what a worker that hangs gets", as_span<kHang>};

constexpr std::array kOutlier{
  Key{"errors", Type::integer, "5", "broken exchanges and answers 502, 503, 504 in a row; 0: they don't count", at<&Pool::Outlier::errors>, {0, 1'000'000}},
  Key{"ratio", Type::percent, R"("50%")", "of the exchanges of `window`; 0%: doesn't count", at<&Pool::Outlier::ratio>, {0, 100}},
  Key{"window", Type::duration, R"("10s")", "what `ratio` looks at", at<&Pool::Outlier::window>, kWindow},
  Key{"eject_max", Type::percent, R"("50%")", "of the pool's workers, rounded down; would more have to leave, all are used", at<&Pool::Outlier::eject_max>, {0, 100}},
  Key{"base", Type::duration, R"("5s")", "away for that long; twice as long each further time, up to 5 minutes", at<&Pool::Outlier::base>, kLook},
};
constexpr Section kOutlierSection{"", "no new work for a while for a worker whose answers fail", as_span<kOutlier>};

constexpr std::array kKiller{
  Key{"deaths", Type::integer, "3", "a kind of request that was inside at that many workers' deaths by their own fault is answered 503; 0: off", at<&Pool::Killer::deaths>, {0, 256}},
  Key{"within", Type::duration, R"("5m")", "window of `deaths`, and for how long it is answered so", at<&Pool::Killer::within>, kWindow},
};
constexpr Section kKillerSection{"", "requests that kill workers", as_span<kKiller>};

constexpr std::array kLimits{
  Key{"memory", Type::bytes, "", "memory of the worker and its children where cgroup v2 is writable, else its address space", at<&Pool::Limits::memory>, {kMiB, kAnyBytes.most}},
  like("4096", {"files", Type::integer, "", "open files", at<&Pool::Limits::files>, {16, 1'000'000'000}}),
  Key{"nice", Type::integer, "", "niceness; below drover's own needs a right", at<&Pool::Limits::nice>, {-20, 19}},
  Key{"core", Type::bytes, "", "size of a core dump; \"0\": none", at<&Pool::Limits::core>, kAnyBytes},
};
constexpr Section kLimitsSection{"", "what a worker may use; not given: as drover itself", as_span<kLimits>};

constexpr std::array kState{
  Key{"keys", Type::integer, "10_000", "keys at once", at<&Pool::State::keys>, {0, 10'000'000}},
  Key{"value", Type::bytes, R"("64KiB")", "one value, as JSON", at<&Pool::State::value>, {1, kMiB}},
  Key{"bytes", Type::bytes, R"("16MiB")", "all keys and values", at<&Pool::State::bytes>, {1, kAnyBytes.most}},
};
constexpr Section kStateSection{"", "what the pool's workers may keep in their shared state", as_span<kState>};

constexpr std::array kBreaker{
  like(R"("50%")", {"errors", Type::percent, R"("off")", "as many or more of the exchanges of `window` broke or were answered 502, 503, 504: the pool is let alone", kBreakerErrors, {1, 100}, "off"}),
  Key{"requests", Type::integer, "20", "fewer exchanges in `window` prove nothing", at<&Pool::Breaker::requests>, {1, 1'000'000'000}},
  Key{"window", Type::duration, R"("10s")", "what `errors` looks at", at<&Pool::Breaker::window>, kWindow},
  Key{"open", Type::duration, R"("5s")", "answered 503 for that long; then one exchange is let through, and the head of its response decides", at<&Pool::Breaker::open>, kLook},
};
constexpr Section kBreakerSection{"", "when the pool as a whole is let alone for a while", as_span<kBreaker>};

constexpr std::array kSticky{
  needed(like(R"("seat")", {"cookie", Type::token, "", "its name", at<&Pool::Sticky::cookie>})),
  Key{"key_file", Type::path, "", "a file with the secret that signs it, at least 16 bytes, which nobody but its owner may open; without one drover makes a secret at each start", at<&Pool::Sticky::key_file>},
  Key{"age", Type::duration, R"("0s")", "Max-Age; 0s: as long as the browser runs", at<&Pool::Sticky::age>, {0, 400 * kDay}},
  Key{"secure", Type::flag, "false", "only over https", at<&Pool::Sticky::secure>},
};
constexpr Section kStickySection{"", "a client comes back to its worker by a signed cookie; off if not given", as_span<kSticky>};

constexpr std::array kHash{
  Key{"by", Type::choice, R"("address")", "what makes two requests alike", at<&Pool::Hash::by>, {}, {}, kHashBys},
  Key{"name", Type::token, "", "of the header or the cookie", at<&Pool::Hash::name>},
  Key{"bound", Type::fraction, "1.25", "no worker gets more than this many times the mean of the exchanges in flight", at<&Pool::Hash::bound>, {1000, 1'000'000}},
};
constexpr Section kHashSection{"", "of the strategy consistent-hash", as_span<kHash>};

constexpr std::array kPool{
  Key{"command", Type::command, "",
      "required: program and arguments; ${PORT}, ${HOST}, ${SOCKET}, ${WORKER}, ${ENV_NAME}; \"$$\" is a dollar; \"drover\" as program is this very executable",
      at<&Pool::command>},
  Key{"dir", Type::folder, "", "folder to start in; drover's own if not given", at<&Pool::dir>},
  Key{"user", Type::text, "", "user to run as; needs root; drover's own if not given", at<&Pool::user>},
  Key{"env", Type::environment, "", "environment variables; ${…} as in command", at<&Pool::env>},
  Key{"env_file", Type::file, "", "file of NAME=value lines, read again at each start of a worker; `env` goes before it; a relative path is taken from where drover starts", at<&Pool::env_file>},
  Key{"umask", Type::umask, "", "like \"022\"; drover's own if not given", at<&Pool::umask>},
  Key{"workers", Type::workers, R"("auto")", "copies of the command; auto: number of CPUs; { min = 2, max = 8 }: as many as the load asks for", kWorkersAccess, {1, kMaxWorkers}, "auto"},
  Key{"strategy", Type::choice, R"("round-robin")", "orders workers for each request", at<&Pool::strategy>, {}, {}, kStrategies},
  Key{"concurrency", Type::integer, "0", "open connections per worker, busy or idle; 0: no limit", at<&Pool::concurrency>, {0, 1'000'000}},
  Key{"keepalive", Type::flag, "true", "reuse connections to workers", at<&Pool::keepalive>},
  Key{"endpoint", Type::choice, R"("tcp")", "where workers listen; unix: command must use ${SOCKET}", at<&Pool::endpoint>, {}, {}, kEndpoints},
  Key{"dispatch", Type::choice, R"("proxy")", "who accepts clients; with the other two drover sees no request, and a listener has to be the pool's own", at<&Pool::dispatch>, {}, {}, kDispatches},
  Key{"node", Type::choice, R"("auto")", "how to talk to a Node program", at<&Pool::node>, {}, {}, kNodes},
  Key{"node_port", Type::integer, "", "of a Node program that listens on several ports: the one that clients are given; its first if not given", at<&Pool::node_port>, {1, 65535}},
  table("ready", kReadySection, inner<&Pool::ready>),
  table("health", kHealthSection, inner<&Pool::health>),
  table("restart", kRestartSection, inner<&Pool::restart>),
  table("stop", kStopSection, inner<&Pool::stop>),
  table("drain", kDrainSection, inner<&Pool::drain>),
  table("alert", kAlertSection, inner<&Pool::alert>),
  table("timeouts", kPoolTimeoutsSection, inner<&Pool::timeouts>),
  table("retry", kRetrySection, inner<&Pool::retry>),
  table("queue", kQueueSection, inner<&Pool::queue>),
  table("recycle", kRecycleSection, inner<&Pool::recycle>),
  table("rolling", kRollingSection, inner<&Pool::rolling>),
  table("hang", kHangSection, inner<&Pool::hang>),
  table("outlier", kOutlierSection, inner<&Pool::outlier>),
  table("killer", kKillerSection, inner<&Pool::killer>),
  table("limits", kLimitsSection, inner<&Pool::limits>),
  table("state", kStateSection, inner<&Pool::state>),
  Key{"idle_stop", Type::duration, R"("off")", "without a request for that long no worker runs, until the next request, which waits in the queue", at<&Pool::idle_stop>, kAWhile, "off"},
  Key{"slow_start", Type::duration, R"("0s")", "a fresh worker's share of the work grows to its whole over that time; 0s: at once", at<&Pool::slow_start>, kMayBeZero},
  table("breaker", kBreakerSection, inner<&Pool::breaker>),
  table("sticky", kStickySection, inner<&Pool::sticky>),
  table("hash", kHashSection, inner<&Pool::hash>),
  Key{"spill_to", Type::text, "", "another pool, which takes the requests that this one can't: no worker there, all busy and the queue full, or its breaker open"},
  Key{"errors", Type::pages, "", "pages for drover's own answers in this pool's name (400, 408, 413, 502, 503, 504), like { 503 = \"/etc/drover/busy.html\" }; read when drover starts, at most 64 KiB each and 16 MiB in all pools together", at<&Pool::errors>},
  later("protocol", "what workers speak"),
};
// clang-format on

}  // namespace

std::span<const Key> pool_keys() { return kPool; }

}  // namespace drover::config
