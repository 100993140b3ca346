#include "ipc/line_reader.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace drover::ipc {
namespace {

using What = LineReader::What;
const std::string kTooLong = "(too long)";

/// Puts bytes in as room() allows and collects what comes out.
void feed(LineReader& reader, std::string_view bytes, std::vector<std::string>& out) {
  do {
    const auto room = reader.room();
    ASSERT_GT(room.size(), 0U);
    const std::size_t size = std::min(room.size(), bytes.size());
    if (size > 0) std::memcpy(room.data(), bytes.data(), size);
    bytes.remove_prefix(size);
    reader.filled(size);
    for (auto next = reader.next(); next.what != What::more; next = reader.next()) {
      out.push_back(next.what == What::line ? std::string(next.line) : kTooLong);
    }
  } while (!bytes.empty());
}

std::vector<std::string> lines_of(std::size_t most, const std::vector<std::string>& reads) {
  LineReader reader(most);
  std::vector<std::string> out;
  for (const auto& read : reads) feed(reader, read, out);
  return out;
}

TEST(LineReader, CutsJoinedAndSplitReads) {
  EXPECT_EQ(lines_of(100, {"one\ntwo\nth", "r", "ee\n"}), (std::vector<std::string>{"one", "two", "three"}));
}

TEST(LineReader, ToleratesCarriageReturns_PassesOverEmptyLines) {
  EXPECT_EQ(lines_of(100, {"one\r\n\r\n\n\ntwo\r", "\n\rthree\n"}), (std::vector<std::string>{"one", "two", "\rthree"}));
}

TEST(LineReader, GivesNoLineWithoutItsEnd) { EXPECT_EQ(lines_of(100, {"one\ntwo"}), (std::vector<std::string>{"one"})); }

TEST(LineReader, TheLongestLinePasses_OneByteMoreDoesNot) {
  const std::string longest(10, 'x');
  EXPECT_EQ(lines_of(10, {longest + "\n"}), (std::vector<std::string>{longest}));
  EXPECT_EQ(lines_of(10, {longest + "\r", "\n"}), (std::vector<std::string>{longest}));
  EXPECT_EQ(lines_of(10, {longest + "y\nnext\n"}), (std::vector<std::string>{kTooLong, "next"}));
  EXPECT_EQ(lines_of(10, {longest, "y", "\nnext\n"}), (std::vector<std::string>{kTooLong, "next"}));
  EXPECT_EQ(lines_of(10, {longest + "\r", "y\nnext\n"}), (std::vector<std::string>{kTooLong, "next"}));
}

TEST(LineReader, TellsOfATooLongLineOnceAndBeforeItsEnd) {
  LineReader reader(1000);
  std::vector<std::string> out;
  for (int i = 0; i < 100; ++i) feed(reader, std::string(977, 'x'), out);
  EXPECT_EQ(out, (std::vector<std::string>{kTooLong}));
  EXPECT_TRUE(reader.throwing_away());
  feed(reader, "\nnext\n", out);
  EXPECT_EQ(out, (std::vector<std::string>{kTooLong, "next"}));
  EXPECT_FALSE(reader.throwing_away());
}

TEST(LineReader, HoldsNothingWhenIdle_AndLittleAfterALongLine) {
  LineReader reader(1024 * 1024);
  EXPECT_EQ(reader.capacity(), 0U);
  std::vector<std::string> out;
  feed(reader, std::string(1024 * 1024, 'x') + "\nbegin", out);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_LE(reader.capacity(), 1024 * 1024 + LineReader::kMostRoom);
  reader.rest();
  EXPECT_LE(reader.capacity(), 5U);
  feed(reader, "ning\n", out);
  EXPECT_EQ(out.back(), "beginning");
  reader.rest();
  EXPECT_EQ(reader.capacity(), 0U);
}

TEST(LineReader, NeverHoldsMoreThanALineAndARead) {
  constexpr std::size_t kMost = 100'000;
  LineReader reader(kMost);
  std::vector<std::string> out;
  for (int i = 0; i < 3000; ++i) {
    feed(reader, std::string(1000, 'x'), out);
    ASSERT_LE(reader.capacity(), kMost + LineReader::kMostRoom);
    if (i % 7 == 0) reader.rest();
  }
  EXPECT_EQ(out, (std::vector<std::string>{kTooLong}));
}

TEST(LineReader, ReadsMoreAtATimeWhileReadsAreFull) {
  LineReader reader(1024);
  for (int i = 0; i < 10; ++i) {
    const auto room = reader.room();
    std::memset(room.data(), '\n', room.size());
    reader.filled(room.size());
    EXPECT_EQ(reader.next().what, What::more);
  }
  EXPECT_EQ(reader.room().size(), LineReader::kMostRoom);
  reader.rest();
  EXPECT_EQ(reader.room().size(), LineReader::kLeastRoom);
}

/// What must come out of a whole stream, said as plainly as possible.
std::vector<std::string> model(const std::string& stream, std::size_t most) {
  std::vector<std::string> out;
  std::string line;
  for (const char byte : stream) {
    if (byte != '\n') {
      line += byte;
      continue;
    }
    if (line.ends_with('\r')) line.pop_back();
    if (line.size() > most) out.push_back(kTooLong);
    if (!line.empty() && line.size() <= most) out.push_back(line);
    line.clear();
  }
  if (line.ends_with('\r')) line.pop_back();
  if (line.size() > most) out.push_back(kTooLong);
  return out;
}

TEST(LineReader, RandomStreamsInRandomPieces_AsTheModel) {
  for (std::uint64_t seed = 1; seed <= 5000; ++seed) {
    base::Rng rng(seed);
    const std::size_t most = 1 + rng.below(seed % 10 == 0 ? 20'000 : 40);
    std::string stream;
    for (std::uint64_t i = 0, lines = rng.below(30); i < lines; ++i) {
      for (std::uint64_t n = 0, size = rng.below(most + 3); n < size; ++n) stream += "ab\rc"[rng.below(4)];
      if (rng.below(4) == 0) stream += '\r';
      if (rng.below(10) != 0) stream += '\n';
    }
    LineReader reader(most);
    std::vector<std::string> out;
    for (std::string_view left = stream; !left.empty();) {
      const std::size_t size = std::min<std::size_t>(left.size(), 1 + rng.below(rng.below(2) == 0 ? 3 : 3 * most));
      feed(reader, left.substr(0, size), out);
      left.remove_prefix(size);
      if (rng.below(3) == 0) reader.rest();
      ASSERT_LE(reader.capacity(), most + LineReader::kMostRoom + LineReader::kLeastRoom) << "seed " << seed;
    }
    ASSERT_EQ(out, model(stream, most)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace drover::ipc
