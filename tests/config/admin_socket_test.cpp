// Where the command line finds the supervisor when nobody says so.
#include "config/admin_socket.hpp"

#include <gtest/gtest.h>

namespace drover::config {
namespace {

TEST(AdminSocket, OfRootIsInRun) {
  EXPECT_EQ(default_admin_socket(true, 0, nullptr), "/run/drover/drover.sock");
  EXPECT_EQ(default_admin_socket(true, 0, "/run/user/0"), "/run/drover/drover.sock");
}

TEST(AdminSocket, OfAUserIsInItsRuntimeFolder) {
  EXPECT_EQ(default_admin_socket(false, 1000, "/run/user/1000"), "/run/user/1000/drover.sock");
  EXPECT_EQ(default_admin_socket(false, 1000, "/run/user/1000//"), "/run/user/1000/drover.sock");
}

TEST(AdminSocket, OfAUserWithoutAUsableOneIsInTmp) {
  const std::string expected = "/tmp/drover-1000/drover.sock";
  EXPECT_EQ(default_admin_socket(false, 1000, nullptr), expected);
  EXPECT_EQ(default_admin_socket(false, 1000, ""), expected);
  EXPECT_EQ(default_admin_socket(false, 1000, "/"), expected);
  EXPECT_EQ(default_admin_socket(false, 1000, "run/user/1000"), expected);
}

TEST(AdminSocket, FitsASocketsAddress) {
  const std::string folder = "/" + std::string(kMaxSocketPath - std::string("//drover.sock").size(), 'x');
  EXPECT_EQ(default_admin_socket(false, 1, folder.c_str()).size(), kMaxSocketPath);
  EXPECT_EQ(default_admin_socket(false, 1, (folder + "x").c_str()), "/tmp/drover-1/drover.sock");
}

TEST(AdminSocket, IsTheConfiguredOneWhenThereIsOne) {
  Config config;
  EXPECT_EQ(admin_socket_path(config, false, 7, nullptr), "/tmp/drover-7/drover.sock");
  config.admin.socket = "/srv/a.sock";
  EXPECT_EQ(admin_socket_path(config, true, 0, nullptr), "/srv/a.sock");
}

}  // namespace
}  // namespace drover::config
