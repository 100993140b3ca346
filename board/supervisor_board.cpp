#include "board/supervisor_board.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace drover::board {

namespace {

constexpr std::uint64_t kMagic = 0x31'62'70'75'73'76'72'64ULL;  // "drvsupb1" in memory
constexpr const char* kName = "drover supervisor board";
constexpr std::size_t kEndpointWords = (sizeof(sockaddr_un) + 7) / 8;
constexpr std::size_t kRowWords = 2 + kEndpointWords;
constexpr int kReadTries = 64;

using RowWords = std::array<std::uint64_t, kRowWords>;

RowWords encode(const WorkerInfo& info) {
  RowWords words{};
  words[0] = (static_cast<std::uint64_t>(info.slot) << 32U) | info.incarnation;
  words[1] = info.endpoint.length;
  std::memcpy(&words[2], &info.endpoint.storage, sizeof info.endpoint.storage);
  return words;
}

void decode(const RowWords& words, WorkerInfo& info) {
  info.slot = static_cast<std::uint32_t>(words[0] >> 32U);
  info.incarnation = static_cast<base::Incarnation>(words[0]);
  info.endpoint.length = static_cast<socklen_t>(words[1]);
  std::memcpy(&info.endpoint.storage, &words[2], sizeof info.endpoint.storage);
}

}  // namespace

/// All words below are written by the supervisor's deciding thread alone.
struct SupervisorBoard::Header {
  struct BlockedCell {
    std::atomic<std::uint64_t> fingerprint;
    std::atomic<std::uint64_t> until_ns;
  };
  FirstPage first;
  // The count is read by each request: it stands with what never changes, far from the beat.
  std::atomic<std::uint32_t> blocked_count;
  std::atomic<std::uint32_t> blocked_version;  ///< odd while the list is being rewritten
  std::array<BlockedCell, kMaxBlocked> blocked;
  std::atomic<std::uint64_t> beat_ns;
  std::atomic<std::uint32_t> epoch;
};

struct alignas(64) SupervisorBoard::PoolCell {
  std::atomic<std::uint32_t> expected;
  std::atomic<std::uint32_t> rows_used;
  std::atomic<std::uint32_t> asleep;
  std::atomic<std::uint32_t> waking;
  std::atomic<std::uint64_t> hold_until_ns;
  std::atomic<std::uint32_t> maintenance;
  std::atomic<std::uint32_t> message_version;  ///< odd while the message is being rewritten
  std::atomic<std::uint32_t> message_length;
  std::array<std::atomic<std::uint64_t>, kMaxMessage / 8> message;
};

/// `version` is odd while `words` are being rewritten.
struct alignas(64) SupervisorBoard::Row {
  std::atomic<std::uint32_t> version;
  std::atomic<std::uint32_t> connection_share;
  std::atomic<std::uint64_t> memory_bytes;
  std::atomic<std::uint32_t> load_epoch;
  std::atomic<std::uint32_t> share;
  std::atomic<std::int32_t> pid;
  std::array<std::atomic<std::uint64_t>, kRowWords> words;
};

SupervisorBoard::SupervisorBoard(base::UniqueFd fd, Mapping mapping, const Shape& shape)
    : fd_(std::move(fd)), mapping_(std::move(mapping)), pools_(static_cast<std::uint32_t>(shape.pools.size())), rows_(shape.rows) {
  static_assert(sizeof(Header) <= kPageBytes);
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);
}

std::size_t SupervisorBoard::bytes(const Shape& shape) {
  return kPageBytes + shape.pools.size() * sizeof(PoolCell) + std::size_t{shape.rows} * sizeof(Row);
}

base::Result<SupervisorBoard> SupervisorBoard::create(const Shape& shape) {
  const std::size_t size = bytes(shape);
  auto fd = make_memfd(kName, size);
  if (!fd) return fd.error();
  auto mapping = Mapping::map(fd->get(), size, Mapping::Access::read_write);
  if (!mapping) return mapping.error();
  // From here on nobody maps or writes it anew, whoever gets the descriptor; our mapping, made before, goes on.
  if (::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return base::system_error("seal the supervisor's board against writing (needs Linux 5.1)", errno);
  }
  SupervisorBoard board(std::move(*fd), std::move(*mapping), shape);
  new (board.mapping_.data()) Header{first_page(kMagic, shape, size), {0}, {0}, {}, {0}, {0}};
  for (std::uint32_t i = 0; i < board.pools_; ++i) {
    new (&board.pool_cell(i)) PoolCell{};
    board.write_rows_used(i, shape.pools[i].count);
  }
  for (std::uint32_t i = 0; i < board.rows_; ++i) {
    new (&board.row_cell(i)) Row{};
    board.write_connection_share(i, UINT32_MAX);
    board.write_share(i, kFullShare);
  }
  return board;
}

