// Every interleaving of small scripts over the real gate's code; then over gates with planted bugs, each of which must be found.
#include "board/gate.hpp"
#include "tests/board/interleave.hpp"

#include <gtest/gtest.h>

#include <map>

namespace drover::board {
namespace {

using test::Explorer;
using test::SteppedWord;

struct Model {
  base::Incarnation open = 0;               // 0: closed
  std::map<base::Incarnation, int> inside;  // by what the scripts were told
  std::string wrong;
};

std::string check(const Model& model, std::uint64_t word) {
  if (!model.wrong.empty()) return model.wrong;
  const GateView view = BasicGate<SteppedWord>::unpack(word);
  int inside = 0;
  for (const auto& [incarnation, count] : model.inside) {
    inside += count;
    if (count > 0 && view.incarnation != incarnation) return "the row was given to another incarnation with somebody inside";
  }
  if (view.count != static_cast<std::uint32_t>(inside)) return "the count is not the number of those inside";
  return {};
}

using Exploration = Explorer<Model>;
using Script = Exploration::Script;

template <template <class> class GateType>
Script proxy(base::Incarnation incarnation, int times = 1) {
  return [=](SteppedWord& word, const Exploration::Note& note) {
    GateType<SteppedWord> gate(word);
    for (int i = 0; i < times; ++i) {
      if (!gate.enter(incarnation)) continue;
      note([=](Model& model) {
        if (model.open != incarnation) model.wrong = "an enter succeeded after close had returned, or for another incarnation";
        ++model.inside[incarnation];
      });
      gate.leave();
      note([=](Model& model) { --model.inside[incarnation]; });
    }
  };
}

template <template <class> class GateType>
void close_and_tell(GateType<SteppedWord>& gate, const Exploration::Note& note) {
  const std::uint32_t still_inside = gate.close();
  note([=](Model& model) {
    model.open = 0;
    int inside = 0;
    for (const auto& [incarnation, count] : model.inside) inside += count;
    if (inside != static_cast<int>(still_inside)) model.wrong = "close told another number than were inside";
  });
}

/// Closes, then tries to give the row to `next`: it must be refused while somebody is inside.
template <template <class> class GateType>
Script supervisor(base::Incarnation next, int tries) {
  return [=](SteppedWord& word, const Exploration::Note& note) {
    GateType<SteppedWord> gate(word);
    close_and_tell(gate, note);
    for (int i = 0; i < tries; ++i) {
      const bool opened = gate.open(next);
      if (!opened) continue;
      note([=](Model& model) { model.open = next; });
      return;
    }
  };
}

template <template <class> class GateType>
std::string explore(std::vector<Script> scripts, std::uint64_t* complete = nullptr) {
  Model model;
  model.open = 7;
  Exploration exploration(BasicGate<SteppedWord>::pack(7, false, 0), model, std::move(scripts), check);
  std::string wrong = exploration.run();
  if (complete != nullptr) *complete = exploration.complete();
  return wrong;
}

TEST(GateModel, TwoProxiesAndANewLife_EveryInterleavingHolds) {
  std::uint64_t complete = 0;
  EXPECT_EQ(explore<BasicGate>({proxy<BasicGate>(7), proxy<BasicGate>(7), supervisor<BasicGate>(8, 2)}, &complete), "");
  EXPECT_GT(complete, 1000U);
}

TEST(GateModel, ProxyOfTheOldAndOfTheNewLife_NeverMixed) {
  EXPECT_EQ(explore<BasicGate>({proxy<BasicGate>(7), proxy<BasicGate>(8), supervisor<BasicGate>(8, 2)}), "");
}

TEST(GateModel, SameLifeLetInAgain_CountsSurvive) {
  EXPECT_EQ(explore<BasicGate>({proxy<BasicGate>(7, 2), proxy<BasicGate>(7), supervisor<BasicGate>(7, 1)}), "");
}

TEST(GateModel, CloseTwiceAndProxyThatComesBack_Holds) {
  const Script twice = [](SteppedWord& word, const Exploration::Note& note) {
    BasicGate<SteppedWord> gate(word);
    close_and_tell(gate, note);
    close_and_tell(gate, note);
  };
  EXPECT_EQ(explore<BasicGate>({proxy<BasicGate>(7, 3), twice}), "");
}

// Planted bugs.

template <class Word>
struct ChecksThenAdds : BasicGate<Word> {
  explicit ChecksThenAdds(Word& word) : BasicGate<Word>(word), raw(&word) {}
  bool enter(base::Incarnation incarnation) {
    if (!this->still_open(incarnation)) return false;
    raw->fetch_add(1);
    return true;
  }
  Word* raw;
};

template <class Word>
struct ClosesByStore : BasicGate<Word> {
  explicit ClosesByStore(Word& word) : BasicGate<Word>(word), raw(&word) {}
  std::uint32_t close() {
    const std::uint64_t seen = raw->load();
    raw->store(seen | BasicGate<Word>::kClosed);
    return BasicGate<Word>::unpack(seen).count;
  }
  Word* raw;
};

template <class Word>
struct OpensWithoutLooking : BasicGate<Word> {
  explicit OpensWithoutLooking(Word& word) : BasicGate<Word>(word), raw(&word) {}
  bool open(base::Incarnation incarnation) {
    raw->store(BasicGate<Word>::pack(incarnation, false, 0));
    return true;
  }
  Word* raw;
};

template <class Word>
struct IgnoresIncarnation : BasicGate<Word> {
  explicit IgnoresIncarnation(Word& word) : BasicGate<Word>(word) {}
  bool enter(base::Incarnation) { return BasicGate<Word>::enter(this->view().incarnation); }
};

template <class Word>
struct ReopensByStore : BasicGate<Word> {
  explicit ReopensByStore(Word& word) : BasicGate<Word>(word), raw(&word) {}
  bool open(base::Incarnation incarnation) {
    const GateView seen = this->view();
    if (seen.incarnation != incarnation && seen.count != 0) return false;
    raw->store(BasicGate<Word>::pack(incarnation, false, seen.count));
    return true;
  }
  Word* raw;
};

template <template <class> class GateType>
std::string explore_both(base::Incarnation next) {
  std::string wrong = explore<GateType>({proxy<GateType>(7), proxy<GateType>(7), supervisor<GateType>(next, 2)});
  if (wrong.empty()) wrong = explore<GateType>({proxy<GateType>(7), proxy<GateType>(8), supervisor<GateType>(next, 2)});
  return wrong;
}

TEST(GateModel, PlantedBugs_AreEachFound) {
  EXPECT_NE(explore_both<ChecksThenAdds>(8), "");
  EXPECT_NE(explore_both<ClosesByStore>(8), "");
  EXPECT_NE(explore_both<OpensWithoutLooking>(8), "");
  EXPECT_NE(explore_both<IgnoresIncarnation>(8), "");
  EXPECT_NE(explore_both<ReopensByStore>(7), "");
}

// The gate by itself.

TEST(Gate, RefusesAfterClose) {
  GateWord word{Gate::kClosed};
  Gate gate(word);
  EXPECT_FALSE(gate.enter(1));
  ASSERT_TRUE(gate.open(1));
  EXPECT_TRUE(gate.enter(1));
  EXPECT_FALSE(gate.enter(2));
  EXPECT_EQ(gate.close(), 1U);
  EXPECT_FALSE(gate.enter(1));
  EXPECT_FALSE(gate.still_open(1));
  gate.leave();
  EXPECT_EQ(gate.view().count, 0U);
}

TEST(Gate, RowGoesToAnotherLifeOnlyWhenClosedAndEmpty) {
  GateWord word{Gate::kClosed};
  Gate gate(word);
  ASSERT_TRUE(gate.open(1));
  EXPECT_FALSE(gate.open(2)) << "still open for 1";
  ASSERT_TRUE(gate.enter(1));
  gate.close();
  EXPECT_FALSE(gate.open(2)) << "somebody is inside";
  EXPECT_TRUE(gate.open(1)) << "the same life may come back";
  EXPECT_EQ(gate.view().count, 1U);
  gate.close();
  gate.leave();
  EXPECT_TRUE(gate.open(2));
  EXPECT_TRUE(gate.still_open(2));
}

TEST(Gate, HoldsTheLargestIncarnationAndCount) {
  GateWord word{Gate::pack(0x7fffffffU, false, UINT32_MAX)};
  Gate gate(word);
  EXPECT_EQ(gate.view().incarnation, 0x7fffffffU);
  EXPECT_FALSE(gate.enter(0x7fffffffU)) << "a full count must not spill into the closed bit";
  gate.leave();
  EXPECT_TRUE(gate.enter(0x7fffffffU));
}

}  // namespace
}  // namespace drover::board
