#include "proxy/message.hpp"
#include "proxy/head_write.hpp"

#include <gtest/gtest.h>

#include <string>

namespace drover::proxy {
namespace {

/// Why the request is refused; "" when it is not.
std::string refusal(std::string_view bytes) {
  RequestHead head;
  MessageParser<true> parser(head);
  std::string_view reason = parser.parse_head(bytes);
  if (reason.empty()) reason = check_request(head);
  return std::string(reason);
}

std::string refusal_of_response(std::string_view bytes, http::verb method = http::verb::get) {
  ResponseHead head;
  MessageParser<false> parser(head);
  if (method == http::verb::head) parser.skip(true);
  std::string_view reason = parser.parse_head(bytes);
  if (reason.empty()) reason = check_response(head, method);
  return std::string(reason);
}

std::string get(std::string_view fields) { return "GET / HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n"; }

TEST(Message, ReadsFieldsAsViewsIntoTheBuffer) {
  const std::string bytes = "POST /a?b=c HTTP/1.1\r\nHost: shop:80\r\nContent-Length: 12\r\nX-Empty:\r\nX-Space:  y \r\n\r\n";
  RequestHead head;
  MessageParser<true> parser(head);
  ASSERT_EQ(parser.parse_head(bytes), "");
  ASSERT_EQ(check_request(head), "");
  EXPECT_EQ(head.framing, Framing::length);
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_EQ(head.path(), "/a");
  EXPECT_EQ(head.host, "shop:80");
  ASSERT_EQ(head.count(), 4U);
  EXPECT_EQ(head.fields()[2].value, "");
  EXPECT_EQ(head.fields()[3].value, "y");
  for (const Field& field : head.fields()) {
    EXPECT_GE(field.name.data(), bytes.data());
    EXPECT_LT(field.name.data(), bytes.data() + bytes.size());
  }
}

struct Case {
  const char* name;
  std::string bytes;
};

class AmbiguousRequest : public testing::TestWithParam<Case> {};

TEST_P(AmbiguousRequest, IsRefused) { EXPECT_NE(refusal(GetParam().bytes), ""); }

INSTANTIATE_TEST_SUITE_P(
    Framing, AmbiguousRequest,
    testing::Values(Case{"LengthAndChunked", get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")},
                    Case{"ChunkedAndLength", get("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")},
                    Case{"TwoLengths", get("Content-Length: 3\r\nContent-Length: 4\r\n")},
                    Case{"TwoEqualLengths", get("Content-Length: 3\r\nContent-Length: 3\r\n")}, Case{"LengthList", get("Content-Length: 3, 3\r\n")},
                    Case{"SignedLength", get("Content-Length: +3\r\n")}, Case{"HexLength", get("Content-Length: 0x3\r\n")},
                    Case{"EmptyLength", get("Content-Length:\r\n")}, Case{"HugeLength", get("Content-Length: 18446744073709551616\r\n")},
                    Case{"UnknownCoding", get("Transfer-Encoding: xchunked\r\n")}, Case{"ListOfCodings", get("Transfer-Encoding: gzip, chunked\r\n")},
                    Case{"ChunkedTwice", get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
                    Case{"Identity", get("Transfer-Encoding: identity\r\n")}, Case{"QuotedCoding", get("Transfer-Encoding: \"chunked\"\r\n")},
                    Case{"ChunkedInOldVersion", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"}, Case{"FoldedLine", get("X: a\r\n b\r\n")},
                    Case{"FoldedEmptyLine", get("X:\r\n b\r\n")}, Case{"FoldedFraming", get("Content-Length:\r\n 3\r\n")},
                    Case{"SpaceBeforeColon", get("Content-Length : 3\r\n")}, Case{"EmptyName", get(": x\r\n")},
                    Case{"NameWithSpace", get("A B: x\r\n")}, Case{"LeadingSpace", "GET / HTTP/1.1\r\n Host: x\r\n\r\n"},
                    Case{"NoHost", "GET / HTTP/1.1\r\n\r\n"}, Case{"TwoHosts", get("Host: x\r\n")},
                    Case{"HostWithPath", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"}, Case{"HostWithUser", "GET / HTTP/1.1\r\nHost: a@x\r\n\r\n"},
                    Case{"EmptyHost", "GET / HTTP/1.1\r\nHost:\r\n\r\n"}, Case{"HostWithBadPort", "GET / HTTP/1.1\r\nHost: x:8a\r\n\r\n"},
                    Case{"HostList", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"}, Case{"HttpsTarget", "GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n"},
                    Case{"TraceWithBody", "TRACE / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"},
                    Case{"HopsTwice", "OPTIONS / HTTP/1.1\r\nHost: x\r\nMax-Forwards: 1\r\nMax-Forwards: 1\r\n\r\n"},
                    Case{"TargetWithFragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"},
                    Case{"TargetBeyondAscii", "GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n"}, Case{"StarForGet", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"},
                    Case{"RelativeTarget", "GET a HTTP/1.1\r\nHost: x\r\n\r\n"}, Case{"TwoSpaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"},
                    Case{"OldVersion", "GET / HTTP/0.9\r\nHost: x\r\n\r\n"}, Case{"NewVersion", "GET / HTTP/2.0\r\nHost: x\r\n\r\n"},
                    Case{"UnknownExpectation", get("Expect: tea\r\n")}),
    [](const auto& each) { return each.param.name; });

TEST(Message, RefusesMoreFieldsThanItHolds) {
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X: y\r\n";
  EXPECT_NE(refusal(get(fields)), "");
}

TEST(Message, TakesWhatIsLegal) {
  EXPECT_EQ(refusal(get("Content-Length: 0\r\n")), "");
  EXPECT_EQ(refusal(get("Transfer-Encoding: CHUNKED\r\n")), "");
  EXPECT_EQ(refusal("GET / HTTP/1.0\r\n\r\n"), "");
  EXPECT_EQ(refusal("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), "");
  EXPECT_EQ(refusal("GET http://x:80/a?b HTTP/1.1\r\nHost: x:80\r\n\r\n"), "");
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n"), "");
}

TEST(Message, BrokenResponsesAreRefused) {
  for (const char* bytes :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"}) {
    EXPECT_NE(refusal_of_response(bytes), "") << bytes;
  }
  EXPECT_EQ(refusal_of_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", http::verb::head), "");
  EXPECT_EQ(refusal_of_response("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), "");
}

std::string forwarded(const std::string& bytes) {
  RequestHead head;
  MessageParser<true> parser(head);
  EXPECT_EQ(parser.parse_head(bytes), "");
  EXPECT_EQ(check_request(head), "");
  Buffer out;
  write_request(out, head, {"192.0.2.1", "127.0.0.1:3000", "0123", 7, true});
  return std::string(out.view());
}

TEST(Message, WhatStaysOnItsHopIsNotForwarded) {
  const std::string text =
      forwarded(get("Connection: close, X-Secret, Host\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nX-Forwarded-For: "
                    "6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Keep: 2\r\n"));
  EXPECT_EQ(text,
            "GET / HTTP/1.1\r\nHost: x\r\nX-Keep: 2\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: x\r\nX-Forwarded-Proto: http\r\n"
            "X-Request-ID: 0123\r\nX-Request-Start: t=7\r\nVia: 1.1 drover\r\n\r\n");
}

TEST(Message, AnExpectationIsForwardedThoughConnectionNamesIt) {
  const std::string text = forwarded(get("Connection: Expect\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"));
  EXPECT_NE(text.find("\r\nExpect: 100-continue\r\n"), std::string::npos) << "its sender waits for the word that only its worker can give";
}

TEST(Message, AClientsWordForWhoItIsIsNotForwardedInAnySpelling) {
  for (const char* name :
       {"X-Forwarded-For", "x_forwarded_for", "X.Forwarded.For", "X-Forwarded-Port", "X_Forwarded~Scheme", "X-Request+ID", "FORWARDED"}) {
    EXPECT_EQ(forwarded(get(std::string(name) + ": 6.6.6.6\r\n")).find("6.6.6.6"), std::string::npos) << name;
  }
}

std::string chunked_refusal(std::string_view body, std::size_t first_piece) {
  RequestHead head;
  MessageParser<true> parser(head);
  EXPECT_EQ(parser.parse_head("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), "");
  std::size_t consumed = 0;
  std::string refused(parser.decode(body.substr(0, first_piece), consumed));
  if (refused.empty()) refused = parser.decode(body.substr(consumed), consumed);
  return refused.empty() && !parser.body_done() ? "unfinished" : refused;
}

TEST(Message, TheShortestChunkedBodyMayComeInAnyPieces) {
  for (std::size_t piece = 0; piece <= 5; ++piece) EXPECT_EQ(chunked_refusal("0\r\n\r\n", piece), "") << piece;
}

TEST(Message, ALineEndInAChunkExtensionIsRefused) {
  EXPECT_EQ(chunked_refusal("1;a=\"b\"\r\nx\r\n0\r\n\r\n", 0), "");
  for (const char* ext : {"\r\n", "\n", "\r", "\x01"}) {
    EXPECT_NE(chunked_refusal(std::string("1;a=\"") + ext + "\"\r\nx\r\n0\r\n\r\n", 0), "");
    EXPECT_NE(chunked_refusal(std::string("1\r\nx\r\n0;a=\"") + ext + "\"\r\n\r\n", 0), "");
  }
}

TEST(Message, AbsoluteTargetIsForwardedInOriginForm) {
  EXPECT_TRUE(forwarded("GET http://x/a?b HTTP/1.1\r\nHost: y\r\n\r\n").starts_with("GET /a?b HTTP/1.1\r\nHost: x\r\n"));
  EXPECT_TRUE(forwarded("GET http://x?b HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("GET /?b HTTP/1.1\r\nHost: x\r\n"));
  EXPECT_TRUE(forwarded("OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("OPTIONS * HTTP/1.1\r\nHost: x\r\n"));
}

TEST(Message, HopsAreCountedDown) {
  EXPECT_NE(forwarded("TRACE / HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\n\r\n").find("\r\nMax-Forwards: 2\r\n"), std::string::npos);
  EXPECT_NE(forwarded("GET / HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\n\r\n").find("\r\nMax-Forwards: 3\r\n"), std::string::npos);
}

TEST(Message, SomeRefusalsHaveAStatusOfTheirOwn) {
  const auto status = [](std::string_view bytes) { return refusal_status(refusal(std::string(bytes))); };
  EXPECT_EQ(status(get("Transfer-Encoding: gzip, chunked\r\n")), 501U);
  EXPECT_EQ(status(get("Transfer-Encoding: xchunked\r\n")), 400U);
  EXPECT_EQ(status(get("Expect: tea\r\n")), 417U);
  EXPECT_EQ(status(get("Expect: 100-continue\r\nExpect: tea\r\n")), 417U);
  EXPECT_EQ(status("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505U);
  EXPECT_EQ(status("GET / http/1.1\r\nHost: x\r\n\r\n"), 400U);
  EXPECT_EQ(status("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"), 400U);
  EXPECT_EQ(status("GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n"), 421U);
}

}  // namespace
}  // namespace drover::proxy
