#include "balancer/routes.hpp"
#include "base/rng.hpp"
#include "config/parse.hpp"
#include "tests/balancer/no_allocation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
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

std::optional<std::uint32_t> route_of(const Routes& table, std::string_view host, std::string_view path) {
  return table.match({.host = host, .path = path});
}

constexpr auto kNone = std::nullopt;

TEST(Routes, PathsMatchOnSegmentBoundaries) {
  const Routes table = routes({{"*", "/api"}, {"*", "/files/"}});
  EXPECT_EQ(route_of(table, "h", "/api"), 0U);
  EXPECT_EQ(route_of(table, "h", "/api/"), 0U);
  EXPECT_EQ(route_of(table, "h", "/api/x/y"), 0U);
  EXPECT_EQ(route_of(table, "h", "/apix"), kNone);
  EXPECT_EQ(route_of(table, "h", "/API"), kNone) << "paths have case";
  EXPECT_EQ(route_of(table, "h", "/ap"), kNone);
  EXPECT_EQ(route_of(table, "h", ""), kNone);
  EXPECT_EQ(route_of(table, "h", "/files/a"), 1U);
  EXPECT_EQ(route_of(table, "h", "/files/"), 1U);
  EXPECT_EQ(route_of(table, "h", "/files"), kNone);
}

TEST(Routes, LongestPathWins_WhateverTheOrder) {
  const Routes table = routes({{"*", "/"}, {"*", "/api/v2"}, {"*", "/api"}});
  EXPECT_EQ(route_of(table, "h", "/api/v2/x"), 1U);
  EXPECT_EQ(route_of(table, "h", "/api/v1"), 2U);
  EXPECT_EQ(route_of(table, "h", "/api/v22"), 2U);
  EXPECT_EQ(route_of(table, "h", "/other"), 0U);
  EXPECT_EQ(route_of(table, "h", "*"), 0U) << "OPTIONS *";
}

TEST(Routes, ExactHostBeforeSuffixBeforeAny) {
  const Routes table = routes({{"*", "/"}, {"*.example.com", "/"}, {"shop.example.com", "/"}, {"*.eu.example.com", "/"}});
  EXPECT_EQ(route_of(table, "shop.example.com", "/"), 2U);
  EXPECT_EQ(route_of(table, "blog.example.com", "/"), 1U);
  EXPECT_EQ(route_of(table, "a.b.example.com", "/"), 1U);
  EXPECT_EQ(route_of(table, "a.eu.example.com", "/"), 3U) << "the longer suffix";
  EXPECT_EQ(route_of(table, "example.com", "/"), 0U) << "the suffix itself is no subdomain";
  EXPECT_EQ(route_of(table, "badexample.com", "/"), 0U);
  EXPECT_EQ(route_of(table, ".example.com", "/"), 0U);
}

TEST(Routes, BetterHostWithoutAPath_FallsToTheNext) {
  const Routes table = routes({{"shop.example.com", "/api"}, {"*", "/"}});
  EXPECT_EQ(route_of(table, "shop.example.com", "/api/x"), 0U);
  EXPECT_EQ(route_of(table, "shop.example.com", "/x"), 1U);
  EXPECT_EQ(route_of(table, "other", "/api/x"), 1U);
}

TEST(Routes, PortCaseAndRootDotAreIgnored) {
  const Routes table = routes({{"Shop.Example.com", "/"}, {"*.Example.org", "/"}});
  EXPECT_EQ(route_of(table, "SHOP.example.COM:8080", "/"), 0U);
  EXPECT_EQ(route_of(table, "shop.example.com.", "/"), 0U);
  EXPECT_EQ(route_of(table, "shop.example.com.:80", "/"), 0U);
  EXPECT_EQ(route_of(table, "a.EXAMPLE.org:1", "/"), 1U);
  EXPECT_EQ(route_of(table, "shop.example.com.evil", "/"), kNone);
  EXPECT_EQ(route_of(table, "", "/"), kNone);
}

