#include "admin/message_api.hpp"

#include "admin/json_text.hpp"
#include "admin/streams.hpp"
#include "base/text.hpp"

#include <boost/json/object.hpp>

#include <array>
#include <cerrno>
#include <initializer_list>

namespace drover::admin {

namespace {

namespace json = boost::json;

Answer exact_answer(const json::value& value) {
  Answer answer{.type = "application/json"};
  append_exact_json(answer.body, value);
  answer.body += '\n';
  return answer;
}

Answer refused(const Bad& bad) { return refusal(bad.status, bad.message); }

/// Which status an errno of the door is: 400 for what is wrong whenever it is asked, 409 for what may be right at another moment.
Answer refused(const base::Error& error) {
  switch (error.code) {
    case EINVAL:
    case ENAMETOOLONG: return refusal(400, error.message);
    case ENOENT: return refusal(404, error.message);
    case ENOTCONN:  // nobody there has a channel now
    case EEXIST:    // another value stands there
    case EDOM:      // what stands there is no number, or would not be one any more
      return refusal(409, error.message);
    case EMSGSIZE:
    case E2BIG: return refusal(413, error.message);
    case EBUSY: return refusal(503, error.message);  // more requests or watches than there is room for
    case ENOSPC: return refusal(507, error.message);
    default: return refusal(500, error.message);
  }
}

/// What send and request have in common.
struct Said {
  backends::Target target;
  std::string type;
  json::value data;
  base::Millis timeout{};
};

base::Result<Said, Bad> read_said(const Question& question, const ClusterDoor& door, std::span<const std::string_view> known) {
  auto body = read_body(question.body, known, kMaxMessageDepth);
  if (!body) return body.error();
  const auto name = text_member(*body, "target");
  if (!name) return name.error();
  auto type = text_member(*body, "type");
  if (!type) return type.error();
  if (type->empty()) return Bad{400, "\"type\" is empty: give the message a name that its workers know"};
  const auto timeout = time_member(*body, "timeout", kRequestTime, kLongestRequest);
  if (!timeout) return timeout.error();
  auto target = find_target(*name, door.status());
  if (!target) return target.error();
  Said said{.target = std::move(*target), .type = std::move(*type), .data = {}, .timeout = *timeout};
  if (auto* data = body->if_contains("data")) said.data = std::move(*data);
  return said;
}

std::string answer_line(const backends::WorkerAnswer& answer) {
  std::string line = "{\"worker\":";
  append_json_string(line, answer.worker);
  line += answer.ok ? ",\"ok\":true,\"data\":" : ",\"ok\":false,\"data\":";
  append_exact_json(line, answer.data);
  line += ",\"error\":";
  append_exact_json(line, answer.error);
  line += answer.last ? ",\"last\":true}\n" : ",\"last\":false}\n";
  return line;
}

/// A request for the pool's state, made of the body's members but `pool`.
struct StateAsked {
  std::string pool;
  json::object request;
};

Reply ask_state(const StateAsked& asked, const ClusterDoor& door) {
  const auto answer = door.state(asked.pool, asked.request);
  return answer ? exact_answer(*answer) : refused(answer.error());
}

/// `known`: the members that the body may have; `needed`: of them, those that it must have beside pool and key.
base::Result<StateAsked, Bad> read_state(const Question& question, const ClusterDoor& door, std::string_view type,
                                         std::initializer_list<std::string_view> known, std::string_view needed = "") {
  auto body = read_body(question.body, known, kMaxMessageDepth);
  if (!body) return body.error();
  const auto name = text_member(*body, "pool");
  if (!name) return name.error();
  const auto key = text_member(*body, "key");
  if (!key) return key.error();
  if (!needed.empty() && !body->contains({needed.data(), needed.size()})) return Bad{400, "no \"" + std::string(needed) + "\" in the body"};
  auto pool = find_pool(*name, door.status());
  if (!pool) return pool.error();
  body->erase("pool");
  (*body)["type"] = type;
  return StateAsked{std::move(*pool), std::move(*body)};
}

Reply change_state(const base::Result<StateAsked, Bad>& asked, const ClusterDoor& door) {
  return asked ? ask_state(*asked, door) : refused(asked.error());
}

}  // namespace

Reply send_message(const Query&, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 3> kKnown{"target", "type", "data"};
  const auto said = read_said(question, door, kKnown);
  if (!said) return refused(said.error());
  const auto workers = door.send(said->target, said->type, said->data);
  if (!workers) return refused(workers.error());
  return json_answer(json::object{{"workers", *workers}});
}

Reply request_workers(const Query&, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 4> kKnown{"target", "type", "data", "timeout"};
  const auto said = read_said(question, door, kKnown);
  if (!said) return refused(said.error());
  auto source = std::make_unique<PushedSource>(kAnswerBytes);
  const auto watcher = [record = source->record()](const backends::WorkerAnswer& answer) {
    if (!record->done) record->push(answer_line(answer), answer.last);
  };
  const auto begun = door.request(said->target, said->type, said->data, said->timeout, watcher);
  if (!begun) return refused(begun.error());
  source->on_leave([forget = door.forget_request, number = *begun] { forget(number); });
  return source;
}

Reply state_get(const Query& query, const Question&, const ClusterDoor& door) {
  const auto pool = find_pool(query.pool, door.status());
  if (!pool) return refused(pool.error());
  const auto answer = door.state(*pool, {{"type", "state:get"}, {"key", query.key}});
  if (!answer) return refused(answer.error());
  const json::object* found = answer->if_object();
  if (found == nullptr || !found->contains("value")) {
    return refusal(404, "the state of " + *pool + " has no key \"" + base::printable(query.key, 300) + "\"");
  }
  return exact_answer(*answer);
}

Reply state_list(const Query& query, const Question&, const ClusterDoor& door) {
  const auto pool = find_pool(query.pool, door.status());
  if (!pool) return refused(pool.error());
  json::object request{{"type", "state:all"}};
  if (!query.prefix.empty()) request["prefix"] = query.prefix;
  if (!query.after.empty()) request["after"] = query.after;
  return ask_state({*pool, std::move(request)}, door);
}

Reply state_watch(const Query& query, const Question&, const ClusterDoor& door) {
  const auto pool = find_pool(query.pool, door.status());
  if (!pool) return refused(pool.error());
  auto source = std::make_unique<PushedSource>(kChangeBytes);
  const auto watcher = [record = source->record()](const json::object& change) {
    if (record->done) return;
    std::string line;
    append_exact_json(line, change);
    record->push(line + "\n", false);
  };
  const auto begun = door.watch_state(*pool, query.key, watcher);
  if (!begun) return refused(begun.error());
  source->on_leave([unwatch = door.unwatch_state, id = *begun] { unwatch(id); });
  return source;
}

Reply state_set(const Query&, const Question& question, const ClusterDoor& door) {
  return change_state(read_state(question, door, "state:set", {"pool", "key", "value", "expires"}, "value"), door);
}

Reply state_delete(const Query&, const Question& question, const ClusterDoor& door) {
  return change_state(read_state(question, door, "state:delete", {"pool", "key"}), door);
}

Reply state_incr(const Query&, const Question& question, const ClusterDoor& door) {
  return change_state(read_state(question, door, "state:incr", {"pool", "key", "by", "expires"}), door);
}

Reply state_cas(const Query&, const Question& question, const ClusterDoor& door) {
  return change_state(read_state(question, door, "state:cas", {"pool", "key", "expected", "value", "expires"}), door);
}

}  // namespace drover::admin
