#include "board/proxy_board.hpp"

#include <fcntl.h>

#include <cassert>
#include <cerrno>
#include <new>
#include <utility>

namespace drover::board {

namespace {

constexpr std::uint64_t kMagic = 0x31'62'78'72'70'76'72'64ULL;  // "drvprxb1" in memory
constexpr const char* kName = "drover proxy board";
constexpr std::size_t kLine = 64;

}  // namespace

ProxyBoard::Layout ProxyBoard::Layout::of(const Shape& shape) {
  static_assert(sizeof(ProxyRow) == kLine && sizeof(PoolCell) == kLine && sizeof(ThreadTally) % kLine == 0 && sizeof(PoolTally) % kLine == 0);
  static_assert(sizeof(FlightTable) % kLine == 0 && sizeof(Sketch) % kLine == 0 && sizeof(ListenerTally) % kLine == 0);
  const std::size_t pool_count = shape.pools.size();
  const std::size_t thread_count = shape.threads;
  Layout out{};
  out.rows = kPageBytes;
  out.pools = out.rows + shape.rows * sizeof(ProxyRow);
  out.threads = out.pools + pool_count * sizeof(PoolCell);
  out.tallies = out.threads + thread_count * sizeof(ThreadTally);
  out.flights = out.tallies + thread_count * pool_count * sizeof(PoolTally);
  out.sketches = out.flights + thread_count * sizeof(FlightTable);
  out.listeners = out.sketches + thread_count * sizeof(Sketch);
  out.latencies = out.listeners + thread_count * shape.listeners * sizeof(ListenerTally);
  out.total = out.latencies + shape.rows * sizeof(LatencyCell);
  return out;
}

ProxyBoard::ProxyBoard(base::UniqueFd fd, Mapping mapping, const Shape& shape, const Layout& layout)
    : fd_(std::move(fd)), mapping_(std::move(mapping)), shape_(shape), layout_(layout) {}

base::Result<ProxyBoard> ProxyBoard::create(const Shape& shape) {
  const Layout layout = Layout::of(shape);
  auto fd = make_memfd(kName, layout.total);
  if (!fd) return fd.error();
  if (::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_SEAL) != 0) return base::system_error("seal a proxy's board", errno);
  auto mapping = Mapping::map(fd->get(), layout.total, Mapping::Access::read_write);
  if (!mapping) return mapping.error();
  ProxyBoard board(std::move(*fd), std::move(*mapping), shape, layout);
  new (board.mapping_.data()) FirstPage(first_page(kMagic, shape, layout.total));
  // The file is zero, and so is every counter: constructing only what differs keeps the untouched pages unallocated.
  for (std::uint32_t i = 0; i < shape.rows; ++i) new (&board.row(i)) ProxyRow{};
  return board;
}

base::Result<ProxyBoard> ProxyBoard::attach(int fd, const Shape& shape) {
  const Layout layout = Layout::of(shape);
  auto mapping = map_checked(fd, first_page(kMagic, shape, layout.total), Mapping::Access::read_write, kName);
  if (!mapping) return mapping.error();
  return ProxyBoard(base::UniqueFd(), std::move(*mapping), shape, layout);
}

template <class T>
T& ProxyBoard::at(std::size_t part, std::size_t index) const {
  return *std::launder(reinterpret_cast<T*>(mapping_.data() + part) + index);
}

ProxyRow& ProxyBoard::row(std::uint32_t index) const {
  assert(index < shape_.rows);
  return at<ProxyRow>(layout_.rows, index);
}

PoolCell& ProxyBoard::pool(std::uint32_t index) const {
  assert(index < shape_.pools.size());
  return at<PoolCell>(layout_.pools, index);
}

ThreadTally& ProxyBoard::thread(std::uint32_t index) const {
  assert(index < shape_.threads);
  return at<ThreadTally>(layout_.threads, index);
}

PoolTally& ProxyBoard::tally(std::uint32_t thread, std::uint32_t pool) const {
  assert(thread < shape_.threads && pool < shape_.pools.size());
  return at<PoolTally>(layout_.tallies, thread * shape_.pools.size() + pool);
}

FlightTable& ProxyBoard::flights(std::uint32_t thread) const {
  assert(thread < shape_.threads);
  return at<FlightTable>(layout_.flights, thread);
}

Sketch& ProxyBoard::sketch(std::uint32_t thread) const {
  assert(thread < shape_.threads);
  return at<Sketch>(layout_.sketches, thread);
}

LatencyCell& ProxyBoard::latency(std::uint32_t row) const {
  assert(row < shape_.rows);
  return at<LatencyCell>(layout_.latencies, row);
}

ListenerTally& ProxyBoard::listener(std::uint32_t thread, std::uint32_t listener) const {
  assert(thread < shape_.threads && listener < shape_.listeners);
  return at<ListenerTally>(layout_.listeners, std::size_t{thread} * shape_.listeners + listener);
}

}  // namespace drover::board
