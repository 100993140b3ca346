// What of files goes to the proxy, by which name.
#include "backends/snapshot_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace drover::backends {
namespace {

class SnapshotFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/drover-files-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    config_.pools.resize(2);
    config_.pools[0].name = "shop";
    config_.pools[1].name = "api";
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string file(const std::string& name, const std::string& content) {
    std::ofstream(dir_ + "/" + name, std::ios::binary) << content;
    return dir_ + "/" + name;
  }

  std::string dir_;
  config::Config config_;
};

TEST_F(SnapshotFiles, HoldsNothingWhereNothingIsAskedFor) {
  config_.pools[0].sticky.key_file = dir_ + "/nothing";  // without a cookie it is nobody's
  EXPECT_THAT(snapshot_files(config_).value(), testing::IsEmpty());
}

TEST_F(SnapshotFiles, HoldsPagesAndKeysByTheirFullNames) {
  config_.pools[0].errors = {{502, file("bad", "<p>bad\n")}, {503, file("busy", "")}};
  config_.pools[1].errors = {{503, file("api", std::string("a\0b", 3))}};
  config_.pools[1].sticky = {.cookie = "seat", .key_file = file("key", "0123456789abcdef\n")};
  using testing::Pair;
  EXPECT_THAT(
      snapshot_files(config_).value(),
      testing::UnorderedElementsAre(Pair("pool.shop.errors.502", "<p>bad\n"), Pair("pool.shop.errors.503", ""),
                                    Pair("pool.api.errors.503", std::string("a\0b", 3)), Pair("pool.api.sticky.key_file", "0123456789abcdef")));
}

TEST_F(SnapshotFiles, MakesASecretForEachStickyPoolWithoutOne) {
  for (config::Pool& pool : config_.pools) pool.sticky.cookie = "seat";
  const auto files = snapshot_files(config_).value();
  ASSERT_EQ(files.size(), 2U);
  const std::string& one = files.at("pool.shop.sticky.key_file");
  EXPECT_EQ(one.size(), kMadeKey);
  EXPECT_NE(one, files.at("pool.api.sticky.key_file"));
  EXPECT_NE(one, snapshot_files(config_).value().at("pool.shop.sticky.key_file"));
}

TEST_F(SnapshotFiles, SaysWhichFileIsMissingOrTooLarge) {
  config_.pools[0].errors = {{503, dir_ + "/nothing"}};
  EXPECT_THAT(snapshot_files(config_).error().message, testing::StartsWith("[pool.shop] errors: " + dir_ + "/nothing can't be read"));
  config_.pools[0].errors = {{503, file("large", std::string(64UL * 1024 + 1, 'a'))}};
  EXPECT_THAT(snapshot_files(config_).error().message, testing::EndsWith("has more than 64 KiB"));
  config_.pools[0].errors.clear();
  config_.pools[0].sticky = {.cookie = "seat", .key_file = file("short", "0123456789abcde\n")};
  EXPECT_THAT(snapshot_files(config_).error().message,
              testing::AllOf(testing::StartsWith("[pool.shop] sticky: key_file: "), testing::Not(testing::HasSubstr("0123456789"))));
}

}  // namespace
}  // namespace drover::backends
