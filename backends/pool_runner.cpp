// Events in, effects out: how what happens reaches the control side, and how what it wants is carried out.
#include "backends/pool_runner.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <csignal>

namespace drover::backends {

namespace {

constexpr base::Millis kDrainPoll{10};
constexpr base::Millis kTreePoll{20};
constexpr base::Millis kHeldPoll{50};

boost::json::array array_of(const std::vector<std::string>& lines) {
  boost::json::array out;
  for (const std::string& line : lines) out.emplace_back(line);
  return out;
}

ipc::StateLimits state_limits(const config::Pool& pool) {
  ipc::StateLimits out;
  out.keys = pool.state.keys;
  out.value_bytes = pool.state.value.value;
  out.bytes = pool.state.bytes.value;
  return out;
}

/// A slot's incarnations: the present one, its successor, those that leave.
template <class What>
void each_state(const PoolControl& control, std::uint32_t slot, What what) {
  what(control.slot(slot));
  if (const auto& successor = control.successor(slot)) what(*successor);
  for (const SlotState& leaver : control.leavers(slot)) what(leaver);
}

}  // namespace

PoolRunner::PoolRunner(Services& services, const config::Pool& pool, std::uint32_t index, WorkerLaunch launch, std::uint64_t seed)
    : services_(services),
      pool_(pool),
      index_(index),
      launch_(std::move(launch)),
      control_(pool, seed, services.boards.slots(index), services.boards.rows(index)),
      outliers_(pool),
      hunt_(pool),
      autoscale_(pool),
      seed_(seed),
      state_(ipc::make_memory_store(state_limits(pool)),
             {[this](const std::string& key, ipc::StateService::Member by) { services_.switchboard.sync(index_, key, peer_of(by)); },
              [this](ipc::StateService::Member to, std::string line) { services_.switchboard.change(peer_of(to), std::move(line)); }}),
      rng_(seed),
      shared_sockets_(launch_.user().has_value()),
      seats_(control_.size()) {}

void PoolRunner::start() {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) tell(slot, {EventType::start});
}

Holding* PoolRunner::find(std::uint32_t slot, base::Incarnation incarnation) {
  if (slot == 0 || slot > seats_.size()) return nullptr;
  const auto found = seat(slot).lives.find(incarnation);
  return found == seat(slot).lives.end() ? nullptr : &found->second;
}

const Holding* PoolRunner::present(std::uint32_t slot) const {
  const auto& lives = seats_[slot - 1].lives;
  const auto found = lives.find(control_.slot(slot).incarnation);
  return found == lives.end() ? nullptr : &found->second;
}

/// A copy: what is done for one life may end it, or begin another.
std::vector<PoolRunner::Life> PoolRunner::lives() const {
  std::vector<Life> out;
  for (std::uint32_t slot = 1; slot <= seats_.size(); ++slot) {
    for (const auto& [incarnation, it] : seats_[slot - 1].lives) out.emplace_back(slot, incarnation);
  }
  return out;
}

/// The one door to the control side: it decides, its effects are carried out, and what they brought about is told to it.
void PoolRunner::decide(const Decision& what) {
  running_ = true;
  std::vector<SlotEffect> effects = std::move(effects_);
  effects.clear();
  what(base::Clock::now(), effects);
  if (seats_.size() < control_.size()) seats_.resize(control_.size());
  carry_out(effects);
  effects_ = std::move(effects);
  running_ = false;
}

void PoolRunner::tell(std::uint32_t slot, Event event) {
  pending_.emplace_back(slot, event);
  run_pending();
}

/// Effects may bring events about at once (a start that fails, a probe that can't be made): they wait for their turn.
void PoolRunner::run_pending() {
  if (running_) return;
  for (std::size_t next = 0; next < pending_.size(); ++next) {
    const std::pair<std::uint32_t, Event> each = pending_[next];
    decide([&](base::TimePoint now, std::vector<SlotEffect>& out) { control_.handle(each.first, each.second, now, out); });
  }
  pending_.clear();
  write_expected();
  watch();
  services_.changed();
}

/// Those whose end is known but not yet told to the control side count: their restart policy has not spoken.
std::uint32_t PoolRunner::expected() const {
  const std::uint32_t expected = control_.expected(base::Clock::now()) + dying_;
  return asleep_ ? std::max(1U, expected) : expected;
}

