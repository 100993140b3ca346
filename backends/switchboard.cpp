#include "backends/switchboard.hpp"

#include "base/text.hpp"

#include <unistd.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace drover::backends {

namespace {

namespace json = boost::json;

constexpr std::size_t kShown = 128;  ///< bytes of a target in a message

ipc::Origin own_origin() { return {::getpid(), ""}; }

/// `timeout` in milliseconds, as the asker has set it.
base::Millis timeout_of(const json::object& message) {
  const json::value* value = message.if_contains("timeout");
  if (value == nullptr || !value->is_number()) return ipc::PendingRequests::kDefaultTime;
  json::error_code error;
  const auto wanted = value->to_number<double>(error);
  constexpr base::Millis longest = ipc::PendingRequests::kLongest;
  if (error || !(wanted >= 1)) return base::Millis(1);
  return wanted >= static_cast<double>(longest.count()) ? longest : base::Millis(static_cast<base::Millis::rep>(wanted));
}

base::Result<void> check_type(std::string_view type) {
  if (type.empty()) return base::Error{"a message needs a type", EINVAL};
  if (type.starts_with("state:") || type.starts_with("NODE_") || type == "response") {
    return base::Error{"messages of type \"" + base::printable(type, kShown) + "\" are drover's own; use another type", EINVAL};
  }
  return {};
}

base::Result<void> check_size(const std::string& line) {
  if (line.size() <= ipc::Channel::kMaxLine) return {};
  return base::Error{"the message has " + std::to_string(line.size()) + " bytes; a channel carries " +
                         base::to_text(base::Bytes{ipc::Channel::kMaxLine}) + " at most: send less, or where to find it",
                     EMSGSIZE};
}

}  // namespace

Switchboard::Switchboard(boost::asio::io_context& io, Hooks hooks) : hooks_(std::move(hooks)), timer_(io.get_executor()) {}

void Switchboard::add(const ipc::PeerId& peer, ipc::Origin origin, ipc::Channel& channel) { lines_[peer] = {std::move(origin), &channel}; }

void Switchboard::set_pid(const ipc::PeerId& peer, pid_t pid) {
  const auto found = lines_.find(peer);
  if (found != lines_.end()) found->second.origin.pid = pid;
}

void Switchboard::remove(const ipc::PeerId& peer, std::string_view why) {
  const auto found = lines_.find(peer);
  if (found == lines_.end()) return;
  const std::string name = found->second.origin.worker;
  lines_.erase(found);
  pending_.asker_gone(peer);
  const std::string text = name + " " + std::string(why);
  for (const ipc::PendingRequest& each : pending_.answerer_gone(peer)) {
    if (each.asker.slot == 0) {
      operator_answered(peer, each.asker.incarnation, {name, false, nullptr, json::string(text)});
    } else {
      reply(each.asker, ipc::error_line(each.id, text, own_origin()));
    }
  }
}

const Switchboard::Line* Switchboard::find(const ipc::PeerId& peer) const {
  const auto found = lines_.find(peer);
  return found == lines_.end() ? nullptr : &found->second;
}

std::vector<ipc::PeerId> Switchboard::lines_of(std::uint32_t pool) const {
  std::vector<ipc::PeerId> out;
  for (auto at = lines_.lower_bound({pool, 0, 0}); at != lines_.end() && at->first.pool == pool; ++at) out.push_back(at->first);
  return out;
}

/// Its line, if it has one.
std::optional<ipc::PeerId> Switchboard::present(std::uint32_t pool, std::uint32_t slot) const {
  const auto incarnation = hooks_.present(pool, slot);
  if (!incarnation) return std::nullopt;
  const ipc::PeerId peer{pool, slot, *incarnation};
  return lines_.contains(peer) ? std::optional(peer) : std::nullopt;
}

void Switchboard::route(const ipc::PeerId& from, json::object message) {
  const ipc::Addressee addressee = ipc::addressee_of(message);
  if (addressee.whom == ipc::Addressee::Whom::nobody) return;
  const Line* line = find(from);
  if (line == nullptr) return;
  Undelivered& undelivered = undelivered_[from.pool];
  const auto pool = addressee.pool.empty() ? std::optional(from.pool) : hooks_.pool(addressee.pool);
  const bool one = addressee.whom == ipc::Addressee::Whom::worker;
  if (addressee.whom == ipc::Addressee::Whom::unknown || !pool || (one && !hooks_.present(*pool, addressee.slot))) {
    ++undelivered.unknown_target;
    refuse(from, message,
           "unknown target " + base::printable(addressee.text, kShown) +
               ": there is no such worker or pool; name a slot (3), a worker (\"shop.3\") or a pool (\"shop\") of the cluster");
    return;
  }
  if (!one) {
    to_pool(*pool, ipc::Origin(line->origin), std::move(message));
    return;
  }
  if (const auto to = present(*pool, addressee.slot)) {
    to_one(from, *to, std::move(message));
    return;
  }
  ++undelivered.no_channel;
  refuse(from, message, base::printable(addressee.text, kShown) + " has no channel now: it is not started, has ended, or has closed it");
}

