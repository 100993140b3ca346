// What workers weigh and use: samples, proportional memory, alerts, recycling.
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <cmath>

namespace drover::backends {

namespace {

constexpr double kAlertEnds = 0.9;  // of the limit: a figure that trembles around it is one alert
constexpr double kPercent = 100.0;
constexpr double kMoved = 0.05;  // of RSS: then its proportional part is asked for anew
constexpr double kMovedNearLimit = 0.01;
constexpr base::Millis kSampleEvery{900};  // CPU is a share of at least so much time
constexpr base::Millis kAskAgain{30'000};  // a replacement that did not come about

/// True once, when `value` rises above `limit`.
bool rises(bool& alert, double value, double limit) {
  if (alert && value < limit * kAlertEnds) alert = false;
  if (alert || value <= limit) return false;
  alert = true;
  return true;
}

}  // namespace

void PoolRunner::second(base::TimePoint now) {
  forgive_gap(now);
  for (const auto& [slot, incarnation] : lives()) {
    sample(slot, incarnation, now);
    watch_silence(slot, incarnation, now);
    if (Holding* it = find(slot, incarnation)) say_faults(slot, *it, now);
  }
  look(now);
  release_killers(now);
  autoscale(now);
  watch_breaker();
  write_expected();  // a back-off comes near by itself, without an event
}

void PoolRunner::sample(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr || state->process == Process::none) return;
  const auto usage = services_.host.sample(key_of(slot, incarnation));
  it->weighed_at = now;  // also where there is nothing to weigh any more: it is not looked at again at once
  if (!usage) return;
  if (!it->usage || now - it->sampled_at >= kSampleEvery) {
    const double seconds = std::chrono::duration<double>(now - (it->usage ? it->sampled_at : it->started)).count();
    const double spent = usage->cpu_seconds - (it->usage ? it->usage->cpu_seconds : 0);
    if (seconds > 0) it->cpu_percent = std::max(0.0, spent / seconds * kPercent);
    it->usage = usage;
    it->sampled_at = now;
  }
  weigh(slot, *it, usage->memory_bytes, now);
  watch_alerts(slot, *it);
  recycle(slot, incarnation, now);
}

/// PSS where it may be read, carried on by what RSS has done since; else the slot's cgroup; else RSS.
void PoolRunner::weigh(std::uint32_t slot, Holding& it, std::uint64_t rss, base::TimePoint now) {
  MemoryFigure& memory = it.memory;
  memory.rss = rss;
  memory.bytes = rss;
  memory.source = "rss";
  if (memory.rss_at_pss > 0) {
    const bool grew = rss >= memory.rss_at_pss;
    const double part = static_cast<double>(rss) / static_cast<double>(memory.rss_at_pss);
    memory.bytes = grew ? memory.pss + (rss - memory.rss_at_pss) : static_cast<std::uint64_t>(static_cast<double>(memory.pss) * part);
    memory.source = "pss";
  } else if (memory.pss_unreadable && pool_.limits.memory) {
    if (const auto group = services_.cgroups.memory(pool_.name, slot, it.incarnation)) {
      memory.bytes = *group;
      memory.source = "cgroup";
    }
  }
  it.weighed_at = now;
  it.recycling->sample(memory.bytes, now);
  it.weigh_every = it.recycling->sample_every(now);
  if (it.incarnation == control_.slot(slot).incarnation) control_.set_memory(slot, memory.bytes);
  if (it.row && fresh(it.word.memory_bytes, now) == nullptr) services_.boards.write_load(*it.row, memory.bytes);
  want_pss(slot, it);
}

void PoolRunner::want_pss(std::uint32_t slot, Holding& it) {
  MemoryFigure& memory = it.memory;
  if (memory.pss_asked || memory.pss_unreadable || memory.rss == 0) return;
  const double moved = std::abs(static_cast<double>(memory.rss) - static_cast<double>(memory.rss_at_pss));
  const bool urgent = it.weigh_every < Recycling::kSlowest;
  if (moved <= static_cast<double>(memory.rss_at_pss) * (urgent ? kMovedNearLimit : kMoved)) return;
  memory.pss_asked = services_.pss.ask(
      services_.host.tree(key_of(slot, it.incarnation)), urgent,
      [this, slot, incarnation = it.incarnation, rss = memory.rss](std::optional<std::uint64_t> bytes) { took_pss(slot, incarnation, rss, bytes); });
}

void PoolRunner::took_pss(std::uint32_t slot, base::Incarnation incarnation, std::uint64_t rss, std::optional<std::uint64_t> bytes) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr) return;
  it->memory.pss_asked = false;
  if (!bytes || *bytes == 0) {
    // A process in the middle of its end has nothing to read either: only of a living one does it say something.
    if (state->process == Process::alive && services_.host.pid(key_of(slot, incarnation))) it->memory.pss_unreadable = true;
    return;
  }
  it->memory.pss = *bytes;
  it->memory.rss_at_pss = rss;
  weigh(slot, *it, it->memory.rss, base::Clock::now());
  recycle(slot, incarnation, base::Clock::now());
}