void PoolRunner::write_expected() {
  services_.boards.write_expected(index_, expected());
  const bool slept = services_.boards.supervisor_board().waking(index_);
  if (slept && (control_.any_eligible() || expected() == 0)) services_.boards.write_waking(index_, false);
}

/// A request that finds a gate closed must find the hope for the next worker already written, and lose it only after that worker's
/// gate is open: so what grows is written before the effects, what falls after them.
void PoolRunner::carry_out(const std::vector<SlotEffect>& effects) {
  if (expected() > services_.boards.supervisor_board().expected(index_)) write_expected();
  for (const SlotEffect& each : effects) carry_out(each.slot, each.effect);
}

void PoolRunner::carry_out(std::uint32_t slot, const Effect& effect) {
  const Holding* it = find(slot, effect.incarnation);
  switch (effect.type) {
    case EffectType::spawn: spawn(slot, effect.incarnation); break;
    case EffectType::open_gate:
      if (it != nullptr) write_share(slot, *it);  // first: it shall not have a moment of the whole
      if (it != nullptr && it->row) services_.boards.open(*it->row);
      if (it != nullptr && handoff_) handoff_->open({slot, effect.incarnation});
      break;
    case EffectType::close_gate:
      if (it != nullptr && it->row) services_.boards.close(*it->row);
      if (handoff_) handoff_->close({slot, effect.incarnation});
      break;
    case EffectType::probe: probe(slot, effect.incarnation); break;
    case EffectType::disconnect: dismiss(slot, effect.incarnation); break;
    case EffectType::signal_main: services_.host.signal(key_of(slot, effect.incarnation), effect.signal); break;
    case EffectType::signal_tree:
      // The group first: whoever forks meanwhile is in it. Whether there is one, the signals follow.
      if (effect.signal == SIGKILL) services_.cgroups.kill(pool_.name, slot, effect.incarnation);
      services_.host.signal_tree(key_of(slot, effect.incarnation), effect.signal);
      break;
    case EffectType::release: release(slot, effect.incarnation); break;
    case EffectType::tell: announce(slot, effect.incarnation, effect.notice); break;
  }
}

void PoolRunner::tick(base::TimePoint now) {
  control_.set_queue_waiting(requests_wait());
  decide([&](base::TimePoint, std::vector<SlotEffect>& out) { control_.tick(now, out); });
  run_pending();
}

void PoolRunner::ask(std::uint32_t slot, base::Incarnation incarnation, Why why) {
  control_.set_queue_waiting(requests_wait());
  decide([&](base::TimePoint now, std::vector<SlotEffect>& out) { control_.ask(slot, incarnation, why, now, out); });
  run_pending();
}

void PoolRunner::poll() {
  std::vector<std::pair<std::uint32_t, Event>> found;
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    each_state(control_, slot, [&](const SlotState& state) {
      const Holding* it = find(slot, state.incarnation);
      if (state.lifecycle == Lifecycle::draining && it != nullptr && it->row && services_.boards.in_flight(*it->row) == 0) {
        found.emplace_back(slot, Event{EventType::emptied, state.incarnation});
      } else if (state.process == Process::main_gone && !services_.host.tree_alive(key_of(slot, state.incarnation))) {
        found.emplace_back(slot, Event{EventType::tree_gone, state.incarnation});
      }
    });
  }
  for (const auto& [slot, event] : found) tell(slot, event);
}

std::optional<base::Millis> PoolRunner::poll_every() const {
  std::optional<base::Millis> every;
  if (held_until_ && (!held() || in_flight() > 0)) every = kHeldPoll;  // whoever holds it wants to know when nobody is inside
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    each_state(control_, slot, [&](const SlotState& state) {
      if (state.lifecycle == Lifecycle::draining) every = kDrainPoll;
      if (state.process == Process::main_gone && every.value_or(kHeldPoll) > kTreePoll) every = kTreePoll;
    });
  }
  return every;
}

void PoolRunner::paused(const ChildKey& key, bool paused) {
  if (Holding* it = find(key.id.slot, key.incarnation)) {
    it->paused_since = paused ? std::optional(base::Clock::now()) : std::nullopt;
    it->cut_while_paused = false;
  }
  tell(key.id.slot, {paused ? EventType::paused : EventType::continued, key.incarnation});
}

void PoolRunner::stop() {
  set_asleep(false);
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) tell(slot, {EventType::stop});
  for (const auto& [slot, incarnation] : lives()) tell(slot, {EventType::emptied, incarnation});
}

