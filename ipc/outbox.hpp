// Role: what is to be written to one worker, bounded: which line is next, which may be dropped, which is made only now. Pure: it writes
//       nothing itself, and knows no JSON. The rules stand in ipc/channel.hpp.
// Thread: supervisor's loop. Ownership: owns the lines and the descriptors that wait.
//
// Four queues, one order: each entry has a number, the lowest goes first. Entries with a descriptor wait for each other in a queue of
// their own, which the others pass by.
#pragma once

#include "base/unique_fd.hpp"

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_set>

namespace drover::ipc {

class Outbox {
  enum Kind : std::uint8_t { kMust, kMessage, kSync, kDescriptor, kKinds };
  struct Entry {
    std::uint64_t number = 0;
    std::string line;  // with its "\n"; of a sync: only while it is in a batch or half written
    std::string key;   // of a sync
    base::UniqueFd descriptor;
    std::size_t cost = 0;  // as counted in bytes_
  };
  using Queue = std::list<Entry>;
  using Place = Queue::iterator;

 public:
  struct Limits {
    std::size_t messages = 0;  ///< bytes, but the newest message always has its place
    std::size_t all = 0;       ///< bytes
  };
  static constexpr std::size_t kEntryBytes = 160;  ///< what an entry costs beside its text: the list's node, the heap's, a key's place in the set
  static constexpr std::size_t kBatchLines = 64;
  static constexpr std::size_t kBatchBytes = 64 * 1024;  ///< reached or passed by the last line of a batch

  explicit Outbox(Limits limits) : limits_(limits) {}

  void add(std::string line);
  void add(std::string line, base::UniqueFd descriptor);
  /// Returns how many messages were dropped for want of room.
  std::size_t add_message(std::string line);
  void add_sync(const std::string& key);
  void descriptor_settled() { in_flight_ = false; }
  void clear();

  /// One sendmsg(2).
  struct Batch {
    std::array<iovec, kBatchLines> parts;
    std::size_t count = 0;
    std::size_t bytes = 0;
    int descriptor = -1;  ///< goes with the first byte

   private:
    friend class Outbox;
    void add(Kind kind, Place place, std::size_t from);
    std::array<Kind, kBatchLines> kinds_;
    std::array<Place, kBatchLines> places_;
  };
  using MakeLine = std::function<std::string(const std::string& key)>;
  /// What is to be written next; none: nothing, or nothing before descriptor_settled(). The batch is valid until written(), which must
  /// follow; in between (`make` may have such effects) lines may be added, and no message is dropped.
  void next(Batch& batch, const MakeLine& make);
  /// That many bytes of the batch were taken. Lines that `make` made and that were not begun are forgotten: they will be made anew.
  /// Returns the number of lines that are whole now.
  std::size_t written(const Batch& batch, std::size_t bytes);

  bool ready() const;  ///< next() would give something (or find that a key has nothing to tell)
  bool descriptor_under_way() const { return in_flight_ || !queues_[kDescriptor].empty(); }
  std::size_t bytes() const { return bytes_[kMust] + bytes_[kMessage] + bytes_[kSync] + bytes_[kDescriptor]; }
  /// Of what must not be lost.
  std::size_t must_bytes() const { return bytes_[kMust] + bytes_[kDescriptor]; }
  bool over() const { return bytes() > limits_.all; }

 private:
  using Places = std::array<Place, kKinds>;
  Entry& put(Kind kind, std::string line);
  void count(Kind kind, Entry& entry);
  void take(Kind kind, Place place);
  Kind lowest(const Places& at, std::uint64_t last, bool with_descriptor) const;
  bool make_line(Place place, const MakeLine& make);
  void unmake(Place place);
  std::size_t drop_messages();

  Limits limits_;
  std::uint64_t last_ = 0;
  std::array<Queue, kKinds> queues_;
  std::array<std::size_t, kKinds> bytes_{};
  std::unordered_set<std::string_view> waiting_keys_;  // views into entries whose line is not made
  bool in_flight_ = false;                             // a descriptor was passed and is not settled
  bool in_batch_ = false;
  Kind begun_kind_ = kMust;
  std::size_t begun_ = 0;  // bytes written of the line that is under way, if any: it is the first of begun_kind_'s queue
};

}  // namespace drover::ipc
