// Pools whose clients do not come through the proxy: their listeners, connections that are handed over, when such a worker is ready.
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

namespace drover::backends {

namespace {

/// `shared`, and it says nothing of itself: who has lived so long has not failed at its start.
constexpr base::Millis kSettled{1000};
constexpr int kFirstSocket = 3;  // sd_listen_fds(3)

void set_blocking(int fd, bool blocking) {
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

}  // namespace

PublicListener public_listener(int fd, const std::string& name, const std::string& address) {
  PublicListener out{fd, name, "", 0, ""};
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) {
    out.path = address.substr(kUnix.size());
    return out;
  }
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return out;
  out.host = address.substr(0, colon);
  if (out.host.starts_with('[')) out.host = out.host.substr(1, out.host.size() - 2);
  std::from_chars(address.data() + colon + 1, address.data() + address.size(), out.port);
  return out;
}

void PoolRunner::take_listeners(std::vector<PublicListener> own, std::vector<int> all) {
  public_ = std::move(own);
  all_listeners_ = std::move(all);
  const config::NodeMode mode = config::node_mode(pool_);
  if (pool_.dispatch == config::Dispatch::shared) {
    // One flag for all who hold the socket. Node would hang in accept() on one that blocks; many others can't take one that doesn't.
    for (const PublicListener& each : public_) set_blocking(each.fd, mode != config::NodeMode::cluster);
  }
  if (pool_.dispatch != config::Dispatch::handoff) return;
  handoff_ = std::make_unique<Handoff>(
      services_.io, pool_, seed_,
      Handoff::Hooks{.give = [this](const Handoff::Outlet& to, base::UniqueFd connection) { return hand_over(to, std::move(connection)); },
                     .load = [this](const Handoff::Outlet& of) { return load_of(of); }});
  for (const PublicListener& each : public_) handoff_->add_listener(each.fd);
}

void PoolRunner::drop_listeners() {
  if (handoff_) handoff_->stop();
  public_.clear();
  all_listeners_.clear();
}

/// What it is told of its listeners: PORT and HOST of the first by TCP, or SOCKET.
void PoolRunner::tell_listeners(WorkerEndpoint& endpoint) const {
  endpoint.text = pool_.dispatch == config::Dispatch::shared ? "shared" : "handoff";
  const auto tcp = std::ranges::find(public_, true, [](const PublicListener& each) { return each.port != 0; });
  if (tcp != public_.end()) {
    endpoint.told = {tcp->host, tcp->port, ""};
  } else if (!public_.empty()) {
    endpoint.told = {"", 0, public_.front().path};
  }
}

/// systemd's socket activation (sd_listen_fds(3)), for whatever is no Node program: that one asks.
void PoolRunner::pass_listeners(LaunchSpec& spec) const {
  if (pool_.dispatch != config::Dispatch::shared || config::node_mode(pool_) == config::NodeMode::cluster || public_.empty()) return;
  std::string names;
  int number = kFirstSocket;
  for (const PublicListener& each : public_) {
    spec.descriptors.emplace_back(each.fd, number++);
    names += (names.empty() ? "" : ":") + each.name;
  }
  spec.env.push_back("LISTEN_FDS=" + std::to_string(public_.size()));
  spec.env.push_back("LISTEN_FDNAMES=" + names);
  spec.listen_pid = true;
}

/// 0: it can't be given one now.
std::uint64_t PoolRunner::hand_over(const Handoff::Outlet& to, base::UniqueFd connection) {
  Holding* it = find(to.slot, to.incarnation);
  if (it == nullptr || !it->line.channel || !it->line.node || !it->line.main) return 0;
  return it->line.node->hand_over(it->line.main->key(), std::move(connection));
}

/// Connections that it has: its open descriptors when they were last counted, and those that it has taken since.
Handoff::Load PoolRunner::load_of(const Handoff::Outlet& of) {
  Holding* it = find(of.slot, of.incarnation);
  if (it == nullptr) return {};
  if (it->line.counted_at != it->sampled_at) {
    it->line.counted_at = it->sampled_at;
    it->line.taken = 0;
  }
  return {(it->usage ? it->usage->open_fds : 0) + it->line.taken, it->memory.bytes, share_of(of.slot, *it)};
}

/// Nobody is given to it from here on; what it did not take goes to others once all its words are heard.
void PoolRunner::handed_gone(std::uint32_t slot, base::Incarnation incarnation) {
  if (Holding* it = find(slot, incarnation); it != nullptr && it->line.node) {
    for (const auto& [key, query] : it->line.node->servers()) shared_sockets_.abandoned(query);
    it->line.node.reset();
  }
  if (handoff_) handoff_->gone({slot, incarnation});
}

/// It hangs, or does not listen to its channel. One that is stopped does neither: whoever stopped it knows.
bool PoolRunner::takes_nothing(std::uint32_t slot, const Holding& it) const {
  if (!handoff_ || it.paused_since) return false;
  const auto since = handoff_->passing_since({slot, it.incarnation});
  return since && base::Clock::now() - *since > pool_.health.timeout;
}

/// Its probe where the proxy brings no requests: it listens, as it has said itself, or it lives. True: nothing else is to be asked.
bool PoolRunner::probe_by_word(std::uint32_t slot, Holding& it, bool starting) {
  if (pool_.dispatch == config::Dispatch::proxy) return false;
  const bool node = config::node_mode(pool_) == config::NodeMode::cluster;
  const std::string& http = starting ? pool_.ready.http : pool_.health.http;
  if (node && !it.line.listening) {
    it.note = "it has not said that its server listens";
  } else if (handoff_ && !it.line.channel) {
    it.note = "its channel is closed: no connection can be handed to it";
  } else if (takes_nothing(slot, it)) {
    it.note = "it has not taken a connection that was handed to it more than " + base::to_text(pool_.health.timeout) + " ago";
  } else if (node && pool_.dispatch == config::Dispatch::handoff && !http.empty()) {
    return false;
  } else if (!node && starting && !it.word.ready && base::Clock::now() - it.started < kSettled) {
    it.note = "it has not lived for " + std::to_string(kSettled.count()) + " ms, nor said READY=1";
  } else {
    it.note.clear();
  }
  const bool passed = it.note.empty();
  probed(slot, it, passed, it.note);
  pending_.emplace_back(slot, Event{passed ? EventType::probe_passed : EventType::probe_failed, it.incarnation});
  return true;
}

/// One end of a socketpair for the worker, as if a client had connected; ours to ask on. None: it can't be made now.
base::UniqueFd PoolRunner::probing_end(std::uint32_t slot, base::Incarnation incarnation) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
  base::UniqueFd ours(ends[0]);
  base::UniqueFd theirs(ends[1]);
  if (!handoff_ || !handoff_->give_own({slot, incarnation}, std::move(theirs))) return {};
  return ours;
}

}  // namespace drover::backends
