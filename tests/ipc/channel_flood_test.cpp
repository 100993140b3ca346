#include "base/rng.hpp"
#include "ipc/message.hpp"
#include "tests/ipc/channel_case.hpp"

#include <boost/asio/steady_timer.hpp>

#include <unistd.h>

#include <atomic>
#include <ctime>
#include <fstream>
#include <thread>

#if defined(__SANITIZE_ADDRESS__)
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();  // its header does not come with every compiler
#endif

namespace drover::ipc {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFlood = 128 * 1024 * 1024;  // or until it was told twice to pause
constexpr std::size_t kMostGrowth = 4 * 1024 * 1024;
constexpr auto kTick = 5ms;
constexpr auto kMostBetweenTicks = 100ms;  // of this thread's own time: other work on the machine does not count

/// A sanitizer keeps freed memory: then what is allocated tells, not what is resident.
std::size_t memory_now() {
#if defined(__SANITIZE_ADDRESS__)
  return __sanitizer_get_current_allocated_bytes();
#else
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
#endif
}

std::chrono::nanoseconds own_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

class ChannelFlood : public ChannelCase {
 protected:
  void TearDown() override {
    stop = true;
    channel.reset();  // the peer's write fails
    if (peer.joinable()) peer.join();
  }

  /// The peer writes that over and over, from a thread of its own, until it is enough.
  void flood(std::string garbage, std::size_t enough = kFlood, bool with_descriptors = false) {
    lines_are_kept = false;
    peer = std::thread([this, garbage = std::move(garbage), with_descriptors] {
      while (!stop) {
        if (with_descriptors) {
          if (pass(garbage, STDIN_FILENO) <= 0) return;
          written += garbage.size();
          continue;
        }
        const ssize_t sent = ::send(worker.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        written += static_cast<std::size_t>(sent);
      }
    });
    tick();
    const auto done = [&] { return ticks > 3 && (written >= enough || faults[ChannelFault::paused] >= 2); };
    ASSERT_TRUE(runs_until([&] { return done() || !ended.empty(); }, 60s));
    EXPECT_TRUE(ended.empty());
    EXPECT_LT(most, before + kMostGrowth);
    EXPECT_LT(longest, kMostBetweenTicks) << std::chrono::duration_cast<std::chrono::milliseconds>(longest).count() << " ms";
  }

  /// Somebody else's work on the same loop.
  void tick() {
    const auto now = own_time();
    if (ticks > 0) longest = std::max(longest, now - last);
    last = now;
    ++ticks;
    most = std::max(most, memory_now());
    timer.expires_after(kTick);
    timer.async_wait([this](const boost::system::error_code& error) {
      if (!error) tick();
    });
  }

  boost::asio::steady_timer timer{io};
  std::thread peer;
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> written{0};
  std::size_t before = memory_now();
  std::size_t most = 0;
  std::chrono::nanoseconds last{};
  std::chrono::nanoseconds longest{};
  int ticks = 0;
};

TEST_F(ChannelFlood, NoNewlineAtAll) {
  flood(std::string(256 * 1024, 'x'));
  EXPECT_EQ(faults[ChannelFault::too_long], 1U);
}

TEST_F(ChannelFlood, BadLines) {
  on_line = [this](std::string_view line) {
    if (!parse_message(line)) channel->found_bad();
  };
  std::string garbage;
  while (garbage.size() < 256 * 1024) garbage.append(99, 'x') += '\n';
  flood(std::move(garbage), 16 * 1024 * 1024);
  EXPECT_GT(faults[ChannelFault::not_json], 0U);
}

TEST_F(ChannelFlood, LinesAByteTooLong) {
  flood(std::string(Channel::kMaxLine + 1, 'x') + "\n");
  EXPECT_GT(faults[ChannelFault::too_long], 0U);
}

TEST_F(ChannelFlood, RandomBytes) {
  on_line = [this](std::string_view line) {
    if (!parse_message(line)) channel->found_bad();
  };
  base::Rng rng(4);
  std::string garbage;
  while (garbage.size() < 256 * 1024) garbage += static_cast<char>(rng.next());
  flood(std::move(garbage), 16 * 1024 * 1024);
}

TEST_F(ChannelFlood, EmptyLines) { flood(std::string(256 * 1024, '\n'), 16 * 1024 * 1024); }

TEST_F(ChannelFlood, Descriptors) {
  flood("x", 32 * 1024, true);
  EXPECT_GT(faults[ChannelFault::descriptor], 0U);
}

TEST_F(ChannelFlood, QuestionsWhoseAnswersAreNeverRead) {
  std::size_t heard = 0;
  on_line = [&](std::string_view) {
    ++heard;
    channel->send(std::string(1000, 'a'));
    channel->send_message(std::string(1000, 'm'));
    channel->send_sync("key" + std::to_string(heard % 100));
  };
  std::string questions;
  while (questions.size() < 4096) questions += "question\n";
  flood(std::move(questions), 64 * 1024);
  ASSERT_TRUE(runs_until([&, seen = ticks] { return ticks > seen + 40; }));
  EXPECT_LT(heard, 2 * Channel::kUnreadMost / 1000);
  EXPECT_LT(most, before + kMostGrowth);
  EXPECT_TRUE(channel->open());
}

}  // namespace
}  // namespace drover::ipc
