// Node programs: what they ask for, what they say of their servers, and how they are told to leave.
#include "backends/pool_runner.hpp"
#include "base/log.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace drover::backends {

namespace {

constexpr std::uint32_t kRefusalsLogged = 8;  // of one worker, within
constexpr base::Millis kRefusalsWithin{10'000};

/// A program may ask again and again for what it can't have.
bool says_refusal(WorkerLine& line, const std::string& name) {
  const base::TimePoint now = base::Clock::now();
  if (!line.refusals_from || now - *line.refusals_from >= kRefusalsWithin) {
    line.refusals_from = now;
    line.refusals_said = 0;
  }
  if (line.refusals_said > kRefusalsLogged) return false;
  if (line.refusals_said++ < kRefusalsLogged) return true;
  base::log::warn(name, "asks on for what it can't have: not told any more for a while");
  return false;
}

ListenAnswer refusal(int error) {
  ListenAnswer out;
  out.error = error != 0 ? error : EINVAL;
  return out;
}

std::string in_words(const ListenQuery& query) {
  if (query.what == ListenQuery::What::unix_path) return query.address;
  return (query.what == ListenQuery::What::udp ? "UDP port " : "port ") + std::to_string(query.port);
}

bool by_tcp(const ListenQuery& query) { return query.what == ListenQuery::What::tcp; }

}  // namespace

void PoolRunner::make_node(std::uint32_t slot, Holding& it) {
  const auto mode = config::node_mode(pool_);
  if (mode == config::NodeMode::off) return;
  const base::Incarnation incarnation = it.incarnation;
  const auto channel = [this, slot, incarnation]() -> ipc::Channel* {
    Holding* found = find(slot, incarnation);
    return found == nullptr ? nullptr : found->line.channel.get();
  };
  NodeWorker::Hooks hooks;
  hooks.send = [channel](std::string line) {
    if (auto* to = channel()) to->send(std::move(line));
  };
  hooks.pass = [channel](std::string line, base::UniqueFd descriptor) {
    if (auto* to = channel()) to->send(std::move(line), std::move(descriptor));
  };
  hooks.settled = [this, channel, slot, incarnation] {
    if (auto* to = channel()) to->descriptor_settled();
    if (handoff_) handoff_->settled({slot, incarnation});
  };
  hooks.asked = [this, slot, incarnation](const ListenQuery& query) { return node_asks(slot, incarnation, query); };
  hooks.listening = [this, slot, incarnation](const ListenQuery& query, std::uint16_t) { node_listens(slot, incarnation, query); };
  hooks.closed = [this, slot, incarnation](const ListenQuery& query) { node_closed(slot, incarnation, query); };
  hooks.leaving = [this, slot, incarnation] { node_leaves(slot, incarnation); };
  hooks.passed = [this, slot, incarnation] { node_passed(slot, incarnation); };
  hooks.connection = [this, slot, incarnation](std::uint64_t number, bool accepted) {
    if (Holding* found = find(slot, incarnation); found != nullptr && accepted) ++found->line.taken;
    if (handoff_) handoff_->answered({slot, incarnation}, number, accepted);
  };
  it.line.node = std::make_unique<NodeWorker>(mode == config::NodeMode::cluster ? NodeWorker::Mode::cluster : NodeWorker::Mode::fork, node_data_,
                                              std::move(hooks));
}

ListenAnswer PoolRunner::node_asks(std::uint32_t slot, base::Incarnation incarnation, const ListenQuery& query) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr) return refusal(ECONNABORTED);
  if (query.fd >= 0) {
    if (says_refusal(it->line, name_of(slot))) {
      base::log::warn(name_of(slot), "listen({{fd: {}}}) is refused: the descriptor is the program's own, drover has none of that number", query.fd);
    }
    return refusal(EINVAL);
  }
  // One that serves by itself (exclusive) goes on doing so: what it asks for later is something else.
  const bool early = state->lifecycle == Lifecycle::starting || it->line.main_closed;
  switch (pool_.dispatch) {
    case config::Dispatch::proxy:
      if (!it->line.main && early && is_main(query)) return give_private(slot, *it, query);
      break;
    case config::Dispatch::handoff:
      if (!it->line.main && early && is_main(query)) return give_connections(*it, query);
      break;
    case config::Dispatch::shared:
      if (const PublicListener* own = listener_for(query)) return give_listener(*it, query, *own);
      if (!it->line.main && early && is_main(query)) return refuse_port(slot, *it, query);
      break;
  }
  auto socket = shared_sockets_.open(query);
  if (!socket) {
    if (says_refusal(it->line, name_of(slot))) {
      base::log::error(name_of(slot), "asks for {}, beside its main server: {}", in_words(query), socket.error().message);
    }
    return refusal(socket.error().code);
  }
  ListenAnswer out;
  out.socket = std::move(*socket);
  return out;
}

/// Is it the server that clients are given?
bool PoolRunner::is_main(const ListenQuery& query) const {
  if (query.what == ListenQuery::What::udp) return false;
  if (query.what == ListenQuery::What::unix_path) {
    if (pool_.dispatch == config::Dispatch::proxy) return pool_.endpoint == config::Endpoint::unix_path;
    return std::ranges::any_of(public_, [&](const PublicListener& each) { return !each.path.empty() && each.path == query.address; });
  }
  return !pool_.node_port || *pool_.node_port == query.port;
}

