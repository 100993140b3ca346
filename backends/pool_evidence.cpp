// What is seen from outside: outcomes, progress, standstill. The verdicts are those of outlier, livelock and diagnosis.
#include "backends/diagnosis.hpp"
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace drover::backends {

namespace {

constexpr base::Millis kStoppedFor{500};      // then what may be tried elsewhere is tried elsewhere
constexpr base::Millis kDiagnoseEvery{1000};  // of one worker that stands still
constexpr base::Millis kPointsAtLeast{250};   // between two points of a standstill
constexpr int kPointsPerHang = 16;
constexpr base::Millis kOwnPause{1500};  // between two looks
constexpr double kIdleShare = 0.01;      // of one core

/// Where the proxy finds it, which for a Node program is not the port that it was told. Port 0: at a path, or nowhere.
std::pair<std::uint32_t, std::uint16_t> place_of(const board::EndpointAddress& address) {
  sockaddr_in in{};
  if (address.length != sizeof in) return {kLoopback, 0};
  std::memcpy(&in, &address.storage, sizeof in);
  return in.sin_family == AF_INET ? std::pair(ntohl(in.sin_addr.s_addr), ntohs(in.sin_port)) : std::pair(kLoopback, std::uint16_t{0});
}

}  // namespace

std::optional<base::TimePoint> PoolRunner::next_look() const {
  std::optional<base::TimePoint> at;
  const auto consider = [&at](base::TimePoint when) {
    if (!at || when < *at) at = when;
  };
  if (busy_) consider(looked_ + kLookEvery);
  if (warming_) consider(warmed_ + kLookEvery);
  if (const auto back = outliers_.next()) consider(std::max(*back, looked_ + kLookEvery));
  for (const Seat& own : seats_) {
    for (const auto& [incarnation, it] : own.lives) {
      if (it.word.ready_too_early) consider(*it.word.ready_too_early + kReadyProbeEvery);
      if (it.paused_since && !it.cut_while_paused) consider(*it.paused_since + kStoppedFor);
      if (it.weigh_every < Recycling::kSlowest && it.usage) consider(it.weighed_at + it.weigh_every);
    }
  }
  return at;
}

void PoolRunner::look(base::TimePoint now) {
  cut_stopped(now);
  warm_up(now);
  for (const auto& [slot, incarnation] : lives()) {
    Holding* it = find(slot, incarnation);
    if (it == nullptr) continue;
    if (it->word.ready_too_early && now - *it->word.ready_too_early >= kReadyProbeEvery) heard_ready(slot, *it);
    it = find(slot, incarnation);
    if (it == nullptr || !it->usage || it->weigh_every >= Recycling::kSlowest) continue;
    if (now - it->weighed_at >= it->weigh_every) sample(slot, incarnation, now);
  }
  if (now - looked_ >= kLookEvery) gather(now);
}

/// Looks come each second: in a longer gap this process did not run (its container was frozen), and maybe nobody else did. That time
/// is nobody's silence or standstill.
void PoolRunner::forgive_gap(base::TimePoint now) {
  const auto gap = now - looked_;
  if (looked_ == base::TimePoint{} || gap <= kOwnPause) return;
  looked_ = now - kLookEvery;
  for (Seat& own : seats_) {
    for (auto& [incarnation, it] : own.lives) {
      it.standstill = {};
      if (it.word.regular_at) it.word.regular_at = std::min(now, *it.word.regular_at + gap);
    }
  }
}

/// The evidence of all the pool's workers, and what it says.
void PoolRunner::gather(base::TimePoint now) {
  forgive_gap(now);
  looked_ = now;
  busy_ = false;
  look_at_outcomes(now);
  look_at_progress(now);
  if (!pool_.hang.after) return;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) look_for_hang(slot, now);
}

