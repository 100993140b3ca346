// [listener.NAME]
#include "config/key_tables.hpp"

namespace drover::config {

namespace {

constexpr std::array kModes{Choice{"http"}, Choice{"tcp", true}};

// clang-format off
constexpr std::array kListenerTimeouts{
  Key{"head", Type::duration, R"("10s")", "whole request head", at<&Listener::Timeouts::head>, kPositive},
  Key{"body", Type::duration, R"("30s")", "silence between two reads of a request body", at<&Listener::Timeouts::body>, kPositive},
  Key{"idle", Type::duration, R"("60s")", "between two requests", at<&Listener::Timeouts::idle>, kPositive},
  Key{"send", Type::duration, R"("30s")", "silence between two writes to a client", at<&Listener::Timeouts::send>, kPositive},
};
constexpr Section kListenerTimeoutsSection{"", "how long a client may take", as_span<kListenerTimeouts>};

constexpr std::array kListenerLimits{
  Key{"target", Type::bytes, R"("8KiB")", "request target; more is 414", at<&Listener::Limits::target>, {64, kMiB}},
  Key{"head", Type::bytes, R"("32KiB")", "whole request head; more is 431", at<&Listener::Limits::head>, {256, kMiB}},
  Key{"body", Type::bytes, R"("unlimited")", "request body; more is 413", at<&Listener::Limits::body>, kAnyBytes, "unlimited"},
  Key{"connections", Type::integer, "10_000", "clients at once; further ones wait in the kernel's queue", at<&Listener::Limits::connections>, {1, 1'000'000}},
};
constexpr Section kListenerLimitsSection{"", "how much a client may send", as_span<kListenerLimits>};

constexpr std::array kRates{
  Key{"head", Type::bytes, R"("off")", "a second, of a request head; slower is 408", at<&Listener::Rates::head>, {1, kGiB}, "off"},
  like(R"("100B")", {"body", Type::bytes, R"("100B")", "a second, of a request body, while drover waits for it; slower is 408", at<&Listener::Rates::body>, {1, kGiB}, "off"}),
  Key{"grace", Type::duration, "", "not looked at before; if not given, 3s for a head, and for a body 10s, or `timeouts.body` if that is longer", at<&Listener::Rates::grace>, kPositive},
};
constexpr Section kRatesSection{"", "the slowest that a client may send, on average", as_span<kRates>};

constexpr std::array kPerClient{
  like("100", {"connections", Type::integer, "0", "open at once; 0: no limit", at<&Listener::PerClient::connections>, {0, 1'000'000}}),
  like("10", {"requests", Type::fraction, "0", "a second, in the long run; 0: no limit", at<&Listener::PerClient::requests>, {0, 1'000'000'000}}),
  Key{"burst", Type::integer, "0", "requests at once; 0: those of one second, one at least", at<&Listener::PerClient::burst>, {0, 1'000'000}},
};
constexpr Section kPerClientSection{"", "what one client address (of IPv6 its /64) may have; more is 429", as_span<kPerClient>};

constexpr std::array kListener{
  Key{"bind", Type::bind, R"("127.0.0.1:3000")", "\"host:port\", \":port\" (all addresses), \"[::1]:port\", \"unix:/path\"", at<&Listener::bind>},
  Key{"mode", Type::choice, R"("http")", "what clients speak", {}, {}, {}, kModes},
  Key{"pool", Type::text, "", "the pool that all its connections are for; required for, and only with, one whose `dispatch` is not proxy, but for a file with one pool and one listener"},
  table("timeouts", kListenerTimeoutsSection, inner<&Listener::timeouts>),
  table("limits", kListenerLimitsSection, inner<&Listener::limits>),
  table("rates", kRatesSection, inner<&Listener::rates>),
  table("per_client", kPerClientSection, inner<&Listener::per_client>),
  later("tls", "certificates"),
  later("redirect_https", "send clients to https"),
  later("trusted_proxies", "networks whose X-Forwarded-* is believed"),
  later("proxy_protocol", "PROXY header before each connection"),
  later("backlog", "connections the kernel keeps waiting"),
};
// clang-format on

}  // namespace

std::span<const Key> listener_keys() { return kListener; }

}  // namespace drover::config
