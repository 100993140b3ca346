#include "proxy/access_writer.hpp"

#include "proxy/access_sink.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace drover::proxy {
namespace {

bool eventually(const std::function<bool()>& condition) {
  const auto until = base::Clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (base::Clock::now() > until) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

std::string content(int fd) {
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

base::UniqueFd some_file() {
  std::string path = ::testing::TempDir() + "access-XXXXXX";
  base::UniqueFd fd(::mkostemp(path.data(), O_APPEND | O_CLOEXEC));
  EXPECT_TRUE(fd) << path;
  ::unlink(path.c_str());
  return fd;
}

base::UniqueFd copy(const base::UniqueFd& fd) { return base::UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

struct Pipe {
  explicit Pipe(int flags = O_NONBLOCK) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
    ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
    ::fcntl(writer.get(), F_SETFL, flags);
  }
  std::string read_some(std::size_t most = 64 * 1024) const {
    std::string text(most, '\0');
    const ssize_t got = ::read(reader.get(), text.data(), most);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
  }
  base::UniqueFd reader;
  base::UniqueFd writer;
};

/// Lines of several lengths, from 20 bytes to 3 KiB, that tell who wrote them, their number and their length.
std::string numbered(std::size_t thread, std::size_t number) {
  std::string line = fmt::format("t{} n{} ", thread, number);
  const std::size_t length = number % 50 == 0 ? 3000 : 20 + number * 7 % 200;
  if (line.size() < length) line.append(length - line.size(), static_cast<char>('a' + number % 26));
  return line + "\n";
}

/// Every line is whole, and each thread's are there from its first to its last in order, without those in `lost`.
void expect_whole(const std::string& text, const std::map<std::size_t, std::size_t>& counts,
                  const std::set<std::pair<std::size_t, std::size_t>>& lost) {
  std::map<std::size_t, std::size_t> next;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    ASSERT_NE(end, std::string::npos) << "the end is cut";
    const std::string line = text.substr(at, end + 1 - at);
    const std::size_t thread = static_cast<std::size_t>(line[1] - '0');
    while (lost.contains({thread, next[thread]})) ++next[thread];
    ASSERT_EQ(line, numbered(thread, next[thread]));
    ++next[thread];
    at = end + 1;
  }
  for (const auto& [thread, count] : counts) {
    while (lost.contains({thread, next[thread]})) ++next[thread];
    EXPECT_EQ(next[thread], count) << "thread " << thread;
  }
}

class Access : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ::signal(SIGPIPE, SIG_IGN); }
  /// False: dropped.
  bool put(std::size_t thread, std::size_t number) {
    const auto result = writer->ring(thread).put(numbered(thread, number));
    if (result == AccessRing::Put::stored_half_full) writer->wake();
    return result != AccessRing::Put::no_room;
  }

  Pipe complaints;
  std::unique_ptr<AccessWriter> writer = std::move(*AccessWriter::create(3, complaints.writer.get()));
};

TEST(AccessRing, TakesNoMoreThanItHolds) {
  AccessRing ring;
  const std::string line(1000, 'x');
  std::size_t stored = 0;
  std::size_t halves = 0;
  for (AccessRing::Put put{}; (put = ring.put(line)) != AccessRing::Put::no_room; ++stored) halves += put == AccessRing::Put::stored_half_full;
  EXPECT_EQ(stored, AccessRing::kBytes / 1000);
  EXPECT_EQ(halves, 1U);
  ring.drop_front(1000);
  EXPECT_EQ(ring.put(line), AccessRing::Put::stored);
  const auto lines = ring.lines();
  EXPECT_EQ(lines[0].size() + lines[1].size(), stored * 1000);
  EXPECT_FALSE(lines[1].empty());
}