TEST(Routes, AMatchNamesItsRouteByItsPlaceInTheConfiguration) {
  config::Config config;
  config.pools.resize(2);
  EXPECT_FALSE(route_of(Routes(config), "h", "/"));
  for (const auto& [host, path, pool] : {std::tuple{"*", "/", 1U}, std::tuple{"*", "/api/v2", 0U}, std::tuple{"shop", "/", 1U}}) {
    config::Route route;
    route.host = host;
    route.path = path;
    route.pool = pool;
    config.routes.push_back(route);
  }
  const Routes table(config);
  EXPECT_EQ(route_of(table, "h", "/x"), 0U);
  EXPECT_EQ(route_of(table, "h", "/api/v2"), 1U);
  EXPECT_EQ(route_of(table, "shop", "/"), 2U) << "two routes may lead to one pool";
}

TEST(Routes, Ipv6LiteralsInAnySpelling) {
  for (const char* written : {"[::1]", "[0:0:0:0:0:0:0:1]"}) {
    const Routes table = routes({{written, "/"}});
    EXPECT_EQ(route_of(table, "[::1]", "/"), 0U) << written;
    EXPECT_EQ(route_of(table, "[::1]:8080", "/"), 0U) << written;
    EXPECT_EQ(route_of(table, "[0::1]:1", "/"), 0U) << written;
    EXPECT_EQ(route_of(table, "[::2]", "/"), kNone) << written;
  }
  const Routes upper = routes({{"[2001:DB8::A]", "/"}});
  EXPECT_EQ(route_of(upper, "[2001:db8::a]:443", "/"), 0U);
}

