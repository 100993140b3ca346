#include "backends/restart_policy.hpp"

#include "backends/defects.hpp"

#include <algorithm>
#include <csignal>

namespace drover::backends {

namespace {

constexpr double kJitter = 0.1;
constexpr std::uint32_t kMaxDoublings = 30;  // beyond it every delay has met its maximum, and the shift would overflow

bool counts(const config::Pool::Restart& rule, const Death& death) { return !death.since_ready || *death.since_ready < rule.young; }

bool grows(const Death& death) { return !death.since_ready || self_inflicted(death.cause); }

base::Millis jittered(base::Millis delay, base::Millis most, base::Rng& rng) {
  const double factor = 1.0 - kJitter + 2 * kJitter * rng.unit();
  const auto value = base::Millis(static_cast<base::Millis::rep>(static_cast<double>(delay.count()) * factor));
  return std::min(value, most);
}

/// Notes a counted death. True: more than `max` of them lie within the window.
bool exhausted(const config::Pool::Restart& rule, RestartHistory& history, base::TimePoint now) {
  if (rule.max == 0) return false;
  auto& deaths = history.counted;
  if (planted(Defect::window_forgotten)) deaths.clear();
  deaths.erase(deaths.begin(), std::find_if(deaths.begin(), deaths.end(), [&](base::TimePoint at) { return now - at < rule.within; }));
  if (deaths.size() > rule.max) deaths.erase(deaths.begin());
  deaths.push_back(now);
  return deaths.size() > rule.max;
}

}  // namespace

bool self_inflicted(Cause cause) { return cause == Cause::exit_nonzero || cause == Cause::own_signal || cause == Cause::out_of_memory; }

Cause cause_of(bool signaled, int value, bool out_of_memory) {
  if (!signaled) return value == 0 ? Cause::exit_zero : Cause::exit_nonzero;
  switch (value) {
    case SIGSEGV:
    case SIGABRT:
    case SIGBUS:
    case SIGILL:
    case SIGFPE: return Cause::own_signal;
    case SIGKILL: return out_of_memory ? Cause::out_of_memory : Cause::outside_signal;
    default: return Cause::outside_signal;
  }
}

RestartVerdict judge(const config::Pool::Restart& rule, RestartHistory& history, const Death& death, base::TimePoint now, base::Rng& rng) {
  if (death.cause == Cause::port_taken && ++history.ports_lost <= kPortsLostInRow) return {};
  if (death.cause != Cause::port_taken) history.ports_lost = 0;

  if (counts(rule, death)) {
    if (exhausted(rule, history, now)) {
      return rule.give_up ? RestartVerdict{RestartVerdict::Then::given_up, {}} : RestartVerdict{RestartVerdict::Then::failed, rule.max_delay};
    }
  } else {
    history.series = 0;
  }
  if (!grows(death) || planted(Defect::delay_never_grows)) {
    return {RestartVerdict::Then::wait, jittered(rule.delay, rule.max_delay, rng)};
  }
  const auto factor = base::Millis::rep{1} << std::min(history.series, kMaxDoublings);
  ++history.series;
  const base::Millis grown = rule.delay.count() > rule.max_delay.count() / factor ? rule.max_delay : rule.delay * factor;
  return {RestartVerdict::Then::wait, jittered(grown, rule.max_delay, rng)};
}

}  // namespace drover::backends
