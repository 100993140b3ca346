// Any bytes as a chunked body, in any pieces. What drover takes must be the same body to a strict reader, what it sends on must be it once
// more, nothing behind its end may be touched, and what is broken or unfinished must never look whole to the receiver.

#include "must.hpp"
#include "naive_http.hpp"
#include "proxy/relay.hpp"

#include <algorithm>
#include <string>

namespace {

using namespace drover;
using fuzz::must;
using fuzz::NaiveBody;

constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr int kMostSteps = 1'000'000;

/// Bytes that come in pieces, and a sink that takes them in pieces.
class PiecewiseStream final : public proxy::Stream {
 public:
  PiecewiseStream(base::Rng& rng, std::string_view input, std::size_t piece) : rng_(rng), input_(input), piece_(piece) {}
  proxy::IoResult read(char* into, std::size_t most) override {
    if (input_.empty()) return {proxy::Io::eof, 0, 0};
    const std::size_t count = std::min({most, input_.size(), static_cast<std::size_t>(1 + rng_.below(piece_))});
    input_.copy(into, count);
    input_.remove_prefix(count);
    return {proxy::Io::ok, count, 0};
  }
  proxy::IoResult write(const iovec* parts, int count) override {
    if (rng_.below(8) == 0) return {proxy::Io::blocked, 0, 0};
    const std::size_t room = 1 + rng_.below(4 * piece_);
    std::size_t taken = 0;
    for (int i = 0; i < count && taken < room; ++i) {
      const std::size_t step = std::min(room - taken, parts[i].iov_len);
      output.append(static_cast<const char*>(parts[i].iov_base), step);
      taken += step;
    }
    return {proxy::Io::ok, taken, 0};
  }
  void end_sending() override {}
  proxy::Watch& watch() override { return watch_; }
  std::size_t unread() const { return input_.size(); }
  std::string output;

 private:
  base::Rng& rng_;
  std::string_view input_;
  std::size_t piece_;
  proxy::Watch watch_;
};

struct Ended {
  proxy::Moved how;
  std::string sent;
  std::size_t untouched;  ///< bytes of the input that were not taken
};

template <bool isRequest>
Ended relay(std::string_view bytes, proxy::OutFraming out, std::size_t piece, base::Rng& rng) {
  std::conditional_t<isRequest, proxy::RequestHead, proxy::ResponseHead> head;
  proxy::MessageParser<isRequest> parser(head);
  must(parser.parse_head(isRequest ? kHead : kResponse).empty(), "a plain head is refused");
  PiecewiseStream source(rng, bytes, piece);
  PiecewiseStream sink(rng, {}, piece);
  proxy::Buffer buffer;
  proxy::Relay<isRequest> relay(source, buffer, &parser, sink, {proxy::Framing::chunked, 0, out, {}});
  for (int steps = 0;; ++steps) {
    must(steps < kMostSteps, "a body never comes to its end");
    const proxy::Moved at = relay.step();
    if (at == proxy::Moved::busy || at == proxy::Moved::need_source || at == proxy::Moved::need_sink) continue;
    return {at, sink.output, buffer.size() + source.unread()};
  }
}

/// Beyond these drover may refuse what the grammar would let pass: too much of it, or framing in a trailer.
bool within_limits(const NaiveBody& body, std::string_view bytes) {
  std::size_t trailer = 0;
  for (const auto& field : body.trailer) {
    trailer += field.name.size() + field.value.size() + 4;
    for (const char* name : {"content-length", "transfer-encoding", "connection", "proxy-connection", "upgrade"}) {
      if (fuzz::lowered(field.name) == name) return false;
    }
  }
  constexpr std::size_t kLongestFirstLine = 1000;
  return trailer <= proxy::MessageParser<true>::kMaxTrailer && bytes.find('\n') < kLongestFirstLine && bytes.size() < proxy::Buffer::kSmall;
}

template <bool isRequest>
void check(std::string_view bytes, std::size_t piece, base::Rng& rng) {
  const NaiveBody naive = fuzz::naive_chunked(bytes);
  const Ended chunked = relay<isRequest>(bytes, proxy::OutFraming::chunked, piece, rng);
  const NaiveBody sent = fuzz::naive_chunked(chunked.sent);
  must(sent.state != NaiveBody::State::broken, "what was sent on is malformed");
  must(naive.payload.starts_with(sent.payload), "what was sent on is not what came");
  if (chunked.how == proxy::Moved::done) {
    must(naive.state == NaiveBody::State::whole, "a body was taken for whole that is not");
    must(chunked.untouched == bytes.size() - naive.consumed, "bytes behind the body's end were taken");
    must(sent.state == NaiveBody::State::whole && sent.consumed == chunked.sent.size(), "what was sent on has no end, or two");
    must(sent.payload == naive.payload, "a part of the body was lost");
    must(sent.trailer.size() <= naive.trailer.size(), "fields were added to the trailer");
  } else {
    must(naive.state != NaiveBody::State::whole || !within_limits(naive, bytes), "a whole body was refused");
    must(sent.state == NaiveBody::State::unfinished, "a body that never ended looks whole");
    must(chunked.how == proxy::Moved::source_ended || chunked.how == proxy::Moved::bad_body, "a body ended in a way it can't");
  }
  const Ended raw = relay<isRequest>(bytes, proxy::OutFraming::raw, piece, rng);
  must((raw.how == proxy::Moved::done) == (chunked.how == proxy::Moved::done), "whether a body ends depends on how its bytes come");
  must(naive.payload.starts_with(raw.sent), "another payload came out without chunks");
  must(raw.how != proxy::Moved::done || raw.sent == naive.payload, "a part of the payload was lost without chunks");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  base::Rng rng = fuzz::numbers_of(bytes);
  check<true>(bytes, 1 + rng.below(rng.below(2) == 0 ? 4 : 1000), rng);
  check<false>(bytes, 1 + rng.below(rng.below(2) == 0 ? 4 : 1000), rng);
  return 0;
}