TEST(Routes, HostileHostsAreOnlyNoMatch) {
  const Routes table = routes({{"a", "/"}, {"*.b", "/"}, {"[::1]", "/"}});
  const std::string very_long(100'000, ':');
  for (const std::string& host : {std::string("["), std::string("[]"), std::string("]["), std::string("[::1"), std::string(":"), std::string("."),
                                  std::string(".."), very_long, std::string("\0a", 2), std::string("[\0::1]", 6)}) {
    const auto matched = route_of(table, host, "/");
    EXPECT_TRUE(!matched || host == "[::1") << host.substr(0, 20);
  }
}

/// A request's fields, as the proxy gives them.
struct Fields {
  std::vector<config::Field> list;
  static bool look(const void* request, std::string_view name, RouteAsk::Seen seen, const void* wanted) {
    const auto& fields = static_cast<const Fields*>(request)->list;
    return std::any_of(fields.begin(), fields.end(), [&](const config::Field& field) { return field.name == name && seen(wanted, field.value); });
  }
};

config::Route at(std::string host, std::string path) {
  config::Route route;
  route.host = std::move(host);
  route.path = std::move(path);
  return route;
}

Routes table_of(const std::vector<config::Route>& list) {
  config::Config config;
  config.routes = list;
  return Routes(config);
}

TEST(Routes, AWholePathBeforeAPrefix_AndOnlyItself) {
  config::Route whole = at("*", "/api");
  whole.exact = true;
  const Routes table = table_of({at("*", "/api"), whole, at("*", "/")});
  EXPECT_EQ(route_of(table, "h", "/api"), 1U);
  EXPECT_EQ(route_of(table, "h", "/api/"), 0U);
  EXPECT_EQ(route_of(table, "h", "/api/x"), 0U);
  EXPECT_EQ(route_of(table, "h", "/ap"), 2U);
  EXPECT_EQ(route_of(table_of({whole}), "h", "/api/x"), kNone);
}

TEST(Routes, MethodsAreComparedAsTheyAre_AndARouteWithoutThemTakesTheRest) {
  config::Route reads = at("*", "/");
  reads.methods = {"GET", "HEAD"};
  config::Route gets = at("*", "/");
  gets.methods = {"GET"};
  const Routes table = table_of({at("*", "/"), reads, gets});
  const auto asked = [&](std::string_view method) { return table.match({.host = "h", .path = "/x", .method = method}); };
  EXPECT_EQ(asked("GET"), 2U) << "fewer methods before more";
  EXPECT_EQ(asked("HEAD"), 1U);
  EXPECT_EQ(asked("get"), 0U) << "methods have case";
  EXPECT_EQ(asked("POST"), 0U);
  EXPECT_EQ(table_of({gets}).match({.host = "h", .path = "/", .method = "POST"}), kNone);
}

TEST(Routes, HeaderConditions_AllOfThem_AnyFieldOfTheName_StarIsPresence) {
  config::Route beta = at("*", "/");
  beta.headers = {{"X-Ring", "beta"}};
  config::Route both = at("*", "/");
  both.headers = {{"X-Ring", "beta"}, {"X-Team", "*"}};
  config::Route any = at("*", "/");
  any.headers = {{"X-Ring", "*"}};
  const Routes table = table_of({any, at("*", "/"), beta, both});
  const auto asked = [&](const Fields& fields) { return table.match({.host = "h", .path = "/", .fields = Fields::look, .request = &fields}); };
  EXPECT_EQ(asked({}), 1U);
  EXPECT_EQ(table.match({.host = "h", .path = "/"}), 1U) << "nobody to ask for fields";
  EXPECT_EQ(asked({{{"X-Ring", "beta"}}}), 2U) << "a value before presence";
  EXPECT_EQ(asked({{{"X-Ring", "BETA"}}}), 0U) << "values are compared as they are";
  EXPECT_EQ(asked({{{"X-Ring", ""}}}), 0U);
  EXPECT_EQ(asked({{{"X-Ring", "alpha"}, {"X-Ring", "beta"}}}), 2U);
  EXPECT_EQ(asked({{{"X-Ring", "beta"}, {"X-Team", "z"}}}), 3U) << "more conditions before fewer";
  EXPECT_EQ(asked({{{"X-Team", "z"}}}), 1U);
}

TEST(Routes, WhatIsEvenGoesByTheAlphabet_WhateverTheCaseOfItsNames) {
  config::Route second = at("*", "/");
  second.headers = {{"X-B", "1"}};
  config::Route first = at("*", "/");
  first.headers = {{"x-a", "1"}};
  const Fields fields{{{"X-B", "1"}, {"x-a", "1"}}};
  EXPECT_EQ(table_of({second, first}).match({.host = "h", .path = "/", .fields = Fields::look, .request = &fields}), 1U);
  EXPECT_EQ(table_of({first, second}).match({.host = "h", .path = "/", .fields = Fields::look, .request = &fields}), 0U);
}

TEST(Routes, WhoseConditionsDoNotFit_IsPassedOver_ForAShorterPathAndAWiderHost) {
  config::Route deep = at("shop.example.com", "/api");
  deep.methods = {"POST"};
  config::Route whole = at("shop.example.com", "/api");
  whole.exact = true;
  whole.headers = {{"X-Ring", "beta"}};
  const Routes table = table_of({deep, whole, at("*.example.com", "/api/v1"), at("*", "/")});
  EXPECT_EQ(route_of(table, "shop.example.com", "/api"), 3U);
  EXPECT_EQ(route_of(table, "shop.example.com", "/api/v1"), 2U);
  EXPECT_EQ(table.match({.host = "shop.example.com", .path = "/api/v1", .method = "POST"}), 0U);
}

/// The order as routes.hpp says it, told once more without any of its machinery.
std::optional<std::uint32_t> oracle(const std::vector<config::Route>& list, std::string_view host, std::string_view path, std::string_view method,
                                    const Fields& fields) {
  const auto fits = [&](const config::Route& route) {
    const std::string_view suffix = std::string_view(route.host).substr(route.host.starts_with("*.") ? 1 : 0);
    const bool host_fits = route.host == "*" || route.host == host || (suffix != route.host && host.size() > suffix.size() && host.ends_with(suffix));
    const std::string segment = route.path.ends_with('/') ? route.path : route.path + "/";
    const bool path_fits = route.exact ? path == route.path : route.path == "/" || path == route.path || path.starts_with(segment);
    if (!host_fits || !path_fits) return false;
    if (!route.methods.empty() && std::find(route.methods.begin(), route.methods.end(), method) == route.methods.end()) return false;
    return std::all_of(route.headers.begin(), route.headers.end(), [&](const config::Field& wanted) {
      return std::any_of(fields.list.begin(), fields.list.end(), [&](const config::Field& field) {
        return field.name == wanted.name && (wanted.value == "*" || wanted.value == field.value);
      });
    });
  };
  const auto rank = [](const config::Route& route) {
    const int host_rank = route.host == "*" ? 2 : route.host.starts_with("*.") ? 1 : 0;
    const auto valued = std::count_if(route.headers.begin(), route.headers.end(), [](const config::Field& field) { return field.value != "*"; });
    auto methods = route.methods;
    std::sort(methods.begin(), methods.end());
    std::vector<std::pair<std::string, std::string>> headers;
    for (const config::Field& field : route.headers) headers.emplace_back(field.name, field.value);
    std::sort(headers.begin(), headers.end());
    return std::tuple(host_rank, -std::ssize(route.host), !route.exact, -std::ssize(route.path), methods.empty(), methods.size(),
                      -std::ssize(headers), -valued, methods, headers);
  };
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < list.size(); ++i) {
    if (fits(list[i]) && (!best || rank(list[i]) < rank(list[*best]))) best = i;
  }
  return best;
}

