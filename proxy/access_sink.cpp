#include "proxy/access_sink.hpp"

#include <chrono>

namespace drover::proxy {

AccessSink::AccessSink(AccessWriter& writer, std::size_t thread, config::AccessFormat format, board::ThreadTally& tally)
    : writer_(writer), ring_(writer.ring(thread)), tally_(tally), formatter_(format) {
  set_clock();
}

void AccessSink::set_clock() {
  const auto unix_now = std::chrono::system_clock::now().time_since_epoch();
  offset_us_ = std::chrono::duration_cast<std::chrono::microseconds>(unix_now).count() - us(base::Clock::now().time_since_epoch());
}

void AccessSink::write(const AccessRecord& record) {
  const AccessRing::Put put = ring_.put(formatter_.line(record));
  if (put == AccessRing::Put::no_room) return tally_.access_dropped.add();
  tally_.access_lines.add();
  if (put == AccessRing::Put::stored_half_full) writer_.wake();
}

}  // namespace drover::proxy
