// The channel to each worker: opened with its life, heard line by line, closed at its end.
#include "backends/histogram.hpp"
#include "backends/pool_runner.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "ipc/message.hpp"

#include <unistd.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cmath>

namespace drover::backends {

namespace {

namespace json = boost::json;

constexpr int kFirstDescriptor = 3;
constexpr base::Millis kFaultsLoggedEvery{10'000};  // of one worker
constexpr std::size_t kExcerpt = 48;                // bytes of a bad line in the log
constexpr std::size_t kEventMessageMost = 64 * 1024;
constexpr std::size_t kEventTextMost = 128;  // bytes of a type or target in an event

ipc::Origin own_origin() { return {::getpid(), ""}; }

const char* in_words(ipc::ChannelFault fault) {
  switch (fault) {
    case ipc::ChannelFault::too_long: return "lines beyond 1MiB, thrown away";
    case ipc::ChannelFault::not_json: return "lines that are not JSON";
    case ipc::ChannelFault::descriptor: return "descriptors that it may not pass, closed";
    case ipc::ChannelFault::paused: return "pauses, since it does little else but faults";
    case ipc::ChannelFault::dropped: return "messages to it dropped, since it does not read";
  }
  return "";
}

json::string shown(std::string_view text) { return json::string(base::printable(text, kEventTextMost)); }

/// "3", "shop.3", "*" for a broadcast; none: it is for nobody.
std::optional<json::string> target_of(const json::object& message) {
  const json::value* target = message.if_contains("target");
  if (target != nullptr && target->is_string()) return shown(target->get_string());
  if (target != nullptr && target->is_int64()) return json::string(std::to_string(target->get_int64()));
  if (target != nullptr && target->is_uint64()) return json::string(std::to_string(target->get_uint64()));
  const json::value* broadcast = message.if_contains("broadcast");
  if (broadcast != nullptr && broadcast->is_bool() && broadcast->get_bool()) return json::string("*");
  return std::nullopt;
}

}  // namespace

/// Returns the worker's end, which is closed once it has been started. Without a channel the worker is as good as one that never speaks.
base::UniqueFd PoolRunner::open_channel(std::uint32_t slot, Holding& it, LaunchSpec& spec) {
  auto ends = ipc::Channel::pair();
  if (!ends) {
    base::log::warn(name_of(slot), "started without a channel: {}", ends.error().message);
    emit("error", slot, it.incarnation, {{"reason", "without a channel: " + ends.error().message}});
    return {};
  }
  int number = kFirstDescriptor;
  for (const auto& [ours, theirs] : spec.descriptors) number = std::max(number, theirs + 1);
  spec.descriptors.emplace_back(ends->second.get(), number);
  const std::string text = std::to_string(number);
  spec.env.push_back("DROVER_CHANNEL_FD=" + text);
  const config::NodeMode mode = config::node_mode(pool_);
  if (mode != config::NodeMode::off) {
    spec.env.push_back("NODE_CHANNEL_FD=" + text);
    spec.env.emplace_back("NODE_CHANNEL_SERIALIZATION_MODE=json");
  }
  if (mode == config::NodeMode::cluster) spec.env.push_back("NODE_UNIQUE_ID=" + std::to_string(slot));

  ipc::ChannelHandlers handlers;
  handlers.line = [this, slot, incarnation = it.incarnation](std::string_view line) { said(slot, incarnation, line); };
  handlers.fault = [this, slot, incarnation = it.incarnation](ipc::ChannelFault fault, std::uint64_t count) {
    // Of what it found itself said() tells more.
    if (fault != ipc::ChannelFault::not_json) note_fault(slot, incarnation, fault, count, {});
  };
  handlers.ended = [this, slot, incarnation = it.incarnation](ipc::ChannelEnd end) { channel_ended(slot, incarnation, end); };
  handlers.turn = [this](base::Clock::duration took) { observe(services_.turns, took); };
  handlers.sync_line = [this](const std::string& key) { return state_.sync_line(key, base::Clock::now()); };
  it.line.channel = std::make_unique<ipc::Channel>(services_.io, std::move(ends->first), std::move(handlers));
  services_.switchboard.add(peer_of(slot, it.incarnation), {0, name_of(slot)}, *it.line.channel);
  if (mode != config::NodeMode::off) make_node(slot, it);
  return std::move(ends->second);
}

void PoolRunner::said(std::uint32_t slot, base::Incarnation incarnation, std::string_view line) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr || !it->line.channel) return;
  auto message = ipc::parse_message(line);
  if (!message) {
    it->line.channel->found_bad();
    note_fault(slot, incarnation, ipc::ChannelFault::not_json, 1, line);
    return;
  }
  switch (message->kind) {
    case ipc::MessageKind::node:
      if (it->line.node && message->object() != nullptr) it->line.node->heard(*message->object());
      break;
    case ipc::MessageKind::report: said_report(slot, *it, *message); break;
    case ipc::MessageKind::state: said_state(slot, *it, *message); break;
    case ipc::MessageKind::response: services_.switchboard.answer(peer_of(slot, incarnation), std::move(message->value.as_object())); break;
    case ipc::MessageKind::user: said_message(slot, incarnation, line, std::move(*message)); break;
  }
}

