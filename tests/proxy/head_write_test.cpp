// What a route changes on the way: heads and targets, byte by byte.
#include "proxy/head_write.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace drover::proxy {
namespace {

std::string request_head(const std::string& fields = "", const std::string& target = "/api/x?q=/api", const std::string& method = "GET") {
  return method + " " + target + " HTTP/1.1\r\nHost: shop\r\n" + fields + "\r\n";
}

std::string forwarded(const std::string& bytes, const config::Route& route) {
  RequestHead head;
  MessageParser<true> parser(head);
  EXPECT_EQ(parser.parse_head(bytes), "");
  EXPECT_EQ(check_request(head), "");
  Buffer out;
  ForwardedFacts facts;
  facts.client = "192.0.2.1";
  facts.local = "127.0.0.1:3000";
  facts.request_id = "0123";
  facts.start_ms = 7;
  facts.route = &route;
  write_request(out, head, facts);
  return std::string(out.view());
}

std::string target_of(const std::string& target, const config::Route& route, const std::string& method = "GET") {
  const std::string text = forwarded(request_head("", target, method), route);
  return text.substr(method.size() + 1, text.find(" HTTP/1.1") - method.size() - 1);
}

std::string answered(const std::string& bytes, const config::HeaderEdits& edits, bool upgrade = false) {
  ResponseHead head;
  MessageParser<false> parser(head);
  EXPECT_EQ(parser.parse_head(bytes), "");
  EXPECT_EQ(check_response(head, http::verb::get), "");
  Buffer out;
  ReplyFacts facts;
  facts.date = "now";
  facts.edits = &edits;
  facts.upgrade = upgrade;
  write_response(out, head, facts);
  return std::string(out.view());
}

bool has(const std::string& text, const std::string& line) { return text.find("\r\n" + line + "\r\n") != std::string::npos; }
bool names(const std::string& text, const std::string& name) { return text.find("\r\n" + name + ":") != std::string::npos; }

TEST(HeadWrite, APrefixIsTakenOffAndAnotherPutBefore) {
  struct Row {
    const char *strip, *prefix, *target, *expected;
  };
  for (const auto& [strip, prefix, target, expected] : std::vector<Row>{
           {"", "", "/a/b?c", "/a/b?c"},
           {"/api", "", "/api", "/"},
           {"/api", "", "/api?q", "/?q"},
           {"/api", "", "/api/", "/"},
           {"/api", "", "/api/x?q=/api/y", "/x?q=/api/y"},
           {"/api", "", "/api//x", "/x"},
           {"/api", "/v2", "/api///x?//", "/v2/x?//"},
           {"/api", "", "/apix", "/apix"},
           {"/api", "", "/other?/api", "/other?/api"},
           {"/api", "", "/%61pi/%61", "/%61"},
           {"/api/", "", "/api/x", "/x"},
           {"/api/", "", "/api/", "/"},
           {"/api/", "", "/api", "/api"},
           {"/", "", "/x", "/x"},
           {"", "/v2", "/x?q", "/v2/x?q"},
           {"", "/v2/", "/x", "/v2/x"},
           {"", "/v2", "/", "/v2/"},
           {"", "/", "/x", "/x"},
           {"/api", "/v2", "/api", "/v2"},
           {"/api", "/v2", "/api/?q", "/v2/?q"},
           {"/api/", "/v2/", "/api/x", "/v2/x"},
           {"", "", "http://shop?q=1", "/?q=1"},
           {"/", "", "http://shop?q=1", "/?q=1"},
           {"", "/v2", "http://shop?q=1", "/v2/?q=1"},
           {"/api", "/v2", "http://shop?q=1", "/v2/?q=1"},
       }) {
    config::Route route;
    route.strip = strip;
    route.prefix = prefix;
    EXPECT_EQ(target_of(target, route), expected) << strip << " " << prefix << " " << target;
    EXPECT_EQ(target_of("*", route, "OPTIONS"), "*");
  }
}

TEST(HeadWrite, WhatWasTakenOffIsTold_AClientsOwnWordOfItIsNot) {
  config::Route route;
  const std::string claim = "X-Forwarded-Prefix: /evil\r\nX_Forwarded_Prefix: /evil\r\n";
  EXPECT_FALSE(names(forwarded(request_head(claim), route), "X-Forwarded-Prefix"));
  route.strip = "/api/";
  const std::string text = forwarded(request_head(claim), route);
  EXPECT_TRUE(has(text, "X-Forwarded-Prefix: /api"));
  EXPECT_EQ(text.find("evil"), std::string::npos);
  EXPECT_FALSE(names(forwarded(request_head("", "/other"), route), "X-Forwarded-Prefix"));
}

TEST(HeadWrite, RequestFieldsAreRemovedThenSetThenAdded) {
  config::Route route;
  route.request.remove = {"Cookie", "X-Both"};
  route.request.set = {{"X-User", "nobody"}, {"X-Both", "set"}};
  route.request.add = {{"X-Tag", "new"}, {"X-Both", "added"}};
  const std::string text = forwarded(request_head("COOKIE: a\r\nCookie: b\r\nX-User: root\r\nx-user: root\r\nX_User: root\r\nX.User: root\r\nx!uSER: "
                                                  "root\r\nX-Tag: old\r\nx-both: client\r\nX-Users: kept\r\n"),
                                     route);
  EXPECT_EQ(text,
            "GET /api/x?q=/api HTTP/1.1\r\nHost: shop\r\nX-Tag: old\r\nX-Users: kept\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: shop\r\n"
            "X-Forwarded-Proto: http\r\nX-Request-ID: 0123\r\nX-Request-Start: t=7\r\nX-User: nobody\r\nX-Both: set\r\nX-Tag: new\r\n"
            "X-Both: added\r\nVia: 1.1 drover\r\n\r\n");
}

TEST(HeadWrite, DroversOwnFieldsObeyARoute) {
  config::Route route;
  route.request.set = {{"X-Forwarded-Proto", "https"}};
  route.request.remove = {"x-request-start", "X-Forwarded-For", "X-Forwarded-Host", "Via"};
  const std::string text = forwarded(request_head("X-Forwarded-Proto: gopher\r\n"), route);
  EXPECT_TRUE(has(text, "X-Forwarded-Proto: https"));
  EXPECT_EQ(text.find("X-Forwarded-Proto"), text.rfind("X-Forwarded-Proto"));
  for (const char* gone : {"X-Request-Start", "X-Forwarded-For", "X-Forwarded-Host"}) EXPECT_FALSE(names(text, gone)) << gone;
  EXPECT_TRUE(has(text, "Via: 1.1 drover")) << "RFC 9110 section 7.6.3 wants it of every gateway";
}

TEST(HeadWrite, ASetHostIsTheWorkers_TheClientsIsForwarded) {
  config::Route route;
  route.request.set = {{"Host", "internal.example"}};
  const std::string text = forwarded(request_head(), route);
  EXPECT_TRUE(text.starts_with("GET /api/x?q=/api HTTP/1.1\r\nHost: internal.example\r\n"));
  EXPECT_TRUE(has(text, "X-Forwarded-Host: shop"));
  EXPECT_EQ(text.find("Host: internal.example"), text.rfind("Host: internal.example"));
  config::Route other;
  other.request.remove = {"Host"};
  other.request.add = {{"host", "second"}};
  EXPECT_TRUE(has(forwarded(request_head(), other), "Host: shop"));
  EXPECT_EQ(forwarded(request_head(), other).find("second"), std::string::npos);
}

config::HeaderEdits hostile() {
  config::HeaderEdits edits;
  for (const char* name : {"Content-Length", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive"}) {
    edits.remove.emplace_back(name);
    edits.set.push_back({name, "99"});
    edits.add.push_back({name, "99"});
  }
  return edits;
}

TEST(HeadWrite, FramingIsNoRoutesBusiness) {
  config::Route route;
  route.request = hostile();
  const std::string text = forwarded(request_head("Content-Length: 3\r\n", "/", "POST"), route);
  EXPECT_TRUE(has(text, "Content-Length: 3"));
  EXPECT_EQ(text.find("99"), std::string::npos) << text;
  const std::string chunked = forwarded(request_head("Transfer-Encoding: chunked\r\n", "/", "POST"), route);
  EXPECT_TRUE(has(chunked, "Transfer-Encoding: chunked"));
  EXPECT_EQ(chunked.find("99"), std::string::npos) << chunked;

  const std::string answer = answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", hostile());
  EXPECT_EQ(answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\n\r\n");
  const std::string switched =
      answered("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n", hostile(), true);
  EXPECT_TRUE(has(switched, "Upgrade: websocket"));
  EXPECT_TRUE(has(switched, "Connection: Upgrade"));
  EXPECT_EQ(switched.find("99"), std::string::npos) << switched;
}

TEST(HeadWrite, ResponseFieldsAreRemovedThenSetThenAdded) {
  config::HeaderEdits edits;
  edits.remove = {"server", "X-Both"};
  edits.set = {{"Cache-Control", "no-store"}, {"X-Both", "set"}};
  edits.add = {{"Set-Cookie", "b=2"}, {"X-Both", "added"}};
  EXPECT_EQ(answered("HTTP/1.1 200 OK\r\nServer: old/1.0\r\nCACHE-control: public\r\nSet-Cookie: a=1\r\nX-Both: w\r\nCache_Control: x\r\n"
                     "Content-Length: 0\r\nDate: then\r\n\r\n",
                     edits),
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nCache_Control: x\r\nContent-Length: 0\r\nDate: then\r\nCache-Control: no-store\r\nX-Both: set\r\n"
            "Set-Cookie: b=2\r\nX-Both: added\r\n\r\n");
  EXPECT_TRUE(has(answered("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: w\r\nServer: x\r\n\r\n", edits, true), "Cache-Control: no-store"));
}

TEST(HeadWrite, DateIsThereOnce) {
  config::HeaderEdits edits;
  edits.set = {{"Date", "mine"}};
  EXPECT_EQ(answered("HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n", edits),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: mine\r\n\r\n");
  EXPECT_EQ(answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", edits), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: mine\r\n\r\n");
  edits = {};
  edits.remove = {"Date"};
  EXPECT_TRUE(has(answered("HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 0\r\n\r\n", edits), "Date: now")) << "RFC 9110 section 6.6.1";
}

TEST(HeadWrite, WhatARouteTakesOutDoesNotComeByTheTrailer) {
  config::Route route;
  route.request.remove = {"X-Internal"};
  route.request.set = {{"X-User", "nobody"}};
  RequestHead head;
  MessageParser<true> parser(head);
  const std::string bytes = request_head("Transfer-Encoding: chunked\r\n", "/", "POST");
  ASSERT_EQ(parser.parse_head(bytes), "");
  parser.set_edits({&route.request, HeadEdits::Side::worker});
  std::size_t consumed = 0;
  ASSERT_EQ(parser.decode("0\r\nX-Internal: 1\r\nX_User: root\r\nX-Kept: 2\r\n\r\n", consumed), "");
  EXPECT_EQ(parser.trailer(), "X-Kept: 2\r\n");
}

}  // namespace
}  // namespace drover::proxy
