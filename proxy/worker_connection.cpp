#include "proxy/worker_connection.hpp"

#include <algorithm>

namespace drover::proxy {

namespace {

constexpr auto kFresh = std::chrono::seconds(1);

bool whole(WorkerConnection& connection, const balancer::Lease& lease, base::TimePoint now) {
  const Watch& watch = connection.stream.watch();
  return connection.incarnation == lease.incarnation && !watch.readable && !watch.hangup && now < connection.idle_until;
}

}  // namespace

Permit Permit::take(board::ProxyRow& row, std::uint32_t most) {
  std::uint32_t open = row.connections.load(std::memory_order_acquire);
  while (open < most) {
    if (row.connections.compare_exchange_weak(open, open + 1, std::memory_order_acq_rel)) return Permit(row);
  }
  return {};
}

void IdleConnections::put(WorkerConnectionPtr connection, base::TimePoint now) {
  auto& idle = rows_[connection->row];
  Watch& watch = connection->stream.watch();
  // A read that filled its buffer to the brim could not tell whether more stood behind it.
  if (watch.readable && !watch.hangup && connection->stream.quiet()) watch.readable = false;
  if (idle.size() >= kMaxPerRow || watch.readable) return;
  connection->in.free();
  watch.fiber = nullptr;
  watch.want = 0;
  connection->idle_since = now;
  connection->idle_until = now + connection->idle_most;
  idle.push_back(std::move(connection));
}

WorkerConnectionPtr IdleConnections::take(const balancer::Lease& lease, base::TimePoint now, bool proven) {
  auto& idle = rows_[lease.row];
  while (!idle.empty()) {
    // The others have been idle for longer still: they stay for requests that may be sent twice.
    if (proven && now - idle.back()->idle_since >= kFresh) return nullptr;
    WorkerConnectionPtr connection = std::move(idle.back());
    idle.pop_back();
    if (!whole(*connection, lease, now)) continue;
    if (!connection->stream.quiet()) continue;
    connection->reused = true;
    return connection;
  }
  return nullptr;
}

bool IdleConnections::close_oldest() {
  std::vector<WorkerConnectionPtr>* found = nullptr;
  for (auto& idle : rows_) {
    if (!idle.empty() && (found == nullptr || idle.front()->idle_since < found->front()->idle_since)) found = &idle;
  }
  if (found == nullptr) return false;
  found->erase(found->begin());
  return true;
}

void IdleConnections::sweep(base::TimePoint now) {
  for (auto& idle : rows_) {
    std::erase_if(idle, [&](const WorkerConnectionPtr& connection) {
      const Watch& watch = connection->stream.watch();
      return watch.readable || watch.hangup || now >= connection->idle_until;
    });
  }
}

void IdleConnections::cut(std::uint32_t row, base::Incarnation incarnation) {
  std::erase_if(rows_[row], [&](const WorkerConnectionPtr& connection) { return connection->incarnation == incarnation; });
}

void IdleConnections::close_behind_gates(const board::ProxyBoard& board) {
  for (std::uint32_t row = 0; row < rows_.size(); ++row) {
    auto& idle = rows_[row];
    if (idle.empty()) continue;
    std::erase_if(idle, [gate = board.gate(row)](const WorkerConnectionPtr& connection) { return !gate.still_open(connection->incarnation); });
  }
}

}  // namespace drover::proxy
