// drover's own answers: redirects, fixed responses, error pages.
#include "proxy/own_answer.hpp"

#include "proxy/error_pages.hpp"
#include "proxy/head_write.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace drover::proxy {
namespace {

std::string target(const std::string& to, const std::string& path = "/a/b", const std::string& query = "?q=1",
                   const std::string& host = "shop:8080") {
  config::Route route;
  route.redirect.to = to;
  return redirect_target(route, {host, path, query});
}

TEST(OwnAnswer, AStatusWithoutAName_HasNone) {
  EXPECT_EQ(phrase(404), "Not Found");
  EXPECT_EQ(phrase(418), "");
}

TEST(Redirect, PlaceholdersAreTheRequests) {
  EXPECT_EQ(target("https://${host}${path}${query}"), "https://shop/a/b?q=1");
  EXPECT_EQ(target("https://${host}${path}${query}", "/a", "", "[::1]:80"), "https://[::1]/a");
  EXPECT_EQ(target("https://new.example/x"), "https://new.example/x");
  EXPECT_EQ(target("/new${path}${query}"), "/new/a/b?q=1");
  EXPECT_EQ(target("/new${path}", "*"), "/new/");
  EXPECT_EQ(target("/${unknown}/$"), "/${unknown}/$");
}

TEST(Redirect, ThePathIsAsTheRouteMakesIt) {
  config::Route route;
  route.strip = "/old";
  route.prefix = "/v2";
  route.redirect.to = "https://new.example${path}";
  EXPECT_EQ(redirect_target(route, {"h", "/old/x", ""}), "https://new.example/v2/x");
  route.prefix = "";
  EXPECT_EQ(redirect_target(route, {"h", "/old", ""}), "https://new.example/");
}

TEST(Redirect, APathIsNoHost) {
  EXPECT_EQ(target("${path}", "//evil.example"), "/evil.example");
  EXPECT_EQ(target("/${path}", "///evil.example"), "/evil.example");
  EXPECT_EQ(target("${path}/", "/\\evil.example"), "/%5Cevil.example/");
  EXPECT_EQ(target("//cdn.example${path}", "//x"), "//cdn.example//x") << "the template's own host";
  EXPECT_EQ(target("https://shop${path}", "//x"), "https://shop//x");
}

TEST(Redirect, WhatMayNotStandInAUriIsEscaped) {
  EXPECT_EQ(target("${path}${query}", "/a\"<>{}|^`", "?a\r\nSet-Cookie: x"), "/a%22%3C%3E%7B%7D%7C%5E%60?a%0D%0ASet-Cookie:%20x");
  EXPECT_EQ(target("${path}", "/caf%C3%A9%zz"), "/caf%C3%A9%zz");
}

std::string written(OwnAnswer answer) {
  answer.date = "now";
  answer.request_id = "0123";
  answer.keep_alive = true;
  Buffer out;
  write_own(out, answer);
  return std::string(out.view());
}

TEST(OwnAnswer, AHeadHasNoBodyButItsLength) {
  OwnAnswer answer{.status = 302, .type = "text/plain", .body = "hello", .location = "/x"};
  const std::string whole = written(answer);
  answer.head_only = true;
  EXPECT_EQ(written(answer) + "hello", whole);
  EXPECT_EQ(whole,
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nDate: now\r\nX-Request-ID: 0123\r\n\r\nhello");
}

TEST(OwnAnswer, WhatCanHaveNoBodyHasNone) {
  for (const unsigned status : {204U, 304U}) {
    const std::string text = written({.status = status, .type = "text/plain", .body = "hello"});
    EXPECT_EQ(text.find("Content-"), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with("\r\n\r\n"));
  }
}

TEST(OwnAnswer, ARoutesEditsReachIt_NotItsFraming) {
  config::HeaderEdits edits;
  edits.remove = {"X-Request-ID", "Content-Length"};
  edits.set = {{"Content-Type", "text/css"}};
  edits.add = {{"Strict-Transport-Security", "max-age=1"}};
  OwnAnswer answer{.status = 200, .type = "text/plain", .body = "x"};
  answer.edits = {&edits, HeadEdits::Side::client};
  EXPECT_EQ(written(answer),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: now\r\nContent-Type: text/css\r\nStrict-Transport-Security: max-age=1\r\n\r\nx");
}

TEST(ErrorPage, ItsKindIsToldByItsFirstCharacter) {
  for (const auto& [text, type] : std::vector<std::pair<const char*, const char*>>{{"<!doctype html>", "text/html; charset=utf-8"},
                                                                                   {"\xEF\xBB\xBF \r\n<p>", "text/html; charset=utf-8"},
                                                                                   {"{\"a\":1}", "application/json"},
                                                                                   {"{{status}} is bad", "text/plain; charset=utf-8"},
                                                                                   {"sorry", "text/plain; charset=utf-8"},
                                                                                   {"", "text/plain; charset=utf-8"}}) {
    EXPECT_EQ(ErrorPage(text).type(), type) << text;
  }
}

TEST(ErrorPage, PlaceholdersAreFilledIn_EscapedAsThePageWantsIt) {
  const PageFacts facts{503, "a \"b\" <c> & 'd'", "0123"};
  EXPECT_EQ(ErrorPage("<p>{{status}} {{reason}}{{request_id}}").body(facts), "<p>503 a &quot;b&quot; &lt;c&gt; &amp; &#39;d&#39;0123");
  EXPECT_EQ(ErrorPage("{\"e\":\"{{reason}}\"}").body(facts), "{\"e\":\"a \\\"b\\\" <c> & 'd'\"}");
  EXPECT_EQ(ErrorPage("{{request_id}}: {{reason}}").body(facts), "0123: a \"b\" <c> & 'd'");
  EXPECT_EQ(ErrorPage("{{status}}{{other}} {{ {{status}}{{").body(facts), "503{{other}} {{ 503{{");
  EXPECT_EQ(ErrorPage("").body(facts), "");
}

TEST(Errors, AnyReasonIsValidJson) {
  ErrorReply reply;
  reply.status = 503;
  reply.reason = "back \\ at \"noon\"\n";
  reply.request_id = "0123";
  reply.json = true;
  Buffer out;
  write_error(out, reply);
  EXPECT_TRUE(out.view().ends_with("\"reason\":\"back \\\\ at \\\"noon\\\" \",\"request_id\":\"0123\"}\n")) << out.view();
}

TEST(ErrorPages, BelongToTheirPoolAndStatus_AndWhoWantsJsonGetsJson) {
  config::Config config;
  config.pools.resize(2);
  config.pools[0].name = "shop";
  config.pools[0].errors = {{503, "/srv/busy.html"}, {504, "/srv/unread.html"}};
  config.pools[1].name = "api";
  const ErrorPages pages(config, {{"pool.shop.errors.503", "<p>busy"}, {"pool.api.errors.503", "never asked for"}});
  ASSERT_NE(pages.find(0, 503), nullptr);
  EXPECT_EQ(pages.find(0, 502), nullptr);
  EXPECT_EQ(pages.find(0, 504), nullptr);
  EXPECT_EQ(pages.find(1, 503), nullptr);
  EXPECT_EQ(pages.find(7, 503), nullptr);
  ErrorReply reply;
  reply.status = 503;
  reply.reason = "full";
  reply.request_id = "0123";
  reply.date = "now";
  reply.page = pages.find(0, 503);
  Buffer out;
  write_error(out, reply);
  EXPECT_TRUE(out.view().ends_with("\r\n\r\n<p>busy"));
  EXPECT_NE(out.view().find("Content-Type: text/html; charset=utf-8\r\nContent-Length: 7\r\n"), std::string_view::npos);
  out.clear();
  reply.json = true;
  write_error(out, reply);
  EXPECT_TRUE(out.view().ends_with("{\"status\":503,\"error\":\"Service Unavailable\",\"reason\":\"full\",\"request_id\":\"0123\"}\n"));
}

}  // namespace
}  // namespace drover::proxy
