#include "backends/node_worker.hpp"

#include <boost/json/serialize.hpp>

#include <cerrno>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace drover::backends {

namespace {

namespace json = boost::json;

constexpr std::size_t kMaxAddress = 256;  // bytes: an IP address with its zone, or a socket's path
constexpr int kMaxFd = 1 << 20;
constexpr std::uint32_t kKnownFlags = 0xffff;

/// A whole number within bounds; Node writes -1, null or nothing for what was not given.
std::optional<std::int64_t> whole(const json::object& message, std::string_view name, std::int64_t low, std::int64_t high) {
  const json::value* found = message.if_contains(name);
  if (found == nullptr) return std::nullopt;
  std::int64_t number = 0;
  if (const auto* value = found->if_int64()) {
    number = *value;
  } else if (const auto* real = found->if_double(); real != nullptr && std::abs(*real) <= 1e15 && std::trunc(*real) == *real) {
    number = static_cast<std::int64_t>(*real);
  } else {
    return std::nullopt;
  }
  return number < low || number > high ? std::nullopt : std::optional(number);
}

std::string_view text(const json::object& message, std::string_view name) {
  const json::value* found = message.if_contains(name);
  const json::string* value = found == nullptr ? nullptr : found->if_string();
  return value == nullptr ? std::string_view() : std::string_view(value->data(), value->size());
}

json::value member(const json::object& message, std::string_view name) {
  const json::value* found = message.if_contains(name);
  return found == nullptr ? json::value() : *found;
}

/// seq as it came: what is no number can't be answered.
std::optional<json::value> seq_of(const json::object& message) {
  const json::value* found = message.if_contains("seq");
  if (found == nullptr || !found->is_number()) return std::nullopt;
  return *found;
}

bool flag(const json::object& message, std::string_view name) {
  const json::value* found = message.if_contains(name);
  return found != nullptr && found->is_bool() && found->get_bool();
}

bool absent(const json::object& message, std::string_view name) {
  const json::value* found = message.if_contains(name);
  return found == nullptr || found->is_null();
}

/// None: no query that Node would write.
std::optional<ListenQuery> read_query(const json::object& message) {
  ListenQuery out;
  const std::string_view type = text(message, "addressType");
  const auto number = whole(message, "addressType", -1, 6);
  if (type == "udp4" || type == "udp6") {
    out.what = ListenQuery::What::udp;
    out.ipv6 = type == "udp6";
  } else if (number == 4 || number == 6) {
    out.ipv6 = number == 6;
  } else if (number == -1) {
    out.what = ListenQuery::What::unix_path;
  } else if (!absent(message, "addressType")) {
    return std::nullopt;
  }
  out.address = text(message, "address");
  if (out.address.size() > kMaxAddress || out.address.find('\0') != std::string::npos) return std::nullopt;
  if (out.what != ListenQuery::What::unix_path && !absent(message, "port")) {
    const auto port = whole(message, "port", -1, std::numeric_limits<std::uint16_t>::max());
    if (!port) return std::nullopt;
    out.port = static_cast<std::uint16_t>(std::max<std::int64_t>(*port, 0));
  }
  out.flags = static_cast<std::uint32_t>(whole(message, "flags", 0, kKnownFlags).value_or(0));
  out.backlog = static_cast<int>(whole(message, "backlog", 0, std::numeric_limits<int>::max()).value_or(0));
  out.fd = static_cast<int>(whole(message, "fd", 0, kMaxFd).value_or(-1));
  out.index = static_cast<int>(whole(message, "index", 0, std::numeric_limits<int>::max()).value_or(0));
  out.readable_all = flag(message, "readableAll");
  out.writable_all = flag(message, "writableAll");
  if (out.what == ListenQuery::What::unix_path && out.address.empty() && out.fd < 0) return std::nullopt;
  return out;
}

json::object cluster_message() { return {{"cmd", "NODE_CLUSTER"}}; }

std::string handle_line(const char* type, json::object message) {
  json::object out{{"cmd", "NODE_HANDLE"}, {"type", type}};
  out["msg"] = std::move(message);
  return json::serialize(out);
}

}  // namespace

std::string ListenQuery::key() const {
  const char* type = what == What::unix_path ? "-1" : what == What::udp ? (ipv6 ? "udp6" : "udp4") : ipv6 ? "6" : "4";
  return address + ":" + (what == What::unix_path ? "-1" : std::to_string(port)) + ":" + type + ":" + std::to_string(fd) + ":" +
         std::to_string(index);
}

json::value NodeServerData::shared(const std::string& key, const json::value& own) {
  if (const auto found = data_.find(key); found != data_.end()) return found->second;
  if (own.is_null() || data_.size() >= kMost || json::serialize(own).size() > kBytesMost) return own;
  data_.emplace(key, own);
  return own;
}

NodeWorker::NodeWorker(Mode mode, NodeServerData& data, Hooks hooks) : mode_(mode), data_(data), hooks_(std::move(hooks)) {}

void NodeWorker::heard(const json::object& message) {
  const std::string_view cmd = text(message, "cmd");
  if (cmd == "NODE_HANDLE_ACK" || cmd == "NODE_HANDLE_NACK") {
    settled(cmd == "NODE_HANDLE_ACK");
  } else if (cmd == "NODE_HANDLE") {
    // Its next message waits for this word. The channel has no room for descriptors: the kernel has closed it.
    hooks_.send(R"({"cmd":"NODE_HANDLE_ACK"})");
    hooks_.passed();
  } else if (cmd == "NODE_CLUSTER" && mode_ == Mode::cluster) {
    act(message);
  }
}