base::Result<SupervisorBoard> SupervisorBoard::attach(int fd, const Shape& shape) {
  auto mapping = map_checked(fd, first_page(kMagic, shape, bytes(shape)), Mapping::Access::read_only, kName);
  if (!mapping) return mapping.error();
  return SupervisorBoard(base::UniqueFd(), std::move(*mapping), shape);
}

SupervisorBoard::Header& SupervisorBoard::header() const { return *std::launder(reinterpret_cast<Header*>(mapping_.data())); }

SupervisorBoard::PoolCell& SupervisorBoard::pool_cell(std::uint32_t pool) const {
  assert(pool < pools_);
  return *std::launder(reinterpret_cast<PoolCell*>(mapping_.data() + kPageBytes) + pool);
}

SupervisorBoard::Row& SupervisorBoard::row_cell(std::uint32_t row) const {
  assert(row < rows_);
  return *std::launder(reinterpret_cast<Row*>(mapping_.data() + kPageBytes + pools_ * sizeof(PoolCell)) + row);
}

void SupervisorBoard::write_row(std::uint32_t row, const WorkerInfo& info) {
  Row& cell = row_cell(row);
  const RowWords words = encode(info);
  // A new life must not be judged by the memory or the word of the one that had the row before.
  if (static_cast<base::Incarnation>(cell.words[0].load(std::memory_order_relaxed)) != info.incarnation) {
    write_load(row, 0);
    write_share(row, kFullShare);
    write_pid(row, 0);
  }
  const std::uint32_t version = cell.version.load(std::memory_order_relaxed);
  cell.version.store(version + 1, std::memory_order_relaxed);
  // Each word is released, so that whoever reads a new one also sees the odd version: no fence, which TSan would not know.
  for (std::size_t i = 0; i < kRowWords; ++i) cell.words[i].store(words[i], std::memory_order_release);
  cell.version.store(version + 2, std::memory_order_release);
}

bool SupervisorBoard::read_row(std::uint32_t row, WorkerInfo& out) const {
  const Row& cell = row_cell(row);
  RowWords words{};
  for (int tries = 0; tries < kReadTries; ++tries) {
    const std::uint32_t before = cell.version.load(std::memory_order_acquire);
    if ((before & 1U) != 0) continue;
    for (std::size_t i = 0; i < kRowWords; ++i) words[i] = cell.words[i].load(std::memory_order_acquire);
    if (cell.version.load(std::memory_order_relaxed) != before) continue;
    decode(words, out);
    return true;
  }
  return false;
}

