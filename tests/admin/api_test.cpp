// The API over the real server: two doors, bodies, orders, errors. Bytes as a client sends them.
#include "base/rng.hpp"
#include "server_case.hpp"

#include <boost/json.hpp>

namespace drover::admin {
namespace {

using backends::Order;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kToken = "0123456789abcdef";
const std::string kBearer = std::string("Authorization: Bearer ") + kToken + "\r\n";

boost::json::value body_of(const std::string& said) { return boost::json::parse(said.substr(said.find("\r\n\r\n") + 4)); }

class LocalDoor : public ServerCase {
 protected:
  void SetUp() override { start({.everything = true, .listen_host = {}, .token = {}}); }
};

class TokenDoor : public ServerCase {
 protected:
  void SetUp() override { start({.everything = false, .listen_host = {}, .token = kToken}); }
};

class ReadingDoor : public ServerCase {};

TEST_F(LocalDoor, Reads) {
  EXPECT_EQ(body_of(get("/v1/status")).at("pid"), 100);
  EXPECT_TRUE(body_of(get("/v1/version")).at("version").is_string());
  EXPECT_EQ(body_of(get("/v1/config")).at("file"), "cluster.toml");
  EXPECT_THAT(std::string(body_of(get("/v1/config")).at("effective").as_string()), HasSubstr("20000-29999"));
  EXPECT_EQ(body_of(get("/v1/why?target=shop.3")).at("deaths").at(0).at("worker"), "shop.3");
  const auto names = body_of(get("/v1/events/names"));
  EXPECT_EQ(names.at("events").at(0).at("event"), "workerOnline");
  EXPECT_EQ(names.at("events").as_array().size(), std::size(backends::kEventNames));
}

TEST_F(LocalDoor, HasTheOldPagesToo) {
  EXPECT_THAT(get("/livez"), EndsWith("\r\n\r\nok\n"));
  EXPECT_THAT(get("/status"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask("GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"), StartsWith("HTTP/1.1 200 ")) << "who may open the socket may ask";
}

TEST_F(LocalDoor, TakesEachOrder) {
  const struct {
    const char* path;
    const char* body;
    Order::Verb verb;
    const char* target;
  } cases[] = {
      {"/v1/restart", R"({"target": "shop"})", Order::Verb::restart, "shop"},
      {"/v1/restart", R"({"target":"shop.2"})", Order::Verb::restart, "shop.2"},
      {"/v1/drain", R"({"target":"shop.1"})", Order::Verb::drain, "shop.1"},
      {"/v1/resume", R"({"target":"shop"})", Order::Verb::resume, "shop"},
      {"/v1/scale", R"({"target":"shop","workers":6})", Order::Verb::scale, "shop"},
  };
  for (const auto& each : cases) {
    const std::string said = post(std::string(each.path) + "?wait=0", each.body);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 202 ")) << each.body;
    EXPECT_TRUE(body_of(said).at("line").is_string());
    ASSERT_FALSE(cluster_.orders.empty());
    EXPECT_EQ(cluster_.orders.back().verb, each.verb) << each.path;
    EXPECT_EQ(cluster_.orders.back().target.text(), each.target);
    EXPECT_EQ(cluster_.forgotten.size(), cluster_.orders.size()) << "nobody waits for it";
  }
  EXPECT_EQ(cluster_.orders.back().count, 6U);
  EXPECT_THAT(post("/v1/stop?wait=0", ""), StartsWith("HTTP/1.1 202 "));
  EXPECT_FALSE(cluster_.orders.back().force);
  EXPECT_THAT(post("/v1/stop?wait=0", R"({"force": true})"), StartsWith("HTTP/1.1 202 "));
  EXPECT_TRUE(cluster_.orders.back().force);
}

TEST_F(LocalDoor, TakesAHoldAndAMaintenanceWithTheirDefaults) {
  const auto ordered = [this](const std::string& path, const char* body) {
    const std::size_t before = cluster_.orders.size();
    EXPECT_THAT(post(path + "?wait=0", body), StartsWith("HTTP/1.1 202 ")) << body;
    EXPECT_EQ(cluster_.orders.size(), before + 1) << body;
    return cluster_.orders.empty() ? Order{} : cluster_.orders.back();
  };
  Order order = ordered("/v1/hold", R"({"target": "shop"})");
  EXPECT_EQ(order.verb, Order::Verb::hold);
  EXPECT_EQ(order.most, base::Millis(30'000));
  EXPECT_FALSE(order.off);
  EXPECT_EQ(ordered("/v1/hold", R"({"target": "shop", "max": "2m"})").most, base::Millis(120'000));
  EXPECT_EQ(ordered("/v1/hold", R"({"target": "shop", "max": 3600000})").most, base::Millis(3'600'000));
  EXPECT_TRUE(ordered("/v1/hold", R"({"target": "shop", "off": true})").off);
  order = ordered("/v1/maintenance", R"({"target": "shop"})");
  EXPECT_EQ(order.verb, Order::Verb::maintenance);
  EXPECT_EQ(order.message, "");
  EXPECT_EQ(ordered("/v1/maintenance", R"({"target": "shop", "message": "zur\u00fcck um 12"})").message, "zur\u00fcck um 12");
  EXPECT_TRUE(ordered("/v1/maintenance", R"({"target": "shop", "off": true})").off);
}

TEST_F(LocalDoor, RefusesBadBodiesAndChangesNothing) {
  const struct {
    const char* path;
    std::string body;
    int code;
    const char* says;
  } cases[] = {
      {"/v1/restart", "not JSON", 400, "not JSON"},
      {"/v1/restart", R"({"target": "shop"} x)", 400, "not JSON"},
      {"/v1/restart", "\xff\xfe", 400, "not JSON"},
      {"/v1/restart", "[]", 400, "not an object"},
      {"/v1/restart", "", 400, "target"},
      {"/v1/restart", "{}", 400, "target"},
      {"/v1/restart", R"({"target": 3})", 400, "not a string"},
      {"/v1/restart", R"({"target": ""})", 400, "known: shop"},
      {"/v1/restart", R"({"taget": "shop"})", 400, "did you mean \\\"target\\\""},
      {"/v1/restart", R"({"target": "nosuch"})", 404, "known: shop (shop.1 … shop.3)"},
      {"/v1/restart", R"({"target": "shp"})", 404, "did you mean \\\"shop\\\""},
      {"/v1/restart", R"({"target": "shop.9"})", 404, "known: shop (shop.1 … shop.3)"},
      {"/v1/restart", R"({"target": "shop.0"})", 400, "known: shop"},
      {"/v1/restart", R"({"target": "\u001b[31m"})", 400, "known: shop"},
      {"/v1/restart", R"({"target": "shop", "force": true})", 400, "unknown member"},
      {"/v1/scale", R"({"target": "shop"})", 400, "workers"},
      {"/v1/scale", R"({"target": "shop", "workers": -1})", 400, "whole number"},
      {"/v1/scale", R"({"target": "shop", "workers": 1.5})", 400, "whole number"},
      {"/v1/scale", R"({"target": "shop", "workers": "6"})", 400, "whole number"},
      {"/v1/scale", R"({"target": "shop", "workers": 99999999999})", 400, "whole number"},
      {"/v1/scale", R"({"target": "shop.1", "workers": 2})", 400, "pool"},
      {"/v1/hold", R"({"target": "nosuch"})", 404, "known: shop"},
      {"/v1/hold", R"({"target": "shop", "max": "0s"})", 400, "no time of at most"},
      {"/v1/hold", R"({"target": "shop", "max": 0})", 400, "no time of at most"},
      {"/v1/hold", R"({"target": "shop", "max": -5})", 400, "no time of at most"},
      {"/v1/hold", R"({"target": "shop", "max": "3601s"})", 400, "no time of at most"},
      {"/v1/hold", R"({"target": "shop", "max": true})", 400, "no time of at most"},
      {"/v1/hold", R"({"target": "shop", "off": "yes"})", 400, "neither true nor false"},
      {"/v1/hold?max=5s", R"({"target": "shop"})", 400, "unknown parameter"},
      {"/v1/maintenance", R"({"target": "shop", "message": 5})", 400, "not a string"},
      {"/v1/maintenance", R"({"target": "shop", "mesage": "x"})", 400, "did you mean"},
      {"/v1/stop", R"({"force": 1})", 400, "neither true nor false"},
      {"/v1/restart?wat=1", R"({"target": "shop"})", 400, "unknown parameter"},
      {"/v1/restart?wait=maybe", R"({"target": "shop"})", 400, "neither 1 nor 0"},
      {"/v1/restart", std::string(60'000, '['), 400, "not JSON"},
      {"/v1/restart", R"({"target": )" + std::string(20, '[') + std::string(20, ']') + "}", 400, "not JSON"},
  };
  for (const auto& each : cases) {
    const std::string said = post(each.path, each.body);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 " + std::to_string(each.code) + " ")) << each.body.substr(0, 80);
    EXPECT_THAT(said, HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_THAT(said, HasSubstr("{\"error\":\"")) << said;
    EXPECT_THAT(said, HasSubstr(each.says)) << each.body.substr(0, 80);
    EXPECT_THAT(said, Not(HasSubstr("\x1b")));
  }
  EXPECT_TRUE(cluster_.orders.empty());
}

TEST_F(LocalDoor, ALargeBodyIs413WhetherItSaysSoOrNot) {
  const std::string large(10 * 1024 * 1024, 'x');
  EXPECT_THAT(post("/v1/restart", large), StartsWith("HTTP/1.1 413 "));
  const std::string head = "POST /v1/restart HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_THAT(ask(head + "a00000\r\n" + large + "\r\n0\r\n\r\n"), StartsWith("HTTP/1.1 413 "));
  const std::string just = R"({"target": "shop")" + std::string(kMaxBody - 18, ' ') + "}";
  ASSERT_EQ(just.size(), kMaxBody);
  EXPECT_THAT(post("/v1/restart?wait=0", just), StartsWith("HTTP/1.1 202 "));
  EXPECT_THAT(post("/v1/restart?wait=0", just + " "), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(cluster_.orders.size(), 1U);
}

TEST_F(LocalDoor, ABodyThatEndsEarlyOrComesSlowlyBeginsNothing) {
  {
    const base::UniqueFd half = connect();
    send_all(half, "POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"force\": true}");
    ASSERT_TRUE(turn_until([this] { return server_->connections() == 1; }));
    EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 200 "));
  }
  EXPECT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_TRUE(cluster_.orders.empty());
}

TEST_F(LocalDoor, ExpectContinueIsMetAndNothingElse) {
  const base::UniqueFd fd = connect();
  send_all(fd, "POST /v1/restart?wait=0 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 17\r\n\r\n");
  EXPECT_EQ(read_until(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  send_all(fd, R"({"target":"shop"})");
  EXPECT_THAT(read_to_end(fd), StartsWith("HTTP/1.1 202 "));
  EXPECT_THAT(post("/v1/restart", R"({"target":"shop"})", "Expect: gold\r\n"), StartsWith("HTTP/1.1 417 "));
  const std::string refused = ask("POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 17\r\n\r\n");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 404 ")) << "what is refused anyway need not be sent";
}

TEST_F(LocalDoor, UnknownPathsAndMethods) {
  EXPECT_THAT(get("/v1/nothing"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/v1/nothing"), HasSubstr("/v1/restart"));
  EXPECT_THAT(get("/v1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/v1/restart"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(get("/v1/restart"), HasSubstr("Allow: POST\r\n"));
  EXPECT_THAT(post("/v1/status", "{}"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(post("/v1/status", "{}"), HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_THAT(ask("DELETE /v1/status HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(get("/v1/why"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get("/v1/why?target=nosuch"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/v1/why?target=%zz"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(LocalDoor, HeadHasNoBody) {
  for (const char* path : {"/v1/status", "/v1/events?follow=1", "/v1/logs"}) {
    const std::string said = ask("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_THAT(said, StartsWith("HTTP/1.1 200 ")) << path;
    EXPECT_THAT(said, EndsWith("\r\n\r\n")) << path;
  }
}

TEST_F(LocalDoor, AnOrderThatIsRefusedSaysWhy) {
  const struct {
    int code;
    const char* status;
  } cases[] = {{ENOENT, "404"}, {EINVAL, "400"}, {EBUSY, "409"}, {EIO, "500"}};
  for (const auto& each : cases) {
    cluster_.refuse_with = each.code;
    const std::string said = post("/v1/restart", R"({"target": "shop"})");
    EXPECT_THAT(said, StartsWith("HTTP/1.1 " + std::string(each.status) + " "));
    EXPECT_THAT(said, HasSubstr("not now: shop is rolling"));
  }
}

TEST_F(TokenDoor, LetsOnlyTheTokenIn) {
  const std::string body = R"({"target": "shop"})";
  const std::string bad[] = {
      "",
      "Authorization: Bearer wrong\r\n",
      "Authorization: Bearer 0123456789abcdeg\r\n",
      "Authorization: Bearer 0123456789abcde\r\n",
      "Authorization: Bearer 0123456789abcdef0\r\n",
      "Authorization: Bearer\r\n",
      "Authorization: Bearer \r\n",
      "Authorization: Basic 0123456789abcdef\r\n",
      "Authorization: 0123456789abcdef\r\n",
  };
  for (const std::string& headers : bad) {
    const std::string said = post("/v1/restart", body, headers);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 401 ")) << headers;
    EXPECT_THAT(said, HasSubstr("WWW-Authenticate: Bearer\r\n"));
    EXPECT_THAT(said, HasSubstr("{\"error\":\""));
    EXPECT_THAT(said, Not(HasSubstr(kToken)));
    for (const char* path : {"/v1/events", "/v1/logs", "/v1/why?target=shop", "/v1/config"}) {
      EXPECT_THAT(get(path, headers), StartsWith("HTTP/1.1 401 ")) << path;
    }
  }
  EXPECT_TRUE(cluster_.orders.empty());
  EXPECT_THAT(post("/v1/restart?wait=0", body, kBearer), StartsWith("HTTP/1.1 202 "));
  EXPECT_THAT(post("/v1/restart?wait=0", body, "authorization: bearer   0123456789abcdef\r\n"), StartsWith("HTTP/1.1 202 "));
  EXPECT_EQ(cluster_.orders.size(), 2U);
  for (const char* path : {"/v1/events", "/v1/logs", "/v1/why?target=shop", "/v1/config"}) {
    EXPECT_THAT(get(path, kBearer), StartsWith("HTTP/1.1 200 ")) << path;
  }
}

TEST_F(TokenDoor, ReadsTheRestWithoutIt) {
  for (const char* path : {"/v1/status", "/v1/version", "/v1/events/names", "/status", "/metrics", "/livez"}) {
    EXPECT_THAT(get(path), StartsWith("HTTP/1.1 200 ")) << path;
  }
}

TEST_F(TokenDoor, ATokenDoesNotHelpAStrangersPage) {
  const std::string head = " HTTP/1.1\r\nHost: evil.example\r\n" + kBearer + "Content-Length: 0\r\n\r\n";
  EXPECT_THAT(ask("POST /v1/stop" + head), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("GET /v1/status" + head), StartsWith("HTTP/1.1 403 "));
  EXPECT_TRUE(cluster_.orders.empty());
}

TEST_F(TokenDoor, RefusesBeforeItReadsTheBody) {
  const std::string said = ask("POST /v1/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 401 "));
}

TEST_F(ReadingDoor, OnlyReads) {
  for (const char* path : {"/v1/restart", "/v1/drain", "/v1/resume", "/v1/scale", "/v1/stop"}) {
    EXPECT_THAT(post(path, "{}"), StartsWith("HTTP/1.1 405 ")) << path;
    EXPECT_THAT(post(path, "{}", kBearer), StartsWith("HTTP/1.1 405 ")) << path;
    EXPECT_THAT(post(path, "{}"), HasSubstr("token_file")) << path;
  }
  for (const char* path : {"/v1/events", "/v1/logs", "/v1/why?target=shop", "/v1/config"}) {
    EXPECT_THAT(get(path), StartsWith("HTTP/1.1 404 ")) << path;
    EXPECT_THAT(get(path, "Authorization: Bearer \r\n"), StartsWith("HTTP/1.1 404 ")) << path;
    EXPECT_THAT(get("/v1/nothing"), Not(HasSubstr(std::string(path).substr(0, std::string(path).find('?')) + ","))) << "it is not there either";
  }
  for (const char* path : {"/v1/status", "/v1/version", "/v1/events/names"}) EXPECT_THAT(get(path), StartsWith("HTTP/1.1 200 ")) << path;
  EXPECT_THAT(ask("GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_TRUE(cluster_.orders.empty());
}

TEST_F(LocalDoor, SurvivesWhateverBytesCome) {
  const std::string samples[] = {
      post_text("/v1/restart?wait=0", R"({"target": "shop.2"})"),
      post_text("/v1/scale", R"({"target": "shop", "workers": 6})"),
      "POST /v1/stop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"force\": false }\r\n0\r\n\r\n",
      "GET /v1/logs?target=shop.1&lines=10&follow=1 HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /v1/events?after=0 HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
  };
  cluster_.event("workerOnline");
  cluster_.line("text");
  base::Rng rng(2026);
  for (int i = 0; i < 1500; ++i) {
    std::string bytes = samples[rng.below(std::size(samples))];
    for (std::uint64_t change = 1 + rng.below(4); change > 0; --change) {
      const std::size_t at = rng.below(bytes.size());
      switch (rng.below(4)) {
        case 0: bytes[at] = static_cast<char>(rng.below(256)); break;
        case 1: bytes.insert(at, 1, static_cast<char>(rng.below(256))); break;
        case 2: bytes.erase(at, 1); break;
        default: bytes.insert(at, bytes.substr(rng.below(bytes.size()), rng.below(20))); break;
      }
    }
    const base::UniqueFd fd = connect();
    send_all(fd, bytes);
    ::shutdown(fd.get(), SHUT_WR);
    read_to_end(fd);
    ASSERT_FALSE(HasFailure()) << "round " << i << ": " << bytes;
  }
  EXPECT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace drover::admin