void Switchboard::to_pool(std::uint32_t pool, const ipc::Origin& origin, json::object message) {
  const std::string text = ipc::forwarded_line(std::move(message), origin, std::nullopt);
  for (const ipc::PeerId& to : lines_of(pool)) {
    if (const Line* line = find(to)) line->channel->send_message(text);
  }
}

void Switchboard::to_one(const ipc::PeerId& from, const ipc::PeerId& to, json::object message) {
  std::optional<std::string> id;
  if (const json::value* own = ipc::id_of(message)) {
    id = pending_.add({from, to, *own, base::Clock::now() + timeout_of(message)});
    if (id->empty()) {
      ++undelivered_[from.pool].too_many;
      refuse(from, message,
             "too many requests wait for their answers: a worker may have " + std::to_string(ipc::PendingRequests::kMostPerAsker) +
                 ", all together " + std::to_string(ipc::PendingRequests::kMost) + "; wait for some of them");
      return;
    }
    set_timer();
  }
  std::string text = ipc::forwarded_line(std::move(message), find(from)->origin, std::move(id));
  find(to)->channel->send_message(std::move(text));
}

/// Who did not ask for an answer gets none: it is counted.
void Switchboard::refuse(const ipc::PeerId& from, const json::object& message, const std::string& why) {
  if (const json::value* id = ipc::id_of(message)) reply(from, ipc::error_line(*id, why, own_origin()));
}

void Switchboard::answer(const ipc::PeerId& from, json::object message) {
  const Line* line = find(from);
  if (line == nullptr) return;
  const json::value* original = message.if_contains("originalId");
  const auto request = original == nullptr ? std::nullopt : pending_.answered(*original, from, base::Clock::now());
  if (!request) {
    ++undelivered_[from.pool].late_response;
    reply(from, ipc::error_line({}, "nobody waits for this response: it came too late, was asked of another worker, or never was", own_origin()));
    return;
  }
  if (request->asker.slot == 0) {
    const auto member = [&message](const char* name) {
      const json::value* value = message.if_contains(name);
      return value == nullptr ? json::value() : *value;
    };
    const json::value error = member("error");
    operator_answered(from, request->asker.incarnation, {line->origin.worker, error.is_null(), member("data"), error});
    return;
  }
  message["originalId"] = request->id;
  reply(request->asker, ipc::forwarded_line(std::move(message), line->origin, std::nullopt));
}

void Switchboard::reply(const ipc::PeerId& to, std::string line) {
  if (const Line* found = find(to)) found->channel->send(std::move(line));
}

void Switchboard::sync(std::uint32_t pool, const std::string& key, const ipc::PeerId& by) {
  for (const ipc::PeerId& to : lines_of(pool)) {
    const Line* line = to == by ? nullptr : find(to);
    if (line != nullptr) line->channel->send_sync(key);
  }
}

void Switchboard::change(const ipc::PeerId& to, std::string line) {
  if (const Line* found = find(to)) found->channel->send_message(std::move(line));
}

base::Result<std::vector<ipc::PeerId>> Switchboard::receivers(const Target& target, bool present_only) const {
  const auto pool = hooks_.pool(target.pool);
  if (!pool || (target.slot && !hooks_.present(*pool, *target.slot))) {
    return base::Error{"unknown target \"" + base::printable(target.text(), kShown) + "\": there is no such worker or pool", ENOENT};
  }
  std::vector<ipc::PeerId> out;
  if (target.slot) {
    if (const auto peer = present(*pool, *target.slot)) out.push_back(*peer);
  } else {
    out = lines_of(*pool);
    if (present_only) std::erase_if(out, [&](const ipc::PeerId& each) { return present(*pool, each.slot) != each; });
  }
  if (!out.empty()) return out;
  return base::Error{(target.slot ? "" : "no worker of ") + target.text() + " has a channel now: not started, ended, or the channel closed",
                     ENOTCONN};
}

