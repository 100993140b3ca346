#include "ipc/message.hpp"

#include "base/text.hpp"
#include "ipc/json_reader.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

namespace drover::ipc {

namespace {

namespace json = boost::json;

constexpr std::string_view kNodePrefix = "NODE_";
constexpr std::string_view kStatePrefix = "state:";
constexpr std::array<std::string_view, 6> kReports{"request", "stats", "error", "health", "metrics", "ready"};
constexpr std::size_t kLongestTarget = 128;  // beyond any "pool.slot"
constexpr std::size_t kShownTarget = 128;
constexpr std::size_t kShownError = 4096;
constexpr std::size_t kOwnMembers = 8;  // of the lines that drover makes

std::string_view text_of(const json::string& text) { return {text.data(), text.size()}; }

std::string_view string_member(const json::object& object, std::string_view name) {
  const json::value* member = object.if_contains(name);
  const json::string* text = member == nullptr ? nullptr : member->if_string();
  return text == nullptr ? std::string_view() : text_of(*text);
}

const json::value* target_of(const json::object& message) {
  const json::value* target = message.if_contains("target");
  return target == nullptr || target->is_null() ? nullptr : target;
}

bool is_broadcast(const json::object& message) {
  const json::value* broadcast = message.if_contains("broadcast");
  return broadcast != nullptr && broadcast->is_bool() && broadcast->get_bool();
}

MessageKind kind_of(const json::value& value) {
  if (const json::string* text = value.if_string()) return text_of(*text) == "ready" ? MessageKind::report : MessageKind::user;
  const json::object* object = value.if_object();
  if (object == nullptr) return MessageKind::user;
  if (string_member(*object, "cmd").starts_with(kNodePrefix)) return MessageKind::node;
  const std::string_view type = string_member(*object, "type");
  if (type.starts_with(kStatePrefix)) return MessageKind::state;
  if (type == "response") return MessageKind::response;
  if (std::ranges::find(kReports, type) == kReports.end()) return MessageKind::user;
  return target_of(*object) == nullptr && !is_broadcast(*object) ? MessageKind::report : MessageKind::user;
}

std::optional<std::uint32_t> slot_of(std::string_view digits) {
  std::uint32_t slot = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), slot);
  if (error != std::errc{} || stop != digits.data() + digits.size() || slot == 0 || digits.front() == '0') return std::nullopt;
  return slot;
}

std::optional<std::uint32_t> slot_of(const json::value& number) {
  const double figure = number.to_number<double>();
  if (!(figure >= 1 && figure <= UINT32_MAX) || figure != std::floor(figure)) return std::nullopt;
  return static_cast<std::uint32_t>(figure);
}

/// What all lines of drover's own end with.
void sign(json::object& message, const Origin& origin) {
  message["timestamp"] = now_ms();
  message["from"] = origin.pid;
  if (origin.worker.empty()) {
    message.erase("worker");
  } else {
    message["worker"] = origin.worker;
  }
}

std::string response(const json::value& original_id, const json::value& data, const json::value& error, const Origin& origin) {
  json::object message;
  message.reserve(kOwnMembers);
  message["type"] = "response";
  message["originalId"] = original_id;
  without_infinity(message["data"] = data);
  message["error"] = error;
  sign(message, origin);
  return json::serialize(message);
}

}  // namespace

std::string_view Message::type() const {
  if (const json::object* members = value.if_object()) return string_member(*members, "type");
  return kind == MessageKind::report ? text_of(value.get_string()) : std::string_view();
}

const json::value* Message::member(std::string_view name) const {
  const json::object* members = object();
  if (members == nullptr) return nullptr;
  if (const json::value* found = members->if_contains(name)) return found;
  const json::value* data = members->if_contains("data");
  const json::object* inner = data == nullptr ? nullptr : data->if_object();
  return inner == nullptr ? nullptr : inner->if_contains(name);
}

base::Result<Message> parse_message(std::string_view line) {
  auto value = read_json(line, kMaxJsonDepth);
  if (!value) return value.error();
  Message message{MessageKind::user, std::move(*value)};
  message.kind = kind_of(message.value);
  return message;
}

bool without_infinity(json::value& value) {
  bool changed = false;
  if (const double* number = value.if_double()) {
    if (std::isfinite(*number)) return false;
    value = nullptr;
    return true;
  }
  if (json::object* object = value.if_object()) {
    for (auto& member : *object) changed |= without_infinity(member.value());
  } else if (json::array* array = value.if_array()) {
    for (json::value& element : *array) changed |= without_infinity(element);
  }
  return changed;
}

Addressee addressee_of(const json::object& message) {
  Addressee to;
  const json::value* target = target_of(message);
  if (target == nullptr) {
    if (is_broadcast(message)) to.whom = Addressee::Whom::pool;
    return to;
  }
  to.whom = Addressee::Whom::unknown;
  if (target->is_number()) {
    to.text = json::serialize(*target);
    if (const auto slot = slot_of(*target)) {
      to.whom = Addressee::Whom::worker;
      to.slot = *slot;
    }
    return to;
  }
  if (!target->is_string()) {
    to.text = std::string("(") + (target->is_object() ? "an object" : target->is_array() ? "an array" : "a boolean") + ")";
    return to;
  }
  const std::string_view text = text_of(target->get_string());
  to.text = base::printable(text, kShownTarget);
  if (text.empty() || text.size() > kLongestTarget) return to;
  const std::size_t dot = text.find('.');
  const std::string_view digits = text.substr(dot == std::string_view::npos ? 0 : dot + 1);
  if (const auto slot = slot_of(digits)) {
    to.whom = Addressee::Whom::worker;
    to.slot = *slot;
    if (dot != std::string_view::npos) to.pool = text.substr(0, dot);
    if (dot == 0) to.whom = Addressee::Whom::unknown;
  } else if (dot == std::string_view::npos) {
    to.whom = Addressee::Whom::pool;
    to.pool = text;
  }
  return to;
}

const json::value* id_of(const json::object& message) {
  const json::value* id = message.if_contains("id");
  if (id == nullptr) return nullptr;
  if (const json::string* text = id->if_string()) return text->size() <= kMaxId ? id : nullptr;
  return id->is_number() ? id : nullptr;
}

std::int64_t now_ms() { return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string forwarded_line(json::object message, const Origin& origin, std::optional<std::string> id) {
  if (id) message["id"] = *id;
  sign(message, origin);
  return json::serialize(message);
}

std::string message_line(std::string_view type, const json::value& data, const Origin& origin, std::optional<std::string> id) {
  json::object message;
  message.reserve(kOwnMembers);
  if (id) message["id"] = *id;
  message["type"] = type;
  without_infinity(message["data"] = data);
  sign(message, origin);
  return json::serialize(message);
}

std::string response_line(const json::value& original_id, const json::value& data, const Origin& origin) {
  return response(original_id, data, nullptr, origin);
}

std::string error_line(const json::value& original_id, std::string_view message, const Origin& origin) {
  return response(original_id, nullptr, json::object{{"message", base::printable(message, kShownError)}}, origin);
}

}  // namespace drover::ipc
