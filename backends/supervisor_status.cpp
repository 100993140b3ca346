// The cluster as plain structs.
#include "backends/supervisor.hpp"
#include "base/log.hpp"

#include <sys/resource.h>
#include <unistd.h>

namespace drover::backends {

namespace {

constexpr const char* kSubject = "proxy";
constexpr base::Millis kPausesToldEvery{60'000};  ///< while it lasts, a thread pauses many times a second

}  // namespace

ClusterStatus Supervisor::status() const {
  ClusterStatus out;
  out.supervisor = ::getpid();
  out.pid = options_.init != 0 ? options_.init : out.supervisor;
  const base::TimePoint now = base::Clock::now();
  out.uptime_seconds = std::chrono::duration<double>(now - started_).count();
  out.start_time = start_time_;
  out.stopping = phase_ > Phase::serving;
  out.ready = ready();
  out.supervisor_beat_age_seconds = std::chrono::duration<double>(now - beat_).count();
  out.admin_address = admin_address_;
  out.listeners = listener_names_;
  out.events = events_.next() - 1;
  if (!boards_ || !services_ || !proxy_) return out;
  out.created = services_->created;
  out.died = services_->died;
  out.health_checks = services_->health_checks;
  out.exit_to_close = services_->exit_to_close;
  out.supervisor_turn = services_->turns;
  out.proxy_restarts = proxy_->restarts();
  out.proxies.push_back(proxy_->status());
  for (std::uint32_t i = 0; i < out.listeners.size(); ++i) out.listeners[i].connections = boards_->client_connections(i);
  for (const PoolRunner& pool : pools_) {
    out.restarted += pool.restarted();
    out.pools.push_back(pool.status());
    pool.add_degraded(out.degraded);
  }
  out.traffic = boards_->traffic();
  return out;
}

/// The proxy has no descriptor left: told once, and again each minute while it goes on.
void Supervisor::watch_descriptors(base::TimePoint now) {
  const std::uint64_t pauses = boards_->accept_pauses();
  if (pauses <= accept_pauses_ || (pauses_told_ && now - *pauses_told_ < kPausesToldEvery)) return;
  rlimit files{};
  const pid_t pid = proxy_->status().pid;
  if (pid <= 0 || ::prlimit(pid, RLIMIT_NOFILE, nullptr, &files) != 0) ::getrlimit(RLIMIT_NOFILE, &files);
  base::log::warn(kSubject,
                  "no descriptor left: {} are the limit (RLIMIT_NOFILE); accepting pauses and new clients wait. Raise it (ulimit -n, systemd: "
                  "LimitNOFILE=) or lower limits.connections of the listeners",
                  files.rlim_cur);
  emit("descriptorsExhausted", {{"times", pauses - accept_pauses_}, {"limit", files.rlim_cur}});
  accept_pauses_ = pauses;
  pauses_told_ = now;
}

}  // namespace drover::backends
