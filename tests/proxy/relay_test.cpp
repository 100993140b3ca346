#include "proxy/relay.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <string>

namespace drover::proxy {
namespace {

/// A stream whose bytes come and go in random portions, with pauses.
class PlayedStream final : public Stream {
 public:
  PlayedStream(base::Rng& rng, std::string input) : rng_(rng), input_(std::move(input)) {}

  IoResult read(char* into, std::size_t most) override {
    if (rng_.below(4) == 0) {
      watch_.readable = false;
      return {Io::blocked, 0, 0};
    }
    if (at_ == input_.size()) return {Io::eof, 0, 0};
    const std::size_t count = std::min({most, input_.size() - at_, static_cast<std::size_t>(1 + rng_.below(portion))});
    input_.copy(into, count, at_);
    at_ += count;
    return {Io::ok, count, 0};
  }
  IoResult write(const iovec* parts, int count) override {
    if (rng_.below(4) == 0) return {Io::blocked, 0, 0};
    std::size_t room = 1 + rng_.below(portion);
    std::size_t taken = 0;
    for (int i = 0; i < count && room > 0; ++i) {
      const std::size_t step = std::min(room, parts[i].iov_len);
      output.append(static_cast<const char*>(parts[i].iov_base), step);
      room -= step;
      taken += step;
    }
    return {Io::ok, taken, 0};
  }
  void end_sending() override {}
  Watch& watch() override { return watch_; }

  std::string output;
  std::size_t portion = 300;

