#include "base/result.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace drover::base {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{"odd", 7};
  return n / 2;
}

TEST(Result, HoldsAValueOrAnError) {
  ASSERT_TRUE(half(8));
  EXPECT_EQ(*half(8), 4);
  const auto odd = half(3);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().message, "odd");
  EXPECT_EQ(odd.error().code, 7);
}

TEST(Result, UsingAFailedOneUnaskedIsABug) {
  try {
    half(3).value();
    FAIL();
  } catch (const std::logic_error& bug) {
    EXPECT_NE(std::string(bug.what()).find("odd"), std::string::npos);
  }
}

TEST(Result, SystemErrorNamesWhatAndWhy) {
  const Error error = system_error("open the door", EACCES);
  EXPECT_EQ(error.message, "open the door: Permission denied");
  EXPECT_EQ(error.code, EACCES);
}

}  // namespace
}  // namespace drover::base