void PoolRunner::kill() {
  set_asleep(false);
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) tell(slot, {EventType::kill});
}

bool PoolRunner::roll(const std::string& why) {
  bool begun = false;
  roll_why_ = why;
  decide([&](base::TimePoint now, std::vector<SlotEffect>& out) { begun = control_.roll(now, out); });
  run_pending();
  return begun;
}

void PoolRunner::replace(std::uint32_t slot) { tell(slot, {EventType::replace}); }

void PoolRunner::set_intent(std::uint32_t slot, Intent intent) {
  const bool drain = intent == Intent::drained;
  const bool news = control_.slot(slot).intent != intent;
  if (news) {
    base::log::info(name_of(slot), "{} by the operator", drain ? "drained" : "resumed");
    emit("workerIntent", slot, control_.slot(slot).incarnation, {{"intent", to_text(intent)}});
  }
  tell(slot, {drain ? EventType::drain : EventType::resume});
}

/// Tells what the control side has done by itself: nobody else would.
void PoolRunner::watch() {
  for (std::uint32_t slot = 1; slot <= control_.size(); ++slot) {
    const SlotState& state = control_.slot(slot);
    Seat& it = seat(slot);
    if (state.lifecycle == it.seen) continue;
    it.seen = state.lifecycle;
    if (state.lifecycle != Lifecycle::backoff || !state.due) continue;
    const double delay = std::chrono::duration<double>(*state.due - base::Clock::now()).count();
    emit("workerRestart", slot, state.incarnation, {{"delay", std::max(0.0, delay)}, {"restarts", state.restarts}});
  }
  watch_roll();
}

void PoolRunner::watch_roll() {
  const Roll roll = control_.last_roll();
  const Roll before = std::exchange(seen_roll_, roll);
  const bool another = roll.number != before.number;
  if (another) {
    base::log::info(pool_.name, "rolling restart of {} worker{} begins", roll.total, roll.total == 1 ? "" : "s");
    emit("rollStarted", 0, 0, {{"workers", roll.total}, {"why", roll_why_}});
  }
  if (roll.done != (another ? 0 : before.done)) emit("rollProgress", 0, 0, {{"done", roll.done}, {"total", roll.total}});
  if (roll.phase == Roll::Phase::running || (!another && roll.phase == before.phase)) return;
  const double seconds = std::chrono::duration<double>(roll.ended - roll.began).count();
  if (roll.phase == Roll::Phase::done) {
    ++rolls_["done"];
    base::log::info(pool_.name, "rolling restart done: {} of {} replaced in {:.1f}s", roll.done, roll.total, seconds);
    emit("rollDone", 0, 0, {{"seconds", seconds}, {"done", roll.done}, {"total", roll.total}});
  } else if (roll.phase == Roll::Phase::failed) {
    ++rolls_["failed"];
    const bool known = roll.failed_slot >= 1 && roll.failed_slot <= seats_.size();
    const StartFailure failure = known ? seat(roll.failed_slot).failure : StartFailure{};
    roll_failure_ = roll_failure_of(roll);
    base::log::error(pool_.name, "rolling restart stopped at {} of {}: {}; the others stay as they are", roll.done, roll.total, roll_failure_);
    emit("rollFailed", 0, 0,
         {{"slot", roll.failed_slot},
          {"failedIncarnation", roll.failed_incarnation},
          {"reason", roll_failure_},
          {"lastLines", array_of(failure.last_lines)},
          {"probes", array_of(failure.probes)}});
  }
}

std::string PoolRunner::roll_failure_of(const Roll& roll) const {
  if (roll.failed_slot == 0 || roll.failed_slot > seats_.size()) return "the pool is stopped";
  const std::string name = name_of(roll.failed_slot) + ": ";
  const StartFailure& failure = last_failure(roll.failed_slot);
  if (failure.incarnation == roll.failed_incarnation) return name + failure.reason;
  const SlotState& state = control_.slot(roll.failed_slot);
  const Holding* it = present(roll.failed_slot);
  return name + "it does not serve (" + to_text(state.lifecycle) + ", " + to_text(state.health) + ")" +
         (it == nullptr || it->note.empty() ? "" : ": " + it->note);
}

void PoolRunner::emit(const char* name, std::uint32_t slot, base::Incarnation incarnation, boost::json::object data) {
  services_.emit({0, name, pool_.name, slot, incarnation, std::move(data), ""});
}

}  // namespace drover::backends