ListenAnswer PoolRunner::give_private(std::uint32_t slot, Holding& it, const ListenQuery& query) {
  auto made = private_socket(query, it.endpoint, all_listeners_, rng_);
  if (!made) {
    if (says_refusal(it.line, name_of(slot))) base::log::error(name_of(slot), "asks for {}: {}", in_words(query), made.error().message);
    it.note = "asks for " + in_words(query) + ": " + made.error().message;
    return refusal(made.error().code);
  }
  if (!it.row || !services_.boards.move_row(*it.row, made->address)) return refusal(ECONNABORTED);
  it.line.main = query;
  it.line.private_socket = true;
  it.endpoint.address = made->address;
  it.endpoint.text = made->text;
  ListenAnswer out;
  out.socket = std::move(made->socket);
  return out;
}

ListenAnswer PoolRunner::give_connections(Holding& it, const ListenQuery& query) {
  it.line.main = query;
  ListenAnswer out;
  out.connections = true;
  out.port = query.port != 0 ? query.port : it.endpoint.told.port;
  return out;
}

/// The public listener that the query means: by its port, the first one if it takes any; by its path.
const PublicListener* PoolRunner::listener_for(const ListenQuery& query) const {
  const auto found = std::ranges::find_if(public_, [&](const PublicListener& each) {
    if (query.what == ListenQuery::What::unix_path) return !each.path.empty() && each.path == query.address;
    return by_tcp(query) && each.port != 0 && (query.port == 0 || query.port == each.port);
  });
  return found == public_.end() ? nullptr : &*found;
}

/// Each listener of the pool may have its server; the first one is what its readiness is known by.
ListenAnswer PoolRunner::give_listener(Holding& it, const ListenQuery& query, const PublicListener& listener) {
  ListenAnswer out;
  out.socket.reset(::fcntl(listener.fd, F_DUPFD_CLOEXEC, 0));
  if (!out.socket) return refusal(errno);
  if (!it.line.main && (!pool_.node_port || query.port == *pool_.node_port)) it.line.main = query;
  return out;
}

ListenAnswer PoolRunner::refuse_port(std::uint32_t slot, Holding& it, const ListenQuery& query) {
  if (!says_refusal(it.line, name_of(slot))) return refusal(EADDRINUSE);
  std::string ports;
  for (const PublicListener& each : public_) ports += (ports.empty() ? "" : ", ") + (each.port != 0 ? std::to_string(each.port) : each.path);
  base::log::error(
      name_of(slot),
      "listens on {}, and with dispatch = \"shared\" it can only be given the pool's listener ({}): bind the listener to that port, name "
      "the right one in node_port, or write dispatch = \"handoff\"",
      in_words(query), ports);
  return refusal(EADDRINUSE);
}

void PoolRunner::node_listens(std::uint32_t slot, base::Incarnation incarnation, const ListenQuery& query) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr || !it->line.main || it->line.main->key() != query.key()) return;
  it->line.listening = true;
  const bool again = std::exchange(it->line.main_closed, false);
  if (state->lifecycle == Lifecycle::starting) {
    if (!pool_.ready.notify) tell(slot, {EventType::reported_ready, incarnation});  // it is probed at once
  } else if (again) {
    tell(slot, {EventType::accepted, incarnation});
  }
}

void PoolRunner::node_closed(std::uint32_t slot, base::Incarnation incarnation, const ListenQuery& query) {
  Holding* it = find(slot, incarnation);
  const SlotState* state = control_.find(slot, incarnation);
  if (it == nullptr || state == nullptr) return;
  if (!it->line.main || it->line.main->key() != query.key()) {
    shared_sockets_.closed(query);
    return;
  }
  it->line.main.reset();
  it->line.listening = it->line.private_socket = false;
  if (state->lifecycle != Lifecycle::running) return;
  it->line.main_closed = true;
  it->note = "it has closed its server";
  tell(slot, {EventType::declined, incarnation});
}

void PoolRunner::node_leaves(std::uint32_t slot, base::Incarnation incarnation) {
  base::log::info(name_of(slot), "leaves of its own will");
  tell(slot, {EventType::left, incarnation});
}

/// The channel has counted the descriptor itself.
void PoolRunner::node_passed(std::uint32_t slot, base::Incarnation incarnation) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr || std::exchange(it->line.told_passed, true)) return;
  base::log::warn(name_of(slot), "sends a handle by process.send(): drover takes none, the message is dropped with it (said once)");
  emit("error", slot, incarnation, {{"reason", "process.send() with a handle: dropped"}});
}

void PoolRunner::dismiss(std::uint32_t slot, base::Incarnation incarnation) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  if (!it->line.channel || !it->line.node) {  // it can't be told, and nobody waits for what it will not hear
    pending_.emplace_back(slot, Event{EventType::disconnected, incarnation});
    return;
  }
  if (it->line.node->mode() == NodeWorker::Mode::cluster) {
    it->line.node->disconnect();
  } else {
    it->line.channel->finish();
  }
}

}  // namespace drover::backends
