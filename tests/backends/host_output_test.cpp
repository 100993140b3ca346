#include "host_support.hpp"

#include <boost/asio/steady_timer.hpp>

#include <poll.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace drover::backends::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Output : HostTest {
  void SetUp() override { ::testing::internal::CaptureStderr(); }
  void TearDown() override {
    if (!logged_) ::testing::internal::GetCapturedStderr();
  }
  /// What was logged so far, line by line; ends the capture.
  std::vector<std::string> log() {
    logged_ = true;
    std::istringstream text(::testing::internal::GetCapturedStderr());
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }

 private:
  bool logged_ = false;
};

TEST_F(Output, IsLoggedLineByLineUnderTheWorkersName) {
  start(shell("echo one; echo two >&2; printf 'three\\r\\n'; printf 'no newline'"));
  ASSERT_TRUE(ended());
  EXPECT_THAT(host.last_lines(key(1)), ElementsAre("one", "two", "three", "no newline"));
  const auto lines = log();
  ASSERT_THAT(lines, SizeIs(4));
  for (const auto& line : lines) EXPECT_THAT(line, HasSubstr("shop.1"));
}

TEST_F(Output, LastWordsAreKnownWhenTheEndIsTold) {
  std::vector<std::string> words;
  asio::io_context own(1);
  ProcessHost* self = nullptr;
  ProcessHost other(own, {[&](const ChildKey& which, ExitStatus) { words = self->last_lines(which); }, nullptr});
  self = &other;
  ASSERT_TRUE(other.start(shell("echo dying of hunger; kill -9 $$")));
  const auto deadline = base::Clock::now() + kPatience;
  while (words.empty() && base::Clock::now() < deadline) own.run_one_for(5ms);
  EXPECT_THAT(words, ElementsAre("dying of hunger"));
}

/// A host of its own, that keeps what it is told in the order in which it is told.
struct Told : Output {
  std::vector<std::string> lines_of(const LaunchSpec& what) {
    EXPECT_TRUE(other.start(what));
    const auto deadline = base::Clock::now() + kPatience;
    while (!has_exited && base::Clock::now() < deadline) {
      own.restart();
      own.run_one_for(5ms);
    }
    return lines;
  }

  asio::io_context own{1};
  std::vector<std::string> lines;
  std::vector<std::string> story;
  base::TimePoint learnt{};
  bool has_exited = false;
  ProcessHost other{own,
                    {[this](const ChildKey&, ExitStatus) {
                       story.emplace_back("exited");
                       has_exited = true;
                     },
                     nullptr,
                     [this](const ChildKey&, base::TimePoint when) {
                       story.emplace_back("dying");
                       learnt = when;
                     },
                     [this](const ChildKey&, std::string_view line) {
                       if (story.empty() || story.back() != "line") story.emplace_back("line");
                       lines.emplace_back(line);
                     }}};
};

TEST_F(Told, LineByLineEscaped) {
  EXPECT_THAT(lines_of(shell("printf 'one\r\n\033[31mred\ttab\n\nno newline'")), ElementsAre("one", "\\x1b[31mred\ttab", "", "no newline"));
}

TEST_F(Told, DroppedLinesAreCountedInALine) {
  EXPECT_TRUE(lines_of(shell("seq 5000")).size() > LineCapture::kLinesPerSecond / 2);
  other.forget(key(1));
  std::uint64_t dropped = 0;
  std::uint64_t told = 0;
  for (const auto& line : lines) {
    if (line.starts_with("(") && line.find(" lines of output dropped") != std::string::npos)
      dropped += std::stoull(line.substr(1));
    else
      ++told;
  }
  EXPECT_EQ(told + dropped, 5000U);
  EXPECT_GT(dropped, 0U);
}

TEST_F(Told, OverlongLineIsBounded) {
  const auto got = lines_of(python("print('x' * 200000)"));
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_LT(got[0].size(), LineCapture::kMaxLine + 100);
  EXPECT_THAT(got[0], HasSubstr("line cut at 8KiB"));
}

TEST_F(Told, EndIsToldBeforeTheLastOutputIsRead) {
  const auto pid = other.start(shell("seq 2000; exit 3"));
  ASSERT_TRUE(pid);
  const auto deadline = base::Clock::now() + kPatience;
  while (!gone(*pid) && base::Clock::now() < deadline) poll(nullptr, 0, 1);  // the loop has not turned yet: all its output waits
  const auto before = base::Clock::now();
  other.reap();
  EXPECT_THAT(story, ElementsAre("dying", "line", "exited"));
  EXPECT_GE(learnt, before);
  EXPECT_LE(learnt, base::Clock::now());
}