void SupervisorBoard::write_load(std::uint32_t row, std::uint64_t memory_bytes) {
  Row& cell = row_cell(row);
  cell.memory_bytes.store(memory_bytes, std::memory_order_relaxed);
  cell.load_epoch.store(cell.load_epoch.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void SupervisorBoard::write_pid(std::uint32_t row, std::int32_t pid) { row_cell(row).pid.store(pid, std::memory_order_release); }

std::int32_t SupervisorBoard::pid(std::uint32_t row) const { return row_cell(row).pid.load(std::memory_order_acquire); }

void SupervisorBoard::write_connection_share(std::uint32_t row, std::uint32_t share) {
  row_cell(row).connection_share.store(share, std::memory_order_release);
}

std::uint32_t SupervisorBoard::slot(std::uint32_t row) const {
  return static_cast<std::uint32_t>(row_cell(row).words[0].load(std::memory_order_relaxed) >> 32U);
}

std::uint64_t SupervisorBoard::memory(std::uint32_t row) const { return row_cell(row).memory_bytes.load(std::memory_order_relaxed); }

std::uint32_t SupervisorBoard::load_epoch(std::uint32_t row) const { return row_cell(row).load_epoch.load(std::memory_order_acquire); }

std::uint32_t SupervisorBoard::connection_share(std::uint32_t row) const { return row_cell(row).connection_share.load(std::memory_order_acquire); }

void SupervisorBoard::write_expected(std::uint32_t pool, std::uint32_t workers) {
  pool_cell(pool).expected.store(workers, std::memory_order_release);
}

std::uint32_t SupervisorBoard::expected(std::uint32_t pool) const { return pool_cell(pool).expected.load(std::memory_order_acquire); }

void SupervisorBoard::write_rows_used(std::uint32_t pool, std::uint32_t rows) { pool_cell(pool).rows_used.store(rows, std::memory_order_release); }

std::uint32_t SupervisorBoard::rows_used(std::uint32_t pool) const { return pool_cell(pool).rows_used.load(std::memory_order_acquire); }

void SupervisorBoard::write_asleep(std::uint32_t pool, bool asleep) { pool_cell(pool).asleep.store(asleep ? 1 : 0, std::memory_order_release); }

bool SupervisorBoard::asleep(std::uint32_t pool) const { return pool_cell(pool).asleep.load(std::memory_order_acquire) != 0; }

void SupervisorBoard::write_waking(std::uint32_t pool, bool waking) { pool_cell(pool).waking.store(waking ? 1 : 0, std::memory_order_release); }

bool SupervisorBoard::waking(std::uint32_t pool) const { return pool_cell(pool).waking.load(std::memory_order_acquire) != 0; }

void SupervisorBoard::write_hold(std::uint32_t pool, std::uint64_t until_ns) {
  pool_cell(pool).hold_until_ns.store(until_ns, std::memory_order_release);
}

std::uint64_t SupervisorBoard::hold_until(std::uint32_t pool) const { return pool_cell(pool).hold_until_ns.load(std::memory_order_acquire); }

void SupervisorBoard::write_maintenance(std::uint32_t pool, bool on, std::string_view message) {
  PoolCell& cell = pool_cell(pool);
  message = message.substr(0, kMaxMessage);
  std::array<std::uint64_t, kMaxMessage / 8> words{};
  std::memcpy(words.data(), message.data(), message.size());
  const std::uint32_t version = cell.message_version.load(std::memory_order_relaxed);
  cell.message_version.store(version + 1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < words.size(); ++i) cell.message[i].store(words[i], std::memory_order_release);
  cell.message_length.store(static_cast<std::uint32_t>(message.size()), std::memory_order_release);
  cell.message_version.store(version + 2, std::memory_order_release);
  cell.maintenance.store(on ? 1 : 0, std::memory_order_release);
}

bool SupervisorBoard::maintenance(std::uint32_t pool) const { return pool_cell(pool).maintenance.load(std::memory_order_acquire) != 0; }

std::string SupervisorBoard::maintenance_message(std::uint32_t pool) const {
  const PoolCell& cell = pool_cell(pool);
  std::array<std::uint64_t, kMaxMessage / 8> words{};
  for (int tries = 0; tries < kReadTries; ++tries) {
    const std::uint32_t before = cell.message_version.load(std::memory_order_acquire);
    if ((before & 1U) != 0) continue;
    const std::size_t length = std::min<std::size_t>(cell.message_length.load(std::memory_order_acquire), kMaxMessage);
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = cell.message[i].load(std::memory_order_acquire);
    if (cell.message_version.load(std::memory_order_relaxed) == before) return {reinterpret_cast<const char*>(words.data()), length};
  }
  return {};
}

void SupervisorBoard::write_share(std::uint32_t row, std::uint32_t percent) {
  row_cell(row).share.store(std::min(percent, kFullShare), std::memory_order_relaxed);
}

std::uint32_t SupervisorBoard::share(std::uint32_t row) const { return row_cell(row).share.load(std::memory_order_relaxed); }

void SupervisorBoard::write_blocked(std::span<const Blocked> list) {
  list = list.first(std::min(list.size(), kMaxBlocked));
  Header& head = header();
  const std::uint32_t version = head.blocked_version.load(std::memory_order_relaxed);
  head.blocked_version.store(version + 1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < list.size(); ++i) {
    head.blocked[i].fingerprint.store(list[i].fingerprint, std::memory_order_release);
    head.blocked[i].until_ns.store(list[i].until_ns, std::memory_order_release);
  }
  head.blocked_count.store(static_cast<std::uint32_t>(list.size()), std::memory_order_release);
  head.blocked_version.store(version + 2, std::memory_order_release);
}

bool SupervisorBoard::any_blocked() const { return header().blocked_count.load(std::memory_order_relaxed) != 0; }

bool SupervisorBoard::blocked(std::uint64_t fingerprint, std::uint64_t now_ns) const {
  const Header& head = header();
  for (int tries = 0; tries < kReadTries; ++tries) {
    const std::uint32_t before = head.blocked_version.load(std::memory_order_acquire);
    if ((before & 1U) != 0) continue;
    const std::uint32_t count = std::min<std::uint32_t>(head.blocked_count.load(std::memory_order_acquire), kMaxBlocked);
    bool found = false;
    for (std::uint32_t i = 0; i < count && !found; ++i) {
      const Header::BlockedCell& cell = head.blocked[i];
      found = cell.fingerprint.load(std::memory_order_acquire) == fingerprint && now_ns < cell.until_ns.load(std::memory_order_acquire);
    }
    if (head.blocked_version.load(std::memory_order_relaxed) == before) return found;
  }
  return false;
}

std::uint32_t SupervisorBoard::epoch() const { return header().epoch.load(std::memory_order_acquire); }

void SupervisorBoard::bump_epoch() {
  auto& epoch = header().epoch;
  epoch.store(epoch.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void SupervisorBoard::beat(std::uint64_t now_ns) { header().beat_ns.store(now_ns, std::memory_order_relaxed); }

std::uint64_t SupervisorBoard::last_beat() const { return header().beat_ns.load(std::memory_order_relaxed); }

}  // namespace drover::board
