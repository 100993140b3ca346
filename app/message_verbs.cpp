// The verbs that speak to workers.
#include "app/message_verbs.hpp"
#include "app/asking.hpp"
#include "app/json_argument.hpp"
#include "app/json_view.hpp"

#include "admin/json_text.hpp"
#include "backends/orders.hpp"

#include <cstdint>

namespace drover::app {

namespace {

namespace json = boost::json;

/// {"target":…,"type":…,"data":…,"timeout":…}; the data as they were written, to the last digit.
std::string body_of(const MessageAsked& asked, const std::string& data, bool with_timeout) {
  std::string body = "{\"target\":";
  admin::append_json_string(body, asked.target);
  body += ",\"type\":";
  admin::append_json_string(body, asked.type);
  if (!data.empty()) body += ",\"data\":" + data;
  if (with_timeout) body += ",\"timeout\":" + std::to_string(asked.timeout.count());
  return body + "}";
}

/// What a worker, or drover, gives as the reason: a string, {message: …}, or anything.
std::string reason_in(const json::value& line) {
  const auto* error = member(line, "error");
  if (error == nullptr) return "it said no, without a reason";
  if (error->is_string()) return text_in(line, "error");
  const std::string message = text_in(*error, "message");
  return message.empty() ? admin::exact_json_text(*error) : message;
}

class Answers {
 public:
  Answers(bool as_json, bool of_one) : as_json_(as_json), of_one_(of_one) {}

  bool operator()(std::string_view text) {
    const json::value line = parse_lenient(text);
    const bool gap = text_in(line, "event") == "gap";
    const std::string worker = text_in(line, "worker");
    if (gap || !flag_in(line, "ok")) failed_ = true;
    if (as_json_) {
      print(std::string(text) + "\n");
    } else if (gap) {
      said_gap(line);
    } else if (flag_in(line, "ok")) {
      const auto* data = member(line, "data");
      print((of_one_ ? "" : worker + "\t") + (data == nullptr ? "null" : admin::exact_json_text(*data)) + "\n");
    } else {
      fail(worker + ": " + reason_in(line));
    }
    ended_ = flag_in(line, "last");
    return !ended_;
  }

  int exit_code() const {
    if (!ended_) return fail("drover has ended, or closed the connection, before all had answered");
    return failed_ ? kFailed : 0;
  }

 private:
  bool as_json_;
  bool of_one_;
  bool failed_ = false;
  bool ended_ = false;
};

}  // namespace

int send_message(const Common& common, const MessageAsked& asked) {
  const auto data = json_argument(asked.data);
  if (!data) return wrong_usage("send", data.error());
  const Got got = ask(common, {.method = "POST", .target = "/v1/send", .body = body_of(asked, *data, false)});
  if (got.exit_code != 0) return got.exit_code;
  const double workers = number_in(got.value, "workers");
  if (common.json) {
    print(got.text);
  } else {
    print(workers == 1 ? "sent to 1 worker\n" : "sent to " + std::to_string(static_cast<std::uint64_t>(workers)) + " workers\n");
  }
  return 0;
}

int request_workers(const Common& common, const MessageAsked& asked) {
  const auto data = json_argument(asked.data);
  if (!data) return wrong_usage("request", data.error());
  const auto target = backends::parse_target(asked.target);
  Answers answers(common.json, target && target->slot);
  const Asking asking{.method = "POST", .target = "/v1/request", .body = body_of(asked, *data, true)};
  const int exit_code = tell_lines(common, asking, [&answers](std::string_view line) { return answers(line); });
  return exit_code != 0 ? exit_code : answers.exit_code();
}

}  // namespace drover::app
