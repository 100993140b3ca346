// Role: the messages state:* of one pool's workers and of the operator, carried out on its StateStore; who hears of changes.
// Thread: supervisor. Ownership: owns the store; members are named by numbers that the caller gives.
//
// Requests, and what each is answered. Keys and values may stand in `data` or at the top of the message.
//   state:get {key}                                  {key, value}; without `value`: the key has none
//   state:set {key, value, expires?}                 {success: true}; expires: "30s" or milliseconds from now on; none: it stays
//   state:delete {key}                               {success: true, existed}
//   state:all {prefix?, after?}                      {values: {…}, more}; no more than kAllBytes: then more is true and `after` the last key
//   state:incr {key, by?, expires?}                  {key, value}; by: 1
//   state:cas {key, expected?, value?, expires?}     {success: true|false, value}: what the key has now; without `expected`: it must have none
//   state:subscribe {workerId?, prefix?}             {success: true}; workerId means nothing: a worker hears by its own channel
//   state:unsubscribe                                {success: true}
#pragma once

#include "base/result.hpp"
#include "base/units.hpp"
#include "ipc/message.hpp"
#include "ipc/state_store.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace drover::ipc {

class StateService {
 public:
  static constexpr std::size_t kAllBytes = 256 * 1024;
  using Member = std::uint64_t;  ///< one life of a worker; never 0

  struct Hooks {
    /// Everybody but `by` gets state:sync for `key` (its line: sync_line()).
    std::function<void(const std::string& key, Member by)> sync;
    /// A state:change for one subscriber.
    std::function<void(Member member, std::string line)> change;
  };
  StateService(std::unique_ptr<StateStore> store, Hooks hooks);
  ~StateService();
  StateService(const StateService&) = delete;

  /// The response's `data`. Error: what the sender is told.
  base::Result<boost::json::value> handle(Member member, const Message& request, base::TimePoint now);
  /// Does a request of that type ask for something, so that it is answered even without an id?
  static bool asks(std::string_view type);
  /// And does nothing else?
  static bool only_asks(std::string_view type);
  void left(Member member);
  /// {type:"state:sync", data:{key, value}}; without value when the key is gone.
  std::string sync_line(const std::string& key, base::TimePoint now);

  StateStore& store() { return *store_; }
  const StateStore& store() const { return *store_; }

 private:
  struct Subscription {
    std::string prefix;
  };
  void changed(const StateChange& change);

  std::unique_ptr<StateStore> store_;
  Hooks hooks_;
  Origin self_;
  std::uint64_t watch_ = 0;
  std::map<Member, Subscription> subscribers_;
};

}  // namespace drover::ipc
