// What the access log says of an exchange that its client left: what it was sent and what it sent, no more.
#include "proxy/access_writer.hpp"
#include "tests/proxy/exchange_world.hpp"

#include <boost/json/parse.hpp>

namespace drover::proxy {
namespace {

using test::Peer;
using test::World;

constexpr std::size_t kBody = std::size_t{32} * 1024 * 1024;  // more than the kernel holds for a client that reads nothing

/// A world whose one route is answered by drover, or goes to the pool; with an access log.
struct Logged {
  boost::json::object line() {
    const std::string text = reader.read_until("\n");
    boost::system::error_code error;
    const boost::json::value value = boost::json::parse(text, error);
    EXPECT_FALSE(error) << text;
    return error ? boost::json::object() : value.as_object();
  }

  static std::unique_ptr<AccessWriter> make(int into) {
    auto writer = std::move(*AccessWriter::create(1, -1));
    writer->replace(base::UniqueFd(into));
    return writer;
  }

  explicit Logged(const std::function<void(config::Config&)>& change = {}) : world({}, 1, {}, 1, change, writer.get()) {}

  std::array<int, 2> ends = [] {
    std::array<int, 2> made{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made.data()), 0);
    return made;
  }();
  Peer reader{base::UniqueFd(ends[0])};
  std::unique_ptr<AccessWriter> writer = make(ends[1]);
  World world;
};

TEST(ExchangeAccess, OfAnAnswerOfDroversOwnOnlyWhatWentIsCounted) {
  Logged logged([](config::Config& config) {
    config.routes[0].respond.status = 200;
    config.routes[0].respond.body.assign(kBody, 'x');
  });
  Peer client = logged.world.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  client.read_head();
  client.reset();
  const auto line = logged.line();
  EXPECT_EQ(line.at("end"), "client_gone");
  EXPECT_EQ(line.at("status"), 200);
  EXPECT_GT(line.at("bytes").to_number<std::size_t>(), 0U);
  EXPECT_LT(line.at("bytes").to_number<std::size_t>(), kBody);
}

TEST(ExchangeAccess, WhatCameOfABodyThatEndsTooSoonIsCounted) {
  Logged logged;
  Peer client = logged.world.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf.");
  client.close();
  const auto line = logged.line();
  EXPECT_EQ(line.at("end"), "client_gone");
  EXPECT_EQ(line.at("status"), 499);
  EXPECT_EQ(line.at("received"), 5);
}

}  // namespace
}  // namespace drover::proxy
