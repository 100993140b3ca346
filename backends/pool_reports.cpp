// A worker's own word, whichever way it came.
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <utility>

namespace drover::backends {

namespace {

constexpr int kIntervals = 2;  // a word counts for so long, and silence is told after so long

}  // namespace

/// A worker's own figures count for two intervals; then the sample is the better guess.
template <class T>
const OwnWord::Said<T>* PoolRunner::fresh(const std::optional<OwnWord::Said<T>>& said, base::TimePoint now) const {
  return said && now - said->at <= pool_.health.interval * kIntervals ? &*said : nullptr;
}
template const OwnWord::Said<std::uint64_t>* PoolRunner::fresh(const std::optional<OwnWord::Said<std::uint64_t>>&, base::TimePoint) const;
template const OwnWord::Said<double>* PoolRunner::fresh(const std::optional<OwnWord::Said<double>>&, base::TimePoint) const;

/// The one door for reports. After tell() the life may be gone: each step looks for it anew.
void PoolRunner::heard(std::uint32_t slot, base::Incarnation incarnation, ReportSource source, const Report& report) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr || report.empty()) return;
  note_word(*it, source, report);
  if (it->row && report.memory_bytes) services_.boards.write_load(*it->row, *report.memory_bytes);
  if (report.share) write_share(slot, *it);

  if (report.ready.value_or(false) && source != ReportSource::probe) heard_ready(slot, *it);
  state = control_.find(slot, incarnation);
  const bool wants = report.wants_work.value_or(true) && !report.reloading;
  if (state != nullptr && (report.wants_work || report.reloading) && state->declined == wants) {
    tell(slot, {wants ? EventType::accepted : EventType::declined, incarnation});
  }
  // A probe's answer has been judged as a probe.
  it = find(slot, incarnation);
  if (it == nullptr || source == ReportSource::probe || report.healthy.value_or(true)) return;
  it->note = it->word.status.empty() ? "down by its own report" : "down by its own report: " + it->word.status;
  probed(slot, *it, false, it->note);
  tell(slot, {EventType::probe_failed, incarnation});
}

void PoolRunner::note_word(Holding& it, ReportSource source, const Report& report) {
  const base::TimePoint now = base::Clock::now();
  OwnWord& word = it.word;
  word.source = source;
  word.at = now;
  word.silent = false;
  if (report.memory_bytes) word.memory_bytes = {*report.memory_bytes, now};
  if (report.cpu_percent) word.cpu_percent = {*report.cpu_percent, now};
  if (report.status) word.status = *report.status;
  if (report.share) word.share = *report.share;
  // READY=1 and STATUS= come once in a life; who sends WATCHDOG=1 or figures sends them again and again.
  const bool again_and_again = report.alive || report.memory_bytes || report.cpu_percent;
  if (source != ReportSource::probe && again_and_again) word.regular_at = now;
}

/// By its own word, and as far as it is warm: the smaller counts.
std::uint32_t PoolRunner::share_of(std::uint32_t slot, const Holding& it) const {
  const SlotState* state = control_.find(slot, it.incarnation);
  return state == nullptr ? it.word.share : std::min(it.word.share, warm_share(*state, base::Clock::now(), pool_));
}

void PoolRunner::write_share(std::uint32_t slot, const Holding& it) {
  if (it.row) services_.boards.write_share(*it.row, share_of(slot, it));
  warming_ = warming_ || pool_.slow_start > base::Millis(0);
}

/// All that are fresh, at once, until none is left.
void PoolRunner::warm_up(base::TimePoint now) {
  if (!warming_ || now - warmed_ < kLookEvery) return;
  warmed_ = now;
  warming_ = false;
  for (std::uint32_t slot = 1; slot <= seats_.size(); ++slot) {
    for (const auto& [incarnation, it] : seat(slot).lives) {
      if (it.row) services_.boards.write_share(*it.row, share_of(slot, it));
      const SlotState* state = control_.find(slot, incarnation);
      warming_ = warming_ || (state != nullptr && warm_at(*state, now, pool_));
    }
  }
}

/// READY=1 counts only from a worker whose own socket listens: said before that, it is looked at again (see look()).
void PoolRunner::heard_ready(std::uint32_t slot, Holding& it) {
  it.word.ready = true;
  const SlotState* state = control_.find(slot, it.incarnation);
  if (pool_.ready.notify && state != nullptr && state->lifecycle == Lifecycle::starting && !may_connect(slot, it)) {
    if (!it.word.ready_too_early) base::log::warn(name_of(slot), "says that it is ready, but {}", it.note);
    it.word.ready_too_early = base::Clock::now();
    return;
  }
  it.word.ready_too_early.reset();
  tell(slot, {EventType::reported_ready, it.incarnation});
}

/// Who has reported by itself and falls silent is replaced; who never did is judged by probes and outcomes.
void PoolRunner::watch_silence(std::uint32_t slot, base::Incarnation incarnation, base::TimePoint now) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr || state->lifecycle != Lifecycle::running) return;
  if (!it->word.regular_at || now - *it->word.regular_at <= pool_.health.interval * kIntervals) return;
  if (!std::exchange(it->word.silent, true)) {
    const auto silence = std::chrono::duration_cast<base::Millis>(now - *it->word.regular_at);
    it->note = "silent for " + base::to_text(silence);
    base::log::error(name_of(slot), "has reported and is silent for {}: it is replaced", base::to_text(silence));
    emit("workerSilent", slot, incarnation, {{"seconds", std::chrono::duration<double>(silence).count()}});
  }
  // Asked again when its successor has failed, or when it was one itself; the slot's pause says how soon that comes about.
  if (control_.asked(slot) == Why::none) ask(slot, incarnation, Why::silent);
}

}  // namespace drover::backends