 private:
  base::Rng& rng_;
  std::string input_;
  std::size_t at_ = 0;
  Watch watch_;
};

Moved run(Relay<true>& relay, PlayedStream& source) {
  for (int steps = 0; steps < 1'000'000; ++steps) {
    const Moved at = relay.step();
    if (at != Moved::busy && at != Moved::need_source && at != Moved::need_sink) return at;
    source.watch().readable = true;
  }
  ADD_FAILURE() << "the relay does not come to an end";
  return Moved::busy;
}

struct Chunked {
  std::string payload;
  std::string wire;
};

Chunked random_chunked(base::Rng& rng) {
  Chunked out;
  for (std::uint64_t chunks = rng.below(60); chunks > 0; --chunks) {
    const std::string chunk(1 + rng.below(rng.below(5) == 0 ? 40'000 : 20), static_cast<char>('a' + rng.below(26)));
    char size[32];
    std::snprintf(size, sizeof size, rng.below(2) == 0 ? "%zx" : "%zX;name=\"v\"", chunk.size());
    out.wire += std::string(size) + "\r\n" + chunk + "\r\n";
    out.payload += chunk;
  }
  out.wire += "0\r\n\r\n";
  return out;
}

std::string decoded(const std::string& wire) {
  std::string payload;
  std::size_t at = 0;
  for (;;) {
    const std::size_t eol = wire.find("\r\n", at);
    const std::size_t size = std::stoul(wire.substr(at, eol - at), nullptr, 16);
    if (size == 0) return payload;
    payload += wire.substr(eol + 2, size);
    at = eol + 2 + size + 2;
  }
}

constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(Relay, ChunkedBodiesArriveWholeHoweverTheyAreSplit) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    base::Rng rng(seed);
    const Chunked body = random_chunked(rng);
    RequestHead head;
    MessageParser<true> parser(head);
    ASSERT_EQ(parser.parse_head(kHead), "");
    PlayedStream source(rng, body.wire + "GET /next");
    PlayedStream sink(rng, "");
    source.portion = sink.portion = 1 + rng.below(30'000);
    Buffer buffer;
    Relay<true> relay(source, buffer, &parser, sink, {Framing::chunked, 0, OutFraming::chunked, {}});
    relay.put_first("first;");
    ASSERT_EQ(run(relay, source), Moved::done);
    ASSERT_EQ(sink.output.substr(0, 6), "first;");
    ASSERT_EQ(decoded(sink.output.substr(6)), body.payload);
    ASSERT_TRUE(std::string_view("GET /next").starts_with(buffer.view()));
  }
}

TEST(Relay, LengthBodiesStopAtTheirLength) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    base::Rng rng(seed);
    const std::string body(rng.below(200'000) + 1, 'b');
    PlayedStream source(rng, body + "rest");
    PlayedStream sink(rng, "");
    source.portion = sink.portion = 20'000;
    Buffer buffer;
    Relay<true> relay(source, buffer, nullptr, sink, {Framing::length, body.size(), OutFraming::raw, {}});
    ASSERT_EQ(run(relay, source), Moved::done);
    ASSERT_EQ(sink.output, body);
  }
}

TEST(Relay, StreamsWithoutLengthAreChunkedForTheReceiver) {
  base::Rng rng(7);
  PlayedStream source(rng, std::string(5'000, 'c'));
  PlayedStream sink(rng, "");
  Buffer buffer;
  Relay<true> relay(source, buffer, nullptr, sink, {Framing::until_close, 0, OutFraming::chunked, {}});
  ASSERT_EQ(run(relay, source), Moved::done);
  EXPECT_EQ(decoded(sink.output), std::string(5'000, 'c'));
  EXPECT_TRUE(sink.output.ends_with("0\r\n\r\n"));
}

TEST(Relay, ABadFirstChunkLetsNothingOut) {
  base::Rng rng(1);
  RequestHead head;
  MessageParser<true> parser(head);
  ASSERT_EQ(parser.parse_head(kHead), "");
  PlayedStream source(rng, "");
  PlayedStream sink(rng, "");
  Buffer buffer;
  buffer.append("5\r\nhelloXX0\r\n\r\n");
  Relay<true> relay(source, buffer, &parser, sink, {Framing::chunked, 0, OutFraming::chunked, {}});
  relay.put_first("POST / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(run(relay, source), Moved::bad_body);
  EXPECT_EQ(sink.output, "");
}

TEST(Relay, AnUnendedChunkHeadIsBounded) {
  base::Rng rng(1);
  RequestHead head;
  MessageParser<true> parser(head);
  ASSERT_EQ(parser.parse_head(kHead), "");
  PlayedStream source(rng, "5;" + std::string(1'000'000, 'x'));
  source.portion = 5'000;
  PlayedStream sink(rng, "");
  Buffer buffer;
  Relay<true> relay(source, buffer, &parser, sink, {Framing::chunked, 0, OutFraming::chunked, {}});
  EXPECT_EQ(run(relay, source), Moved::bad_body);
  EXPECT_LE(buffer.capacity(), Buffer::kLarge);
}

TEST(Relay, ABodyBeyondItsLimitIsRefused) {
  base::Rng rng(1);
  RequestHead head;
  MessageParser<true> parser(head);
  ASSERT_EQ(parser.parse_head(kHead), "");
  PlayedStream source(rng, "6\r\n123456\r\n0\r\n\r\n");
  PlayedStream sink(rng, "");
  Buffer buffer;
  Relay<true> relay(source, buffer, &parser, sink, {Framing::chunked, 0, OutFraming::chunked, 5});
  EXPECT_EQ(run(relay, source), Moved::too_large);
}

TEST(Relay, AStreamAtRestHoldsNoMemory) {
  base::Rng rng(7);
  PlayedStream source(rng, std::string(100'000, 'x'));
  source.portion = 50'000;
  PlayedStream sink(rng, "");
  sink.portion = 50'000;
  Buffer buffer;
  Relay<true> relay(source, buffer, nullptr, sink, RelayPlan{Framing::until_close, 0, OutFraming::raw, {}});
  bool rested = false;
  for (int steps = 0; steps < 10'000 && !relay.done(); ++steps) {
    if (relay.step() == Moved::need_source && buffer.empty()) {
      relay.step();  // nothing has become readable
      rested = rested || buffer.capacity() == 0;
      EXPECT_EQ(buffer.capacity(), 0U);
    }
    source.watch().readable = true;
  }
  EXPECT_TRUE(rested);
  EXPECT_EQ(sink.output.size(), 100'000U);
}

TEST(Relay, AnEndInsideTheBodyIsNotTheEnd) {
  base::Rng rng(1);
  PlayedStream source(rng, "12345");
  PlayedStream sink(rng, "");
  Buffer buffer;
  Relay<true> relay(source, buffer, nullptr, sink, {Framing::length, 6, OutFraming::raw, {}});
  EXPECT_EQ(run(relay, source), Moved::source_ended);
}

}  // namespace
}  // namespace drover::proxy
