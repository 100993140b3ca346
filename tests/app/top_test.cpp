// What top draws.
#include "app/top.hpp"

#include <gtest/gtest.h>

namespace drover::app {
namespace {

TEST(Frame, ErasesWhatStoodThereBefore) { EXPECT_EQ(frame("a\nbc\n", 10), "\x1b[Ha\x1b[K\r\nbc\x1b[K\x1b[J"); }

TEST(Frame, NeverScrolls) {
  EXPECT_EQ(frame("a\nb\nc\nd\n", 2), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
  EXPECT_EQ(frame("", 5), "\x1b[H\x1b[J");
  EXPECT_EQ(frame("\n\nx", 5), "\x1b[H\x1b[K\r\n\x1b[K\r\nx\x1b[K\x1b[J");
}

}  // namespace
}  // namespace drover::app
