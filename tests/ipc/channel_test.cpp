#include "tests/ipc/channel_case.hpp"

#include <boost/asio/post.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

namespace drover::ipc {
namespace {

using Strings = std::vector<std::string>;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

base::UniqueFd some_file() { return base::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

std::string lines_with(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out.append(text) += '\n';
  return out;
}

class WorkerChannel : public ChannelCase {};

TEST_F(WorkerChannel, WorkersEndBlocks_BothDieWithExec) {
  auto pair = Channel::pair();
  ASSERT_TRUE(pair);
  EXPECT_EQ(::fcntl(pair->second.get(), F_GETFL) & O_NONBLOCK, 0);
  for (const int fd : {pair->first.get(), pair->second.get()}) EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(WorkerChannel, GivesLinesInOrder_SplitAndJoined) {
  worker_writes("one\ntw");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 1; }));
  worker_writes("o\r\n\nthree\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 3; }));
  EXPECT_EQ(lines, (Strings{"one", "two", "three"}));
  EXPECT_EQ(channel->counts().lines_in, 3U);
}

TEST_F(WorkerChannel, WritesWhatOneTurnQueuedTogether_WithTheNext) {
  channel->send("one");
  channel->send_message("two");
  channel->send_sync("three");
  EXPECT_EQ(worker_reads(), "");
  turn();
  EXPECT_EQ(worker_reads(), "one\ntwo\nsync three\n");
  EXPECT_EQ(channel->counts().lines_out, 3U);
  EXPECT_EQ(channel->waiting_bytes(), 0U);
}

TEST_F(WorkerChannel, ThrowsAwayALineThatIsTooLong_TheChannelStaysUsable) {
  const std::string longest(Channel::kMaxLine, 'x');
  std::string stream = longest + "\n" + longest + "y\nafter\n";
  std::size_t at = 0;
  ASSERT_TRUE(runs_until([&] {
    const ssize_t sent = ::send(worker.get(), stream.data() + at, stream.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) at += static_cast<std::size_t>(sent);
    return lines.size() == 2;
  }));
  EXPECT_TRUE(lines[0] == longest);
  EXPECT_EQ(lines[1], "after");
  EXPECT_EQ(faults[ChannelFault::too_long], 1U);
  EXPECT_EQ(channel->counts().faults[static_cast<int>(ChannelFault::too_long)], 1U);
  EXPECT_TRUE(channel->open());
}

TEST_F(WorkerChannel, DescriptorsOfTheWorkerAreClosedAndTold_TheirLinesHeard) {
  const auto file = some_file();
  const std::size_t before = open_descriptors();
  worker_passes("one\n", file.get());
  worker_passes("two\n", file.get());
  worker_writes("three\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 3; }));
  EXPECT_EQ(faults[ChannelFault::descriptor], 2U);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(WorkerChannel, PassesOneDescriptorAtATime_OtherLinesPassBy) {
  const auto first = some_file();
  channel->send("a", base::UniqueFd(::fcntl(first.get(), F_DUPFD_CLOEXEC, 0)));
  channel->send("b", base::UniqueFd(::fcntl(worker.get(), F_DUPFD_CLOEXEC, 0)));
  channel->send("plain");
  EXPECT_TRUE(channel->descriptor_under_way());
  turn();
  EXPECT_EQ(worker_reads(), "a\nplain\n");
  ASSERT_EQ(passed.size(), 1U);
  struct stat ours {};
  struct stat theirs {};
  ASSERT_EQ(::fstat(first.get(), &ours) + ::fstat(passed[0].get(), &theirs), 0);
  EXPECT_EQ(ours.st_rdev, theirs.st_rdev);
  EXPECT_TRUE(channel->descriptor_under_way());
  channel->descriptor_settled();
  turn();
  EXPECT_EQ(worker_reads(), "b\n");
  EXPECT_EQ(passed.size(), 2U);
  channel->descriptor_settled();
  EXPECT_FALSE(channel->descriptor_under_way());
}

TEST_F(WorkerChannel, ADescriptorGoesWithTheFirstByteOfItsOwnLine) {
  channel->send("plain");
  channel->send("with", some_file());
  turn();
  EXPECT_EQ(worker_reads(6), "plain\n");
  EXPECT_EQ(passed.size(), 0U);
  EXPECT_EQ(worker_reads(1), "w");
  EXPECT_EQ(passed.size(), 1U);
}

TEST_F(WorkerChannel, OwnsTheDescriptorsThatItIsGiven) {
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 3; ++i) channel->send("x", some_file());
  turn();
  EXPECT_EQ(open_descriptors(), before + 2);  // the one that was written is the worker's now
  channel.reset();
  EXPECT_EQ(open_descriptors(), before - 1);
}

TEST_F(WorkerChannel, PeerCloses_WhatItSaidIsHeardFirst) {
  worker_writes("last words\n");
  worker.reset();
  channel->send("nobody reads this");
  ASSERT_TRUE(runs_until([&] { return !ended.empty(); }));
  EXPECT_EQ(lines, (Strings{"last words"}));
  EXPECT_EQ(ended, (std::vector{ChannelEnd::peer}));
  EXPECT_FALSE(channel->open());
  channel->send("after the end");
  channel->send("after the end", some_file());
  channel->send_message("after the end");
  channel->send_sync("after the end");
  channel->descriptor_settled();
  channel->finish();
  channel->read_rest();
  channel->found_bad();
  turn();
  EXPECT_EQ(ended.size(), 1U);
  EXPECT_EQ(channel->waiting_bytes(), 0U);
}

TEST_F(WorkerChannel, PeerClosesInTheMiddleOfALineAndWithUnreadLines_EndsOnce) {
  channel->send("unread");
  turn();
  worker_writes("half a li");
  worker.reset();
  ASSERT_TRUE(runs_until([&] { return !ended.empty(); }));
  EXPECT_EQ(ended, (std::vector{ChannelEnd::peer}));
  EXPECT_TRUE(lines.empty());
}

TEST_F(WorkerChannel, PeerReadsNoMore_Ends) {
  worker_writes("one\n");
  ::shutdown(worker.get(), SHUT_RD);
  channel->send("x");
  ASSERT_TRUE(runs_until([&] { return !ended.empty(); }));
  EXPECT_EQ(lines, (Strings{"one"}));
  EXPECT_EQ(ended, (std::vector{ChannelEnd::peer}));
}

TEST_F(WorkerChannel, Finish_WritesWhatWaits_ThenTheStreamEnds_ReadingGoesOn) {
  channel->send("last");
  channel->finish();
  EXPECT_EQ(worker_reads(), "last\n");
  EXPECT_EQ(worker_reads(), std::nullopt);
  channel->send("too late");
  worker_writes("answer\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 1; }));
  EXPECT_TRUE(channel->open());
  worker.reset();
  ASSERT_TRUE(runs_until([&] { return !ended.empty(); }));
  EXPECT_EQ(ended, (std::vector{ChannelEnd::peer}));
}

TEST_F(WorkerChannel, ReadRest_AllAtOnce_ThenEnded) {
  worker_writes(lines_with("line", 5000));
  worker.reset();
  channel->read_rest();
  EXPECT_EQ(lines.size(), 5000U);
  EXPECT_EQ(ended, (std::vector{ChannelEnd::peer}));
  turn();
  EXPECT_EQ(ended.size(), 1U);
}

TEST_F(WorkerChannel, ReadRest_AnotherHoldsTheEnd_StaysOpen) {
  worker_writes("one\ntwo\n");
  channel->read_rest();
  EXPECT_EQ(lines.size(), 2U);
  EXPECT_TRUE(ended.empty());
  worker_writes("three\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 3; }));
}

TEST_F(WorkerChannel, ReadRest_CalledByALine_TheRestComesAfterIt_AndReadingGoesOn) {
  on_line = [&](std::string_view line) {
    if (line != "one") return;
    channel->read_rest();
    EXPECT_EQ(lines.size(), 1U);
  };
  worker_writes("one\ntwo\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 2; }));
  worker_writes("three\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 3; }));
}

TEST_F(WorkerChannel, MayBeDestroyedByALine_ByItsEnd_ByTheRest) {
  on_line = [&](std::string_view) { channel.reset(); };
  worker_writes("one\ntwo\n");
  ASSERT_TRUE(runs_until([&] { return lines.size() == 1; }));
  turn();
  EXPECT_EQ(lines.size(), 1U);

  open();
  worker_writes("one\ntwo\n");
  channel->read_rest();
  EXPECT_EQ(lines.size(), 2U);

  on_line = nullptr;
  open();
  on_ended = [&] { channel.reset(); };
  worker.reset();
  ASSERT_TRUE(runs_until([&] { return !ended.empty(); }));
  EXPECT_EQ(channel, nullptr);
  turn();
}

TEST_F(WorkerChannel, MayBeDestroyedWithEverythingUnderWay) {
  worker_writes(lines_with("x", 1000));
  for (int i = 0; i < 1000; ++i) channel->send(std::string(1000, 'x'));
  turn();
  channel.reset();
  turn();
  EXPECT_TRUE(ended.empty());
}

TEST_F(WorkerChannel, ASyncThatWaitsIsNotQueuedAgain_ItsLineIsMadeWhenItIsWritten) {
  int value = 1;
  int made = 0;
  sync_line = [&](const std::string& key) {
    ++made;
    return key == "gone" ? std::string() : key + "=" + std::to_string(value);
  };
  for (; value < 50; ++value) channel->send_sync("key");
  channel->send_sync("gone");
  turn();
  EXPECT_EQ(worker_reads(), "key=50\n");
  EXPECT_EQ(made, 2);
  channel->send_sync("key");
  turn();
  EXPECT_EQ(worker_reads(), "key=50\n");
}

TEST_F(WorkerChannel, MessagesBeyondTheirRoomAreDropped_Whole_OldestFirst_AndCounted) {
  constexpr int kCount = 4000;
  for (int i = 0; i < kCount; ++i) channel->send_message(std::to_string(i) + " " + std::string(1000, 'm'));
  turn();
  EXPECT_LE(channel->waiting_bytes(), Channel::kMessagesMost);
  EXPECT_TRUE(channel->open());
  std::string all;
  ASSERT_TRUE(runs_until([&] {
    all += worker_reads().value_or("");
    return all.ends_with(" " + std::string(1000, 'm') + "\n") && all.find("\n3999 ") != std::string::npos;
  }));
  int heard = 0;
  int last = -1;
  for (std::size_t at = 0; at < all.size(); ++heard) {
    const std::size_t end = all.find('\n', at);
    const std::string line = all.substr(at, end - at);
    const int number = std::stoi(line);
    EXPECT_GT(number, last);
    ASSERT_EQ(line, std::to_string(number) + " " + std::string(1000, 'm'));
    last = number;
    at = end + 1;
  }
  EXPECT_GT(faults[ChannelFault::dropped], 0U);
  EXPECT_EQ(static_cast<std::uint64_t>(heard) + faults[ChannelFault::dropped], std::uint64_t(kCount));
}

TEST_F(WorkerChannel, AWorkerThatNeverReads_IsClosed_FromTheLoopNotFromSend) {
  worker_writes("said before\n");
  while (channel->open()) channel->send(std::string(10'000, 'x'));
  EXPECT_TRUE(ended.empty());
  EXPECT_LE(channel->waiting_bytes(), Channel::kOutboxMost + 20'000);
  turn();
  EXPECT_EQ(ended, (std::vector{ChannelEnd::overflow}));
  EXPECT_EQ(lines, (Strings{"said before"}));
  EXPECT_EQ(channel->waiting_bytes(), 0U);
}

TEST_F(WorkerChannel, AWorkerWhoseAnswersWaitIsNotReadUntilItReads) {
  on_line = [&](std::string_view) { channel->send(std::string(100'000, 'a')); };
  worker_writes(lines_with("ask", 1000));
  turn();
  EXPECT_LT(lines.size(), 30U);
  EXPECT_TRUE(channel->open());
  std::size_t heard = 0;
  ASSERT_TRUE(runs_until([&] {
    heard += worker_reads()->size();
    return lines.size() == 1000 && heard == 1000 * 100'001UL;
  }));
  EXPECT_TRUE(channel->open());
}

TEST_F(WorkerChannel, FaultsThatTakeTheirTimeOfASecond_ReadingPauses_ThenGoesOn) {
  on_line = [&](std::string_view) {
    const auto until = std::chrono::steady_clock::now() + Channel::kFaultTime / 4;
    while (std::chrono::steady_clock::now() < until) continue;
    channel->found_bad();
  };
  const auto began = std::chrono::steady_clock::now();
  worker_writes(lines_with("bad", 6));
  ASSERT_TRUE(runs_until([&] { return lines.size() == 6; }));
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
  EXPECT_EQ(faults[ChannelFault::paused], 1U);
  EXPECT_EQ(faults[ChannelFault::not_json], 6U);
}

TEST_F(WorkerChannel, BetweenManySmallLinesOthersHaveTheirTurns) {
  constexpr int kCount = 20'000;
  std::size_t heard = 0;
  std::size_t most = 0;
  std::function<void()> other = [&] {
    most = std::max(most, lines.size() - heard);
    heard = lines.size();
    if (heard < kCount) boost::asio::post(io, other);
  };
  worker_writes(lines_with("x", kCount));
  other();
  ASSERT_TRUE(runs_until([&] { return heard == kCount; }));
  EXPECT_LE(most, static_cast<std::size_t>(Channel::kLinesPerTurn));
}

TEST_F(WorkerChannel, BetweenLinesThatTakeLongOthersHaveTheirTurns) {
  on_line = [&](std::string_view) {
    const auto until = std::chrono::steady_clock::now() + Channel::kTurnTime / 2;
    while (std::chrono::steady_clock::now() < until) continue;
  };
  constexpr std::size_t kCount = 40;
  std::size_t heard = 0;
  std::size_t most = 0;
  std::function<void()> other = [&] {
    most = std::max(most, lines.size() - heard);
    heard = lines.size();
    if (heard < kCount) boost::asio::post(io, other);
  };
  worker_writes(lines_with("slow", kCount));
  other();
  ASSERT_TRUE(runs_until([&] { return heard == kCount; }));
  EXPECT_LE(most, 2U);
}

TEST_F(WorkerChannel, GoodLinesMayTakeTheirTime) {
  on_line = [&](std::string_view) {
    const auto until = std::chrono::steady_clock::now() + Channel::kFaultTime / 4;
    while (std::chrono::steady_clock::now() < until) continue;
  };
  worker_writes(lines_with("good", 6));
  ASSERT_TRUE(runs_until([&] { return lines.size() == 6; }));
  EXPECT_EQ(faults[ChannelFault::paused], 0U);
}

}  // namespace
}  // namespace drover::ipc
