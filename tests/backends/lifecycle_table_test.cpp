// The whole table state × event of step(): every pair is written down, none is left to a default.
#include "backends/lifecycle.hpp"

#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::backends {
namespace {

using std::chrono::seconds;

const base::TimePoint kNow{seconds(1000)};
constexpr base::Incarnation kLife = 7;
constexpr std::size_t kColumns = kEventTypes + 1;  // `exited` stands twice: alone, and with descendants left

config::Pool pool() {
  config::Pool out;
  out.name = "shop";
  out.workers = 1;
  return out;
}

// A cell reads "lifecycle:effects". st starting, ru running, dr draining, sg stopping, sd stopped, bo backoff, fa failed.
// S spawn, O open gate, C close gate, P probe, D disconnect, m signal to the main process, t to the tree, R release.
// Notices are left out.
std::string cell(const Step& result) {
  static constexpr std::array<const char*, 7> kNames{"st", "ru", "dr", "sg", "sd", "bo", "fa"};
  std::string out = kNames.at(static_cast<std::size_t>(result.state.lifecycle));
  out += ':';
  for (const Effect& effect : result.effects) {
    switch (effect.type) {
      case EffectType::spawn: out += 'S'; break;
      case EffectType::open_gate: out += 'O'; break;
      case EffectType::close_gate: out += 'C'; break;
      case EffectType::probe: out += 'P'; break;
      case EffectType::disconnect: out += 'D'; break;
      case EffectType::signal_main: out += 'm'; break;
      case EffectType::signal_tree: out += 't'; break;
      case EffectType::release: out += 'R'; break;
      case EffectType::tell: break;
    }
  }
  return out;
}

SlotState state(Lifecycle lifecycle, Process process, Leaving leaving = Leaving::no, Intent intent = Intent::enabled) {
  SlotState out;
  out.lifecycle = lifecycle;
  out.process = process;
  out.leaving = leaving;
  out.intent = intent;
  out.incarnation = kLife;
  out.started = kNow - seconds(100);
  out.next_probe = kNow;
  const bool served = lifecycle == Lifecycle::running || lifecycle == Lifecycle::draining;
  if (served) {
    out.health = Health::passing;
    out.ready_since = kNow - seconds(90);
  }
  if (lifecycle != Lifecycle::running && lifecycle != Lifecycle::stopped) out.due = kNow;
  return out;
}

SlotState with(SlotState base_state, const std::function<void(SlotState&)>& change) {
  change(base_state);
  return base_state;
}

struct Row {
  const char* name;
  SlotState state;
  // start stop kill drain resume replace supersede | tick |
  // spawn_failed passed failed busy paused continued reported_ready suspected cleared ejected admitted declined accepted hung emptied
  // left disconnected exited tree_gone | exited, tree left
  std::array<const char*, kColumns> cells;
};

std::vector<Row> table() {
  using enum Lifecycle;
  const auto failing = [](SlotState& s) {
    s.health = Health::failing;
    s.failing_since = kNow - seconds(1);
  };
  const auto pause = [](SlotState& s) { s.paused = true; };
  const auto successor = [](SlotState& s) { s.successor = true; };
  const auto diagnosing = [](SlotState& s) { s.diagnosing = true; };
  const auto no_due = [](SlotState& s) { s.due.reset(); };
  return {
      {"starting", state(starting, Process::alive), {"st:", "sg:m", "sg:t", "sg:m", "st:", "sg:m", "sg:m", "sg:m", "bo:R", "ru:O",
                                                     "st:", "st:",  "st:",  "st:",  "st:", "st:",  "st:",  "st:",  "st:",  "st:",
                                                     "st:", "st:",  "st:",  "st:",  "st:", "bo:R", "st:",  "sg:t"}},
      {"starting, stopped by a signal",
       with(state(starting, Process::alive), pause),
       {"st:", "sg:mm", "sg:t", "sg:mm", "st:", "sg:mm", "sg:mm", "sg:mm", "bo:R", "ru:", "st:", "st:",  "st:", "st:",
        "st:", "st:",   "st:",  "st:",   "st:", "st:",   "st:",   "st:",   "st:",  "st:", "st:", "bo:R", "st:", "sg:t"}},
      {"running, passing", state(running, Process::alive), {"ru:", "dr:C",  "sg:Ct", "dr:C", "ru:", "dr:C",  "dr:C", "ru:P", "ru:", "ru:",
                                                            "ru:", "ru:",   "ru:C",  "ru:",  "ru:", "ru:C",  "ru:",  "ru:C", "ru:", "ru:C",
                                                            "ru:", "sg:Cm", "ru:",   "ru:",  "ru:", "bo:CR", "ru:",  "sg:Ct"}},
      {"running, failing", with(state(running, Process::alive), failing), {"ru:", "dr:",  "sg:t", "dr:", "ru:", "dr:",  "dr:", "ru:P", "ru:", "ru:",
                                                                           "ru:", "ru:",  "ru:",  "ru:", "ru:", "ru:",  "ru:", "ru:",  "ru:", "ru:",
                                                                           "ru:", "sg:m", "ru:",  "ru:", "ru:", "bo:R", "ru:", "sg:t"}},
      {"running, stopped by a signal",
       with(state(running, Process::alive), pause),
       {"ru:", "dr:", "sg:t", "dr:", "ru:", "dr:", "dr:", "ru:P",  "ru:", "ru:", "ru:", "ru:",  "ru:", "ru:O",
        "ru:", "ru:", "ru:",  "ru:", "ru:", "ru:", "ru:", "sg:mm", "ru:", "ru:", "ru:", "bo:R", "ru:", "sg:t"}},
      {"running, suspect",
       with(state(running, Process::alive), [](SlotState& s) { s.suspect = true; }),
       {"ru:", "dr:", "sg:t", "dr:", "ru:", "dr:", "dr:", "ru:P", "ru:", "ru:", "ru:", "ru:",  "ru:", "ru:",
        "ru:", "ru:", "ru:O", "ru:", "ru:", "ru:", "ru:", "sg:m", "ru:", "ru:", "ru:", "bo:R", "ru:", "sg:t"}},
      {"running, ejected",
       with(state(running, Process::alive), [](SlotState& s) { s.ejected = true; }),
       {"ru:", "dr:", "sg:t", "dr:", "ru:",  "dr:", "dr:", "ru:P", "ru:", "ru:", "ru:", "ru:",  "ru:", "ru:",
        "ru:", "ru:", "ru:",  "ru:", "ru:O", "ru:", "ru:", "sg:m", "ru:", "ru:", "ru:", "bo:R", "ru:", "sg:t"}},
      {"running, declined",
       with(state(running, Process::alive), [](SlotState& s) { s.declined = true; }),
       {"ru:", "dr:", "sg:t", "dr:", "ru:", "dr:", "dr:",  "ru:P", "ru:", "ru:", "ru:", "ru:",  "ru:", "ru:",
        "ru:", "ru:", "ru:",  "ru:", "ru:", "ru:", "ru:O", "sg:m", "ru:", "ru:", "ru:", "bo:R", "ru:", "sg:t"}},
      {"starting, a successor",
       with(state(starting, Process::alive), successor),
       {"st:", "sg:m", "sg:t", "sg:m", "st:", "sg:m", "sg:m", "sg:m", "sd:R", "ru:O", "st:", "st:",  "st:", "st:",
        "st:", "st:",  "st:",  "st:",  "st:", "st:",  "st:",  "st:",  "st:",  "st:",  "st:", "sd:R", "st:", "sg:t"}},
      {"running, a successor",
       with(state(running, Process::alive), successor),
       {"ru:", "dr:C", "sg:Ct", "dr:C", "ru:", "dr:C", "dr:C", "ru:P",  "ru:", "ru:", "ru:", "ru:",   "ru:C", "ru:",
        "ru:", "ru:C", "ru:",   "ru:C", "ru:", "ru:C", "ru:",  "sg:Cm", "ru:", "ru:", "ru:", "sd:CR", "ru:",  "sg:Ct"}},
      {"draining, to be replaced",
       state(draining, Process::alive, Leaving::replaced),
       {"dr:", "dr:", "sg:t", "dr:", "dr:", "dr:", "dr:", "sg:m", "dr:",  "dr:", "dr:", "dr:",   "dr:", "dr:",
        "dr:", "dr:", "dr:",  "dr:", "dr:", "dr:", "dr:", "dr:",  "sg:m", "dr:", "dr:", "st:RS", "dr:", "sg:t"}},
      {"draining, for the operator",
       state(draining, Process::alive, Leaving::drained, Intent::drained),
       {"dr:", "dr:", "sg:t", "dr:", "ru:O", "dr:", "dr:", "sg:m", "dr:",  "dr:", "dr:", "dr:",  "dr:", "dr:",
        "dr:", "dr:", "dr:",  "dr:", "dr:",  "dr:", "dr:", "dr:",  "sg:m", "dr:", "dr:", "sd:R", "dr:", "sg:t"}},
      {"draining, for good",
       state(draining, Process::alive, Leaving::retired),
       {"dr:", "dr:", "sg:t", "dr:", "dr:", "dr:", "dr:", "sg:m", "dr:",  "dr:", "dr:", "dr:",  "dr:", "dr:",
        "dr:", "dr:", "dr:",  "dr:", "dr:", "dr:", "dr:", "dr:",  "sg:m", "dr:", "dr:", "sd:R", "dr:", "sg:t"}},
      {"draining, its successor serves",
       state(draining, Process::alive, Leaving::superseded),
       {"dr:", "dr:", "sg:t", "dr:", "dr:", "dr:", "dr:", "sg:m", "dr:",  "dr:", "dr:", "dr:",  "dr:", "dr:",
        "dr:", "dr:", "dr:",  "dr:", "dr:", "dr:", "dr:", "dr:",  "sg:m", "dr:", "dr:", "sd:R", "dr:", "sg:t"}},
      {"stopping, never ready",
       state(stopping, Process::alive, Leaving::never_ready),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:t", "bo:R", "sg:", "sg:", "sg:",  "sg:", "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",  "sg:", "sg:", "bo:R", "sg:", "sg:t"}},
      {"stopping, to be replaced",
       state(stopping, Process::alive, Leaving::replaced),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:t", "st:RS", "sg:", "sg:", "sg:",   "sg:", "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",   "sg:", "sg:", "st:RS", "sg:", "sg:t"}},
      {"stopping, being diagnosed",
       with(state(stopping, Process::alive, Leaving::replaced), diagnosing),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:m", "st:RS", "sg:", "sg:", "sg:",   "sg:", "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",   "sg:", "sg:", "st:RS", "sg:", "sg:t"}},
      {"stopping, its successor serves",
       state(stopping, Process::alive, Leaving::superseded),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:t", "sd:R", "sg:", "sg:", "sg:",  "sg:", "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",  "sg:", "sg:", "sd:R", "sg:", "sg:t"}},
      {"stopping, for the operator",
       state(stopping, Process::alive, Leaving::drained, Intent::drained),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:t", "sd:R", "sg:", "sg:", "sg:",  "sg:", "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",  "sg:", "sg:", "sd:R", "sg:", "sg:t"}},
      {"stopping, for good",
       state(stopping, Process::alive, Leaving::retired),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:t", "sd:R", "sg:", "sg:", "sg:",  "sg:", "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",  "sg:", "sg:", "sd:R", "sg:", "sg:t"}},
      {"stopping, descendants of a crashed one",
       state(stopping, Process::main_gone, Leaving::crashed),
       {"sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:t", "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:",
        "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "sg:",  "sg:", "sg:", "sg:", "sg:", "bo:R", "sg:"}},
      {"stopped, never started", state(stopped, Process::none), {"st:S", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:",
                                                                 "sd:",  "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:",
                                                                 "sd:",  "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:"}},
      {"stopped, for the operator",
       state(stopped, Process::none, Leaving::drained, Intent::drained),
       {"sd:", "sd:", "sd:", "sd:", "st:S", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:",
        "sd:", "sd:", "sd:", "sd:", "sd:",  "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:"}},
      {"stopped, for good",
       state(stopped, Process::none, Leaving::retired, Intent::drained),
       {"sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:",
        "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:", "sd:"}},
      {"backoff", state(backoff, Process::none), {"bo:", "sd:", "sd:", "sd:", "bo:", "st:S", "sd:", "st:S", "bo:", "bo:",
                                                  "bo:", "bo:", "bo:", "bo:", "bo:", "bo:",  "bo:", "bo:",  "bo:", "bo:",
                                                  "bo:", "bo:", "bo:", "bo:", "bo:", "bo:",  "bo:", "bo:"}},
      {"failed", state(failed, Process::none), {"fa:", "sd:", "sd:", "sd:", "fa:", "st:S", "sd:", "st:S", "fa:", "fa:", "fa:", "fa:", "fa:", "fa:",
                                                "fa:", "fa:", "fa:", "fa:", "fa:", "fa:",  "fa:", "fa:",  "fa:", "fa:", "fa:", "fa:", "fa:", "fa:"}},
      {"failed, given up", with(state(failed, Process::none), no_due), {"fa:", "sd:", "sd:", "sd:", "fa:", "st:S", "sd:", "fa:", "fa:", "fa:",
                                                                        "fa:", "fa:", "fa:", "fa:", "fa:", "fa:",  "fa:", "fa:", "fa:", "fa:",
                                                                        "fa:", "fa:", "fa:", "fa:", "fa:", "fa:",  "fa:", "fa:"}},
  };
}

Event column(std::size_t index) {
  if (index < kEventTypes) return {static_cast<EventType>(index), kLife, Cause::exit_nonzero, false};
  return {EventType::exited, kLife, Cause::exit_nonzero, true};
}

TEST(Lifecycle, EveryPairOfStateAndEvent_IsAsTheTableSays) {
  const config::Pool config = pool();
  for (const Row& row : table()) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      const Step result = step(row.state, column(i), kNow, config);
      EXPECT_EQ(cell(result), row.cells.at(i)) << row.name << ", event " << i;
    }
  }
}

// What is different in a pool of Node programs: every other cell is as in the table above.
struct Difference {
  const char* row;
  EventType event;
  const char* cell;
};

/// Clients come through the proxy: a drain ends with the farewell, and a worker may go by itself.
std::vector<Difference> node_differences() {
  using enum EventType;
  return {
      {"starting", left, "dr:"},
      {"starting, stopped by a signal", left, "dr:"},
      {"starting, a successor", left, "dr:"},
      {"running, passing", left, "dr:C"},
      {"running, failing", left, "dr:"},
      {"running, stopped by a signal", left, "dr:"},
      {"running, suspect", left, "dr:"},
      {"running, ejected", left, "dr:"},
      {"running, declined", left, "dr:"},
      {"running, a successor", left, "dr:C"},
      {"draining, to be replaced", emptied, "dr:D"},
      {"draining, for the operator", emptied, "dr:D"},
      {"draining, for good", emptied, "dr:D"},
      {"draining, its successor serves", emptied, "dr:D"},
  };
}

/// Clients come past the proxy: the drain begins with the farewell.
std::vector<Difference> handoff_differences() {
  using enum EventType;
  std::vector<Difference> out = node_differences();
  for (const char* row : {"running, passing", "running, a successor"}) {
    for (const EventType event : {stop, drain, replace, supersede}) out.push_back({row, event, "dr:CD"});
  }
  for (const char* row : {"running, failing", "running, stopped by a signal", "running, suspect", "running, ejected", "running, declined"}) {
    for (const EventType event : {stop, drain, replace, supersede}) out.push_back({row, event, "dr:D"});
  }
  return out;
}

/// One that was told to finish, or goes by itself: it does not hear it again, and there is no way back.
std::vector<Difference> dismissed_differences() {
  using enum EventType;
  return {
      {"draining, to be replaced", emptied, "dr:"}, {"draining, for the operator", emptied, "dr:"},     {"draining, for the operator", resume, "dr:"},
      {"draining, for good", emptied, "dr:"},       {"draining, its successor serves", emptied, "dr:"},
  };
}

void expect_table(const config::Pool& config, const std::vector<Row>& rows, const std::vector<Difference>& differences) {
  std::size_t used = 0;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      const Event event = column(i);
      std::string want = row.cells.at(i);
      for (const Difference& each : differences) {
        if (std::string_view(each.row) != row.name || each.event != event.type || event.tree_left) continue;
        EXPECT_NE(want, each.cell) << row.name << ", event " << i << " is no difference";
        want = each.cell;
        ++used;
      }
      EXPECT_EQ(cell(step(row.state, event, kNow, config)), want) << row.name << ", event " << i;
    }
  }
  EXPECT_EQ(used, differences.size()) << "a difference names no row";
}

TEST(Lifecycle, NodePool_DiffersOnlyWhereWritten) {
  config::Pool config = pool();
  config.node = "cluster";
  expect_table(config, table(), node_differences());
  config.node = "fork";
  expect_table(config, table(), node_differences());
  config.dispatch = config::Dispatch::handoff;
  expect_table(config, table(), handoff_differences());
}

TEST(Lifecycle, DismissedWorker_DiffersOnlyWhereWritten) {
  config::Pool config = pool();
  config.node = "cluster";
  std::vector<Row> rows = table();
  std::erase_if(rows, [](const Row& row) { return row.state.lifecycle != Lifecycle::draining; });
  for (Row& row : rows) row.state.dismissed = true;
  for (const config::Dispatch dispatch : {config::Dispatch::proxy, config::Dispatch::handoff, config::Dispatch::shared}) {
    config.dispatch = dispatch;
    expect_table(config, rows, dismissed_differences());
  }
}

TEST(Lifecycle, StaleIncarnation_ChangesNothing) {
  const config::Pool config = pool();
  for (const Row& row : table()) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      Event event = column(i);
      if (event.type < EventType::spawn_failed) continue;
      for (const base::Incarnation other : {kLife - 1, kLife + 1, base::Incarnation{0}}) {
        event.incarnation = other;
        const Step result = step(row.state, event, kNow, config);
        EXPECT_TRUE(result.effects.empty()) << row.name << ", event " << i;
        EXPECT_EQ(result.state.lifecycle, row.state.lifecycle);
        EXPECT_EQ(result.state.incarnation, row.state.incarnation);
        EXPECT_EQ(result.state.process, row.state.process);
        EXPECT_EQ(result.state.paused, row.state.paused);
      }
    }
  }
}

TEST(Lifecycle, Eligible_IsTheTruthTable) {
  for (int lifecycle = 0; lifecycle < 7; ++lifecycle) {
    for (int health = 0; health < 3; ++health) {
      for (int intent = 0; intent < 2; ++intent) {
        for (unsigned facts = 0; facts < 16; ++facts) {
          SlotState s;
          s.lifecycle = static_cast<Lifecycle>(lifecycle);
          s.health = static_cast<Health>(health);
          s.intent = static_cast<Intent>(intent);
          s.paused = (facts & 1U) != 0;
          s.suspect = (facts & 2U) != 0;
          s.ejected = (facts & 4U) != 0;
          s.declined = (facts & 8U) != 0;
          const bool want = s.lifecycle == Lifecycle::running && s.health == Health::passing && s.intent == Intent::enabled && facts == 0;
          EXPECT_EQ(eligible(s), want);
        }
      }
    }
  }
}

TEST(Lifecycle, GateCloses_BeforeAnyOtherEffect) {
  const config::Pool config = pool();
  for (const Row& row : table()) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      const Step result = step(row.state, column(i), kNow, config);
      for (std::size_t e = 1; e < result.effects.size(); ++e) EXPECT_NE(result.effects[e].type, EffectType::close_gate) << row.name;
    }
  }
}

}  // namespace
}  // namespace drover::backends