base::Result<std::size_t> Switchboard::send(const Target& target, std::string_view type, const json::value& data) {
  if (auto fine = check_type(type); !fine) return fine.error();
  const auto to = receivers(target, false);
  if (!to) return to.error();
  const std::string text = ipc::message_line(type, data, own_origin());
  if (auto fine = check_size(text); !fine) return fine.error();
  std::size_t sent = 0;
  for (const ipc::PeerId& each : *to) {
    const Line* line = find(each);
    if (line == nullptr) continue;
    line->channel->send_message(text);
    ++sent;
  }
  return sent;
}

base::Result<RequestNumber> Switchboard::request(const Target& target, std::string_view type, const json::value& data, base::Millis timeout,
                                                 AnswerWatcher watcher) {
  if (auto fine = check_type(type); !fine) return fine.error();
  if (timeout.count() <= 0 || timeout > ipc::PendingRequests::kLongest) {
    return base::Error{"a request's timeout must be from 1ms to " + base::to_text(ipc::PendingRequests::kLongest), EINVAL};
  }
  if (operators_.size() >= kOperatorRequestsMost) {
    return base::Error{"too many requests are under way (" + std::to_string(kOperatorRequestsMost) + "); wait until some are answered", EBUSY};
  }
  const auto to = receivers(target, true);
  if (!to) return to.error();
  const RequestNumber number = last_ + 1;
  if (!pending_.has_room(operator_peer(number), to->size())) return base::Error{"too many requests wait for their answers; try again", EBUSY};
  if (auto fine = check_size(ipc::message_line(type, data, own_origin(), std::string(ipc::kMaxId, 'd'))); !fine) return fine.error();

  last_ = number;
  OperatorRequest& request = operators_[number];
  request.watcher = std::move(watcher);
  request.timeout = timeout;
  request.until = base::Clock::now() + timeout;
  std::vector<std::pair<ipc::PeerId, std::string>> lines;
  for (const ipc::PeerId& each : *to) {
    request.waits_for.emplace(each, find(each)->origin.worker);
    lines.emplace_back(each, ipc::message_line(type, data, own_origin(), pending_.add({operator_peer(number), each, nullptr, request.until})));
  }
  set_timer();
  // To send may end a channel, and so answer: not before request() has returned.
  boost::asio::post(timer_.get_executor(), [this, lines = std::move(lines)]() mutable {
    for (auto& [peer, text] : lines) change(peer, std::move(text));
  });
  return number;
}

void Switchboard::forget(RequestNumber number) {
  operators_.erase(number);
  pending_.asker_gone(operator_peer(number));
}

void Switchboard::operator_answered(const ipc::PeerId& from, RequestNumber number, WorkerAnswer answer) {
  const auto found = operators_.find(number);
  if (found == operators_.end() || found->second.waits_for.erase(from) == 0) return;
  answer.last = found->second.waits_for.empty();
  const AnswerWatcher watcher = found->second.watcher;  // a copy: it may forget the request
  if (answer.last) operators_.erase(found);
  watcher(answer);
}

Switchboard::Undelivered Switchboard::undelivered(std::uint32_t pool) const {
  const auto found = undelivered_.find(pool);
  return found == undelivered_.end() ? Undelivered{} : found->second;
}

/// Many requests a second, and seldom one that is not answered: the timer is only set again for what ends sooner.
void Switchboard::set_timer() {
  std::optional<base::TimePoint> next = pending_.next_expiry();
  for (const auto& [number, each] : operators_) next = std::min(next.value_or(each.until), each.until);
  if (!next || (timer_at_ && *timer_at_ <= *next)) return;
  timer_at_ = next;
  timer_.expires_at(*next);
  timer_.async_wait([this](const boost::system::error_code& code) {
    if (!code) expire();
  });
}

void Switchboard::expire() {
  timer_at_.reset();
  const base::TimePoint now = base::Clock::now();
  for (const ipc::PendingRequest& each : pending_.expire(now)) {
    if (each.asker.slot == 0) continue;
    const Line* line = find(each.answerer);
    reply(each.asker, ipc::error_line(each.id, (line == nullptr ? "the worker" : line->origin.worker) + " has not answered in time", own_origin()));
  }
  std::vector<std::pair<RequestNumber, ipc::PeerId>> over;
  for (const auto& [number, each] : operators_) {
    if (each.until > now) continue;
    for (const auto& [peer, name] : each.waits_for) over.emplace_back(number, peer);
  }
  for (const auto& [number, peer] : over) {
    const auto found = operators_.find(number);
    if (found == operators_.end()) continue;
    const std::string why = "no answer within " + base::to_text(found->second.timeout);
    operator_answered(peer, number, {found->second.waits_for.at(peer), false, nullptr, json::string(why)});
  }
  set_timer();
}

}  // namespace drover::backends
