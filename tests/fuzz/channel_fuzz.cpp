// What a worker may do to its channel: any bytes, in any pieces, and any pace of reading what is written to it.
// The input's first byte seeds the pieces; the rest is the stream. Each line that is cut goes through parse_message and into an outbox.

#include "base/rng.hpp"
#include "ipc/line_reader.hpp"
#include "ipc/message.hpp"
#include "ipc/outbox.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace {

using namespace drover;

constexpr std::size_t kMaxLine = 200;  // small, so that inputs are
constexpr ipc::Outbox::Limits kLimits{2000, 1024 * 1024};

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "channel_fuzz: %s\n", what);
  std::abort();
}

/// Writes a piece of what waits and checks that whole lines come out.
class Peer {
 public:
  void take(ipc::Outbox& outbox, base::Rng& rng) {
    ipc::Outbox::Batch batch;
    outbox.next(batch, [](const std::string& key) { return key.size() % 3 == 0 ? std::string() : key + "=value"; });
    std::size_t left = rng.below(batch.bytes + 1);
    const std::size_t taken = left;
    for (std::size_t i = 0; i < batch.count && left > 0; ++i) {
      const std::size_t size = std::min(left, batch.parts[i].iov_len);
      stream_.append(static_cast<const char*>(batch.parts[i].iov_base), size);
      left -= size;
    }
    lines_ += outbox.written(batch, taken);
    must(lines_ == static_cast<std::size_t>(std::count(stream_.begin(), stream_.end(), '\n')), "what is written is not made of whole lines");
  }

 private:
  std::string stream_;
  std::size_t lines_ = 0;
};

void put(ipc::Outbox& outbox, std::string line, base::Rng& rng) {
  switch (rng.below(4)) {
    case 0: return outbox.add(std::move(line));
    case 1: outbox.add_message(std::move(line)); return;
    case 2: return outbox.add_sync(line.substr(0, 4));
    default:
      outbox.add(std::move(line), base::UniqueFd());
      if (rng.below(2) == 0) outbox.descriptor_settled();
  }
}

void heard(std::string_view line, ipc::Outbox& outbox, base::Rng& rng) {
  must(!line.empty() && line.size() <= kMaxLine, "a line is empty or too long");
  must(line.find('\n') == std::string_view::npos, "a line holds a newline");
  const auto message = ipc::parse_message(line);
  if (!message) return must(!message.error().message.empty(), "an error without a message");
  if (const auto* object = message->object()) {
    (void)ipc::addressee_of(*object);
    (void)ipc::id_of(*object);
    std::string forwarded = ipc::forwarded_line(*object, {1, "shop.1"}, {});
    must(forwarded.find('\n') == std::string::npos, "a forwarded line holds a newline");
    put(outbox, std::move(forwarded), rng);
  } else {
    put(outbox, std::string(line), rng);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  base::Rng rng(data[0]);
  std::span<const std::uint8_t> stream(data + 1, size - 1);
  ipc::LineReader reader(kMaxLine);
  ipc::Outbox outbox(kLimits);
  Peer peer;
  while (!stream.empty()) {
    const auto room = reader.room();
    const std::size_t piece = std::min({stream.size(), room.size(), static_cast<std::size_t>(1 + rng.below(300))});
    std::memcpy(room.data(), stream.data(), piece);
    stream = stream.subspan(piece);
    reader.filled(piece);
    for (auto next = reader.next(); next.what != ipc::LineReader::What::more; next = reader.next()) {
      if (next.what == ipc::LineReader::What::line) heard(next.line, outbox, rng);
    }
    if (rng.below(2) == 0) reader.rest();
    must(reader.kept() <= kMaxLine + 1, "more is kept than the beginning of a line");
    peer.take(outbox, rng);
  }
  // A worker that reads and settles at last has all of it.
  for (int turns = 0; outbox.ready() || outbox.descriptor_under_way(); ++turns) {
    must(turns < 1'000'000, "what waits never comes to its end");
    outbox.descriptor_settled();
    peer.take(outbox, rng);
  }
  must(outbox.bytes() == 0, "an empty outbox counts bytes");
  return 0;
}
