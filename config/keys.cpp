#include "config/keys.hpp"

#include "base/text.hpp"
#include "config/key_tables.hpp"
#include "config/values.hpp"

#include <sys/signal.h>

namespace drover::config {

namespace {

std::string amount_text(Type type, std::int64_t amount) {
  switch (type) {
    case Type::duration: return base::to_text(Millis(amount));
    case Type::bytes: return base::to_text(Bytes{static_cast<std::uint64_t>(amount)});
    case Type::percent: return std::to_string(amount) + "%";
    case Type::fraction: return number_text(static_cast<double>(amount) / 1000);
    default: return std::to_string(amount);
  }
}

constexpr std::array kLevels{Choice{"debug"}, Choice{"info"}, Choice{"warn"}, Choice{"error"}};
constexpr std::array kFormats{Choice{"text"}, Choice{"json"}};
constexpr std::array kAccessFormats{Choice{"json", false, "one object a line"}, Choice{"common", false, "the Common Log Format"},
                                    Choice{"combined", false, "with referrer and user agent"}};

// clang-format off
constexpr std::array kCluster{
  Key{"ports", Type::ports, R"("20000-29999")",
      "where workers' ports are taken from; should lie outside the kernel's ephemeral range (else a warning)", at<&Cluster::ports>},
  Key{"shutdown", Type::duration, R"("25s")", "whole graceful stop, at most; what is left then is killed", at<&Cluster::shutdown>, kMayBeZero},
};

constexpr std::array kAdmin{
  Key{"listen", Type::bind, R"("127.0.0.1:9180")", "/metrics, /livez, /readyz and /status; \"off\" to close", at<&Admin::listen>, {}, "off"},
  Key{"socket", Type::path, "",
      "the command line's Unix socket, mode 0600; default: /run/drover/drover.sock as root, else $XDG_RUNTIME_DIR/drover.sock, else /tmp/drover-UID/drover.sock",
      at<&Admin::socket>},
  Key{"token_file", Type::path, "", "a file with the token that lets the TCP side change things, which nobody but its owner may open; without one it only reads", at<&Admin::token_file>},
};

constexpr std::array kAccess{
  needed(like(R"("/var/log/drover/access.log")", {"path", Type::log_path, "", "a file that is appended to, \"-\": standard output; opened anew on USR1", at<&Log::Access::path>})),
  Key{"format", Type::choice, R"("json")", "how a line looks", at<&Log::Access::format>, {}, {}, kAccessFormats},
};
constexpr Section kAccessSection{"", "a line for each exchange; none if not given", as_span<kAccess>};

constexpr std::array kLog{
  Key{"level", Type::choice, R"("info")", "least important line that is written", at<&Log::level>, {}, {}, kLevels},
  Key{"format", Type::choice, R"("text")", "for people or for programs", at<&Log::format>, {}, {}, kFormats},
  table("access", kAccessSection, inner<&Log::access>),
};

constexpr std::array kProxy{
  Key{"threads", Type::integer, R"("auto")", "threads of the proxy; auto: one per CPU", at<&Proxy::threads>, {1, 256}, "auto"},
  Key{"user", Type::text, "", "the proxy's user when started as root; default: drover if it exists, else nobody", at<&Proxy::user>},
};

constexpr std::array kSections{
  Section{"cluster", "what holds for everything", as_span<kCluster>},
  Section{"admin", "where drover is observed", as_span<kAdmin>},
  Section{"log", "drover's log, on standard error", as_span<kLog>},
  Section{"proxy", "the process that forwards", as_span<kProxy>},
  Section{"listener", "where clients connect", listener_keys},
  Section{"pool", "a group of identical workers", pool_keys},
  Section{"route", "host + path to pool", route_keys},
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

std::span<const SignalName> signal_names() { return kSignals; }

}  // namespace drover::config
