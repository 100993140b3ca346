// Signals, and the order of the stop: listeners closed → drain → workers → proxy → (admin, by whoever owns it).
#include "backends/supervisor.hpp"

#include "backends/init.hpp"
#include "backends/process_table.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace drover::backends {

namespace {

constexpr const char* kSubject = "supervisor";
constexpr int kSignalsPerTurn = 32;
/// One cause may bring a signal twice (timeout(1) sends it to its child and to its group): no hand is that fast.
constexpr base::Millis kSameSignal{10};
constexpr base::Millis kDrainSlack{500};  ///< for the proxy's `drained` to arrive
constexpr base::Millis kProxyEnd{2000};   ///< TERM to KILL for a proxy without clients
constexpr base::Millis kKillTime{1500};   ///< after everything was killed, until what the kernel still holds is left behind

}  // namespace

void Supervisor::read_signals() {
  signals_.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& code) {
    if (code) return;
    for (int i = 0; i < kSignalsPerTurn; ++i) {
      signalfd_siginfo info{};
      if (::read(signals_.native_handle(), &info, sizeof info) != sizeof info) break;
      on_signal(info);
    }
    read_signals();
  });
}

void Supervisor::on_signal(const signalfd_siginfo& info) {
  const auto number = static_cast<int>(info.ssi_signo);
  const bool queued = info.ssi_code == SI_QUEUE;
  const bool from_terminal = info.ssi_code == SI_KERNEL || (queued && info.ssi_int == static_cast<int>(SignalOrigin::terminal));
  switch (number) {
    case SIGCHLD: host_.reap(); break;
    case SIGTERM:
      // Our own parent's death arrives as a TERM in its name; what it forwards is queued.
      if (options_.init != 0 && static_cast<pid_t>(info.ssi_pid) == options_.init && !queued) {
        init_gone();
        break;
      }
      stop_signal(info);
      break;
    case SIGINT:
    case SIGQUIT: stop_signal(info); break;
    case SIGUSR1: reopen_logs(); break;
    case SIGTTIN:
    case SIGTTOU: scale_by_signal(number); break;
    case SIGHUP:
      if (from_terminal) {
        base::log::info(kSubject, "the terminal has gone: stopping");
        stop_why_ = "the terminal has gone";
        request_stop(false);
        break;
      }
      [[fallthrough]];
    default: base::log::warn(kSubject, "signal {} is not served yet; ignored", ::sigabbrev_np(number)); break;
  }
}

/// Its file was moved away, as logrotate does: lines go on in a new one.
void Supervisor::reopen_logs() {
  if (!access_log_) return base::log::info(kSubject, "USR1: there is no access log to reopen");
  if (access_log_->is_output()) return base::log::info(kSubject, "USR1: the access log is standard output, which is not reopened");
  if (auto done = access_log_->reopen(); !done) {
    return base::log::error(kSubject, "USR1: {}; the access log goes on where it was", done.error().message);
  }
  if (proxy_) proxy_->take_access_log(access_log_->fd());
  base::log::info(kSubject, "USR1: access log {} reopened", access_log_->path());
}

/// The first stops gracefully; a second INT or TERM forces.
void Supervisor::stop_signal(const signalfd_siginfo& info) {
  const auto number = static_cast<int>(info.ssi_signo);
  const auto now = base::Clock::now();
  if (first_stop_ && number == first_stop_->number && now - first_stop_->at < kSameSignal) return;
  const bool again = first_stop_ && number != SIGQUIT;
  if (!first_stop_) first_stop_ = StopSignal{number, now};
  base::log::info(kSubject, "{}: {}", ::sigabbrev_np(number), again ? "stopping at once" : "stopping; once more to stop at once");
  if (stop_why_.empty()) stop_why_ = std::string("signal ") + ::sigabbrev_np(number);
  request_stop(again);
}

void Supervisor::wait_init() {
  init_.async_wait(Descriptor::wait_read, [this](const boost::system::error_code& code) {
    if (code) return;
    // Asio may speak up early when another descriptor was closed in the same turn: only its end counts.
    if (has_ended(init_.native_handle())) {
      init_gone();
    } else {
      wait_init();
    }
  });
}

