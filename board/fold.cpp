#include "board/proxy_board.hpp"

namespace drover::board {

namespace {

template <std::size_t N>
void add(const std::array<Count, N>& from, std::array<std::uint64_t, N>& to) {
  for (std::size_t i = 0; i < N; ++i) to[i] += from[i].get();
}

void add(const Histogram& from, HistogramTotals& to) {
  add(from.buckets, to.buckets);
  to.sum_us += from.sum_us.get();
}

void add(const PoolTally& from, PoolTotals& to) {
  for (std::size_t method = 0; method < from.requests.size(); ++method) add(from.requests[method], to.requests[method]);
  add(from.retries, to.retries);
  add(from.client_disconnects, to.client_disconnects);
  add(from.queue_rejected, to.queue_rejected);
  to.truncated += from.truncated.get();
  to.blocked += from.blocked.get();
  to.spilled += from.spilled.get();
  to.unpaid += from.unpaid.get();
  to.deadlines += from.deadlines.get();
  add(from.duration, to.duration);
  add(from.queue_wait, to.queue_wait);
}

}  // namespace

void fold(const ProxyBoard& board, Totals& totals) {
  const Shape& shape = board.shape();
  if (totals.pools.size() < shape.pools.size()) totals.pools.resize(shape.pools.size());
  if (totals.listeners.size() < shape.listeners) totals.listeners.resize(shape.listeners);
  for (std::uint32_t pool = 0; pool < shape.pools.size(); ++pool) totals.pools[pool].breaker_opened += board.pool(pool).breaker_opened.load();
  for (std::uint32_t thread = 0; thread < shape.threads; ++thread) {
    const ThreadTally& tally = board.thread(thread);
    add(tally.loop_turn, totals.loop_turn);
    totals.claims_after_close += tally.claims_after_close.get();
    totals.access_lines += tally.access_lines.get();
    totals.access_dropped += tally.access_dropped.get();
    totals.accept_pauses += tally.accept_pauses.get();
    for (std::uint32_t listener = 0; listener < shape.listeners; ++listener) {
      const ListenerTally& from = board.listener(thread, listener);
      ListenerTotals& to = totals.listeners[listener];
      add(from.limited, to.limited);
      to.slow += from.slow.get();
      add(from.refused, to.refused);
      add(from.answered, to.answered);
    }
    for (std::uint32_t pool = 0; pool < shape.pools.size(); ++pool) add(board.tally(thread, pool), totals.pools[pool]);
  }
}

}  // namespace drover::board
