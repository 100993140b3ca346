#include "proxy/worker_process.hpp"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::proxy {
namespace {

/// A child that holds the end of a pipe until it dies.
struct Child {
  Child() {
    EXPECT_EQ(::pipe(ends), 0);
    pid = ::fork();
    if (pid == 0) {
      ::close(ends[0]);
      ::execlp("sleep", "sleep", "60", nullptr);
      ::_exit(1);
    }
    ::close(ends[1]);
  }
  ~Child() {
    ::close(ends[0]);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  int ends[2] = {-1, -1};
  pid_t pid = -1;
};

TEST(WorkerProcess, OneThatRunsIsNotDying) {
  EXPECT_FALSE(is_dying(::getpid()));
  EXPECT_FALSE(is_dying(0));
}

TEST(WorkerProcess, OneWhoseDescriptorsWereClosedByItsDeathIs) {
  for (int i = 0; i < 50; ++i) {
    const Child child;
    EXPECT_FALSE(is_dying(child.pid));
    ::kill(child.pid, SIGKILL);
    char byte = 0;
    ASSERT_EQ(::read(child.ends[0], &byte, 1), 0);
    EXPECT_TRUE(is_dying(child.pid));
  }
}

TEST(WorkerProcess, OneThatIsNoMoreIs) {
  pid_t pid = -1;
  { pid = Child().pid; }
  EXPECT_TRUE(is_dying(pid));
}

}  // namespace
}  // namespace drover::proxy
