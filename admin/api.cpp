#include "admin/api.hpp"

#include "admin/api_input.hpp"
#include "admin/json_text.hpp"
#include "admin/message_api.hpp"
#include "admin/status_json.hpp"
#include "admin/streams.hpp"
#include "admin/token.hpp"
#include "base/text.hpp"

#include <boost/json/object.hpp>

#include <algorithm>
#include <array>
#include <cerrno>

namespace drover::admin {

namespace {

namespace json = boost::json;
using backends::Order;

Answer refused(const Bad& bad) { return refusal(bad.status, bad.message); }

Reply status(const Query&, const Question&, const ClusterDoor& door) {
  return Answer{.type = "application/json", .body = status_json(door.status())};
}

Reply version(const Query&, const Question&, const ClusterDoor&) { return json_answer(json::object{{"version", base::version()}}); }

Reply config(const Query&, const Question&, const ClusterDoor& door) {
  return json_answer(json::object{{"file", door.file}, {"effective", door.effective()}});
}

Reply event_names(const Query&, const Question&, const ClusterDoor&) {
  json::array names;
  for (const auto& each : backends::kEventNames) names.push_back(json::object{{"event", each.name}, {"says", each.help}});
  return json_answer(json::object{{"events", std::move(names)}});
}

Reply events(const Query& query, const Question&, const ClusterDoor& door) {
  backends::EventJournal& journal = *door.events;
  std::uint64_t from = journal.first();
  if (query.after == "now") {
    from = journal.next();
  } else if (!query.after.empty()) {
    const auto after = read_number(query.after, "after", UINT64_MAX - 1);
    if (!after) return refused(after.error());
    if (*after >= journal.next()) {
      return refusal(400, "after: the last event is number " + std::to_string(journal.next() - 1) +
                              "; numbers begin at 1 with each start of drover: ask without `after`");
    }
    from = *after + 1;
  }
  return std::make_unique<JournalSource<backends::ClusterEvent>>(journal, from, query.follow, std::nullopt);
}

Reply logs(const Query& query, const Question&, const ClusterDoor& door) {
  std::optional<backends::Target> target;
  if (!query.target.empty()) {
    auto found = find_target(query.target, door.status());
    if (!found) return refused(found.error());
    target = std::move(*found);
  }
  const auto lines = read_number(query.lines.empty() ? "100" : query.lines, "lines", backends::kLinesKept);
  if (!lines) return refused(lines.error());
  const std::uint64_t from = first_of_last(*door.output, *lines, target);
  return std::make_unique<JournalSource<backends::OutputLine>>(*door.output, from, query.follow, std::move(target));
}

Reply why(const Query& query, const Question&, const ClusterDoor& door) {
  const auto target = find_target(query.target, door.status());
  if (!target) return refused(target.error());
  return json_answer(json::object{{"deaths", door.deaths(*target)}});
}

Reply give(const Order& order, bool wait, const ClusterDoor& door) {
  auto source = OrderSource::begin(door, order);
  if (!source) {
    const int code = source.error().code;
    return refusal(code == ENOENT ? 404 : code == EINVAL || code == ERANGE ? 400 : code == EBUSY ? 409 : 500, source.error().message);
  }
  if (!wait) return json_answer(json::object{{"line", "begun; drover events -f shows how it goes on"}, {"done", false}}, 202);
  return std::move(*source);
}

/// Of a body that names a target and nothing but `known`.
base::Result<std::pair<Order, json::object>, Bad> targeted(const Question& question, const ClusterDoor& door, Order::Verb verb,
                                                           std::span<const std::string_view> known) {
  auto body = read_body(question.body, known);
  if (!body) return body.error();
  const auto text = text_member(*body, "target");
  if (!text) return text.error();
  auto target = find_target(*text, door.status());
  if (!target) return target.error();
  Order order;
  order.verb = verb;
  order.target = std::move(*target);
  return std::pair{std::move(order), std::move(*body)};
}

template <Order::Verb verb>
Reply on_target(const Query& query, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 1> kKnown{"target"};
  const auto asked = targeted(question, door, verb, kKnown);
  if (!asked) return refused(asked.error());
  return give(asked->first, query.wait, door);
}

Reply scale(const Query& query, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 2> kKnown{"target", "workers"};
  auto asked = targeted(question, door, Order::Verb::scale, kKnown);
  if (!asked) return refused(asked.error());
  auto& [order, body] = *asked;
  if (order.target.slot) return refusal(400, "scale: the target is a pool (\"" + order.target.pool + "\"), not one worker");
  const auto count = count_member(body, "workers");
  if (!count) return refused(count.error());
  order.count = *count;
  return give(order, query.wait, door);
}

Reply hold(const Query& query, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 3> kKnown{"target", "max", "off"};
  auto asked = targeted(question, door, Order::Verb::hold, kKnown);
  if (!asked) return refused(asked.error());
  auto& [order, body] = *asked;
  const auto most = time_member(body, "max", backends::kHoldDefault, backends::kHoldMost);
  if (!most) return refused(most.error());
  const auto off = flag_member(body, "off");
  if (!off) return refused(off.error());
  order.most = *most;
  order.off = *off;
  return give(order, query.wait, door);
}

Reply maintenance(const Query& query, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 3> kKnown{"target", "message", "off"};
  auto asked = targeted(question, door, Order::Verb::maintenance, kKnown);
  if (!asked) return refused(asked.error());
  auto& [order, body] = *asked;
  const auto off = flag_member(body, "off");
  if (!off) return refused(off.error());
  order.off = *off;
  if (body.contains("message")) {
    auto message = text_member(body, "message");
    if (!message) return refused(message.error());
    order.message = std::move(*message);
  }
  return give(order, query.wait, door);
}

Reply stop(const Query& query, const Question& question, const ClusterDoor& door) {
  constexpr std::array<std::string_view, 1> kKnown{"force"};
  const auto body = read_body(question.body, kKnown);
  if (!body) return refused(body.error());
  const auto force = flag_member(*body, "force");
  if (!force) return refused(force.error());
  Order order;
  order.verb = Order::Verb::stop;
  order.force = *force;
  return give(order, query.wait, door);
}

/// open: for everybody. secret: what workers print and clients ask for. change: anything that changes something.
enum class Guard : std::uint8_t { open, secret, change };

struct Row {
  std::string_view path;
  Guard guard;
  bool streams;
  std::string_view parameters;  ///< of the query, comma-separated
  Reply (*answer)(const Query&, const Question&, const ClusterDoor&);
  std::size_t body = kMaxBody;

