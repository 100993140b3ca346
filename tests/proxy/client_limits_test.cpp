#include "proxy/client_limits.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <atomic>
#include <thread>

namespace drover::proxy {
namespace {

using namespace std::chrono_literals;
using Open = ClientLimits::Open;

const base::TimePoint kStart = base::TimePoint{} + 1000h;

ClientAddress four(std::uint32_t number) { return {number, ClientAddress::Kind::four}; }

ClientAddress parse(int family, const char* text) {
  sockaddr_storage storage{};
  storage.ss_family = static_cast<sa_family_t>(family);
  void* into = family == AF_INET ? static_cast<void*>(&reinterpret_cast<sockaddr_in&>(storage).sin_addr)
                                 : static_cast<void*>(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr);
  EXPECT_EQ(::inet_pton(family, text, into), 1);
  return ClientAddress::of(storage);
}

config::Listener::PerClient limits(std::uint32_t connections, double requests, std::uint32_t burst = 0) { return {connections, requests, burst}; }

TEST(ClientAddress, IsAWholeIpv4OneOrAnIpv6Network) {
  EXPECT_EQ(parse(AF_INET, "192.0.2.1"), parse(AF_INET, "192.0.2.1"));
  EXPECT_NE(parse(AF_INET, "192.0.2.1"), parse(AF_INET, "192.0.2.2"));
  EXPECT_EQ(parse(AF_INET6, "2001:db8:1:2::1"), parse(AF_INET6, "2001:db8:1:2:ffff::9"));
  EXPECT_NE(parse(AF_INET6, "2001:db8:1:2::1"), parse(AF_INET6, "2001:db8:1:3::1"));
  EXPECT_EQ(parse(AF_INET6, "::ffff:192.0.2.1"), parse(AF_INET, "192.0.2.1"));
}

TEST(ClientLimits, CountsOpenConnections) {
  ClientLimits of(limits(2, 0), 100, 1);
  EXPECT_EQ(of.opened(four(1), kStart), Open::counted);
  EXPECT_EQ(of.opened(four(1), kStart), Open::counted);
  EXPECT_EQ(of.opened(four(1), kStart), Open::over);
  EXPECT_EQ(of.opened(four(2), kStart), Open::counted);
  of.closed(four(1));
  EXPECT_EQ(of.opened(four(1), kStart), Open::counted);
  EXPECT_EQ(of.opened(four(1), kStart), Open::over);
}

TEST(ClientLimits, RequestsAreABurstAndThenTheirRate) {
  ClientLimits of(limits(0, 2, 5), 100, 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(of.request(four(1), kStart), 0U);
  EXPECT_EQ(of.request(four(1), kStart), 1U);
  EXPECT_EQ(of.request(four(2), kStart), 0U) << "another address has its own";
  EXPECT_EQ(of.request(four(1), kStart + 500ms), 0U);
  EXPECT_EQ(of.request(four(1), kStart + 500ms), 1U);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(of.request(four(1), kStart + 1h), 0U) << "no more than the burst is saved up";
  EXPECT_EQ(of.request(four(1), kStart + 1h), 1U);
}

TEST(ClientLimits, SayHowLongToWait) {
  ClientLimits of(limits(0, 0.1), 100, 1);
  EXPECT_EQ(of.request(four(1), kStart), 0U);
  EXPECT_EQ(of.request(four(1), kStart), 10U);
  EXPECT_EQ(of.request(four(1), kStart + 4s), 6U);
  EXPECT_EQ(of.request(four(1), kStart + 11s), 0U);
}

TEST(ClientLimits, ClientsOfUnixSocketsHaveNone) {
  ClientLimits of(limits(1, 1), 100, 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(of.opened({}, kStart), Open::uncounted);
    EXPECT_EQ(of.request({}, kStart), 0U);
  }
}

TEST(ClientLimits, AFloodOfAddressesForgetsNobodyWhoIsConnected) {
  ClientLimits of(limits(1, 1), 100, 1);
  ASSERT_EQ(of.opened(four(1), kStart), Open::counted);
  for (std::uint32_t i = 2; i < 1'000'000; ++i) of.request(four(i), kStart + std::chrono::microseconds(i));
  EXPECT_EQ(of.opened(four(1), kStart + 2s), Open::over);
  of.closed(four(1));
  EXPECT_EQ(of.opened(four(1), kStart + 2s), Open::counted);
}

TEST(ClientLimits, ThreadsTogetherGetNoMoreThanOne) {
  ClientLimits of(limits(0, 1, 100), 100, 1);
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) taken += of.request(four(1), kStart) == 0 ? 1 : 0;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), 100);
}

}  // namespace
}  // namespace drover::proxy
