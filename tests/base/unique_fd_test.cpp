#include "base/unique_fd.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace drover::base {
namespace {

int open_one() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(UniqueFd, ClosesOnceWhateverHappens) {
  int first = -1;
  {
    UniqueFd fd(open_one());
    first = fd.get();
    ASSERT_TRUE(is_open(first));
    UniqueFd moved(std::move(fd));
    EXPECT_FALSE(fd);
    EXPECT_EQ(moved.get(), first);
  }
  EXPECT_FALSE(is_open(first));
}

TEST(UniqueFd, AssignmentClosesTheOldOne) {
  UniqueFd one(open_one());
  UniqueFd two(open_one());
  const int old = one.get();
  const int kept = two.get();
  one = std::move(two);
  EXPECT_FALSE(is_open(old));
  EXPECT_EQ(one.get(), kept);
  UniqueFd& same = one;
  one = std::move(same);
  EXPECT_TRUE(is_open(kept));
}

TEST(UniqueFd, ReleaseGivesItAway) {
  UniqueFd fd(open_one());
  const int raw = fd.release();
  EXPECT_FALSE(fd);
  fd.reset();
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

}  // namespace
}  // namespace drover::base
