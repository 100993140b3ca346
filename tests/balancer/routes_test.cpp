#include "balancer/routes.hpp"
#include "tests/balancer/no_allocation.hpp"

#include <gtest/gtest.h>

#include <tuple>

namespace drover::balancer {
namespace {

/// Each route goes to a pool of its own: its position.
Routes routes(std::vector<std::pair<std::string, std::string>> hosts_and_paths) {
  config::Config config;
  for (auto& [host, path] : hosts_and_paths) {
    config::Route route;
    route.host = host;
    route.path = path;
    route.pool = static_cast<std::uint32_t>(config.routes.size());
    config.routes.push_back(route);
    config.pools.emplace_back();
  }
  return Routes(config);
}

std::optional<std::uint32_t> pool_of(const Routes& table, std::string_view host, std::string_view path) {
  const auto match = table.match(host, path);
  return match ? std::optional(match->pool) : std::nullopt;
}

constexpr auto kNone = std::nullopt;

TEST(Routes, NoRouteAndOnePool_EverythingGoesToIt) {
  config::Config config;
  config.pools.emplace_back();
  EXPECT_EQ(pool_of(Routes(config), "any.example", "/x"), 0U);
  config.pools.emplace_back();
  EXPECT_EQ(pool_of(Routes(config), "any.example", "/x"), kNone);
}

TEST(Routes, PathsMatchOnSegmentBoundaries) {
  const Routes table = routes({{"*", "/api"}, {"*", "/files/"}});
  EXPECT_EQ(pool_of(table, "h", "/api"), 0U);
  EXPECT_EQ(pool_of(table, "h", "/api/"), 0U);
  EXPECT_EQ(pool_of(table, "h", "/api/x/y"), 0U);
  EXPECT_EQ(pool_of(table, "h", "/apix"), kNone);
  EXPECT_EQ(pool_of(table, "h", "/API"), kNone) << "paths have case";
  EXPECT_EQ(pool_of(table, "h", "/ap"), kNone);
  EXPECT_EQ(pool_of(table, "h", ""), kNone);
  EXPECT_EQ(pool_of(table, "h", "/files/a"), 1U);
  EXPECT_EQ(pool_of(table, "h", "/files/"), 1U);
  EXPECT_EQ(pool_of(table, "h", "/files"), kNone);
}

TEST(Routes, LongestPathWins_WhateverTheOrder) {
  const Routes table = routes({{"*", "/"}, {"*", "/api/v2"}, {"*", "/api"}});
  EXPECT_EQ(pool_of(table, "h", "/api/v2/x"), 1U);
  EXPECT_EQ(pool_of(table, "h", "/api/v1"), 2U);
  EXPECT_EQ(pool_of(table, "h", "/api/v22"), 2U);
  EXPECT_EQ(pool_of(table, "h", "/other"), 0U);
  EXPECT_EQ(pool_of(table, "h", "*"), 0U) << "OPTIONS *";
}

TEST(Routes, ExactHostBeforeSuffixBeforeAny) {
  const Routes table = routes({{"*", "/"}, {"*.example.com", "/"}, {"shop.example.com", "/"}, {"*.eu.example.com", "/"}});
  EXPECT_EQ(pool_of(table, "shop.example.com", "/"), 2U);
  EXPECT_EQ(pool_of(table, "blog.example.com", "/"), 1U);
  EXPECT_EQ(pool_of(table, "a.b.example.com", "/"), 1U);
  EXPECT_EQ(pool_of(table, "a.eu.example.com", "/"), 3U) << "the longer suffix";
  EXPECT_EQ(pool_of(table, "example.com", "/"), 0U) << "the suffix itself is no subdomain";
  EXPECT_EQ(pool_of(table, "badexample.com", "/"), 0U);
  EXPECT_EQ(pool_of(table, ".example.com", "/"), 0U);
}

TEST(Routes, BetterHostWithoutAPath_FallsToTheNext) {
  const Routes table = routes({{"shop.example.com", "/api"}, {"*", "/"}});
  EXPECT_EQ(pool_of(table, "shop.example.com", "/api/x"), 0U);
  EXPECT_EQ(pool_of(table, "shop.example.com", "/x"), 1U);
  EXPECT_EQ(pool_of(table, "other", "/api/x"), 1U);
}

TEST(Routes, PortCaseAndRootDotAreIgnored) {
  const Routes table = routes({{"Shop.Example.com", "/"}, {"*.Example.org", "/"}});
  EXPECT_EQ(pool_of(table, "SHOP.example.COM:8080", "/"), 0U);
  EXPECT_EQ(pool_of(table, "shop.example.com.", "/"), 0U);
  EXPECT_EQ(pool_of(table, "shop.example.com.:80", "/"), 0U);
  EXPECT_EQ(pool_of(table, "a.EXAMPLE.org:1", "/"), 1U);
  EXPECT_EQ(pool_of(table, "shop.example.com.evil", "/"), kNone);
  EXPECT_EQ(pool_of(table, "", "/"), kNone);
}

TEST(Routes, AMatchNamesItsRouteByItsPlaceInTheConfiguration) {
  config::Config config;
  config.pools.resize(2);
  EXPECT_FALSE(Routes(config).match("h", "/"));
  for (const auto& [host, path, pool] : {std::tuple{"*", "/", 1U}, std::tuple{"*", "/api/v2", 0U}, std::tuple{"shop", "/", 1U}}) {
    config::Route route;
    route.host = host;
    route.path = path;
    route.pool = pool;
    config.routes.push_back(route);
  }
  const Routes table(config);
  EXPECT_EQ(table.match("h", "/x")->route, 0U);
  EXPECT_EQ(table.match("h", "/x")->pool, 1U);
  EXPECT_EQ(table.match("h", "/api/v2")->route, 1U);
  EXPECT_EQ(table.match("shop", "/")->route, 2U);
  EXPECT_EQ(table.match("shop", "/")->pool, 1U) << "two routes may lead to one pool";
}

TEST(Routes, Ipv6LiteralsInAnySpelling) {
  for (const char* written : {"[::1]", "::1", "[0:0:0:0:0:0:0:1]"}) {
    const Routes table = routes({{written, "/"}});
    EXPECT_EQ(pool_of(table, "[::1]", "/"), 0U) << written;
    EXPECT_EQ(pool_of(table, "[::1]:8080", "/"), 0U) << written;
    EXPECT_EQ(pool_of(table, "[0::1]:1", "/"), 0U) << written;
    EXPECT_EQ(pool_of(table, "[::2]", "/"), kNone) << written;
  }
  const Routes upper = routes({{"[2001:DB8::A]", "/"}});
  EXPECT_EQ(pool_of(upper, "[2001:db8::a]:443", "/"), 0U);
}

TEST(Routes, HostileHostsAreOnlyNoMatch) {
  const Routes table = routes({{"a", "/"}, {"*.b", "/"}, {"[::1]", "/"}});
  const std::string very_long(100'000, ':');
  for (const std::string& host : {std::string("["), std::string("[]"), std::string("]["), std::string("[::1"), std::string(":"), std::string("."),
                                  std::string(".."), very_long, std::string("\0a", 2), std::string("[\0::1]", 6)}) {
    const auto matched = table.match(host, "/");
    EXPECT_TRUE(!matched || host == "[::1") << host.substr(0, 20);
  }
}

TEST(Routes, MatchAllocatesNothing) {
  const Routes table = routes({{"*.example.com", "/some/longer/path/than/a/small/string"}, {"[2001:db8::a]", "/"}});
  const std::uint64_t before = test::allocations();
  table.match("A.very.long.host.name.that.fits.no.small.buffer.EXAMPLE.com:8080", "/some/longer/path/than/a/small/string/x");
  table.match("[2001:0db8:0000:0000:0000:0000:0000:000a]:443", "/");
  EXPECT_EQ(test::allocations(), before);
}

}  // namespace
}  // namespace drover::balancer
