#include "base/path_readings.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace drover::base {
namespace {

std::string read(std::string_view path, Reading how) {
  std::string out = "what stood there before";
  read_path(path, how, out);
  return out;
}

struct Row {
  const char* sent;
  const char* plain;
  const char* resolved;
  const char* lenient;
};

TEST(PathReadings, EachReadsAsItsTableSays) {
  for (const auto& [sent, plain, resolved, lenient] : std::vector<Row>{
           {"/", "/", "/", "/"},
           {"/a/b", "/a/b", "/a/b", "/a/b"},
           {"/%61%2Db%7e", "/a-b~", "/a-b~", "/a-b~"},
           {"/caf%c3%a9", "/caf%C3%A9", "/caf%C3%A9", "/caf%C3%A9"},
           {"/a%2fb", "/a%2Fb", "/a%2Fb", "/a/b"},
           {"/a/../b", "/a/../b", "/b", "/b"},
           {"/a/%2e%2E/b", "/a/../b", "/b", "/b"},
           {"/a/.%2e%2fb", "/a/..%2Fb", "/a/..%2Fb", "/b"},
           {"/a/..%5cb", "/a/..%5Cb", "/a/..%5Cb", "/b"},
           {"/a\\..\\b", "/a\\..\\b", "/a\\..\\b", "/b"},
           {"/a/..;x/b", "/a/..;x/b", "/a/..;x/b", "/b"},
           {"/a;x=1/b;y", "/a;x=1/b;y", "/a;x=1/b;y", "/a/b"},
           {"//a///b//", "//a///b//", "//a///b//", "/a/b/"},
           {"/a//..", "/a//..", "/a/", "/"},
           {"/./a/.", "/./a/.", "/a/", "/a/"},
           {"/a/..", "/a/..", "/", "/"},
           {"/../../a", "/../../a", "/a", "/a"},
           {"/..", "/..", "/", "/"},
           {"/a/...", "/a/...", "/a/...", "/a/..."},
           {"/a/.b", "/a/.b", "/a/.b", "/a/.b"},
           {"/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a", "/%2e%2e/a"},
           {"/a%", "/a%", "/a%", "/a%"},
           {"/a%2", "/a%2", "/a%2", "/a%2"},
           {"/a%zz", "/a%zz", "/a%zz", "/a%zz"},
           {"/a%00b", "/a%00b", "/a%00b", "/a%00b"},
           {"*", "*", "*", "*"},
           {"", "", "", ""},
       }) {
    EXPECT_EQ(read(sent, Reading::plain), plain) << sent;
    EXPECT_EQ(read(sent, Reading::resolved), resolved) << sent;
    EXPECT_EQ(read(sent, Reading::lenient), lenient) << sent;
    if (!ambiguous(sent)) {
      EXPECT_EQ(std::string(sent), resolved);
      EXPECT_EQ(std::string(sent), lenient);
    }
  }
}

TEST(PathReadings, DotSegmentsAreNoticed) {
  std::string out;
  for (const char* path : {"/a/../b", "/.", "/a/./b", "/%2e%2e", "/a/.%2E"}) EXPECT_TRUE(read_path(path, Reading::resolved, out)) << path;
  for (const char* path : {"/a/b", "/.a", "/a..", "/...", "/a//b"}) EXPECT_FALSE(read_path(path, Reading::lenient, out)) << path;
  EXPECT_FALSE(read_path("/a/..;/b", Reading::resolved, out));
  EXPECT_TRUE(read_path("/a/..;/b", Reading::lenient, out));
}

TEST(PathReadings, APrefixIsFoundInWhatWasSent) {
  EXPECT_EQ(prefix_length("/api", "/api"), 4U);
  EXPECT_EQ(prefix_length("/api/x", "/api"), 4U);
  EXPECT_EQ(prefix_length("/apix", "/api"), 0U);
  EXPECT_EQ(prefix_length("/ap", "/api"), 0U);
  EXPECT_EQ(prefix_length("/%61p%69/x", "/api"), 8U);
  EXPECT_EQ(prefix_length("/api%2Fx", "/api"), 0U) << "an escaped slash is no boundary";
  EXPECT_EQ(prefix_length("/api/x", "/api/"), 5U);
  EXPECT_EQ(prefix_length("/api", "/api/"), 0U);
  EXPECT_EQ(prefix_length("/~u/x", "/%7Eu"), 3U);
  EXPECT_EQ(prefix_length("/caf%c3%a9/x", "/caf%C3%A9"), 10U);
  EXPECT_EQ(prefix_length("*", "/"), 0U);
  EXPECT_EQ(prefix_length("/a", "/"), 1U);
}

}  // namespace
}  // namespace drover::base