/// Of the dead only figures are of interest: nobody may open their gate again.
void PoolRunner::said_report(std::uint32_t slot, Holding& it, const ipc::Message& message) {
  const std::string_view type = message.type();
  if (type == "request") {
    ++it.line.requests;
  } else if (type == "error") {
    ++it.line.errors;
    it.line.last_error = error_of_message(message);
  } else if (type == "metrics") {
    said_metrics(slot, it, message);
  } else if (!it.line.over) {
    heard(slot, it.incarnation, ReportSource::channel, report_of_message(message));
  }
}

void PoolRunner::said_metrics(std::uint32_t slot, Holding& it, const ipc::Message& message) {
  const json::value* data = message.object()->if_contains("data");
  if (data == nullptr || !data->is_object()) return;
  json::object taken;
  for (const json::key_value_pair& each : data->get_object()) {
    json::error_code error;
    const double figure = each.value().is_number() ? each.value().to_number<double>(error) : NAN;
    const std::string name(each.key());
    const bool known = it.line.metrics.contains(name);
    const bool room = known || it.line.metrics.size() < WorkerLine::kMetricsMost;
    const bool fine = !name.empty() && name.size() <= WorkerLine::kMetricNameMost && base::printable(name) == name;
    if (error || !std::isfinite(figure) || !room || !fine) {
      ++channels_.metrics_passed_over;
      continue;
    }
    it.line.metrics[name] = figure;
    taken[name] = figure;
  }
  if (!taken.empty()) emit("workerMetrics", slot, it.incarnation, {{"metrics", std::move(taken)}});
}

void PoolRunner::said_state(std::uint32_t slot, const Holding& it, const ipc::Message& message) {
  // A dead worker's last words are read in one turn: answers that nobody hears would make it a long one.
  if (ipc::StateService::only_asks(message.type()) && (it.line.over || !it.line.channel->takes())) return;
  const base::Incarnation incarnation = it.incarnation;
  const json::value* id = ipc::id_of(*message.object());
  const auto before = state_.store().next_expiry();
  const auto answer = state_.handle(member_of(slot, incarnation), message, base::Clock::now());
  const auto after = state_.store().next_expiry();
  if (after && (!before || *after < *before)) services_.changed();
  if (id == nullptr && !ipc::StateService::asks(message.type())) return;
  const json::value original = id == nullptr ? json::value() : *id;
  services_.switchboard.reply(peer_of(slot, incarnation), answer ? ipc::response_line(original, *answer, own_origin())
                                                                 : ipc::error_line(original, answer.error().message, own_origin()));
}

void PoolRunner::said_message(std::uint32_t slot, base::Incarnation incarnation, std::string_view line, ipc::Message message) {
  ClusterEvent event{0, "workerMessage", pool_.name, slot, incarnation, {}, {}};
  if (!message.type().empty()) event.data["type"] = shown(message.type());
  if (const json::object* object = message.object()) {
    if (auto target = target_of(*object)) event.data["target"] = std::move(*target);
  }
  if (line.size() <= kEventMessageMost) {
    event.message = line;
  } else {
    event.data["bytes"] = line.size();
    event.data["cut"] = true;
  }
  services_.emit(std::move(event));
  if (message.object() != nullptr) services_.switchboard.route(peer_of(slot, incarnation), std::move(message.value.as_object()));
}