void NodeWorker::disconnect() {
  if (mode_ != Mode::cluster) return;
  leaving_ = true;
  json::object message = cluster_message();
  message["act"] = "disconnect";
  hooks_.send(json::serialize(message));
}

std::uint64_t NodeWorker::hand_over(const std::string& key, base::UniqueFd connection) {
  const std::uint64_t number = ++seq_;
  json::object message = cluster_message();
  message["act"] = "newconn";
  message["key"] = key;
  message["seq"] = number;
  given_.insert(number);
  passed_.push_back({number, {}, {}});
  hooks_.pass(handle_line("net.Native", std::move(message)), std::move(connection));
  return number;
}

/// A NACK: the message came without its descriptor (the worker has none left), so it was not even looked at.
void NodeWorker::settled(bool arrived) {
  if (passed_.empty()) return;
  const Passed passed = std::move(passed_.front());
  passed_.pop_front();
  if (!arrived && passed.connection == 0) {
    if (const auto found = servers_.find(passed.key); found != servers_.end()) {
      const ListenQuery query = found->second;
      servers_.erase(found);
      refuse(passed.key, passed.ack, data_.shared(passed.key, {}), EMFILE);
      hooks_.closed(query);
    }
  }
  const bool lost = !arrived && passed.connection != 0 && given_.erase(passed.connection) > 0;
  hooks_.settled();
  if (lost) hooks_.connection(passed.connection, false);
}

void NodeWorker::act(const json::object& message) {
  const std::string_view what = text(message, "act");
  if (message.contains("ack")) {
    answered(message);
  } else if (what == "queryServer") {
    query(message);
  } else if (what == "listening") {
    listening(message);
  } else if (what == "close") {
    close(message);
  } else if (what == "exitedAfterDisconnect") {
    exits(message);
  }
}

void NodeWorker::answered(const json::object& message) {
  const auto number = whole(message, "ack", 1, std::numeric_limits<std::int64_t>::max());
  if (!number || given_.erase(static_cast<std::uint64_t>(*number)) == 0) return;
  const json::value* accepted = message.if_contains("accepted");
  hooks_.connection(static_cast<std::uint64_t>(*number), accepted != nullptr && accepted->is_bool() && accepted->get_bool());
}

void NodeWorker::refuse(const std::string& key, const json::value& ack, const json::value& data, int error) {
  json::object reply = cluster_message();
  reply["ack"] = ack;
  reply["key"] = key;
  reply["errno"] = -error;
  reply["data"] = data;
  hooks_.send(json::serialize(reply));
}

void NodeWorker::query(const json::object& message) {
  const auto seq = seq_of(message);
  if (!seq || leaving_) return;  // a worker that leaves is not answered by Node's primary, either
  const auto query = read_query(message);
  if (!query) {
    refuse("", *seq, member(message, "data"), EINVAL);
    return;
  }
  const std::string key = query->key();
  const json::value data = data_.shared(key, member(message, "data"));
  if (servers_.contains(key)) {  // Node would fail its own assertion if it got a key twice
    refuse(key, *seq, data, EADDRINUSE);
    return;
  }
  if (servers_.size() >= kMostServers || passed_.size() >= kMostServers) {
    refuse(key, *seq, data, EMFILE);
    return;
  }
  ListenAnswer answer = hooks_.asked(*query);
  if (!answer.connections && !answer.socket) {
    refuse(key, *seq, data, answer.error != 0 ? answer.error : EADDRINUSE);
    return;
  }
  servers_.emplace(key, *query);
  json::object reply = cluster_message();
  reply["ack"] = *seq;
  reply["key"] = key;
  reply["data"] = data;
  if (!answer.connections) {
    reply["errno"] = 0;
    passed_.push_back({0, key, *seq});
    hooks_.pass(handle_line(query->what == ListenQuery::What::udp ? "dgram.Native" : "net.Native", std::move(reply)), std::move(answer.socket));
    return;
  }
  if (query->what == ListenQuery::What::tcp) {
    const std::string address = !query->address.empty() ? query->address : query->ipv6 ? "::" : "0.0.0.0";
    reply["sockname"] = {{"address", address}, {"family", query->ipv6 ? "IPv6" : "IPv4"}, {"port", answer.port}};
  }
  hooks_.send(json::serialize(reply));
}

/// It carries the query's members again, but the port that it has got.
void NodeWorker::listening(const json::object& message) {
  auto query = read_query(message);
  if (!query) return;
  const std::uint16_t port = query->port;
  auto found = servers_.find(query->key());
  if (found == servers_.end()) {
    query->port = 0;
    found = servers_.find(query->key());
  }
  if (found == servers_.end()) return;
  const ListenQuery server = found->second;
  hooks_.listening(server, port);
}

void NodeWorker::close(const json::object& message) {
  const auto found = servers_.find(std::string(text(message, "key")));
  if (found == servers_.end()) return;
  const ListenQuery query = found->second;
  servers_.erase(found);
  hooks_.closed(query);
}

/// It leaves as soon as it has the answer: whoever has to know must know before.
void NodeWorker::exits(const json::object& message) {
  const auto seq = seq_of(message);
  const bool news = !std::exchange(leaving_, true);
  const auto send = hooks_.send;  // the hook may bring about this worker's end
  if (news) hooks_.leaving();
  if (!seq) return;
  json::object reply = cluster_message();
  reply["ack"] = *seq;
  send(json::serialize(reply));
}

}  // namespace drover::backends
