#include "ipc/outbox.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>

#include <algorithm>
#include <deque>
#include <map>
#include <string>

namespace drover::ipc {
namespace {

constexpr Outbox::Limits kLimits{64 * 1024, 256 * 1024};

base::UniqueFd some_file() { return base::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

class OutboxTest : public ::testing::Test {
 protected:
  /// One batch, of which `most` bytes are taken.
  std::string write(std::size_t most = SIZE_MAX) {
    Outbox::Batch batch;
    outbox.next(batch, make);
    descriptor = batch.descriptor;
    std::string all;
    for (std::size_t i = 0; i < batch.count; ++i) all.append(static_cast<const char*>(batch.parts[i].iov_base), batch.parts[i].iov_len);
    EXPECT_EQ(all.size(), batch.bytes);
    const std::string taken = all.substr(0, std::min(most, all.size()));
    lines += outbox.written(batch, taken.size());
    return taken;
  }

  Outbox outbox{kLimits};
  std::function<std::string(const std::string&)> make = [](const std::string& key) { return "=" + key; };
  int descriptor = -1;
  std::size_t lines = 0;
};

TEST_F(OutboxTest, EmptyHasNothingToWrite) {
  EXPECT_FALSE(outbox.ready());
  EXPECT_EQ(write(), "");
  EXPECT_EQ(outbox.bytes(), 0U);
}

TEST_F(OutboxTest, AllKindsGoInTheOrderInWhichTheyCame) {
  outbox.add("a");
  outbox.add_message("b");
  outbox.add_sync("c");
  outbox.add("d");
  EXPECT_EQ(write(), "a\nb\n=c\nd\n");
  EXPECT_EQ(lines, 4U);
  EXPECT_FALSE(outbox.ready());
  EXPECT_EQ(outbox.bytes(), 0U);
}

TEST_F(OutboxTest, GoesOnWhereTheWriteStopped) {
  outbox.add("first");
  outbox.add_sync("key");
  EXPECT_EQ(write(2), "fi");
  EXPECT_EQ(write(6), "rst\n=k");
  make = [](const std::string&) { return "never in the middle of a line"; };
  EXPECT_EQ(write(0), "");
  EXPECT_EQ(write(), "ey\n");
  EXPECT_EQ(lines, 2U);
}

TEST_F(OutboxTest, ABatchIsBoundedInLinesAndBytes) {
  for (int i = 0; i < 100; ++i) outbox.add("x");
  EXPECT_EQ(write().size(), 2 * Outbox::kBatchLines);
  outbox.clear();
  for (int i = 0; i < 10; ++i) outbox.add(std::string(30'000, 'x'));
  EXPECT_EQ(write().size(), 3 * 30'001U);
}

TEST_F(OutboxTest, ABegunMessageIsNeverDropped_TheOldestOfTheOthersIs) {
  outbox.add_message("1" + std::string(20'000, 'x'));
  outbox.add_message("2" + std::string(20'000, 'x'));
  outbox.add_message("3" + std::string(20'000, 'x'));
  EXPECT_EQ(write(1), "1");
  EXPECT_EQ(outbox.add_message("4" + std::string(20'000, 'x')), 1U);
  const std::string rest = write();
  EXPECT_EQ(rest[20'001], '3');
  EXPECT_EQ(rest[40'003], '4');
  EXPECT_EQ(rest.size(), 20'001 + 2 * 20'002U);
}

TEST_F(OutboxTest, TheNewestMessageAlwaysHasItsPlace) {
  outbox.add_message("small");
  EXPECT_EQ(outbox.add_message(std::string(kLimits.messages * 2, 'x')), 1U);
  EXPECT_EQ(write().size(), kLimits.messages * 2 + 1);
}

TEST_F(OutboxTest, WhatMustNotBeLostIsNotDroppedForMessages) {
  outbox.add("must");
  outbox.add_sync("key");
  for (int i = 0; i < 1000; ++i) outbox.add_message(std::string(1000, 'x'));
  EXPECT_EQ(write().substr(0, 10), "must\n=key\n");
}

TEST_F(OutboxTest, AKeyThatWaitsIsQueuedOnce_ItsLineIsOfTheTimeOfWriting) {
  int value = 0;
  make = [&](const std::string& key) { return key + std::to_string(value); };
  for (int i = 0; i < 1000; ++i) outbox.add_sync("key");
  EXPECT_LT(outbox.bytes(), 1000U);
  value = 7;
  EXPECT_EQ(write(0), "");
  value = 8;
  EXPECT_EQ(write(), "key8\n");
  EXPECT_FALSE(outbox.ready());
}

TEST_F(OutboxTest, AKeyThatChangesWhileItsLineIsUnderWay_IsToldAgain) {
  int value = 1;
  make = [&](const std::string& key) { return key + std::to_string(value); };
  outbox.add_sync("key");
  EXPECT_EQ(write(2), "ke");
  value = 2;
  outbox.add_sync("key");
  EXPECT_EQ(write(), "y1\nkey2\n");
}

TEST_F(OutboxTest, AKeyThatChangesWhileLinesAreMade_IsToldAgain) {
  int value = 1;
  make = [&](const std::string& key) {
    if (key == "b" && value == 1) {  // as an expiry that is found by reading another key
      value = 2;
      outbox.add_sync("a");
    }
    return key + std::to_string(value);
  };
  outbox.add_sync("a");
  outbox.add_sync("b");
  EXPECT_EQ(write(), "a1\nb2\n");
  EXPECT_EQ(write(), "a2\n");
}

TEST_F(OutboxTest, AKeyThatChangesWhileItsOwnLineIsMade_IsToldAgain) {
  int value = 1;
  make = [&](const std::string& key) {
    std::string line = key + std::to_string(value);
    if (value == 1) {
      value = 2;
      outbox.add_sync(key);
    }
    return line;
  };
  outbox.add_sync("a");
  EXPECT_EQ(write(), "a1\n");
  EXPECT_EQ(write(), "a2\n");
}

TEST_F(OutboxTest, AKeyThatChangesWhileItsUnwrittenLineIsForgotten_IsToldOnce) {
  bool once = true;
  make = [&](const std::string& key) {
    if (std::exchange(once, false)) outbox.add_sync(key);
    return key;
  };
  outbox.add_sync("a");
  EXPECT_EQ(write(0), "");
  EXPECT_EQ(write(), "a\n");
  EXPECT_FALSE(outbox.ready());
}

TEST_F(OutboxTest, AKeyWithNothingToTellIsPassedOver) {
  make = [](const std::string& key) { return key == "gone" ? "" : key; };
  outbox.add_sync("gone");
  outbox.add_sync("here");
  outbox.add_sync("gone");
  EXPECT_EQ(write(), "here\n");
  EXPECT_FALSE(outbox.ready());
  EXPECT_EQ(outbox.bytes(), 0U);
}

TEST_F(OutboxTest, DescriptorsWaitForEachOther_OthersPassBy) {
  outbox.add("plain 1");
  outbox.add("fd 1", some_file());
  outbox.add("fd 2", some_file());
  outbox.add("plain 2");
  EXPECT_EQ(write(), "plain 1\n");
  EXPECT_EQ(descriptor, -1);
  EXPECT_EQ(write(1), "f");
  EXPECT_GE(descriptor, 0);
  EXPECT_EQ(write(), "d 1\nplain 2\n");
  EXPECT_EQ(descriptor, -1);
  EXPECT_FALSE(outbox.ready());
  EXPECT_TRUE(outbox.descriptor_under_way());
  outbox.descriptor_settled();
  EXPECT_EQ(write(), "fd 2\n");
  EXPECT_GE(descriptor, 0);
  outbox.descriptor_settled();
  EXPECT_FALSE(outbox.descriptor_under_way());
}

TEST_F(OutboxTest, ADescriptorOfWhichNothingWasWrittenIsPassedAgain) {
  outbox.add("fd", some_file());
  EXPECT_EQ(write(0), "");
  EXPECT_GE(descriptor, 0);
  EXPECT_EQ(write(), "fd\n");
  EXPECT_GE(descriptor, 0);
}

TEST_F(OutboxTest, SettledTooEarly_TheNextDescriptorStillWaitsForTheLineUnderWay) {
  outbox.add("fd 1", some_file());
  outbox.add("fd 2", some_file());
  EXPECT_EQ(write(2), "fd");
  outbox.descriptor_settled();
  EXPECT_EQ(write(), " 1\n");
  EXPECT_EQ(descriptor, -1);
  EXPECT_EQ(write(), "fd 2\n");
  EXPECT_GE(descriptor, 0);
}

TEST_F(OutboxTest, TellsWhenTooMuchWaits_SmallLinesCountToo) {
  std::size_t count = 0;
  while (!outbox.over()) {
    outbox.add("x");
    ++count;
  }
  EXPECT_LE(count, kLimits.all / Outbox::kEntryBytes + 1);
}

/// The rules once more, naively: one list, searched each time.
struct Model {
  struct Entry {
    char kind;  // m: must, u: user message, s: sync, d: with descriptor
    std::string text;
    bool begun = false;
  };
  std::deque<Entry> entries;
  std::size_t into = 0;  // of the begun one
  bool in_flight = false;
  std::map<std::string, int> versions;

  std::string text_of(const std::string& key) {
    return key[0] == 'g' ? "" : key + "=" + std::to_string(versions[key]) + std::string(versions[key] % 97, '.');
  }
  void sync(const std::string& key) {
    ++versions[key];
    for (const auto& entry : entries) {
      if (entry.kind == 's' && !entry.begun && entry.text == key) return;
    }
    entries.push_back({'s', key});
  }
  bool drop_oldest_message() {
    for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
      if (entry->kind != 'u' || entry->begun) continue;
      entries.erase(entry);
      return true;
    }
    return false;
  }
  /// The next byte of the stream; 0: none.
  char next() {
    auto entry = entries.begin();
    while (entry != entries.end() && !entry->begun) ++entry;
    if (entry == entries.end()) {
      for (entry = entries.begin(); entry != entries.end(); ++entry) {
        if (entry->kind == 'd' && in_flight) continue;
        if (entry->kind != 's' || entry->text[0] != 'g') break;
      }
      if (entry == entries.end()) return 0;
      if (entry->kind == 's') entry->text = text_of(entry->text);
      entry->begun = true;
      into = 0;
      in_flight = in_flight || entry->kind == 'd';
    }
    if (into < entry->text.size()) return entry->text[into++];
    entries.erase(entry);
    return '\n';
  }
};

TEST(Outbox, RandomUse_AsTheModel) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    base::Rng rng(seed);
    const Outbox::Limits limits{200 + rng.below(20'000), 1024 * 1024};
    Outbox outbox(limits);
    Model model;
    int number = 0;
    const auto make = [&](const std::string& key) { return model.text_of(key); };
    for (int step = 0; step < 120; ++step) {
      const std::string text = std::to_string(++number) + std::string(rng.below(rng.below(20) == 0 ? 3000 : 60), 'x');
      switch (rng.below(7)) {
        case 0:
          outbox.add(text);
          model.entries.push_back({'m', text});
          break;
        case 1:
        case 2: {
          model.entries.push_back({'u', text});
          for (std::size_t dropped = outbox.add_message(text); dropped > 0; --dropped) ASSERT_TRUE(model.drop_oldest_message()) << "seed " << seed;
          ASSERT_EQ(model.entries.back().text, text) << "the newest was dropped, seed " << seed;
          break;
        }
        case 3: {
          const std::string key = (rng.below(6) == 0 ? "g" : "k") + std::to_string(rng.below(5));
          model.sync(key);
          outbox.add_sync(key);
          break;
        }
        case 4:
          outbox.add(text, some_file());
          model.entries.push_back({'d', text});
          break;
        case 5:
          if (rng.below(2) == 0) break;
          outbox.descriptor_settled();
          model.in_flight = false;
          break;
        default: {
          Outbox::Batch batch;
          outbox.next(batch, make);
          std::size_t left = rng.below(3) == 0 ? batch.bytes : rng.below(batch.bytes + 1);
          const std::size_t taken = left;
          for (std::size_t i = 0; i < batch.count && left > 0; ++i) {
            const auto* bytes = static_cast<const char*>(batch.parts[i].iov_base);
            for (std::size_t at = 0; at < batch.parts[i].iov_len && left > 0; ++at, --left) {
              const bool was = model.in_flight;
              ASSERT_EQ(model.next(), bytes[at]) << "seed " << seed;
              if (!was && model.in_flight) {
                ASSERT_TRUE(i == 0 && at == 0 && batch.descriptor >= 0) << "a descriptor without its line, seed " << seed;
              }
            }
          }
          outbox.written(batch, taken);
        }
      }
      ASSERT_EQ(outbox.descriptor_under_way(),
                model.in_flight || std::any_of(model.entries.begin(), model.entries.end(), [](const auto& e) { return e.kind == 'd'; }))
          << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace drover::ipc