  bool post() const { return guard == Guard::change; }
};

constexpr std::array kRows{
    Row{"/v1/status", Guard::open, false, "", status},
    Row{"/v1/version", Guard::open, false, "", version},
    Row{"/v1/events/names", Guard::open, false, "", event_names},
    Row{"/v1/events", Guard::secret, true, "after,follow", events},
    Row{"/v1/logs", Guard::secret, true, "target,lines,follow", logs},
    Row{"/v1/why", Guard::secret, false, "target", why},
    Row{"/v1/config", Guard::secret, false, "", config},
    Row{"/v1/restart", Guard::change, true, "wait", on_target<Order::Verb::restart>},
    Row{"/v1/drain", Guard::change, true, "wait", on_target<Order::Verb::drain>},
    Row{"/v1/resume", Guard::change, true, "wait", on_target<Order::Verb::resume>},
    Row{"/v1/scale", Guard::change, true, "wait", scale},
    Row{"/v1/hold", Guard::change, true, "wait", hold},
    Row{"/v1/maintenance", Guard::change, true, "wait", maintenance},
    Row{"/v1/stop", Guard::change, true, "wait", stop},
    Row{"/v1/send", Guard::change, false, "", send_message, kMaxMessageBody},
    Row{"/v1/request", Guard::change, true, "", request_workers, kMaxMessageBody},
    Row{"/v1/state", Guard::secret, false, "pool,key", state_get},
    Row{"/v1/state/list", Guard::secret, false, "pool,prefix,after", state_list},
    Row{"/v1/state/watch", Guard::secret, true, "pool,key", state_watch},
    Row{"/v1/state/set", Guard::change, false, "", state_set, kMaxMessageBody},
    Row{"/v1/state/delete", Guard::change, false, "", state_delete},
    Row{"/v1/state/incr", Guard::change, false, "", state_incr},
    Row{"/v1/state/cas", Guard::change, false, "", state_cas, kMaxMessageBody},
};

std::string_view path_of(const Question& question) { return question.target.substr(0, question.target.find('?')); }
bool of_api(std::string_view path) { return path == "/v1" || path.starts_with("/v1/"); }

const Row* find_row(std::string_view path) {
  const auto* row = std::find_if(kRows.begin(), kRows.end(), [path](const Row& each) { return each.path == path; });
  return row == kRows.end() ? nullptr : row;
}

/// What changes something is there for everybody, if only to say which door lets one do it.
bool there(const Row& row, const Rights& rights) { return row.guard != Guard::secret || rights.everything || !rights.token.empty(); }

std::string not_there(std::string_view path, const Rights& rights) {
  std::string message = "nothing is at " + base::printable(path, 100) + "; there are";
  for (const Row& each : kRows) {
    if (there(each, rights)) message += (message.ends_with("are") ? " " : ", ") + std::string(each.path);
  }
  return message;
}

/// The scheme's name is case-insensitive (RFC 9110, 11.1).
bool bears(std::string_view authorization, std::string_view token) {
  constexpr std::string_view kScheme = "bearer ";
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b; };
  if (authorization.size() < kScheme.size() ||
      !std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [&](char b, char a) { return same(a, b); })) {
    return false;
  }
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return same_token(authorization, token);
}

