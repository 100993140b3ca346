#include "admin/answers.hpp"

#include "admin/metrics.hpp"
#include "admin/status_json.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <map>

namespace drover::admin {

namespace {

constexpr std::string_view kIndex =
    "drover\n"
    "\n"
    "/metrics  for Prometheus\n"
    "/status   the cluster as JSON\n"
    "/livez    200 while the supervisor runs\n"
    "/readyz   200 while every pool has a worker for new requests\n"
    "/v1/…     the API: docs/api.md\n";

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// "pool shop: no worker for new requests (1 starting, 3 backoff)"
std::string pool_line(const backends::PoolStatus& pool) {
  std::map<std::string, int> states;
  for (const backends::WorkerStatus& worker : pool.workers) {
    const bool failing = worker.lifecycle == backends::Lifecycle::running && worker.health == backends::Health::failing;
    ++states[failing ? "failing its probes" : backends::to_text(worker.lifecycle)];
  }
  std::string line = "pool " + pool.name + ": no worker for new requests (";
  for (const auto& [state, count] : states) line += (line.ends_with('(') ? "" : ", ") + std::to_string(count) + " " + state;
  return line + (states.empty() ? "none yet)" : ")");
}

Answer readiness(const backends::ClusterStatus& status) {
  if (status.ready && !status.stopping) return plain(200, "ready");
  std::string why = status.stopping ? "stopping\n" : "";
  if (std::none_of(status.proxies.begin(), status.proxies.end(), [](const auto& proxy) { return proxy.ready; })) why += "proxy: not ready\n";
  for (const backends::PoolStatus& pool : status.pools) {
    const bool eligible = pool.asleep || std::any_of(pool.workers.begin(), pool.workers.end(), [](const auto& worker) { return worker.eligible; });
    if (!eligible) why += pool_line(pool) + "\n";
  }
  return {.status = 503, .body = why.empty() ? "not ready\n" : why};
}

}  // namespace

Answer plain(unsigned status, std::string text) { return {.status = status, .body = std::move(text) + "\n"}; }

bool trusted_host(std::string_view host, std::string_view listen_host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return false;
    const std::string_view rest = host.substr(end + 1);
    if (!rest.empty() && rest[0] != ':') return false;
    in6_addr address{};
    return ::inet_pton(AF_INET6, std::string(host.substr(1, end - 1)).c_str(), &address) == 1;
  }
  const std::string name(host.substr(0, host.find(':')));
  in_addr address{};
  if (::inet_pton(AF_INET, name.c_str(), &address) == 1) return true;
  return same_name(name, "localhost") || (!listen_host.empty() && same_name(name, listen_host));
}

Answer page(std::string_view path, const StatusFn& status) {
  if (path == "/") return {.body = std::string(kIndex)};
  if (path == "/livez") return plain(200, "ok");
  if (path == "/readyz") return readiness(status());
  if (path == "/metrics") return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_text(status())};
  if (path == "/status") return {.type = "application/json", .body = status_json(status())};
  return plain(404, "not found; / lists what is here");
}

}  // namespace drover::admin