TEST_F(Access, LinesOfAllThreadsComeOutWhole) {
  const base::UniqueFd file = some_file();
  writer->replace(copy(file));
  std::map<std::size_t, std::size_t> counts;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 3; ++t) {
    counts[t] = 5000;
    threads.emplace_back([this, t] {
      for (std::size_t n = 0; n < 5000; ++n) {
        while (!put(t, n)) ::poll(nullptr, 0, 1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  writer.reset();
  expect_whole(content(file.get()), counts, {});
}

TEST_F(Access, ALineIsWrittenSoonWithoutBeingAskedFor) {
  const base::UniqueFd file = some_file();
  writer->replace(copy(file));
  ASSERT_TRUE(put(0, 0));
  EXPECT_TRUE(eventually([&] { return content(file.get()) == numbered(0, 0); }));
}

TEST_F(Access, WaitsForItsFirstDescriptor) {
  ASSERT_TRUE(put(1, 0));
  const base::UniqueFd file = some_file();
  writer->replace(copy(file));
  EXPECT_TRUE(eventually([&] { return content(file.get()) == numbered(1, 0); }));
}

TEST_F(Access, ARotationUnderLoadLosesAndSplitsNoLine) {
  constexpr std::size_t kMost = 200'000;
  std::vector<base::UniqueFd> files;
  files.push_back(some_file());
  writer->replace(copy(files.back()));
  std::atomic<bool> enough{false};
  std::size_t count = 0;
  std::thread load([&] {
    for (; count < kMost && !enough; ++count) {
      while (!put(0, count)) ::poll(nullptr, 0, 1);
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(eventually([&] { return !content(files.back().get()).empty(); }));
    files.push_back(some_file());
    writer->replace(copy(files.back()));
  }
  enough = true;
  load.join();
  writer.reset();
  std::string all;
  for (const auto& file : files) {
    const std::string text = content(file.get());
    EXPECT_TRUE(text.empty() || text.back() == '\n');
    all += text;
  }
  expect_whole(all, {{0, count}}, {});
}

TEST_F(Access, AReaderThatNeverReadsCostsLinesAndNoTime) {
  Pipe pipe;
  writer->replace(copy(pipe.writer));
  std::set<std::pair<std::size_t, std::size_t>> lost;
  std::size_t number = 0;
  for (; lost.size() < 2000; ++number) {
    if (!put(0, number)) lost.insert({0, number});
  }
  // It begins to read, in odd bites: what was kept comes out whole, and the log goes on.
  std::string text;
  const auto read_on = [&] { return text += pipe.read_some(1777), text.ends_with(numbered(0, number)); };
  EXPECT_TRUE(eventually([&] { return text += pipe.read_some(1777), put(0, number); }));
  EXPECT_TRUE(eventually(read_on));
  expect_whole(text, {{0, number + 1}}, lost);
}

TEST_F(Access, APipeOfSomebodyElsesMakingMayBlock) {
  Pipe pipe(0);  // as standard output is: its flags are not ours to change
  writer->replace(copy(pipe.writer));
  while (put(0, 0)) continue;
  const auto began = base::Clock::now();
  writer.reset();  // nobody reads: it gives up
  EXPECT_LT(base::Clock::now() - began, std::chrono::seconds(15));
  EXPECT_NE(pipe.read_some(), "");
}

/// A socket takes parts of lines, as a disk does that is full in the middle of one.
TEST_F(Access, WhatTakesPartOfALineDoesNotSplitIt) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  const base::UniqueFd reader(ends[0]);
  base::UniqueFd first(ends[1]);
  const int small = 1;  // the kernel makes the least of it
  ::setsockopt(first.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const auto read_some = [&reader] {
    std::string text(1000, '\0');
    const ssize_t got = ::read(reader.get(), text.data(), text.size());
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
  };
  writer->replace(std::move(first));
  std::size_t number = 0;
  std::string text;
  // Until it stands still in the middle of a line.
  ASSERT_TRUE(eventually([&] {
    if (number < 1000 && put(0, number)) ++number;
    if (number > 400) text += read_some();
    return number > 400 && text.size() > 5000 && text.back() != '\n';
  }));
  const base::UniqueFd second = some_file();
  writer->replace(copy(second));
  EXPECT_TRUE(eventually([&] { return content(second.get()).ends_with(numbered(0, number - 1)); }));
  for (std::string more; !(more = read_some()).empty();) text += more;
  const std::size_t end = text.rfind('\n') + 1;
  const std::string rest = content(second.get());
  EXPECT_TRUE(rest.starts_with(text.substr(end))) << "what was begun is not written again as a whole";
  expect_whole(text.substr(0, end) + rest, {{0, number}}, {});
}

TEST_F(Access, AFullDiskIsToldOnceAndWhatWaitedIsWrittenLater) {
  writer->replace(base::UniqueFd(::open("/dev/full", O_WRONLY | O_CLOEXEC)));
  for (std::size_t n = 0; n < 50; ++n) ASSERT_TRUE(put(0, n));
  std::string said;
  ASSERT_TRUE(eventually([&] { return said += complaints.read_some(), said.ends_with('\n'); }));
  EXPECT_EQ(said, "access log: can't write: No space left on device; lines wait, and what has no room is dropped and counted\n");
  const base::UniqueFd file = some_file();
  writer->replace(copy(file));
  ASSERT_TRUE(eventually([&] { return content(file.get()).ends_with(numbered(0, 49)); }));
  expect_whole(content(file.get()), {{0, 50}}, {});
  said.clear();
  ASSERT_TRUE(eventually([&] { return said += complaints.read_some(), said.ends_with('\n'); }));
  EXPECT_EQ(said, "access log: is written again\n");
}

TEST_F(Access, AReaderThatHasGoneIsNotAskedAgainAndAgain) {
  auto pipe = std::make_unique<Pipe>();
  writer->replace(copy(pipe->writer));
  pipe->reader.reset();
  ASSERT_TRUE(put(0, 0));
  std::string said;
  ASSERT_TRUE(eventually([&] { return said += complaints.read_some(), said.ends_with('\n'); }));
  EXPECT_NE(said.find("Broken pipe"), std::string::npos) << said;
  timespec before{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  ::poll(nullptr, 0, 600);
  timespec after{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  EXPECT_LT((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1'000'000, 300) << "it spins";
}

TEST_F(Access, WhatIsThereAtTheEndIsWritten) {
  const base::UniqueFd file = some_file();
  writer->replace(copy(file));
  for (std::size_t n = 0; n < 100; ++n) ASSERT_TRUE(put(n % 3, n / 3));
  writer->finish();
  expect_whole(content(file.get()), {{0, 34}, {1, 33}, {2, 33}}, {});
}

TEST_F(Access, TheSinkCountsWhatItHandsOverAndWhatIsLost) {
  Pipe pipe;
  while (::write(pipe.writer.get(), "x", 1) == 1) continue;
  writer->replace(copy(pipe.writer));
  board::ThreadTally tally;
  AccessSink sink(*writer, 0, config::AccessFormat::json, tally);
  AccessRecord record;
  const std::size_t length = AccessFormatter(config::AccessFormat::json).line(record).size();
  const std::size_t kept = AccessRing::kBytes / length;
  for (std::size_t n = 0; n < kept + 10; ++n) sink.write(record);
  EXPECT_EQ(tally.access_lines.get(), kept);
  EXPECT_EQ(tally.access_dropped.get(), 10U);
}

TEST_F(Access, TheSinksMomentIsTheWallClocks) {
  board::ThreadTally tally;
  const AccessSink sink(*writer, 0, config::AccessFormat::json, tally);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(static_cast<double>(sink.unix_us(base::Clock::now())) / 1e6, static_cast<double>(now), 2);
}

}  // namespace
}  // namespace drover::proxy
