// Role: explores every interleaving of small scripts at each atomic step of one shared 64-bit word.
// Thread: one; "threads" are scripts advanced step by step. Ownership: the explorer owns word, logs and trace.
//
// No real threads are needed: a script is a function of the results of its atomic operations. To advance it by one step it runs
// again from its start, is fed the results it had before, does one new operation on the word, and is cut at the next.
// What it notes after that operation belongs to the same step, so that claims are checked at their tightest.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace drover::test {

struct Cut {};  // thrown at the operation after the new one

/// One script's view of the word: has what std::atomic has.
class SteppedWord {
 public:
  struct Done {  ///< an operation's outcome, for the replay
    std::uint64_t value;
    bool swapped;
  };

  SteppedWord(std::uint64_t& word, std::vector<Done>& log, bool fail_weak) : word_(word), log_(log), fail_weak_(fail_weak) {}

  std::uint64_t load(std::memory_order = std::memory_order_seq_cst) {
    return step([&](std::uint64_t&) { return false; }).value;
  }
  void store(std::uint64_t value, std::memory_order = std::memory_order_seq_cst) {
    step([&](std::uint64_t& word) { return word = value, true; });
  }
  std::uint64_t fetch_add(std::uint64_t n, std::memory_order = std::memory_order_seq_cst) {
    return step([&](std::uint64_t& word) { return word += n, true; }).value;
  }
  std::uint64_t fetch_sub(std::uint64_t n, std::memory_order = std::memory_order_seq_cst) {
    return step([&](std::uint64_t& word) { return word -= n, true; }).value;
  }
  std::uint64_t fetch_and(std::uint64_t bits, std::memory_order = std::memory_order_seq_cst) {
    return step([&](std::uint64_t& word) { return word &= bits, true; }).value;
  }
  std::uint64_t fetch_or(std::uint64_t bits, std::memory_order = std::memory_order_seq_cst) {
    return step([&](std::uint64_t& word) { return word |= bits, true; }).value;
  }
  bool compare_exchange_strong(std::uint64_t& expected, std::uint64_t desired, std::memory_order = std::memory_order_seq_cst,
                               std::memory_order = std::memory_order_seq_cst) {
    const Done done = step([&](std::uint64_t& word) { return word == expected && (word = desired, true); });
    if (!done.swapped) expected = done.value;
    return done.swapped;
  }
  bool compare_exchange_weak(std::uint64_t& expected, std::uint64_t desired, std::memory_order = std::memory_order_seq_cst,
                             std::memory_order = std::memory_order_seq_cst) {
    const Done done = step([&](std::uint64_t& word) { return !fail_weak_ && word == expected && (word = desired, true); });
    if (!done.swapped) expected = done.value;
    return done.swapped;
  }

  /// The new operation has been done: what is noted now is news.
  bool live() const { return live_; }

 private:
  template <class Change>
  Done step(Change change) {
    if (next_ < log_.size()) return log_[next_++];
    if (live_) throw Cut{};
    live_ = true;
    const std::uint64_t before = word_;
    const bool changed = change(word_);
    log_.push_back({before, changed});
    ++next_;
    return log_.back();
  }

  std::uint64_t& word_;
  std::vector<Done>& log_;
  bool fail_weak_;
  std::size_t next_ = 0;
  bool live_ = false;
};

/// Model: copyable, what must hold. `Script` runs on the word and tells the model through `note`.
template <class Model>
class Explorer {
 public:
  using Note = std::function<void(const std::function<void(Model&)>&)>;
  using Script = std::function<void(SteppedWord&, const Note&)>;
  /// After each step: what is wrong, or "".
  using Check = std::function<std::string(const Model&, std::uint64_t word)>;

  Explorer(std::uint64_t word, Model model, std::vector<Script> scripts, Check check)
      : scripts_(std::move(scripts)), check_(std::move(check)), start_{word, std::move(model), {}, {}} {
    start_.logs.resize(scripts_.size());
    start_.ended.resize(scripts_.size());
  }

  /// The first wrong found, with its schedule, or "".
  std::string run() {
    schedule_.clear();
    explore(start_, 0);
    return wrong_;
  }
  std::uint64_t complete() const { return complete_; }

 private:
  struct State {
    std::uint64_t word;
    Model model;
    std::vector<std::vector<SteppedWord::Done>> logs;
    std::vector<bool> ended;
  };

  void explore(const State& state, int weak_failures) {
    bool all_ended = true;
    for (std::size_t actor = 0; actor < scripts_.size() && wrong_.empty(); ++actor) {
      if (state.ended[actor]) continue;
      all_ended = false;
      advance(state, actor, false, weak_failures);
      // compare_exchange_weak may fail for no reason: also tried, once per schedule.
      if (weak_failures == 0 && wrong_.empty()) advance(state, actor, true, 1);
    }
    if (all_ended) ++complete_;
  }

  void advance(const State& before, std::size_t actor, bool fail_weak, int weak_failures) {
    State state = before;
    SteppedWord word(state.word, state.logs[actor], fail_weak);
    const Note note = [&](const std::function<void(Model&)>& tell) {
      if (word.live()) tell(state.model);
    };
    try {
      scripts_[actor](word, note);
      state.ended[actor] = true;
    } catch (const Cut&) {
    }
    schedule_ += static_cast<char>('A' + static_cast<int>(actor));
    if (const std::string found = check_(state.model, state.word); !found.empty()) {
      wrong_ = found + " in schedule " + schedule_;
    } else {
      explore(state, weak_failures);
    }
    schedule_.pop_back();
  }

  std::vector<Script> scripts_;
  Check check_;
  State start_;
  std::string schedule_;
  std::string wrong_;
  std::uint64_t complete_ = 0;
};

}  // namespace drover::test
