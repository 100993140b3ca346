#include "proxy/loop.hpp"
#include "proxy/stream.hpp"
#include "proxy/task.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>

#include <array>
#include <string>
#include <thread>

namespace drover::proxy {
namespace {

using namespace std::chrono_literals;

struct Pair {
  base::UniqueFd a;
  base::UniqueFd b;
};

Pair sockets() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {base::UniqueFd(ends[0]), base::UniqueFd(ends[1])};
}

void run(Loop& loop) {
  loop.run([](base::Clock::duration) {});
}

Detached read_all(Loop& loop, Fiber& fiber, SocketStream& stream, std::string& out) {
  stream.watch().fiber = &fiber;
  loop.want(stream.watch(), kWantRead);
  std::array<char, 8> some{};
  for (;;) {
    if (!stream.watch().readable) {
      co_await loop.wait(fiber);
      continue;
    }
    const IoResult got = stream.read(some.data(), some.size());
    if (got.what == Io::eof) break;
    out.append(some.data(), got.bytes);
  }
  loop.remove(fiber);
  loop.stop();
}

TEST(Loop, AnEndThatCameWithTheLastBytesIsSeen) {
  auto loop = std::move(*Loop::create());
  Pair pair = sockets();
  ASSERT_EQ(::send(pair.b.get(), "hello, all", 10, 0), 10);
  pair.b.reset();
  SocketStream stream(*loop, std::move(pair.a), false);
  Fiber fiber;
  std::string out;
  read_all(*loop, fiber, stream, out);
  run(*loop);
  EXPECT_EQ(out, "hello, all");
}

Detached wait_once(Loop& loop, Fiber& fiber, bool& timed_out) {
  loop.set_deadline(fiber, loop.now() + 30ms);
  while (!fiber.timed_out) co_await loop.wait(fiber);
  timed_out = true;
  loop.remove(fiber);
  loop.stop();
}

TEST(Loop, ADeadlineWakesItsFiber) {
  auto loop = std::move(*Loop::create());
  Fiber fiber;
  bool timed_out = false;
  const auto began = base::Clock::now();
  wait_once(*loop, fiber, timed_out);
  run(*loop);
  EXPECT_TRUE(timed_out);
  EXPECT_GE(base::Clock::now() - began, 30ms);
}

TEST(Loop, WorkPostedFromAnotherThreadIsDone) {
  auto loop = std::move(*Loop::create());
  int done = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) loop->post([&done] { ++done; });
    loop->post([&] { loop->stop(); });
  });
  run(*loop);
  other.join();
  EXPECT_EQ(done, 1000);
}

Task<int> twice(int value) { co_return 2 * value; }

Task<int> sum(int count) {
  int total = 0;
  for (int i = 0; i < count; ++i) total += co_await twice(i);
  co_return total;
}

Detached start(int count, int& result) { result = co_await sum(count); }

TEST(Task, ThatNeedNotWaitRunsThroughWithoutDeepeningTheStack) {
  int result = 0;
  start(30'000, result);
  EXPECT_EQ(result, 30'000 * 29'999);
}

}  // namespace
}  // namespace drover::proxy