/// One line in the log for each worker and kFaultsLoggedEvery, and one to the worker itself.
void PoolRunner::note_fault(std::uint32_t slot, base::Incarnation incarnation, ipc::ChannelFault fault, std::uint64_t count, std::string_view line) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  it->line.unsaid[static_cast<std::size_t>(fault)] += count;
  if (!line.empty()) it->line.bad_line = base::printable(line, kExcerpt);
  say_faults(slot, *it, base::Clock::now());
}

void PoolRunner::say_faults(std::uint32_t slot, Holding& it, base::TimePoint now) {
  WorkerLine& own = it.line;
  if (std::ranges::all_of(own.unsaid, [](std::uint64_t count) { return count == 0; })) return;
  if (own.said_faults && now - *own.said_faults < kFaultsLoggedEvery && !own.over) return;
  own.said_faults = now;
  std::string text;
  bool its_own = false;  // something that it wrote, and not only that it does not read
  for (std::size_t i = 0; i < own.unsaid.size(); ++i) {
    const std::uint64_t count = std::exchange(own.unsaid[i], 0);
    if (count == 0) continue;
    its_own = its_own || i != static_cast<std::size_t>(ipc::ChannelFault::dropped);
    text += (text.empty() ? "" : "; ") + std::to_string(count) + " " + in_words(static_cast<ipc::ChannelFault>(i));
  }
  const std::string excerpt = own.bad_line.empty() ? "" : ", the last begins \"" + std::exchange(own.bad_line, {}) + "\"";
  base::log::warn(name_of(slot), "channel: {}{}", text, excerpt);
  if (its_own && own.channel) own.channel->send_message(ipc::error_line({}, "your channel: " + text + excerpt, own_origin()));
}

void PoolRunner::channel_ended(std::uint32_t slot, base::Incarnation incarnation, ipc::ChannelEnd end) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr || !it->line.channel) return;
  const bool over = it->line.over;
  if (end == ipc::ChannelEnd::overflow) {
    const std::string reason =
        "its channel is closed: it does not read, and " + base::to_text(base::Bytes{ipc::Channel::kOutboxMost}) + " wait for it";
    base::log::error(name_of(slot), "{}", reason);
    emit("error", slot, incarnation, {{"reason", reason}});
  } else if (end == ipc::ChannelEnd::broken) {
    base::log::error(name_of(slot), "its channel is closed: reading or writing failed");
    emit("error", slot, incarnation, {{"reason", "its channel is closed: reading or writing failed"}});
  }
  close_channel(slot, *it, end);
  if (end == ipc::ChannelEnd::peer && !over) tell(slot, {EventType::disconnected, incarnation});
}

/// Its own handlers may be at work: it goes at the loop's next turn.
void PoolRunner::close_channel(std::uint32_t slot, Holding& it, ipc::ChannelEnd why) {
  const std::shared_ptr<ipc::Channel> channel = std::move(it.line.channel);
  say_faults(slot, it, base::Clock::now());
  it.line.counts = channel->counts();
  it.line.was_open = true;
  channels_.add(it.line.counts);
  ++channels_.closed[ipc::to_text(why)];
  channel->close();
  boost::asio::post(services_.io, [channel] {});
  const base::Incarnation incarnation = it.incarnation;
  state_.left(member_of(slot, incarnation));
  services_.switchboard.remove(peer_of(slot, incarnation), it.line.over ? "has ended" : "has closed its channel, or has ended");
}

/// What a dead worker said before its end is heard; then nobody waits for it any more.
void PoolRunner::read_last_words(std::uint32_t slot, base::Incarnation incarnation) {
  Holding* it = find(slot, incarnation);
  if (it == nullptr) return;
  it->line.over = true;
  if (!it->line.channel) return;
  it->line.channel->read_rest();
  it = find(slot, incarnation);
  // A descendant may hold the other end: it speaks for nobody.
  if (it != nullptr && it->line.channel) close_channel(slot, *it, ipc::ChannelEnd::peer);
}

std::optional<base::TimePoint> PoolRunner::next_expiry() const { return state_.store().next_expiry(); }

bool PoolRunner::expire_state(base::TimePoint now) { return state_.store().expire(now); }

}  // namespace drover::backends
