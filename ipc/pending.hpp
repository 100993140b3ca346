// Role: requests that wait for their response: who asked, under which id of his own, until when. Pure.
// Thread: supervisor. Ownership: values; bounded in number.
#pragma once

#include "base/units.hpp"

#include <boost/json/value.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace drover::ipc {

/// Names one life of a worker, or (slot 0) an operator's request, for whoever asks and answers.
struct PeerId {
  std::uint32_t pool = 0;
  std::uint32_t slot = 0;
  std::uint64_t incarnation = 0;  ///< of an operator: the request's number
  auto operator<=>(const PeerId&) const = default;
};

struct PendingRequest {
  PeerId asker;
  PeerId answerer;
  boost::json::value id;  ///< the asker's own
  base::TimePoint until{};
};

class PendingRequests {
 public:
  static constexpr std::size_t kMost = 16 * 1024;     ///< of all askers
  static constexpr std::size_t kMostPerAsker = 1024;  ///< not of an operator
  static constexpr std::size_t kExpiredAtOnce = 256;
  static constexpr base::Millis kDefaultTime{5000};
  static constexpr base::Millis kLongest{60'000};

  /// For so many more requests of that asker.
  bool has_room(const PeerId& asker, std::size_t more = 1) const;
  /// Returns the id under which the answerer gets it ("d:" and a number). "": there is no room, it is not kept.
  std::string add(PendingRequest request);
  /// The answer has come from `from`: the request, once. None: nothing waits under that id, its time is over, or it was asked of another.
  std::optional<PendingRequest> answered(const boost::json::value& original_id, const PeerId& from, base::TimePoint now);
  /// Its askers must be told.
  std::vector<PendingRequest> answerer_gone(const PeerId& answerer);
  void asker_gone(const PeerId& asker);
  /// Takes out and returns those whose time is over, kExpiredAtOnce at most: next_expiry() tells of the rest.
  std::vector<PendingRequest> expire(base::TimePoint now);
  std::optional<base::TimePoint> next_expiry() const;
  std::size_t size() const { return requests_.size(); }

 private:
  using Requests = std::map<std::uint64_t, PendingRequest>;  ///< by the number in the id
  using ByPeer = std::map<PeerId, std::set<std::uint64_t>>;
  PendingRequest take(Requests::iterator at);
  static void forget(ByPeer& peers, const PeerId& peer, std::uint64_t number);

  std::uint64_t last_ = 0;
  Requests requests_;
  ByPeer by_asker_;
  ByPeer by_answerer_;
  std::set<std::pair<base::TimePoint, std::uint64_t>> by_time_;
};

}  // namespace drover::ipc
