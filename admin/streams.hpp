// Role: the answers that come line by line: events, workers' output, an order's progress, answers to a request, changes of state. Each is bounded:
// who does not read in time
//       loses the oldest lines and is told how many.
// Thread: supervisor. Ownership: a source forgets its bell or its order when it goes.
#pragma once

#include "admin/door.hpp"
#include "admin/line_source.hpp"
#include "backends/journal.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace drover::admin {

void append_line(std::string& out, std::uint64_t number, const backends::ClusterEvent& event);
void append_line(std::string& out, std::uint64_t number, const backends::OutputLine& line);
/// {"event":"gap","lost":n}
void append_gap(std::string& out, std::uint64_t lost);

inline bool concerns(const backends::Target& target, const std::string& pool, std::uint32_t slot) {
  return target.pool == pool && (!target.slot || *target.slot == slot);
}

/// The items of a journal from number `from` on: those that are there, and with `follow` those that come.
template <class Item>
class JournalSource final : public LineSource {
 public:
  static constexpr int kLooks = 4096;  ///< items of other targets passed over in one pull

  JournalSource(backends::Journal<Item>& journal, std::uint64_t from, bool follow, std::optional<backends::Target> target)
      : journal_(journal), next_(from), last_(journal.next()), follow_(follow), target_(std::move(target)) {}
  ~JournalSource() override {
    if (bell_) journal_.forget(*bell_);
  }

  Pulled pull(std::string& out) override {
    const std::uint64_t end = follow_ ? journal_.next() : last_;
    for (int looks = 0; next_ < end && looks < kLooks && out.size() < kEnough; ++looks) {
      const std::uint64_t kept = std::min(journal_.kept_from(next_), end);
      if (kept > next_) append_gap(out, kept - next_);
      next_ = kept;
      if (kept == end) break;
      const Item& item = journal_.at(next_);
      if (!target_ || concerns(*target_, item.pool, item.slot)) append_line(out, next_, item);
      ++next_;
    }
    if (next_ < end) return Pulled::more;
    return follow_ ? Pulled::wait : Pulled::end;
  }

  void listen(std::function<void()> bell) override { bell_ = journal_.listen(std::move(bell)); }

  void wind_up() override {
    if (follow_) last_ = journal_.next();
    follow_ = false;
  }

 private:
  backends::Journal<Item>& journal_;
  std::uint64_t next_;
  std::uint64_t last_;  ///< not followed: the end
  bool follow_;
  std::optional<backends::Target> target_;
  std::optional<std::uint64_t> bell_;
};

/// Number of the first of the last `most` lines of that target.
std::uint64_t first_of_last(const backends::OutputJournal& journal, std::uint64_t most, const std::optional<backends::Target>& target);

/// The steps of one order, which goes on when the source goes.
class OrderSource final : public LineSource {
 public:
  static constexpr std::size_t kSteps = 256;  ///< that wait for the reader; older ones are dropped, the last one never

  /// Begins the order. Error: it was refused, nothing was begun.
  static base::Result<std::unique_ptr<OrderSource>> begin(const ClusterDoor& door, const backends::Order& order);
  ~OrderSource() override;

  Pulled pull(std::string& out) override;
  void listen(std::function<void()> bell) override { record_->bell = std::move(bell); }
  void wind_up() override { ending_ = true; }

 private:
  /// Shared with the watcher, which the supervisor may keep a little longer than the source lives.
  struct Record {
    std::deque<backends::OrderProgress> steps;
    std::uint64_t lost = 0;
    bool done = false;
    std::function<void()> bell;
  };
  OrderSource() : record_(std::make_shared<Record>()) {}

  std::shared_ptr<Record> record_;
  std::function<void(backends::OrderId)> forget_;
  backends::OrderId id_ = 0;
  bool ending_ = false;
};

/// Lines that somebody pushes; who does not read in time loses the oldest ones.
class PushedSource final : public LineSource {
 public:
  /// Shared with whoever pushes, who may keep it a little longer than the source lives.
  struct Record {
    std::size_t most_bytes = 0;  ///< that wait for the reader; the newest line is kept however long it is
    std::deque<std::string> lines;
    std::size_t bytes = 0;
    std::uint64_t lost = 0;
    bool done = false;
    std::function<void()> bell;

    /// `line` ends in "\n". `last`: no other follows, and no later one is taken.
    void push(std::string line, bool last);
  };
  static constexpr std::size_t kLines = 16 * 1024;  ///< whatever their bytes

  explicit PushedSource(std::size_t most_bytes) : record_(std::make_shared<Record>()) { record_->most_bytes = most_bytes; }
  ~PushedSource() override;

  const std::shared_ptr<Record>& record() const { return record_; }
  /// Called when the source goes before the last line was pushed.
  void on_leave(std::function<void()> leave) { leave_ = std::move(leave); }

  Pulled pull(std::string& out) override;
  void listen(std::function<void()> bell) override { record_->bell = std::move(bell); }
  void wind_up() override { ending_ = true; }

 private:
  std::shared_ptr<Record> record_;
  std::function<void()> leave_;
  bool ending_ = false;
};

}  // namespace drover::admin