std::optional<Answer> refuse_api(const Question& question, std::string_view path, const Rights& rights) {
  if (!rights.everything && !trusted_host(question.host, rights.listen_host)) return refusal(403, "ask by an IP address or as localhost");
  const Row* row = find_row(path);
  const bool guarded = row != nullptr && row->guard != Guard::open && !rights.everything;
  if (row == nullptr || !there(*row, rights)) return refusal(404, not_there(path, rights));
  const bool closed = guarded && row->post() && rights.token.empty();
  if (closed || question.method != (row->post() ? Method::post : Method::read)) {
    Answer answer = refusal(405, closed        ? "this door only reads; the Unix socket, or [admin] token_file, lets one change things"
                                 : row->post() ? "ask with POST"
                                               : "ask with GET");
    answer.allow = closed ? "" : row->post() ? "POST" : "GET, HEAD";
    return answer;
  }
  if (guarded && !bears(question.authorization, rights.token)) {
    return refusal(
        401, question.authorization.empty() ? "no token: send Authorization: Bearer, with what [admin] token_file holds" : "the token is wrong");
  }
  return std::nullopt;
}

}  // namespace

Answer json_answer(const json::value& value, unsigned status) {
  return {.status = status, .type = "application/json", .body = json_text(value) + "\n"};
}

Answer refusal(unsigned status, std::string_view message) { return json_answer(json::object{{"error", message}}, status); }

std::optional<Answer> refuse(const Question& question, const Rights& rights) {
  const std::string_view path = path_of(question);
  if (of_api(path)) return refuse_api(question, path, rights);
  if (question.method != Method::read) {
    Answer answer = plain(405, "only GET and HEAD");
    answer.allow = "GET, HEAD";
    return answer;
  }
  const bool checked = path == "/status" && !rights.everything;
  if (checked && !trusted_host(question.host, rights.listen_host)) return plain(403, "ask by an IP address or as localhost");
  return std::nullopt;
}

bool streams(const Question& question) {
  const Row* row = find_row(path_of(question));
  return row != nullptr && row->streams;
}

std::size_t body_limit(const Question& question) {
  const Row* row = find_row(path_of(question));
  return row == nullptr ? kMaxBody : row->body;
}

Reply answer(const Question& question, const ClusterDoor& door) {
  const std::string_view path = path_of(question);
  const Row* row = find_row(path);
  if (row == nullptr) return page(path, door.status);
  const auto query = read_query(question.target, row->parameters);
  if (!query) return refused(query.error());
  return row->answer(*query, question, door);
}

}  // namespace drover::admin
