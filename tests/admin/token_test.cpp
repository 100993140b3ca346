// The token: who may hold it, what it must be, how it is compared.
#include "admin/token.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace drover::admin {
namespace {

using testing::HasSubstr;

class TokenFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/drover-token-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ + "/token";
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  std::string folder_;
};

TEST_F(TokenFile, IsReadWithoutTheEndOfItsLine) {
  for (const char* end : {"", "\n", "\r\n", "\n\n"}) {
    const auto token = read_token(write("0123456789abcdef" + std::string(end)));
    ASSERT_TRUE(token) << token.error().message;
    EXPECT_EQ(*token, "0123456789abcdef");
  }
}

TEST_F(TokenFile, OthersMayNotReadOrWriteIt) {
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0666U}) {
    const std::string path = write("0123456789abcdef", mode);
    const auto token = read_token(path);
    ASSERT_FALSE(token) << mode;
    EXPECT_THAT(token.error().message, HasSubstr("chmod 600 " + path));
  }
  EXPECT_TRUE(read_token(write("0123456789abcdef", 0400)));
}

TEST_F(TokenFile, IsOneLineOfEnoughVisibleCharacters) {
  EXPECT_THAT(read_token(write("")).error().message, HasSubstr("0 characters"));
  EXPECT_THAT(read_token(write("0123456789abcde\n")).error().message, HasSubstr("15 characters"));
  EXPECT_THAT(read_token(write("0123456789 abcdef")).error().message, HasSubstr("visible"));
  EXPECT_THAT(read_token(write("0123456789abcdef\n0123456789abcdef\n")).error().message, HasSubstr("one line"));
  EXPECT_THAT(read_token(write("0123456789abcdef\xc3\xa9")).error().message, HasSubstr("ASCII"));
  EXPECT_THAT(read_token(write(std::string(kLongestToken + 1, 'x'))).error().message, HasSubstr("longer"));
}

TEST_F(TokenFile, MustBeAFileThatIsThere) {
  EXPECT_THAT(read_token(folder_ + "/none").error().message, HasSubstr("token_file " + folder_ + "/none"));
  EXPECT_THAT(read_token(folder_).error().message, HasSubstr("not a file"));
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(read_token(pipe).error().message, HasSubstr("not a file")) << "and it does not wait for a writer";
}

TEST(Token, IsTheSameOrNot) {
  EXPECT_TRUE(same_token("0123456789abcdef", "0123456789abcdef"));
  for (const char* other : {"", "0123456789abcdeF", "1123456789abcdef", "0123456789abcdef0", "0123456789abcde", "0123456789abcdef0123456789abcdef"}) {
    EXPECT_FALSE(same_token(other, "0123456789abcdef")) << other;
  }
  EXPECT_FALSE(same_token("", "")) << "no token lets nobody in";
  EXPECT_FALSE(same_token("x", ""));
}

}  // namespace
}  // namespace drover::admin
