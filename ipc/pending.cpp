#include "ipc/pending.hpp"

#include <charconv>

namespace drover::ipc {

namespace {

constexpr std::string_view kPrefix = "d:";

/// The number in an id that add() gave out, written exactly as there. 0: none.
std::uint64_t number_of(const boost::json::value& id) {
  const boost::json::string* text = id.if_string();
  if (text == nullptr || !std::string_view(text->data(), text->size()).starts_with(kPrefix)) return 0;
  const char* begin = text->data() + kPrefix.size();
  const char* end = text->data() + text->size();
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc{} && stop == end && *begin != '0' ? number : 0;
}

}  // namespace

bool PendingRequests::has_room(const PeerId& asker, std::size_t more) const {
  if (requests_.size() + more > kMost) return false;
  const auto mine = by_asker_.find(asker);
  return asker.slot == 0 || (mine == by_asker_.end() ? 0 : mine->second.size()) + more <= kMostPerAsker;
}

std::string PendingRequests::add(PendingRequest request) {
  if (!has_room(request.asker)) return {};
  const std::uint64_t number = ++last_;
  by_asker_[request.asker].insert(number);
  by_answerer_[request.answerer].insert(number);
  by_time_.emplace(request.until, number);
  requests_.emplace(number, std::move(request));
  return std::string(kPrefix) + std::to_string(number);
}

std::optional<PendingRequest> PendingRequests::answered(const boost::json::value& original_id, const PeerId& from, base::TimePoint now) {
  const auto found = requests_.find(number_of(original_id));
  // One whose time is over stays, for expire() to tell its asker.
  if (found == requests_.end() || found->second.answerer != from || found->second.until <= now) return std::nullopt;
  return take(found);
}

std::vector<PendingRequest> PendingRequests::answerer_gone(const PeerId& answerer) {
  std::vector<PendingRequest> gone;
  while (true) {
    const auto theirs = by_answerer_.find(answerer);
    if (theirs == by_answerer_.end()) return gone;
    gone.push_back(take(requests_.find(*theirs->second.begin())));
  }
}

void PendingRequests::asker_gone(const PeerId& asker) {
  while (true) {
    const auto theirs = by_asker_.find(asker);
    if (theirs == by_asker_.end()) return;
    take(requests_.find(*theirs->second.begin()));
  }
}

std::vector<PendingRequest> PendingRequests::expire(base::TimePoint now) {
  std::vector<PendingRequest> over;
  while (over.size() < kExpiredAtOnce && !by_time_.empty() && by_time_.begin()->first <= now)
    over.push_back(take(requests_.find(by_time_.begin()->second)));
  return over;
}

std::optional<base::TimePoint> PendingRequests::next_expiry() const {
  return by_time_.empty() ? std::nullopt : std::optional(by_time_.begin()->first);
}

PendingRequest PendingRequests::take(Requests::iterator at) {
  const std::uint64_t number = at->first;
  PendingRequest request = std::move(at->second);
  requests_.erase(at);
  by_time_.erase({request.until, number});
  forget(by_asker_, request.asker, number);
  forget(by_answerer_, request.answerer, number);
  return request;
}

void PendingRequests::forget(ByPeer& peers, const PeerId& peer, std::uint64_t number) {
  const auto found = peers.find(peer);
  found->second.erase(number);
  if (found->second.empty()) peers.erase(found);
}

}  // namespace drover::ipc