void PoolRunner::watch_alerts(std::uint32_t slot, Holding& it) {
  const auto bytes = it.memory.bytes;
  if (rises(it.high_memory, static_cast<double>(bytes), static_cast<double>(pool_.alert.memory.value))) {
    base::log::warn(name_of(slot), "high memory: {}, above alert.memory = {}", base::to_text(base::Bytes{bytes}), base::to_text(pool_.alert.memory));
    emit("workerHighMemory", slot, it.incarnation, {{"bytes", bytes}, {"limit", pool_.alert.memory.value}, {"source", it.memory.source}});
  }
  if (rises(it.high_cpu, it.cpu_percent, pool_.alert.cpu)) {
    base::log::warn(name_of(slot), "high CPU: {:.0f}% of one core over the last interval, above alert.cpu = {:.0f}%", it.cpu_percent,
                    pool_.alert.cpu);
    emit("workerHighCPU", slot, it.incarnation, {{"percent", it.cpu_percent}, {"limit", pool_.alert.cpu}});
  }
}

/// Says once that a limit is reached; again when its replacement has not come about. The life may be gone afterwards.
void PoolRunner::recycle(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) {
  Holding* it = find(slot, incarnation);
  const SlotState& state = control_.slot(slot);
  if (it == nullptr || state.incarnation != incarnation || state.lifecycle != Lifecycle::running) return;
  const std::uint64_t requests = requests_of(*it);
  const Why why = it->recycling->reached(requests, start_takes(slot), now);
  if (why == Why::none) return;
  const bool news = why > it->recycle_asked;
  const bool again = control_.asked(slot) == Why::none && now - it->recycle_asked_at >= kAskAgain;
  if (!news && !again) return;
  it->recycle_asked = why;
  it->recycle_asked_at = now;
  if (news) {
    std::uint64_t figure = it->memory.bytes;
    std::uint64_t limit = (why == Why::hard_memory ? it->recycling->hard_limit() : it->recycling->memory_limit()).value_or(0);
    if (why == Why::requests) {
      figure = requests;
      limit = it->recycling->request_limit().value_or(0);
    } else if (why == Why::age) {
      figure = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now - it->started).count());
      const auto ends = it->recycling->age_limit().value_or(now);
      limit = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(ends - it->started).count());
    }
    base::log::info(name_of(slot), "is to be replaced ({}): {} of {}", to_text(why), figure, limit);
    emit("workerRecycle", slot, incarnation, {{"why", to_text(why)}, {"figure", figure}, {"limit", limit}});
  }
  ask(slot, incarnation, why);
}

/// How long a successor takes until it serves, by those that were started so far; those that have their turn first included.
base::Millis PoolRunner::start_takes(std::uint32_t slot) const {
  std::uint64_t count = 0;
  for (const std::uint64_t bucket : start_duration_.buckets) count += bucket;
  const std::chrono::microseconds mean(count == 0 ? 0 : start_duration_.sum_us / count);
  int before = 0;
  for (std::uint32_t other = 1; other <= control_.size(); ++other) before += other != slot && control_.asked(other) != Why::none ? 1 : 0;
  return (std::chrono::duration_cast<base::Millis>(mean) + pool_.rolling.soak) * (1 + before);
}

std::uint64_t PoolRunner::requests_of(const Holding& it) const { return it.row ? services_.boards.figures(*it.row).claims : 0; }

}  // namespace drover::backends
