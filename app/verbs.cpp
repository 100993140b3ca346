#include "app/verbs.hpp"

#include "admin/json_text.hpp"
#include "app/asking.hpp"
#include "app/json_view.hpp"
#include "app/tables.hpp"
#include "config/admin_socket.hpp"
#include "config/effective.hpp"
#include "config/parse.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace drover::app {

namespace {

namespace json = boost::json;

/// A file's text keeps every byte on its way into another file; a terminal gets none that steers it.
std::string for_reader(std::string_view text) {
  if (::isatty(STDOUT_FILENO) != 1) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    out += base::printable(line, line.size()) + "\n";
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return out;
}

}  // namespace

int fail(const std::string& message) {
  std::fprintf(stderr, "drover: %s\n", message.c_str());
  return kFailed;
}

Found find_socket(const Common& common) {
  if (!common.socket.empty()) return {common.socket};
  config::Config config;
  if (!common.config.empty()) {
    auto loaded = config::load(common.config);
    if (!loaded) {
      std::fprintf(stderr, "%s", config::render(loaded.error()).c_str());
      return {{}, kWrongConfig};
    }
    config = std::move(*loaded);
  }
  return {config::admin_socket_path(config, ::geteuid() == 0, ::geteuid(), std::getenv("XDG_RUNTIME_DIR"))};
}

int show_status(const Common& common) {
  const Got got = get(common, "/v1/status");
  if (got.exit_code != 0) return got.exit_code;
  print(common.json ? got.text : summary(got.value) + "\n" + worker_table(got.value, {}, kAnyWidth));
  return 0;
}

int show_workers(const Common& common, std::chrono::milliseconds sample) {
  const Got before = get(common, "/v1/status");
  if (before.exit_code != 0) return before.exit_code;
  if (common.json) {
    json::array workers;
    for_each_in(before.value, "pools", [&workers](const json::value& pool) {
      for_each_in(pool, "workers", [&](const json::value& worker) {
        workers.push_back(worker);
        if (auto* object = workers.back().if_object()) (*object)["pool"] = text_in(pool, "name");
      });
    });
    print(admin::json_text(workers) + "\n");
    return 0;
  }
  const auto began = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(sample);
  const Got after = get(common, "/v1/status");
  if (after.exit_code != 0) return after.exit_code;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  print(worker_table(after.value, rates_between(before.value, after.value, seconds), kAnyWidth));
  return 0;
}

int show_targets(const Common& common) {
  const Found found = find_socket(common);
  const auto answer = found.exit_code == 0 ? Client(found.socket).ask({.target = "/v1/status"}) : base::Error{};
  if (!answer || answer->status != 200) return kFailed;
  boost::system::error_code error;
  const json::value status = json::parse(answer->body, error);
  // A shell expands what it is offered as completion (compgen -W): nothing goes there that is no name.
  const auto tell = [](const json::value& named) {
    const std::string name = text_in(named, "name");
    if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-.") == std::string::npos) print(name + "\n");
  };
  for_each_in(status, "pools", [&tell](const json::value& pool) {
    tell(pool);
    for_each_in(pool, "workers", tell);
  });
  return 0;
}

int show_events(const Common& common, const EventsAsked& asked) {
  if (asked.names) {
    const Got got = get(common, "/v1/events/names");
    if (got.exit_code != 0) return got.exit_code;
    std::vector<std::vector<std::string>> rows{{"EVENT", "SAYS"}};
    for_each_in(got.value, "events", [&rows](const json::value& each) { rows.push_back({text_in(each, "event"), text_in(each, "says")}); });
    print(common.json ? got.text : align(rows, "", kAnyWidth));
    return 0;
  }
  std::string target = "/v1/events?follow=" + std::string(asked.follow ? "1" : "0");
  if (!asked.after.empty()) target += "&after=" + as_parameter(asked.after);
  return tell_lines(common, {.target = target}, [](std::string_view line) {
    print(std::string(line) + "\n");  // JSON with every control character escaped: fit for a terminal as it is
    return true;
  });
}

int show_logs(const Common& common, const LogsAsked& asked) {
  std::string target = "/v1/logs?follow=" + std::string(asked.follow ? "1" : "0") + "&lines=" + std::to_string(asked.lines);
  if (!asked.target.empty()) target += "&target=" + as_parameter(asked.target);
  return tell_lines(common, {.target = target}, [&common](std::string_view line) {
    boost::system::error_code error;
    const json::value value = json::parse({line.data(), line.size()}, error);
    if (common.json) {
      print(std::string(line) + "\n");
    } else if (!error && !said_gap(value)) {
      print(log_text(value) + "\n");
    }
    return true;
  });
}

int show_why(const Common& common, const std::string& target) {
  const Got got = get(common, "/v1/why?target=" + as_parameter(target));
  if (got.exit_code != 0) return got.exit_code;
  if (common.json) {
    print(got.text);
    return 0;
  }
  std::string text;
  for_each_in(got.value, "deaths", [&text](const json::value& record) { text += (text.empty() ? "" : "\n") + obituary_text(record); });
  print(text.empty() ? base::printable(target) + ": nothing of it has died since drover was started\n" : text);
  return 0;
}

int show_config(const Common& common, const std::string& file, bool effective) {
  if (!file.empty()) {
    const auto loaded = config::load(file);
    if (!loaded) {
      std::fprintf(stderr, "%s", config::render(loaded.error()).c_str());
      return kWrongConfig;
    }
    const std::string text = effective ? for_reader(config::effective(*loaded)) : file + "\n";
    print(common.json ? admin::json_text(json::object{{"file", file}, {"effective", config::effective(*loaded)}}) + "\n" : text);
    return 0;
  }
  const Got got = get(common, "/v1/config");
  if (got.exit_code != 0) return got.exit_code;
  const auto* text = member(got.value, "effective");
  const bool whole = effective && text != nullptr && text->is_string();
  print(common.json ? got.text : whole ? for_reader({text->get_string().data(), text->get_string().size()}) : text_in(got.value, "file") + "\n");
  return 0;
}

}  // namespace drover::app
