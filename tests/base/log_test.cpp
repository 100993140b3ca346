#include "base/log.hpp"
#include "base/unique_fd.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

namespace drover::base {
namespace {

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Logs `lines` in a child whose standard error is `to`. True: the child ended within five seconds.
bool child_logs_and_ends(int to, int lines, log::Format format) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(to, STDERR_FILENO);
    log::start(log::Level::info, format);
    for (int i = 0; i < lines; ++i) log::info("shop.1", "line {} \x1b[31m \"quoted\"", i);
    log::stop();
    ::_exit(0);
  }
  const UniqueFd end(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd waiting{end.get(), POLLIN, 0};
  const bool ended = ::poll(&waiting, 1, 5000) == 1;
  if (!ended) ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return ended;
}

std::string all_of(Pipe& pipe) {
  pipe.writer.reset();
  std::string text;
  std::array<char, 4096> some{};
  for (ssize_t got = 0; (got = ::read(pipe.reader.get(), some.data(), some.size())) > 0;) text.append(some.data(), static_cast<std::size_t>(got));
  return text;
}

TEST(Log, WritesWhatIsQueuedBeforeItEnds) {
  Pipe pipe = make_pipe();
  ASSERT_TRUE(child_logs_and_ends(pipe.writer.get(), 20, log::Format::text));
  const std::string text = all_of(pipe);
  EXPECT_NE(text.find("line 0 "), std::string::npos);
  EXPECT_NE(text.find("line 19 \\x1b[31m"), std::string::npos) << text;
}

TEST(Log, JsonLinesStayJson) {
  Pipe pipe = make_pipe();
  ASSERT_TRUE(child_logs_and_ends(pipe.writer.get(), 1, log::Format::json));
  EXPECT_NE(all_of(pipe).find(R"("subject":"shop.1","message":"line 0 \\x1b[31m \"quoted\""})"), std::string::npos);
}

TEST(Log, AReaderThatStoppedReadingDoesNotKeepTheProcess) {
  Pipe pipe = make_pipe();
  ASSERT_EQ(::fcntl(pipe.writer.get(), F_SETFL, O_NONBLOCK), 0);
  const std::string full(4096, 'x');
  while (::write(pipe.writer.get(), full.data(), full.size()) > 0) {
  }
  ASSERT_EQ(::fcntl(pipe.writer.get(), F_SETFL, 0), 0);
  EXPECT_TRUE(child_logs_and_ends(pipe.writer.get(), 2000, log::Format::text));
}

}  // namespace
}  // namespace drover::base
