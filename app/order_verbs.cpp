// The verbs that change something: they wait until it is done and tell how it goes on.
#include "app/client.hpp"
#include "app/json_view.hpp"
#include "app/verbs.hpp"

#include "admin/json_text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace drover::app {

namespace {

namespace json = boost::json;

/// What came of an order.
struct Outcome {
  int exit_code = 0;
  bool cut = false;  ///< the connection ended before the order did
};

class Teller {
 public:
  explicit Teller(bool as_json) : as_json_(as_json) {}

  /// Steps to standard error, the result to standard output; with --json every line, as it is, to standard output.
  bool operator()(std::string_view line) {
    boost::system::error_code error;
    const json::value value = json::parse({line.data(), line.size()}, error);
    const std::string text = text_in(value, "line");
    done_ = flag_in(value, "done");
    ok_ = flag_in(value, "ok");
    if (as_json_) {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
      std::fflush(stdout);
    } else if (done_ && ok_) {
      std::printf("%s\n", text.c_str());
    } else if (done_) {
      fail(text);
    } else if (!text.empty()) {
      std::fprintf(stderr, "%s\n", text.c_str());
    }
    return !done_;
  }

  bool done() const { return done_; }
  bool ok() const { return ok_; }

 private:
  bool as_json_;
  bool done_ = false;
  bool ok_ = false;
};

Outcome give(const Common& common, const std::string& socket, const std::string& path, const json::object& body, bool wait) {
  const StopSignals signals;
  const Asking asking{.method = "POST", .target = path + (wait ? "" : "?wait=0"), .body = admin::json_text(body)};
  Teller teller(common.json);
  const auto answer = Client(socket, signals.fd()).follow(asking, [&teller](std::string_view line) { return teller(line); });
  if (!answer) return {fail(answer.error().message)};
  if (answer->status == 202) {
    teller(std::string_view(answer->body).substr(0, answer->body.find('\n')));
    return {};
  }
  if (teller.done()) return {teller.ok() ? 0 : kFailed};
  if (answer->stopped) {
    std::fprintf(stderr, "drover: no longer waiting; what was begun goes on (drover events -f shows it)\n");
    return {kInterrupted};
  }
  if (answer->status != 200) return {fail(error_in(*answer))};
  return {kFailed, true};
}

int give(const Common& common, const std::string& path, const json::object& body, bool wait) {
  const Found found = find_socket(common);
  if (found.exit_code != 0) return found.exit_code;
  const Outcome outcome = give(common, found.socket, path, body, wait);
  return outcome.cut ? fail("drover has ended, or closed the connection, before it was done") : outcome.exit_code;
}

/// Of the process that was started as `drover run`; -1: unknown.
base::UniqueFd watch_drover(const std::string& socket) {
  const auto answer = Client(socket).ask({.target = "/v1/status"});
  boost::system::error_code error;
  const json::value status = answer ? json::parse(answer->body, error) : json::value();
  const auto pid = static_cast<pid_t>(number_in(status, "pid"));
  return base::UniqueFd(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
}

bool ended_within(const base::UniqueFd& process, std::chrono::milliseconds time) {
  pollfd ready{process.get(), POLLIN, 0};
  return process && ::poll(&ready, 1, static_cast<int>(time.count())) > 0;
}

}  // namespace

int change(const Common& common, Change change, const std::string& target, bool wait) {
  const char* path = change == Change::restart ? "/v1/restart" : change == Change::drain ? "/v1/drain" : "/v1/resume";
  return give(common, path, {{"target", target}}, wait);
}

int scale(const Common& common, const std::string& pool, std::uint32_t workers, bool wait) {
  return give(common, "/v1/scale", {{"target", pool}, {"workers", workers}}, wait);
}

int hold(const Common& common, const DoorAsked& asked, bool wait) {
  return give(common, "/v1/hold", {{"target", asked.pool}, {"max", asked.most.count()}, {"off", asked.off}}, wait);
}

int maintenance(const Common& common, const DoorAsked& asked) {
  return give(common, "/v1/maintenance", {{"target", asked.pool}, {"message", asked.message}, {"off", asked.off}}, true);
}

int stop(const Common& common, bool force, bool wait) {
  constexpr std::chrono::milliseconds kLastThings{10'000};  // the proxy and all workers are gone when the order is done
  const Found found = find_socket(common);
  if (found.exit_code != 0) return found.exit_code;
  const base::UniqueFd process = watch_drover(found.socket);
  const Outcome outcome = give(common, found.socket, "/v1/stop", {{"force", force}}, wait);
  if (!wait || outcome.exit_code == kInterrupted || (outcome.exit_code != 0 && !outcome.cut)) return outcome.exit_code;
  // `drover stop && drover run` must find the addresses and the socket free.
  const bool ended = ended_within(process, kLastThings);
  if (outcome.cut && !ended) return fail("drover closed the connection before it was done");
  if (outcome.cut) std::printf("drover has ended\n");
  return 0;
}

}  // namespace drover::app
