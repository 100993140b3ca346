// Messages and shared state over the real server: what reaches the cluster, what comes back, who may, and readers that don't read or leave.
#include "base/rng.hpp"
#include "server_case.hpp"

#include "admin/message_api.hpp"

#include <boost/json.hpp>

namespace drover::admin {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kToken = "0123456789abcdef";
const std::string kBearer = std::string("Authorization: Bearer ") + kToken + "\r\n";

class Messages : public ServerCase {
 protected:
  void SetUp() override { start({.everything = true, .listen_host = {}, .token = {}}); }

  base::UniqueFd open(const std::string& request) {
    base::UniqueFd fd = connect();
    send_all(fd, request);
    EXPECT_TRUE(turn_until([this] { return server_->streaming() == 1; }));
    return fd;
  }
  base::UniqueFd request(const std::string& body) { return open(post_text("/v1/request", body)); }
  base::UniqueFd watch(const std::string& query) { return open("GET /v1/state/watch?" + query + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); }
};

class MessagesWithToken : public ServerCase {
 protected:
  void SetUp() override { start({.everything = false, .listen_host = {}, .token = kToken}); }
};

class MessagesWithoutToken : public ServerCase {};

TEST_F(Messages, OneIsSentAndCounted) {
  EXPECT_THAT(post("/v1/send", R"({"target":"shop.2","type":"reload","data":{"deep":[1,2.5,null]}})"), EndsWith("\r\n\r\n{\"workers\":3}\n"));
  EXPECT_THAT(post("/v1/send", R"({"target":"shop","type":"reload"})"), StartsWith("HTTP/1.1 200 "));
  ASSERT_EQ(cluster_.said.size(), 2U);
  EXPECT_EQ(cluster_.said[0].target, "shop.2");
  EXPECT_EQ(cluster_.said[0].type, "reload");
  EXPECT_EQ(boost::json::serialize(cluster_.said[0].data), R"({"deep":[1,2.5E0,null]})");
  EXPECT_EQ(cluster_.said[1].target, "shop");
  EXPECT_TRUE(cluster_.said[1].data.is_null());
}

TEST_F(Messages, BadOnesAreRefusedAndReachNobody) {
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  std::string many;
  for (int i = 0; i < 70'000; ++i) many += "1,";
  const struct {
    const char* path;
    std::string body;
    int code;
    const char* says;
  } cases[] = {
      {"/v1/send", "", 400, "no \\\"target\\\""},
      {"/v1/send", "[]", 400, "not an object"},
      {"/v1/send", R"({"target":"shop"})", 400, "no \\\"type\\\""},
      {"/v1/send", R"({"target":"shop","type":""})", 400, "empty"},
      {"/v1/send", R"({"target":"shop","type":7})", 400, "not a string"},
      {"/v1/send", R"({"target":"nosuch","type":"x"})", 404, "known: shop"},
      {"/v1/send", R"({"target":"shop.9","type":"x"})", 404, "known: shop"},
      {"/v1/send", R"({"target":"shop","type":"x","dat":1})", 400, "did you mean \\\"data\\\""},
      {"/v1/send", R"({"target":"shop","type":"x","timeout":"1s"})", 400, "unknown member"},
      {"/v1/send", R"({"target":"shop","type":"x","data":)" + deep + "}", 400, "not JSON"},
      {"/v1/send", R"({"target":"shop","type":"x","data":1e999})", 400, "too large for a double"},
      {"/v1/send", R"({"target":"shop","type":"x","data":[)" + many + "1]}", 413, "values in one message"},
      {"/v1/send?wait=1", R"({"target":"shop","type":"x"})", 400, "unknown parameter"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":"61s"})", 400, "at most 1m"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":60001})", 400, "at most 1m"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":0})", 400, "at most 1m"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":-5})", 400, "at most 1m"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":"soon"})", 400, "5000 for milliseconds"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":1.5})", 400, "5000 for milliseconds"},
      {"/v1/request", R"({"target":"shop","type":"x","timeout":99999999999999999999})", 400, "5000 for milliseconds"},
      {"/v1/state/set", R"({"pool":"shop","key":"a"})", 400, "no \\\"value\\\""},
      {"/v1/state/set", R"({"pool":"shop","value":1})", 400, "no \\\"key\\\""},
      {"/v1/state/set", R"({"key":"a","value":1})", 400, "no \\\"pool\\\""},
      {"/v1/state/set", R"({"pool":"shop","key":4,"value":1})", 400, "not a string"},
      {"/v1/state/set", R"({"pool":"shop.1","key":"a","value":1})", 400, "belongs to a pool"},
      {"/v1/state/set", R"({"pool":"shp","key":"a","value":1})", 404, "did you mean \\\"shop\\\""},
      {"/v1/state/set", R"({"pool":"shop","key":"a","value":1,"type":"state:delete"})", 400, "unknown member"},
      {"/v1/state/delete", R"({"pool":"shop","key":"a","value":1})", 400, "unknown member"},
      {"/v1/state/incr", R"({"pool":"shop"})", 400, "no \\\"key\\\""},
      {"/v1/state/cas", R"({"pool":"shop","key":"a","expect":1})", 400, "did you mean \\\"expected\\\""},
  };
  for (const auto& each : cases) {
    const std::string said = post(each.path, each.body);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 " + std::to_string(each.code) + " ")) << each.path << each.body.substr(0, 80);
    EXPECT_THAT(said, HasSubstr(each.says)) << each.path << each.body.substr(0, 80);
  }
  EXPECT_TRUE(cluster_.said.empty());
  EXPECT_TRUE(cluster_.state_asked.empty());
}

TEST_F(Messages, AMessageMayHaveAMebibyteAndAnOrderMayNot) {
  const std::string start = R"({"target":"shop","type":"x","data":")";
  const std::string just = start + std::string(kMaxMessageBody - start.size() - 2, 'x') + "\"}";
  ASSERT_EQ(just.size(), kMaxMessageBody);
  EXPECT_THAT(post("/v1/send", just), StartsWith("HTTP/1.1 200 "));
  const std::string over = post("/v1/send", just + " ");
  EXPECT_THAT(over, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(over, HasSubstr("larger than 1MiB"));
  const std::string order = post("/v1/restart", just);
  EXPECT_THAT(order, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(order, HasSubstr("larger than 64KiB"));
  const std::string chunked =
      "POST /v1/state/delete HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + just + "\r\n0\r\n\r\n";
  EXPECT_THAT(ask(chunked), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(cluster_.said.size(), 1U);
  EXPECT_TRUE(cluster_.orders.empty());
}

TEST_F(Messages, WhatTheClusterRefusesHasItsStatusAndItsWords) {
  const struct {
    int code;
    const char* status;
  } cases[] = {{EINVAL, "400"},   {ENAMETOOLONG, "400"}, {ENOENT, "404"}, {ENOTCONN, "409"}, {EEXIST, "409"}, {EDOM, "409"},
               {EMSGSIZE, "413"}, {E2BIG, "413"},        {EBUSY, "503"},  {ENOSPC, "507"},   {EIO, "500"}};
  for (const auto& each : cases) {
    cluster_.refuse_with = each.code;
    const std::string all[] = {post("/v1/send", R"({"target":"shop","type":"x"})"),
                               post("/v1/request", R"({"target":"shop","type":"x"})"),
                               post("/v1/state/set", R"({"pool":"shop","key":"a","value":1})"),
                               get("/v1/state?pool=shop&key=a"),
                               get("/v1/state/list?pool=shop"),
                               get("/v1/state/watch?pool=shop")};
    for (const std::string& said : all) {
      EXPECT_THAT(said, StartsWith("HTTP/1.1 " + std::string(each.status) + " ")) << each.code;
      EXPECT_THAT(said, EndsWith("{\"error\":\"not now: told so\"}\n"));
    }
  }
}

TEST_F(Messages, AnswersComeOnALineEachAndThenTheEnd) {
  const base::UniqueFd fd = request(R"({"target":"shop","type":"ask","data":1,"timeout":"2s"})");
  ASSERT_EQ(cluster_.said.size(), 1U);
  EXPECT_EQ(cluster_.said[0].timeout, base::Millis(2000));
  cluster_.answer({.worker = "shop.1", .ok = true, .data = {{"exact", 0.1234567890123}}, .error = nullptr});
  EXPECT_THAT(read_until(fd, "\n\r\n"), Not(HasSubstr("0\r\n\r\n")));
  cluster_.answer({.worker = "shop.2", .ok = false, .data = nullptr, .error = "no answer within 2s", .last = true});
  const std::string rest = read_until(fd, "0\r\n\r\n");
  EXPECT_THAT(rest, HasSubstr(R"({"worker":"shop.2","ok":false,"data":null,"error":"no answer within 2s","last":true})"));
  EXPECT_TRUE(cluster_.given_up.empty());
}

TEST_F(Messages, NumbersStayAsExactAsTheyCame) {
  const base::UniqueFd fd = request(R"({"target":"shop.1","type":"ask"})");
  EXPECT_EQ(cluster_.said[0].timeout, base::Millis(5000)) << "the default";
  cluster_.answer({.worker = "shop.1", .ok = true, .data = {1e-9, 1e300, 9007199254740993, 0.1, 2.0}, .error = nullptr, .last = true});
  EXPECT_THAT(read_until(fd, "0\r\n\r\n"), HasSubstr("\"data\":[1e-09,1e+300,9007199254740993,0.1,2.0]"));
}

TEST_F(Messages, ATimeoutInMillisecondsIsTaken) {
  const base::UniqueFd fd = request(R"({"target":"shop.1","type":"ask","timeout":60000})");
  EXPECT_EQ(cluster_.said[0].timeout, base::Millis(60'000));
}

TEST_F(Messages, WhoLeavesIsForgotten) {
  { const base::UniqueFd fd = request(R"({"target":"shop","type":"ask"})"); }
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_EQ(cluster_.given_up, std::vector<backends::RequestNumber>{1});
  { const base::UniqueFd fd = watch("pool=shop&key=a"); }
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_TRUE(cluster_.state_watchers.empty());
}

TEST_F(Messages, AWatcherThatIsKeptTooLongHarmsNobody) {
  backends::AnswerWatcher late;
  backends::StateWatcher late_too;
  {
    const base::UniqueFd fd = request(R"({"target":"shop","type":"ask"})");
    late = cluster_.asking.begin()->second;
  }
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  {
    const base::UniqueFd fd = watch("pool=shop");
    late_too = cluster_.state_watchers.begin()->second;
  }
  ASSERT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  late({.worker = "shop.1", .ok = true, .data = {}, .error = {}, .last = true});
  late_too({{"key", "a"}});
  EXPECT_THAT(get("/livez"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Messages, AnswersThatNobodyReadsAreBoundedAndTheLastOneStays) {
  const base::UniqueFd fd = request(R"({"target":"shop","type":"ask"})");
  const std::string large(1024 * 1024, 'a');
  for (int i = 0; i < 60; ++i) {
    cluster_.answer({.worker = "shop.1", .ok = true, .data = boost::json::string(large), .error = {}});
    io_.poll();
    io_.restart();
  }
  cluster_.answer({.worker = "shop.2", .ok = true, .data = {}, .error = {}, .last = true});
  const std::string said = read_until(fd, "0\r\n\r\n");
  EXPECT_THAT(said, HasSubstr("{\"event\":\"gap\",\"lost\":"));
  EXPECT_THAT(said, HasSubstr("\"worker\":\"shop.2\""));
  EXPECT_LT(said.size(), kAnswerBytes + 12 * 1024 * 1024) << "what waits, and what sockets hold";
}

TEST_F(Messages, StateIsReadAsItIs) {
  cluster_.state_answer = {{"key", "rate"}, {"value", {{"limit", 1e-7}}}};
  EXPECT_THAT(get("/v1/state?pool=shop&key=r%C3%A4te%20%2B1"), EndsWith("\r\n\r\n{\"key\":\"rate\",\"value\":{\"limit\":1e-07}}\n"));
  ASSERT_EQ(cluster_.state_asked.size(), 1U);
  EXPECT_EQ(cluster_.state_asked[0].first, "shop");
  EXPECT_EQ(boost::json::serialize(cluster_.state_asked[0].second), "{\"type\":\"state:get\",\"key\":\"r\xc3\xa4te +1\"}");
  cluster_.state_answer = {{"key", "none"}, {"value", nullptr}};
  EXPECT_THAT(get("/v1/state?pool=shop&key=none"), StartsWith("HTTP/1.1 200 ")) << "null is a value";
  cluster_.state_answer = boost::json::object{{"key", "none"}};
  EXPECT_THAT(get("/v1/state?pool=shop&key=no%1b%20ne"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/v1/state?pool=shop&key=no%1b%20ne"), HasSubstr("the state of shop has no key"));
  EXPECT_THAT(get("/v1/state?key=a"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get("/v1/state?pool=shop.1&key=a"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get("/v1/state?pool=nosuch&key=a"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(Messages, StateIsListedPageByPage) {
  cluster_.state_answer = {{"values", {{"a", 1}}}, {"more", true}, {"after", "a"}};
  EXPECT_THAT(get("/v1/state/list?pool=shop&prefix=x&after=k"), EndsWith(R"({"values":{"a":1},"more":true,"after":"a"})"
                                                                         "\n"));
  EXPECT_THAT(get("/v1/state/list?pool=shop"), StartsWith("HTTP/1.1 200 "));
  ASSERT_EQ(cluster_.state_asked.size(), 2U);
  EXPECT_EQ(boost::json::serialize(cluster_.state_asked[0].second), R"({"type":"state:all","prefix":"x","after":"k"})");
  EXPECT_EQ(boost::json::serialize(cluster_.state_asked[1].second), R"({"type":"state:all"})");
}

TEST_F(Messages, StateIsChanged) {
  cluster_.state_answer = {{"success", true}};
  const struct {
    const char* path;
    const char* body;
    const char* reaches;
  } cases[] = {
      {"/v1/state/set", R"({"pool":"shop","key":"a","value":null,"expires":"30s"})",
       R"({"key":"a","value":null,"expires":"30s","type":"state:set"})"},
      {"/v1/state/delete", R"({"key":"a","pool":"shop"})", R"({"key":"a","type":"state:delete"})"},
      {"/v1/state/incr", R"({"pool":"shop","key":"n","by":-2})", R"({"key":"n","by":-2,"type":"state:incr"})"},
      {"/v1/state/cas", R"({"pool":"shop","key":"a","expected":1,"value":2})", R"({"key":"a","expected":1,"value":2,"type":"state:cas"})"},
      {"/v1/state/cas", R"({"pool":"shop","key":"a"})", R"({"key":"a","type":"state:cas"})"},
  };
  for (const auto& each : cases) {
    EXPECT_THAT(post(each.path, each.body), EndsWith("\r\n\r\n{\"success\":true}\n"));
    ASSERT_FALSE(cluster_.state_asked.empty());
    const auto& [pool, request] = cluster_.state_asked.back();
    EXPECT_EQ(pool, "shop");
    EXPECT_EQ(boost::json::value(request), boost::json::parse(each.reaches)) << boost::json::serialize(request);
  }
}

TEST_F(Messages, ChangesAreFollowedUntilTheClusterEnds) {
  const base::UniqueFd fd = watch("pool=shop&key=user%3A*");
  EXPECT_EQ(cluster_.watched, (std::vector<std::pair<std::string, std::string>>{{"shop", "user:*"}}));
  cluster_.change({{"key", "user:1"}, {"value", "\x7f\xc2\x9b"}, {"oldValue", nullptr}});
  EXPECT_THAT(read_until(fd, "}\n"), HasSubstr(R"({"key":"user:1","value":"\u007f\u009b","oldValue":null})"
                                               "\n"));
  cluster_.change({{"key", "user:1"}});
  int ended = 0;
  server_->finish([&ended] { ++ended; });
  EXPECT_THAT(read_until(fd, "0\r\n\r\n"), HasSubstr("{\"key\":\"user:1\"}\n"));
}

TEST_F(Messages, ChangesThatNobodyReadsPushOutTheOldest) {
  const base::UniqueFd fd = watch("pool=shop");
  const std::string value(60'000, 'v');
  for (int i = 0; i < 500; ++i) {  // 30 MB, more than the sockets hold
    cluster_.change({{"key", "a"}, {"value", value}});
    io_.poll();
    io_.restart();
  }
  cluster_.change({{"key", "the newest"}});
  const std::string said = read_until(fd, "the newest");
  EXPECT_THAT(said, HasSubstr("{\"event\":\"gap\",\"lost\":"));
  EXPECT_LT(said.size(), kChangeBytes + 12 * 1024 * 1024) << "what waits, and what sockets hold";
}

TEST_F(Messages, NothingIsAskedAfterClose) {
  const base::UniqueFd fd = request(R"({"target":"shop","type":"ask"})");
  server_.reset();
  EXPECT_EQ(cluster_.given_up, std::vector<backends::RequestNumber>{1});
  io_.run();
}

TEST_F(Messages, AMessageIsShownInItsEventAsItIs) {
  backends::ClusterEvent event;
  event.name = "workerMessage";
  event.pool = "shop";
  event.slot = 1;
  event.message = "{\"type\":\"hi\",\t\"n\":1.50, \"s\":\"\x7f caf\xc3\xa9 \xc2\x9b\"}";
  cluster_.events.add(std::move(event));
  const std::string said = get("/v1/events");
  EXPECT_THAT(said, HasSubstr("\"event\":\"workerMessage\""));
  EXPECT_THAT(said, HasSubstr("\"slot\":1,\"message\":{\"type\":\"hi\", \"n\":1.50, \"s\":\"\\u007f caf\xc3\xa9 \\u009b\"}}\n"));
}

const char* const kReads[] = {"/v1/state?pool=shop&key=a", "/v1/state/list?pool=shop", "/v1/state/watch?pool=shop"};
const char* const kPosts[] = {"/v1/send", "/v1/request", "/v1/state/set", "/v1/state/delete", "/v1/state/incr", "/v1/state/cas"};

TEST_F(MessagesWithToken, LetOnlyTheTokenIn) {
  for (const char* path : kReads) EXPECT_THAT(get(path), StartsWith("HTTP/1.1 401 ")) << path;
  for (const char* path : kPosts) {
    EXPECT_THAT(post(path, "{}"), StartsWith("HTTP/1.1 401 ")) << path;
    EXPECT_THAT(post(path, "{}", kBearer), StartsWith("HTTP/1.1 400 ")) << path << ": let in, and the body looked at";
  }
  cluster_.state_answer = {{"key", "a"}, {"value", 1}};
  EXPECT_THAT(get("/v1/state?pool=shop&key=a", kBearer), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(cluster_.state_asked.size(), 1U);
}

TEST_F(MessagesWithoutToken, AreNotAtThisDoor) {
  for (const char* path : kReads) EXPECT_THAT(get(path), StartsWith("HTTP/1.1 404 ")) << path;
  for (const char* path : kPosts) EXPECT_THAT(post(path, R"({"target":"shop","type":"x"})"), StartsWith("HTTP/1.1 405 ")) << path;
  EXPECT_TRUE(cluster_.said.empty());
  EXPECT_TRUE(cluster_.state_asked.empty());
}

TEST_F(Messages, SurviveWhateverBytesCome) {
  const std::string samples[] = {
      post_text("/v1/send", R"({"target": "shop.2", "type": "x", "data": {"a": [1, "2", null]}})"),
      post_text("/v1/request", R"({"target": "shop", "type": "x", "timeout": "1s"})"),
      post_text("/v1/state/cas", R"({"pool": "shop", "key": "a", "expected": 1, "value": {}})"),
      "GET /v1/state?pool=shop&key=%41 HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET /v1/state/watch?pool=shop&key=a* HTTP/1.1\r\nHost: a\r\n\r\n",
  };
  cluster_.state_answer = {{"key", "a"}, {"value", 1}};
  base::Rng rng(4);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = samples[rng.below(std::size(samples))];
    for (std::uint64_t change = 1 + rng.below(4); change > 0; --change) {
      const std::size_t at = rng.below(bytes.size());
      switch (rng.below(3)) {
        case 0: bytes[at] = static_cast<char>(rng.below(256)); break;
        case 1: bytes.insert(at, 1, static_cast<char>(rng.below(256))); break;
        default: bytes.erase(at, 1); break;
      }
    }
    const base::UniqueFd fd = connect();
    send_all(fd, bytes);
    ::shutdown(fd.get(), SHUT_WR);
    read_to_end(fd);
    ASSERT_FALSE(HasFailure()) << "round " << i << ": " << bytes;
  }
  EXPECT_TRUE(turn_until([this] { return server_->connections() == 0; }));
  EXPECT_TRUE(cluster_.asking.empty()) << "all who asked have left";
  EXPECT_TRUE(cluster_.state_watchers.empty());
}

}  // namespace
}  // namespace drover::admin
