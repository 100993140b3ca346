// Paths, methods and hosts.
#include "admin/api.hpp"
#include "sample_status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover::admin {
namespace {

using testing::HasSubstr;

Answer get(
    std::string_view target, std::string_view host = "127.0.0.1:9180", const StatusFn& status = [] { return sample_status(); }) {
  const Question question{.method = Method::read, .target = target, .host = host, .authorization = {}, .body = {}};
  if (auto refused = refuse(question, {.everything = false, .listen_host = "drover.example", .token = {}})) return *refused;
  ClusterDoor door;
  door.status = status;
  return std::get<Answer>(answer(question, door));
}

TEST(Answers, KnowTheirPaths) {
  EXPECT_EQ(get("/").status, 200U);
  EXPECT_EQ(get("/livez").status, 200U);
  EXPECT_EQ(get("/livez").body, "ok\n");
  EXPECT_EQ(get("/metrics").type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(get("/metrics?name[]=x").status, 200U);
  EXPECT_EQ(get("/status").type, "application/json");
  EXPECT_EQ(get("/status?pretty").status, 200U);
}

TEST(Answers, DontKnowOthers) {
  for (const char* path : {"", "*", "/metrics/", "/Status", "//status", "/status/..", "/admin", "http://127.0.0.1/status", "/%73tatus"}) {
    EXPECT_EQ(get(path).status, 404U) << path;
  }
}

TEST(Answers, ChangeNothing) {
  for (const char* path : {"/", "/status", "/metrics", "/none"}) {
    for (const Method method : {Method::post, Method::other}) {
      const auto refused = refuse({.method = method, .target = path, .host = "localhost", .authorization = {}, .body = {}},
                                  {.everything = true, .listen_host = {}, .token = {}});
      ASSERT_TRUE(refused) << path;
      EXPECT_EQ(refused->status, 405U) << path;
    }
  }
}

TEST(Answers, AskForTheStatusOnlyWhereNeeded) {
  for (const char* path : {"/", "/livez", "/none"}) EXPECT_NO_THROW(get(path, "localhost", nullptr)) << path;
  EXPECT_EQ(get("/status", "evil.example", nullptr).status, 403U);
}

TEST(Readyz, SaysWhichPoolHasNoWorker) {
  auto status = sample_status();
  const StatusFn fn = [&status] { return status; };
  EXPECT_EQ(get("/readyz", "x", fn).status, 200U);
  status.ready = false;
  for (auto& worker : status.pools[0].workers) worker.eligible = false;
  status.pools[0].workers[0].health = backends::Health::failing;
  EXPECT_EQ(get("/readyz", "x", fn).status, 503U);
  EXPECT_EQ(get("/readyz", "x", fn).body, "pool shop: no worker for new requests (1 backoff, 1 failing its probes, 1 running)\n");
  status.proxies.clear();
  EXPECT_THAT(get("/readyz", "x", fn).body, HasSubstr("proxy: not ready\n"));
}

TEST(Readyz, APoolThatSleepsIsNotMissed) {
  auto status = sample_status();
  status.ready = false;
  status.proxies.clear();
  status.pools[0].asleep = true;
  status.pools[0].workers.clear();
  EXPECT_EQ(get("/readyz", "x", [&status] { return status; }).body, "proxy: not ready\n");
}

TEST(Readyz, IsNotWhileStopping) {
  auto status = sample_status();
  status.stopping = true;
  const Answer said = get("/readyz", "x", [&status] { return status; });
  EXPECT_EQ(said.status, 503U);
  EXPECT_EQ(said.body, "stopping\n");
}

TEST(HostCheck, LetsAddressesLocalhostAndItsOwnNameIn) {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:9180", "10.1.2.3:80", "[::1]", "[::1]:9180", "localhost", "LOCALHOST:9180", "drover.example:9180"}) {
    EXPECT_TRUE(trusted_host(host, "drover.example")) << host;
  }
}

TEST(HostCheck, KeepsOtherNamesOut) {
  for (const char* host : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "[::1]x", "[evil]", "1.2.3",
                           "drover.example.evil", "[]", ":80"}) {
    EXPECT_FALSE(trusted_host(host, "drover.example")) << host;
    EXPECT_EQ(get("/status", host).status, 403U) << host;
    EXPECT_EQ(get("/metrics", host).status, 200U) << host;
  }
  EXPECT_FALSE(trusted_host("", ""));
}

}  // namespace
}  // namespace drover::admin
