#include "proxy/complaints.hpp"

#include "base/unique_fd.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>

namespace drover::proxy {
namespace {

class Lines : public ::testing::Test {
 protected:
  Lines() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
  std::string read_all() const {
    std::string out;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = ::read(reader.get(), buffer.data(), buffer.size())) > 0;) out.append(buffer.data(), static_cast<std::size_t>(got));
    return out;
  }
  static base::TimePoint at(int ms) { return base::TimePoint(base::Millis(100'000 + ms)); }

  base::UniqueFd reader;
  base::UniqueFd writer;
};

TEST_F(Lines, TenASecondThenTheirNumber) {
  Complaints complaints(writer.get());
  for (int i = 0; i < 25; ++i) {
    if (complaints.allowed(at(i))) complaints.say("one");
  }
  std::string expected;
  for (int i = 0; i < 10; ++i) expected += "one\n";
  EXPECT_EQ(read_all(), expected);
  complaints.tell_left_out(at(999));
  EXPECT_EQ(read_all(), "");
  complaints.tell_left_out(at(1000));
  EXPECT_EQ(read_all(), "15 more failed requests were not named one by one\n");
  complaints.tell_left_out(at(2000));
  EXPECT_EQ(read_all(), "");
  ASSERT_TRUE(complaints.allowed(at(2001)));
}

TEST_F(Lines, APipeThatIsFullKeepsNobodyWaiting) {
  Complaints complaints(writer.get());
  const std::string block(4096, 'x');
  while (::write(writer.get(), block.data(), block.size()) > 0) continue;
  ASSERT_TRUE(complaints.allowed(at(0)));
  complaints.say("lost");
  complaints.tell_left_out(at(1000));
  EXPECT_EQ(read_all().find("lost"), std::string::npos);
  complaints.tell_left_out(at(1000));
  EXPECT_EQ(read_all(), "1 more failed requests were not named one by one\n");
}

TEST_F(Lines, WithoutAPipeNothingIsSaid) {
  Complaints complaints(-1);
  EXPECT_FALSE(complaints.allowed(at(0)));
}

}  // namespace
}  // namespace drover::proxy