TEST_F(Told, EveryEndIsToldBeforeAnybodysLastOutputIsRead) {
  std::vector<pid_t> pids;
  for (base::Incarnation incarnation = 1; incarnation <= 3; ++incarnation) {
    const auto pid = other.start(shell("seq 500", incarnation));
    ASSERT_TRUE(pid);
    pids.push_back(*pid);
  }
  const auto deadline = base::Clock::now() + kPatience;
  for (const pid_t pid : pids) {
    while (!gone(pid) && base::Clock::now() < deadline) poll(nullptr, 0, 1);
  }
  other.reap();
  ASSERT_GE(story.size(), 3U);
  EXPECT_EQ(std::vector(story.begin(), story.begin() + 3), std::vector<std::string>(3, "dying"));
  EXPECT_EQ(std::count(story.begin(), story.end(), "exited"), 3);
  EXPECT_EQ(std::count(story.begin(), story.end(), "dying"), 3);
}

TEST_F(Output, RemembersTheLastTwentyLines) {
  start(shell("seq 100"));
  ASSERT_TRUE(ended());
  const auto lines = host.last_lines(key(1));
  ASSERT_THAT(lines, SizeIs(LineCapture::kLastLines));
  EXPECT_EQ(lines.front(), "81");
  EXPECT_EQ(lines.back(), "100");
}

TEST_F(Output, OverlongLineIsCutAndSaysSo) {
  start(python("print('x' * 200000)\nprint('after')"));
  ASSERT_TRUE(ended());
  const auto lines = log();
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], HasSubstr("line cut at 8KiB"));
  EXPECT_LT(lines[0].size(), LineCapture::kMaxLine + 100);
  EXPECT_THAT(lines[1], HasSubstr("after"));
}

TEST_F(Output, LineOfExactlyTheLimitIsWhole) {
  start(python("print('x' * 8192)\nprint('y' * 8193)"));
  ASSERT_TRUE(ended());
  const auto lines = log();
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines[0], Not(HasSubstr("cut")));
  EXPECT_THAT(lines[1], HasSubstr("cut"));
}

TEST_F(Output, HostileBytesAreEscaped) {
  start(shell("printf '\\377\\033[31mred\\n'"));
  ASSERT_TRUE(ended());
  EXPECT_THAT(host.last_lines(key(1)), ElementsAre("\\xff\\x1b[31mred"));
}

TEST_F(Output, OfDescendantsIsStillReadAfterTheEnd) {
  start(python(kEscape + "def late():\n  signal.sigwait([signal.SIGUSR1])\n  print('late', flush=True)\n"
                         "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
                         "def stay():\n  print(os.getpid(), flush=True)\n  late()\nescape(stay)"));
  ASSERT_TRUE(ended());
  kill(printed_pid(), SIGUSR1);
  EXPECT_TRUE(until([&] { return host.last_lines(key(1)).size() == 2; }));
}

std::uint64_t bytes_written_by(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/io");
  for (std::string name, value; file >> name >> value;) {
    if (name == "wchar:") return std::stoull(value);
  }
  return 0;
}

TEST_F(Output, FloodNeitherBlocksTheWorkerNorEatsTheLoop) {
  const pid_t pid = start(spec({"yes", "a line of a worker that has lost its mind"}));
  const auto begun = base::Clock::now();
  asio::steady_timer timer(io);
  int turns = 0;
  std::function<void()> tick = [&] {
    timer.expires_after(10ms);
    timer.async_wait([&](const boost::system::error_code& error) {
      if (error) return;
      ++turns;
      tick();
    });
  };
  tick();
  const auto memory = resident_bytes(getpid());
  EXPECT_TRUE(until([&] { return base::Clock::now() - begun > 1500ms && bytes_written_by(pid) > (64U << 20U); }));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(base::Clock::now() - begun).count() + 1;
  EXPECT_GT(turns, 20) << "other handlers starved";
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(resident_bytes(getpid()), memory + (8U << 20U));
#else
  (void)memory;
#endif
  host.signal(key(1), SIGKILL);
  ASSERT_TRUE(ended());
  host.forget(key(1));
  EXPECT_THAT(host.last_lines(key(1)), SizeIs(0));
  const auto lines = log();
  EXPECT_LE(lines.size(), static_cast<std::size_t>(seconds + 1) * (LineCapture::kLinesPerSecond + 2));
  const auto dropped =
      std::count_if(lines.begin(), lines.end(), [](const std::string& line) { return line.find("lines of output dropped") != std::string::npos; });
  EXPECT_GE(dropped, 1);
  EXPECT_LE(dropped, seconds + 2);
}

TEST_F(Output, DroppedLinesAreCountedExactly) {
  start(shell("seq 100000"));
  ASSERT_TRUE(ended());
  host.forget(key(1));
  const auto lines = log();
  std::uint64_t dropped = 0;
  std::uint64_t logged = 0;
  for (const auto& line : lines) {
    const auto at = line.find(" lines of output dropped");
    if (at == std::string::npos) {
      ++logged;
      continue;
    }
    const auto from = line.rfind(' ', at - 1) + 1;
    dropped += std::stoull(line.substr(from, at - from));
  }
  EXPECT_EQ(logged + dropped, 100000U);
}

}  // namespace
}  // namespace drover::backends::test