/// Nobody is left to end what we might leave: nothing may be left.
void Supervisor::init_gone() {
  if (phase_ == Phase::stopped) return;
  base::log::error(kSubject, "the process above has ended: killing everything");
  exit_code_ = 1;
  host_.kill_everything();
  finish();
}

void Supervisor::request_stop(bool forced) {
  if (phase_ == Phase::stopped) return;
  if (phase_ == Phase::idle) {
    finish();
    return;
  }
  if (forced) {
    force();
    return;
  }
  if (phase_ != Phase::serving) return;
  phase_ = Phase::draining;
  begin_stop();
  stop_by_ = base::Clock::now() + config_.cluster.shutdown;
  close_listeners();
  base::Millis longest{0};
  for (const config::Pool& pool : config_.pools) longest = std::max({longest, pool.drain.http, pool.drain.tunnel});
  base::log::info(kSubject, "stopping: no new clients; those that are served have {}", base::to_text(longest));
  stop_timer_.expires_at(std::min(*stop_by_, base::Clock::now() + longest + kDrainSlack));
  stop_timer_.async_wait([this](const boost::system::error_code& code) {
    if (!code) drained();
  });
  proxy_->drain(longest);
}

void Supervisor::close_listeners() {
  for (PoolRunner& pool : pools_) pool.drop_listeners();
  listeners_.clear();
}

/// Once, whichever way the stop begins: from here on nothing that was ordered comes about.
void Supervisor::begin_stop() {
  if (services_->stopping) return;
  services_->stopping = true;
  for (PoolRunner& pool : pools_) pool.let_through("stopping");  // who waits shall be served as long as there is time
  emit("clusterStopping", {{"why", stop_why_.empty() ? "asked to" : stop_why_}});
  orders_.cluster_stops();
}

void Supervisor::drained() {
  if (phase_ == Phase::draining) stop_workers();
}

void Supervisor::stop_workers() {
  phase_ = Phase::stopping_workers;
  stop_timer_.expires_at(*stop_by_);
  stop_timer_.async_wait([this](const boost::system::error_code& code) {
    if (code) return;
    base::log::error(kSubject, "cluster.shutdown = {} is over", base::to_text(config_.cluster.shutdown));
    force();
  });
  for (PoolRunner& pool : pools_) pool.stop();
  plan();
}

void Supervisor::stop_proxy() {
  phase_ = Phase::stopping_proxy;
  if (!forced_) {
    stop_timer_.expires_after(kProxyEnd);
    stop_timer_.async_wait([this](const boost::system::error_code& code) {
      if (!code) force();
    });
  }
  proxy_->stop();
}

/// Everything is killed; what does not end even so (it hangs in the kernel) is left behind after kKillTime.
void Supervisor::force() {
  if (forced_ || phase_ == Phase::stopped) return;
  forced_ = true;
  exit_code_ = 1;
  begin_stop();
  close_listeners();
  phase_ = Phase::stopping_workers;
  stop_timer_.expires_after(kKillTime);
  stop_timer_.async_wait([this](const boost::system::error_code& code) {
    if (code) return;
    host_.kill_everything();
    finish();
  });
  proxy_->kill();
  for (PoolRunner& pool : pools_) pool.kill();
  plan();
}

void Supervisor::finish() {
  if (phase_ == Phase::stopped) return;
  phase_ = Phase::stopped;
  if (services_ && services_->killed) exit_code_ = 1;
  stop_timer_.cancel();
  control_.cancel();
  second_.cancel();
  host_.kill_everything();  // also what escaped its worker and belongs to no slot any more
  boost::system::error_code ignored;
  signals_.cancel(ignored);
  init_.cancel(ignored);
  base::log::info(kSubject, "stopped");
  orders_.stopped(exit_code_);
  if (hooks_.stopped) hooks_.stopped(exit_code_);
}

}  // namespace drover::backends