void PoolRunner::look_at_outcomes(base::TimePoint now) {
  std::vector<OutcomeFigures> figures;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    const SlotState& state = control_.slot(slot);
    const Holding* it = present(slot);
    if (it == nullptr || !it->row || state.lifecycle != Lifecycle::running) continue;
    busy_ = busy_ || state.ejected || state.suspect;
    if (!eligible(state) && !state.ejected) continue;
    const auto seen = services_.boards.figures(*it->row);
    figures.push_back({slot, state.incarnation, seen.claims, seen.errors, seen.refused, seen.gateway, seen.streak});
  }
  for (const OutlierVerdict& verdict : outliers_.look(figures, control_.desired(), now)) {
    Holding* it = find(verdict.slot, verdict.incarnation);
    if (it == nullptr) continue;
    it->ejected_why = verdict.reason;
    it->ejected_for = verdict.away;
    tell(verdict.slot, {verdict.ejected ? EventType::ejected : EventType::admitted, verdict.incarnation});
  }
}

void PoolRunner::look_at_progress(base::TimePoint now) {
  std::vector<ProgressFigures> figures;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    const SlotState& state = control_.slot(slot);
    const Holding* it = present(slot);
    if (it == nullptr || !it->row || state.lifecycle != Lifecycle::running) continue;
    const auto seen = services_.boards.figures(*it->row);
    busy_ = busy_ || seen.in_flight > 0;
    SlotState unsuspected = state;
    unsuspected.suspect = false;
    // Who waits for its client, a tunnel or a stream of events says nothing of the worker.
    figures.push_back({slot, state.incarnation, eligible(unsuspected), seen.in_flight - seen.client_bound, seen.moved});
  }
  for (const ProgressVerdict& verdict : livelock_.look(figures, latency_.p99(), now)) {
    tell(verdict.slot, {verdict.suspect ? EventType::suspected : EventType::cleared, verdict.incarnation});
  }
}

/// Nothing moved for hang.after, and its tree did nothing all that time: then it is asked what it waits for.
void PoolRunner::look_for_hang(std::uint32_t slot, base::TimePoint now) {
  const base::Incarnation incarnation = control_.slot(slot).incarnation;
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  const auto stalled = livelock_.stalled(slot, incarnation, now);
  if (!stalled || control_.slot(slot).lifecycle != Lifecycle::running) {
    it->standstill = {};
    return;
  }
  const base::Millis after = *pool_.hang.after;
  auto& points = it->standstill.points;
  if (points.empty() || now - points.back().at >= std::max(after / kPointsPerHang, kPointsAtLeast)) {
    const auto usage = services_.host.sample(key_of(slot, incarnation));
    if (!usage) return;
    points.push_back({now, usage->cpu_seconds});
    if (points.size() > Standstill::kPoints) points.pop_front();
  }
  if (*stalled < after || now - it->standstill.diagnosed < kDiagnoseEvery) return;
  // The newest point that is old enough; the first one, where it has stood still a little longer than it has been watched.
  const auto* from = &points.front();
  for (const auto& point : points) {
    if (now - point.at >= after) from = &point;
  }
  const double watched = std::chrono::duration<double>(points.back().at - from->at).count();
  const bool idle = watched > 0 && (points.back().cpu_seconds - from->cpu_seconds) / watched < kIdleShare;
  const bool long_enough = now - from->at >= after - kLookEvery * 2;
  if (idle && long_enough) diagnose_one(slot, incarnation, now);
}

void PoolRunner::diagnose_one(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) {
  Holding* it = find(slot, incarnation);
  it->standstill.diagnosed = now;
  const auto [host, port] = place_of(it->endpoint.address);
  const Diagnosis found = diagnose(services_.host.tree(key_of(slot, incarnation)), port, host);
  if (found.condition == Condition::busy) {
    if (!std::exchange(it->standstill.said_busy, true)) {
      base::log::info(name_of(slot), "gives no byte for {} but is busy ({}): left alone", base::to_text(*pool_.hang.after), found.text);
    }
    return;
  }
  it->diagnosis = found.text;
  const auto row = it->row;
  tell(slot, {EventType::hung, incarnation});
  if (row) services_.cut(*row, incarnation, ipc::Cut::hung);
}

/// What waits in a stopped worker and may be tried again elsewhere had better be.
void PoolRunner::cut_stopped(base::TimePoint now) {
  for (Seat& own : seats_) {
    for (auto& [incarnation, it] : own.lives) {
      if (!it.paused_since || it.cut_while_paused || now - *it.paused_since < kStoppedFor) continue;
      it.cut_while_paused = true;
      if (it.row) services_.cut(*it.row, incarnation, ipc::Cut::stopped);
    }
  }
}

}  // namespace drover::backends