template <class T>
T one_of(base::Rng& rng, const std::vector<T>& choices) {
  return choices[rng.below(choices.size())];
}

config::Route random_route(base::Rng& rng) {
  static const std::vector<std::string> kHosts{"*", "*", "a.com", "b.a.com", "*.a.com", "*.b.a.com", "*.com"};
  static const std::vector<std::string> kPaths{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a/bc", "/b", "/b/a/"};
  config::Route route = at(one_of(rng, kHosts), one_of(rng, kPaths));
  route.exact = rng.below(3) == 0;
  static const std::vector<std::vector<std::string>> kMethods{{}, {}, {"GET"}, {"POST"}, {"GET", "POST"}, {"HEAD", "GET"}};
  route.methods = one_of(rng, kMethods);
  static const std::vector<std::vector<config::Field>> kHeaders{{}, {}, {{"x", "*"}}, {{"x", "1"}}, {{"y", "1"}}, {{"y", "*"}, {"x", "2"}}};
  route.headers = one_of(rng, kHeaders);
  return route;
}

/// Two routes for the same requests: what a configuration may not have.
bool twins(const config::Route& a, const config::Route& b) {
  const auto sorted = [](std::vector<std::string> list) {
    std::sort(list.begin(), list.end());
    return list;
  };
  return a.host == b.host && a.path == b.path && a.exact == b.exact && sorted(a.methods) == sorted(b.methods) && a.headers == b.headers;
}

TEST(Routes, AnyTableAndAnyRequest_AsTheOrderSays_HoweverTheFileIsShuffled) {
  base::Rng rng(20260801);
  static const std::vector<std::string> kHosts{"a.com", "b.a.com", "c.b.a.com", "d.com", "com", "x", ""};
  static const std::vector<std::string> kPaths{"/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/b/c/d", "/ab", "/a/bc", "/b/a", "/b/a/x", "/c", "*"};
  for (int round = 0; round < 400; ++round) {
    std::vector<config::Route> list;
    for (std::size_t wanted = rng.below(24); wanted > 0; --wanted) {
      config::Route route = random_route(rng);
      if (std::none_of(list.begin(), list.end(), [&](const config::Route& other) { return twins(route, other); })) list.push_back(route);
    }
    std::vector<config::Route> shuffled = list;
    for (std::size_t i = shuffled.size(); i > 1; --i) std::swap(shuffled[i - 1], shuffled[rng.below(i)]);
    const Routes table = table_of(list);
    const Routes other = table_of(shuffled);
    for (int request = 0; request < 60; ++request) {
      const std::string host = one_of(rng, kHosts);
      const std::string path = one_of(rng, kPaths);
      const std::string method = one_of(rng, std::vector<std::string>{"GET", "POST", "HEAD", "PUT"});
      Fields fields;
      for (const char* name : {"x", "y"}) {
        if (rng.below(2) == 0) fields.list.push_back({name, std::string(1, static_cast<char>('0' + rng.below(4)))});
      }
      const RouteAsk ask{.host = host, .path = path, .method = method, .fields = Fields::look, .request = &fields};
      const auto found = table.match(ask);
      ASSERT_EQ(found, oracle(list, host, path, method, fields)) << "round " << round << ": " << method << " " << host << path;
      const auto again = other.match(ask);
      ASSERT_EQ(found.has_value(), again.has_value());
      if (!found) continue;
      ASSERT_TRUE(twins(list[*found], shuffled[*again])) << "round " << round;
    }
  }
}

TEST(Routes, APathThatLeadsElsewhereOnceItIsResolved_IsForNobody) {
  using Kind = Routes::Choice::Kind;
  config::Route whole = at("*", "/ok");
  whole.exact = true;
  const Routes table = table_of({at("*", "/"), at("*", "/admin"), at("*", "/public"), at("*", "/~user"), whole});
  std::string scratch;
  const auto choice = [&](std::string_view path) { return table.choose({.host = "h", .path = path}, scratch); };
  for (const char* path : {"/public/../admin", "/public/%2e%2e/admin", "/public/.%2E/admin/x", "/admin/../public", "//admin", "/public//../../admin",
                           "/public/..%2fadmin", "/public/..%5cadmin", "/public\\..\\admin", "/public/..;/admin", "/admin;x=1", "/./admin",
                           "/x/../admin/", "/admin%2Fx", "/x/../ok", "/ok;v=1", "/%2e/public", "/public/.."}) {
    EXPECT_EQ(choice(path).kind, Kind::doubtful) << path;
  }
  const std::vector<std::pair<const char*, std::uint32_t>> found{
      {"/admin", 1},        {"/admin/x/../y", 1},     {"/admin//x", 1},      {"/%61dmin/x", 1}, {"/public/a%2Fb", 2},
      {"/public/x;v=1", 2}, {"/public/caf%c3%a9", 2}, {"/%7Euser/x", 3},     {"/%7euser", 3},   {"/~user", 3},
      {"/other//x", 0},     {"/x/../y", 0},           {"/.well-known/x", 0}, {"/ok", 4},        {"/%6fk", 4},
      {"/administer", 0},   {"/%2561dmin", 0},        {"/a/%2e%2e/b", 0}};
  for (const auto& [path, route] : found) {
    EXPECT_EQ(choice(path).kind, Kind::found) << path;
    EXPECT_EQ(choice(path).route, route) << path;
  }
  EXPECT_EQ(table_of({at("*", "/public")}).choose({.host = "h", .path = "/public/../admin"}, scratch).kind, Kind::doubtful);
  EXPECT_EQ(table_of({at("*", "/public")}).choose({.host = "h", .path = "/x/../admin"}, scratch).kind, Kind::none);
}

/// Of a file with a route for everything and then these: host, path.
bool check_takes(const std::vector<std::pair<std::string, std::string>>& hosts_and_paths) {
  std::string file = "[pool.a]\ncommand = [\"a\"]\n[[route]]\n";
  for (const auto& [host, path] : hosts_and_paths) file += "[[route]]\nhost = \"" + host + "\"\npath = '" + path + "'\n";
  return static_cast<bool>(config::parse(file, "cluster.toml", 1));
}

TEST(Routes, TheCheckTakesAPath_WhereARequestForItIsAnswered) {
  using Kind = Routes::Choice::Kind;
  std::string scratch;
  for (const char* path : {"/a",      "/a/",   "/a/.b",  "/a..", "/caf%c3%a9", "/%7Ea", "/~a",   "/a%20b", "/a%00",     "/a/*",
                           "/a/../b", "/a//b", "/a%2Fb", "/.",   "/a;v",       "/a%21", "/a%25", "/a\\b",  "/%2e%2e/a", "//"}) {
    const bool answered = table_of({at("*", "/"), at("*", path)}).choose({.host = "h", .path = path}, scratch).kind == Kind::found;
    EXPECT_EQ(check_takes({{"*", path}}), answered) << path;
  }
}

TEST(Routes, TheCheckTakesTwoRoutes_WhereTheOrderOfTheFileDecidesNothing) {
  using Pair = std::pair<std::string, std::string>;
  const std::vector<Pair> spellings{{"*", "/x"},
                                    {"*", "/%78"},
                                    {"*", "/X"},
                                    {"*", "/x/"},
                                    {"*", "/a%2a"},
                                    {"*", "/a~"},
                                    {"*", "/a%7E"},
                                    {"a.b", "/x"},
                                    {"A.B.", "/x"},
                                    {"*.b", "/x"},
                                    {"[::1]", "/x"},
                                    {"[0:0::1]", "/%78"},
                                    {"[::ffff:1.2.3.4]", "/"},
                                    {"[::ffff:102:304]", "/"}};
  for (const Pair& first : spellings) {
    for (const Pair& second : spellings) {
      if (!check_takes({first}) || !check_takes({second})) continue;
      const std::string host = first.first.starts_with('*') ? "h.b" : first.first;
      const RouteAsk ask{.host = host, .path = first.second == "/%78" ? "/x" : first.second == "/a%7E" ? "/a~" : std::string_view(first.second)};
      const auto one = table_of({at(first.first, first.second), at(second.first, second.second)}).match(ask);
      const auto other = table_of({at(second.first, second.second), at(first.first, first.second)}).match(ask);
      ASSERT_TRUE(one && other);
      EXPECT_EQ(check_takes({first, second}), *one != *other) << first.first << first.second << " " << second.first << second.second;
    }
  }
}

TEST(Routes, WhereNothingDependsOnThePath_ItIsNotLookedAt) {
  std::string scratch;
  const auto chosen = table_of({at("*", "/"), at("a", "/")}).choose({.host = "h", .path = "/a/../%2e%2e//b;c"}, scratch);
  EXPECT_EQ(chosen.kind, Routes::Choice::Kind::found);
  EXPECT_EQ(chosen.route, 0U);
  EXPECT_TRUE(scratch.empty());
}

TEST(Routes, DotSegmentsDoNotLeadOutOfWhatIsPutBefore) {
  using Kind = Routes::Choice::Kind;
  config::Route route = at("*", "/");
  route.prefix = "/app";
  std::string scratch;
  for (const char* path : {"/../secret", "/x/..", "/%2e%2e/secret", "/..;/secret", "/..%2fsecret", "/."}) {
    EXPECT_EQ(table_of({route}).choose({.host = "h", .path = path}, scratch).kind, Kind::doubtful) << path;
  }
  for (const char* path : {"/secret", "//secret", "/a;b", "/a%2Fb", "/.a", "/a..b"}) {
    EXPECT_EQ(table_of({route}).choose({.host = "h", .path = path}, scratch).kind, Kind::found) << path;
  }
}

TEST(Routes, ASplitGivesEachPoolItsWeight_AndNoneToWeightNothing) {
  config::Route route;
  route.pool = 9;
  EXPECT_EQ(pool_of(route, 12345), 9U);
  route.split = {{4, 90}, {5, 0}, {6, 10}};
  std::map<std::uint32_t, int> counts;
  base::Rng rng(7);
  for (int i = 0; i < 100'000; ++i) ++counts[pool_of(route, rng.next())];
  EXPECT_EQ(counts.count(5), 0U);
  EXPECT_NEAR(counts[4], 90'000, 600);
  EXPECT_NEAR(counts[6], 10'000, 600);
  EXPECT_EQ(counts.size(), 2U);
  route.split = {{4, 0xFFFFFFFF}, {5, 0xFFFFFFFF}};
  counts.clear();
  for (int i = 0; i < 10'000; ++i) ++counts[pool_of(route, rng.next())];
  EXPECT_NEAR(counts[4], 5'000, 400) << "the sum of the weights does not wrap";
}

TEST(Routes, MatchAllocatesNothing) {
  const Routes table = routes({{"*.example.com", "/some/longer/path/than/a/small/string"}, {"[2001:db8::a]", "/"}});
  const std::uint64_t before = test::allocations();
  route_of(table, "A.very.long.host.name.that.fits.no.small.buffer.EXAMPLE.com:8080", "/some/longer/path/than/a/small/string/x");
  route_of(table, "[2001:0db8:0000:0000:0000:0000:0000:000a]:443", "/");
  EXPECT_EQ(test::allocations(), before);
}

}  // namespace
}  // namespace drover::balancer
