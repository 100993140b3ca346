// Role: who can be spoken to over a channel, and whose messages go to whom: one worker, a pool, or the operator, who asks as if he were
//       one. Requests are remembered until they are answered or their time is over.
// Thread: supervisor's loop. Ownership: borrows channels, which their pools add and remove; owns its timer and the operators' watchers,
//         until they have heard `last` or are forgotten.
//
// A message for one worker goes to the present incarnation of its slot; one for a pool, and the pool's syncs, to every one of its
// incarnations that has a channel. To send may end the receiver's channel, so that lines are looked for anew after each.
#pragma once

#include "backends/messages.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "ipc/channel.hpp"
#include "ipc/message.hpp"
#include "ipc/pending.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::backends {

class Switchboard {
 public:
  static constexpr std::size_t kOperatorRequestsMost = 64;

  struct Hooks {
    /// By name.
    std::function<std::optional<std::uint32_t>(std::string_view pool)> pool;
    /// The incarnation that holds the slot now; 0: none lives; nothing: there is no such slot.
    std::function<std::optional<base::Incarnation>(std::uint32_t pool, std::uint32_t slot)> present;
  };
  /// Of one pool, by who sent it.
  struct Undelivered {
    std::uint64_t unknown_target = 0;
    std::uint64_t no_channel = 0;     ///< the worker has none, or is not there now
    std::uint64_t too_many = 0;       ///< requests beyond those that may wait at once
    std::uint64_t late_response = 0;  ///< nobody waits for it, or waits no more, or it was asked of another
  };

  Switchboard(boost::asio::io_context& io, Hooks hooks);
  Switchboard(const Switchboard&) = delete;

  /// `channel` must be removed before it goes.
  void add(const ipc::PeerId& peer, ipc::Origin origin, ipc::Channel& channel);
  void set_pid(const ipc::PeerId& peer, pid_t pid);
  /// It can't be spoken to any more, why: "has ended", "has closed its channel". Who waits for its answers is told; what it has asked is
  /// forgotten.
  void remove(const ipc::PeerId& peer, std::string_view why);

  /// A message of a worker's that may have a receiver.
  void route(const ipc::PeerId& from, boost::json::object message);
  /// A response of a worker's.
  void answer(const ipc::PeerId& from, boost::json::object message);
  /// What drover itself answers: lost if the worker has no channel any more.
  void reply(const ipc::PeerId& to, std::string line);
  /// That key of the pool's state has changed; by whom: he is not told.
  void sync(std::uint32_t pool, const std::string& key, const ipc::PeerId& by);
  void change(const ipc::PeerId& to, std::string line);

  // The operator. Errors as admin/door.hpp names them.
  base::Result<std::size_t> send(const Target& target, std::string_view type, const boost::json::value& data);
  base::Result<RequestNumber> request(const Target& target, std::string_view type, const boost::json::value& data, base::Millis timeout,
                                      AnswerWatcher watcher);
  void forget(RequestNumber number);

  Undelivered undelivered(std::uint32_t pool) const;

 private:
  using Timer = boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, boost::asio::io_context::executor_type>;

  struct Line {
    ipc::Origin origin;
    ipc::Channel* channel = nullptr;
  };
  struct OperatorRequest {
    AnswerWatcher watcher;
    std::map<ipc::PeerId, std::string> waits_for;
    base::TimePoint until{};
    base::Millis timeout{};
  };

  const Line* find(const ipc::PeerId& peer) const;
  std::vector<ipc::PeerId> lines_of(std::uint32_t pool) const;
  std::optional<ipc::PeerId> present(std::uint32_t pool, std::uint32_t slot) const;
  void to_pool(std::uint32_t pool, const ipc::Origin& origin, boost::json::object message);
  void to_one(const ipc::PeerId& from, const ipc::PeerId& to, boost::json::object message);
  void refuse(const ipc::PeerId& from, const boost::json::object& message, const std::string& why);

  base::Result<std::vector<ipc::PeerId>> receivers(const Target& target, bool present_only) const;
  void operator_answered(const ipc::PeerId& from, RequestNumber number, WorkerAnswer answer);
  static ipc::PeerId operator_peer(RequestNumber number) { return {0, 0, number}; }

  void set_timer();
  void expire();

  Hooks hooks_;
  std::map<ipc::PeerId, Line> lines_;
  std::map<std::uint32_t, Undelivered> undelivered_;
  ipc::PendingRequests pending_;
  std::map<RequestNumber, OperatorRequest> operators_;
  RequestNumber last_ = 0;
  Timer timer_;
  std::optional<base::TimePoint> timer_at_;
};

}  // namespace drover::backends
