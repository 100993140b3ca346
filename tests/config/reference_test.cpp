// docs/cluster.toml.md is what the key table says.
#include "config/reference.hpp"
#include "config/keys.hpp"
#include "config/parse.hpp"
#include "test_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover::config {
namespace {

TEST(Reference, TheCommittedPageIsWhatTheKeyTableSays) {
  EXPECT_EQ(read_file(test_dir() + "/../../docs/cluster.toml.md"), reference()) << "make it anew: drover check --keys > docs/cluster.toml.md";
}

TEST(Reference, ItsExampleIsAGoodFile) {
  const auto parsed = parse(reference_example(), "cluster.toml", 2);
  ASSERT_TRUE(parsed) << render(parsed.error());
  EXPECT_THAT(parsed->warnings, testing::IsEmpty());
}

void expect_named(const Section& section, const std::string& page, const std::string& prefix) {
  for (const Key& key : section.keys()) {
    const std::string name = prefix + std::string(key.name);
    EXPECT_THAT(page, testing::HasSubstr("`" + name + "`"));
    if (key.fields != nullptr) expect_named(*key.fields, page, name + ".");
  }
}

TEST(Reference, NamesEveryKey) {
  const std::string page = reference();
  for (const Section& each : sections()) expect_named(each, page, "");
}

}  // namespace
}  // namespace drover::config
