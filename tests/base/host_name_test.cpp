#include "base/host_name.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace drover::base {
namespace {

TEST(HostName, HasOneTextForAllSpellings) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"Shop.Example.COM", "shop.example.com"},
      {"shop.example.com:8080", "shop.example.com"},
      {"shop.example.com.", "shop.example.com"},
      {"shop.example.com.:80", "shop.example.com"},
      {"*", "*"},
      {".", "."},
      {"[::1]", "::1"},
      {"[0:0:0:0:0:0:0:1]:80", "::1"},
      {"[2001:DB8::A]", "2001:db8::a"},
      {"[::ffff:102:304]", "::ffff:1.2.3.4"},
      {"[::ffff:1.2.3.4]", "::ffff:1.2.3.4"},
      {"[no address]", "no address"},
      {"[", ""},
      {"", ""},
      {"a:b:c", "a:b:c"},
      {std::string(255, 'a'), std::string(255, 'a')},
      {std::string(256, 'a'), ""},
  };
  for (const auto& [given, text] : rows) EXPECT_EQ(HostName(given).text(), text) << given;
}

}  // namespace
}  // namespace drover::base
