#include "board/proxy_board.hpp"
#include "board/supervisor_board.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

namespace drover::board {
namespace {

Shape small_shape() {
  const std::uint32_t workers[] = {2, 3};
  return make_shape(workers, 2, 1);
}

WorkerInfo worker(std::uint32_t slot, base::Incarnation incarnation, std::uint16_t port) {
  WorkerInfo info;
  info.slot = slot;
  info.incarnation = incarnation;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::memcpy(&info.endpoint.storage, &address, sizeof address);
  info.endpoint.length = sizeof address;
  return info;
}

TEST(Shape, PoolsStandInOrderWithSpareRows) {
  const Shape shape = small_shape();
  ASSERT_EQ(shape.pools.size(), 2U);
  EXPECT_EQ(shape.pools[0].first, 0U);
  EXPECT_EQ(shape.pools[0].count, Shape::rows_for(2));
  EXPECT_EQ(shape.pools[1].first, shape.pools[0].count);
  EXPECT_EQ(shape.rows, Shape::rows_for(2) + Shape::rows_for(3));
}

TEST(Shape, RowsOfAPoolAreBounded) {
  EXPECT_EQ(Shape::rows_for(kMaxWorkersPerPool), kMaxRowsPerPool);
  EXPECT_EQ(Shape::rows_for(1), kSlotsAtLeast * 2 + kDrainReserve);
  EXPECT_EQ(Shape::slots_for(std::uint32_t{1} << 31U), kMaxWorkersPerPool) << "twice as many is no longer a number";
  EXPECT_EQ(Shape::rows_for(std::numeric_limits<std::uint32_t>::max()), kMaxRowsPerPool);
}

TEST(SupervisorBoard, RowsComeOutAsWritten) {
  const Shape shape = small_shape();
  auto ours = SupervisorBoard::create(shape);
  ASSERT_TRUE(ours) << ours.error().message;
  auto theirs = SupervisorBoard::attach(ours->fd(), shape);
  ASSERT_TRUE(theirs) << theirs.error().message;

  ours->write_row(3, worker(2, 9, 20123));
  WorkerInfo seen;
  ASSERT_TRUE(theirs->read_row(3, seen));
  EXPECT_EQ(seen.slot, 2U);
  EXPECT_EQ(seen.incarnation, 9U);
  EXPECT_EQ(theirs->slot(3), 2U);
  sockaddr_in address{};
  std::memcpy(&address, &seen.endpoint.storage, sizeof address);
  EXPECT_EQ(ntohs(address.sin_port), 20123);
  EXPECT_EQ(seen.endpoint.family(), AF_INET);

  ours->clear_row(3);
  ASSERT_TRUE(theirs->read_row(3, seen));
  EXPECT_EQ(seen.incarnation, 0U);
}

TEST(SupervisorBoard, LongestUnixPathFits) {
  const Shape shape = small_shape();
  auto board = SupervisorBoard::create(shape);
  ASSERT_TRUE(board);
  WorkerInfo info;
  info.incarnation = 1;
  info.endpoint.storage.sun_family = AF_UNIX;
  std::memset(info.endpoint.storage.sun_path, 'p', sizeof info.endpoint.storage.sun_path);
  info.endpoint.length = sizeof(sockaddr_un);
  board->write_row(0, info);
  WorkerInfo seen;
  ASSERT_TRUE(board->read_row(0, seen));
  EXPECT_EQ(std::memcmp(&seen.endpoint.storage, &info.endpoint.storage, sizeof info.endpoint.storage), 0);
  EXPECT_EQ(seen.endpoint.length, info.endpoint.length);
}

TEST(SupervisorBoard, LoadOfALifeIsForgottenWithIt) {
  auto board = SupervisorBoard::create(small_shape());
  ASSERT_TRUE(board);
  board->write_row(0, worker(1, 1, 1));
  board->write_load(0, 5000);
  const std::uint32_t epoch = board->load_epoch(0);
  board->write_row(0, worker(1, 1, 2));
  EXPECT_EQ(board->memory(0), 5000U) << "the same life";
  board->write_row(0, worker(1, 2, 1));
  EXPECT_EQ(board->memory(0), 0U);
  EXPECT_NE(board->load_epoch(0), epoch);
}

TEST(SupervisorBoard, SmallWordsComeOutAsWritten) {
  const Shape shape = small_shape();
  auto board = SupervisorBoard::create(shape);
  ASSERT_TRUE(board);
  auto theirs = SupervisorBoard::attach(board->fd(), shape);
  ASSERT_TRUE(theirs);
  EXPECT_EQ(theirs->connection_share(1), UINT32_MAX) << "no limit until one is given";
  board->write_connection_share(1, 4);
  EXPECT_EQ(theirs->connection_share(1), 4U);
  EXPECT_EQ(theirs->expected(1), 0U);
  board->write_expected(1, 3);
  EXPECT_EQ(theirs->expected(1), 3U);
  EXPECT_EQ(theirs->expected(0), 0U);
  const std::uint32_t epoch = theirs->epoch();
  board->bump_epoch();
  EXPECT_EQ(theirs->epoch(), epoch + 1);
  board->beat(123);
  EXPECT_EQ(theirs->last_beat(), 123U);
}

TEST(SupervisorBoard, RowsUsedAndSleepComeOutAsWritten) {
  const Shape shape = small_shape();
  auto board = SupervisorBoard::create(shape);
  ASSERT_TRUE(board);
  auto theirs = SupervisorBoard::attach(board->fd(), shape);
  ASSERT_TRUE(theirs);
  EXPECT_EQ(theirs->rows_used(1), shape.pools[1].count) << "all, until it is said otherwise";
  board->write_rows_used(1, 2);
  EXPECT_EQ(theirs->rows_used(1), 2U);
  EXPECT_EQ(theirs->rows_used(0), shape.pools[0].count);
  EXPECT_FALSE(theirs->asleep(0));
  board->write_asleep(0, true);
  EXPECT_TRUE(theirs->asleep(0));
  EXPECT_FALSE(theirs->asleep(1));
  EXPECT_FALSE(theirs->waking(0));
  board->write_waking(0, true);
  EXPECT_TRUE(theirs->waking(0));
  EXPECT_FALSE(theirs->waking(1));
  board->write_waking(0, false);
  EXPECT_FALSE(theirs->waking(0));
  board->write_asleep(0, false);
  EXPECT_FALSE(theirs->asleep(0));
}

TEST(SupervisorBoard, ANewLifeHasItsWholeShare) {
  auto board = SupervisorBoard::create(small_shape());
  ASSERT_TRUE(board);
  EXPECT_EQ(board->share(0), 100U);
  board->write_row(0, worker(1, 1, 1));
  board->write_share(0, 50);
  board->write_row(0, worker(1, 1, 2));
  EXPECT_EQ(board->share(0), 50U) << "the same life";
  board->write_row(0, worker(1, 2, 1));
  EXPECT_EQ(board->share(0), 100U);
  board->write_share(0, 250);
  EXPECT_EQ(board->share(0), 100U);
}

TEST(SupervisorBoard, BlockedUntilTheirTimeIsOver) {
  const Shape shape = small_shape();
  auto board = SupervisorBoard::create(shape);
  ASSERT_TRUE(board);
  auto theirs = SupervisorBoard::attach(board->fd(), shape);
  ASSERT_TRUE(theirs);
  EXPECT_FALSE(theirs->any_blocked());
  const SupervisorBoard::Blocked list[] = {{11, 100}, {22, 200}};
  board->write_blocked(list);
  EXPECT_TRUE(theirs->any_blocked());
  EXPECT_TRUE(theirs->blocked(11, 99));
  EXPECT_FALSE(theirs->blocked(11, 100));
  EXPECT_TRUE(theirs->blocked(22, 100));
  EXPECT_FALSE(theirs->blocked(33, 0));
  board->write_blocked({});
  EXPECT_FALSE(theirs->any_blocked());
  EXPECT_FALSE(theirs->blocked(22, 100)) << "what stood there before is not read";
  std::vector<SupervisorBoard::Blocked> many(SupervisorBoard::kMaxBlocked + 1);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = {i + 1, 10};
  board->write_blocked(many);
  EXPECT_TRUE(theirs->blocked(SupervisorBoard::kMaxBlocked, 0));
  EXPECT_FALSE(theirs->blocked(SupervisorBoard::kMaxBlocked + 1, 0));
  EXPECT_EQ(theirs->expected(0), 0U) << "the list stays within the first page";
}

TEST(SupervisorBoard, NobodyCanMapOrWriteItAnew) {
  auto board = SupervisorBoard::create(small_shape());
  ASSERT_TRUE(board);
  EXPECT_EQ(::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, board->fd(), 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  char byte = 1;
  EXPECT_EQ(::pwrite(board->fd(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(board->fd(), 0), -1);
  EXPECT_EQ(::ftruncate(board->fd(), 1 << 24), -1);
  EXPECT_EQ(::fcntl(board->fd(), F_ADD_SEALS, F_SEAL_WRITE), -1);

  void* reader = ::mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, board->fd(), 0);
  ASSERT_NE(reader, MAP_FAILED);
  EXPECT_EQ(::mprotect(reader, kPageBytes, PROT_READ | PROT_WRITE), -1);
  ::munmap(reader, kPageBytes);

  board->write_row(0, worker(1, 1, 1));  // our own mapping still writes
  WorkerInfo seen;
  ASSERT_TRUE(board->read_row(0, seen));
  EXPECT_EQ(seen.incarnation, 1U);
}

TEST(SupervisorBoard, AttachOutlivesTheDescriptor) {
  const Shape shape = small_shape();
  auto ours = SupervisorBoard::create(shape);
  ASSERT_TRUE(ours);
  const int copy = ::dup(ours->fd());
  auto theirs = SupervisorBoard::attach(copy, shape);
  ASSERT_TRUE(theirs);
  ::close(copy);
  EXPECT_EQ(theirs->fd(), -1);
  ours->bump_epoch();
  EXPECT_EQ(theirs->epoch(), ours->epoch());
}

TEST(Boards, AttachRefusesAnotherKindOfBoard) {
  const Shape shape = small_shape();
  auto supervisor = SupervisorBoard::create(shape);
  auto proxy = ProxyBoard::create(shape);
  ASSERT_TRUE(supervisor && proxy);
  const auto one = SupervisorBoard::attach(proxy->fd(), shape);
  ASSERT_FALSE(one);
  EXPECT_NE(one.error().message.find("magic"), std::string::npos) << one.error().message;
  EXPECT_FALSE(ProxyBoard::attach(supervisor->fd(), shape));
}

TEST(Boards, AttachRefusesAnotherShape) {
  auto supervisor = SupervisorBoard::create(small_shape());
  auto proxy = ProxyBoard::create(small_shape());
  ASSERT_TRUE(supervisor && proxy);
  const std::uint32_t workers[] = {2, 40};
  for (const Shape& other : {make_shape(workers, 2, 1), make_shape({workers, 1}, 2, 1)}) {
    EXPECT_FALSE(SupervisorBoard::attach(supervisor->fd(), other));
    EXPECT_FALSE(ProxyBoard::attach(proxy->fd(), other));
  }
  Shape threads = small_shape();
  threads.threads = 3;
  const auto refused = ProxyBoard::attach(proxy->fd(), threads);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("threads 2 instead of 3"), std::string::npos) << refused.error().message;
  Shape listeners = small_shape();
  listeners.listeners = 2;
  EXPECT_FALSE(ProxyBoard::attach(proxy->fd(), listeners));
}

TEST(Boards, AttachRefusesAnotherLayoutVersion) {
  const Shape shape = small_shape();
  auto proxy = ProxyBoard::create(shape);
  ASSERT_TRUE(proxy);
  auto raw = Mapping::map(proxy->fd(), kPageBytes, Mapping::Access::read_write);
  ASSERT_TRUE(raw);
  FirstPage page;
  std::memcpy(&page, raw->data(), sizeof page);
  page.layout_version += 1;
  std::memcpy(raw->data(), &page, sizeof page);
  const auto refused = ProxyBoard::attach(proxy->fd(), shape);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("layout version"), std::string::npos);
}

TEST(Boards, AttachRefusesWhatIsNoSealedMemoryFile) {
  const Shape shape = small_shape();
  const int plain = ::memfd_create("plain", MFD_CLOEXEC);
  ASSERT_GE(plain, 0);
  ASSERT_EQ(::ftruncate(plain, 1 << 20), 0);
  EXPECT_FALSE(ProxyBoard::attach(plain, shape));
  EXPECT_FALSE(SupervisorBoard::attach(plain, shape));
  ::close(plain);
  EXPECT_FALSE(ProxyBoard::attach(-1, shape));
  auto tiny = make_memfd("tiny", 64);
  ASSERT_TRUE(tiny);
  EXPECT_FALSE(ProxyBoard::attach(tiny->get(), shape));
}

TEST(ProxyBoard, BothSidesSeeTheSameWords) {
  const Shape shape = small_shape();
  auto ours = ProxyBoard::create(shape);
  ASSERT_TRUE(ours);
  auto theirs = ProxyBoard::attach(ours->fd(), shape);
  ASSERT_TRUE(theirs) << theirs.error().message;
  for (std::uint32_t row = 0; row < shape.rows; ++row) EXPECT_FALSE(theirs->gate(row).enter(0)) << "a fresh row is closed";
  ASSERT_TRUE(ours->gate(4).open(1));
  EXPECT_TRUE(theirs->gate(4).enter(1));
  EXPECT_EQ(ours->gate(4).view().count, 1U);
  theirs->tally(1, 1).request(Method::post, 201);
  EXPECT_EQ(ours->tally(1, 1).requests[2][101].get(), 1U);
  EXPECT_EQ(ours->tally(0, 1).requests[2][101].get(), 0U);
  theirs->client_connections(1, 0).set(5);
  EXPECT_EQ(ours->client_connections(1, 0).get(), 5U);
  EXPECT_EQ(ours->client_connections(0, 0).get(), 0U);
}

TEST(ProxyBoard, NoTwoPartsOverlap) {
  const std::uint32_t workers[] = {1, 5, 2};
  const Shape shape = make_shape(workers, 3, 9);
  auto board = ProxyBoard::create(shape);
  ASSERT_TRUE(board);
  std::uint64_t mark = 1;
  for (std::uint32_t i = 0; i < shape.rows; ++i) board->row(i).claims.store(mark++);
  for (std::uint32_t i = 0; i < 3; ++i) board->pool(i).position.store(mark++);
  for (std::uint32_t t = 0; t < 3; ++t) {
    board->thread(t).heartbeat_ns.set(mark++);
    for (std::uint32_t p = 0; p < 3; ++p) {
      board->tally(t, p).requests[0][0].set(mark++);
      board->tally(t, p).blocked.set(mark++);
    }
    for (std::uint32_t l = 0; l < 9; ++l) board->client_connections(t, l).set(mark++);
  }
  mark = 1;
  for (std::uint32_t i = 0; i < shape.rows; ++i) EXPECT_EQ(board->row(i).claims.load(), mark++);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(board->pool(i).position.load(), mark++);
  for (std::uint32_t t = 0; t < 3; ++t) {
    EXPECT_EQ(board->thread(t).heartbeat_ns.get(), mark++);
    for (std::uint32_t p = 0; p < 3; ++p) {
      EXPECT_EQ(board->tally(t, p).requests[0][0].get(), mark++);
      EXPECT_EQ(board->tally(t, p).blocked.get(), mark++);
    }
    for (std::uint32_t l = 0; l < 9; ++l) EXPECT_EQ(board->client_connections(t, l).get(), mark++);
  }
}

TEST(ProxyBoard, TalliesCostNoMemoryUntilUsed) {
  const std::vector<std::uint32_t> workers(64, 2);
  auto board = ProxyBoard::create(make_shape(workers, 16, 1));
  ASSERT_TRUE(board);
  struct stat facts {};
  ASSERT_EQ(::fstat(board->fd(), &facts), 0);
  EXPECT_GT(facts.st_size, 16 << 20);
  EXPECT_LT(facts.st_blocks * 512, 256 << 10);
}

}  // namespace
}  // namespace drover::board
