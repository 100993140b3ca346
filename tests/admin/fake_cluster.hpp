// Role: a cluster for the admin side that does what a test tells it.
// Thread: the test's. Ownership: must outlive every AdminServer that uses its door.
#pragma once

#include "admin/door.hpp"
#include "sample_status.hpp"

#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace drover::admin {

struct FakeCluster {
  static constexpr std::size_t kEvents = 100;

  backends::ClusterStatus status = sample_status();
  int asked = 0;
  backends::EventJournal events{kEvents, 1 << 20};
  backends::OutputJournal output{kEvents, 1 << 20};
  std::vector<backends::Order> orders;
  std::map<backends::OrderId, backends::OrderWatcher> watchers;
  std::vector<backends::OrderId> forgotten;
  int refuse_with = 0;  ///< errno of the next orders, messages and requests for state; 0: they are taken

  struct Said {
    std::string target;
    std::string type;
    boost::json::value data;
    base::Millis timeout{};
  };
  std::vector<Said> said;  ///< messages and requests
  std::map<backends::RequestNumber, backends::AnswerWatcher> asking;
  std::vector<backends::RequestNumber> given_up;
  std::vector<std::pair<std::string, boost::json::object>> state_asked;  ///< pool, request
  boost::json::value state_answer;
  std::vector<std::pair<std::string, std::string>> watched;  ///< pool, key
  std::map<backends::StateWatchId, backends::StateWatcher> state_watchers;

  ClusterDoor door() {
    ClusterDoor door;
    door.status = [this] {
      ++asked;
      return status;
    };
    door.events = &events;
    door.output = &output;
    door.deaths = [](const backends::Target& target) {
      return boost::json::array{boost::json::object{{"worker", target.text()}, {"exit", "signal SEGV"}}};
    };
    door.file = "cluster.toml";
    door.effective = [] { return std::string("[cluster]\nports = \"20000-29999\"\n"); };
    door.order = [this](const backends::Order& order, backends::OrderWatcher watcher) { return take(order, std::move(watcher)); };
    door.forget = [this](backends::OrderId id) {
      forgotten.push_back(id);
      watchers.erase(id);
    };
    give_messages(door);
    return door;
  }

  /// Every watcher hears it.
  void progress(const std::string& line, bool done = false, bool ok = true) {
    const auto all = watchers;
    for (const auto& [id, watcher] : all) watcher({line, done, ok});
    if (done) watchers.clear();
  }

  void event(const std::string& name, std::uint32_t slot = 1) {
    backends::ClusterEvent event;
    event.time = 1'700'000'000.5;
    event.name = name;
    event.pool = "shop";
    event.slot = slot;
    event.incarnation = 7;
    event.data["why"] = "test";
    events.add(std::move(event));
  }

  void line(const std::string& text, std::uint32_t slot = 1, const std::string& pool = "shop") {
    output.add({.time = 1'700'000'000.25, .pool = pool, .slot = slot, .incarnation = 7, .text = text});
  }

  void answer(backends::WorkerAnswer answer) {
    const auto all = asking;
    for (const auto& [number, watcher] : all) watcher(answer);
    if (answer.last) asking.clear();
  }

  void change(const boost::json::object& change) {
    for (const auto& [id, watcher] : state_watchers) watcher(change);
  }

 private:
  base::Error refused() const { return {"not now: told so", refuse_with}; }

  void give_messages(ClusterDoor& door) {
    door.send = [this](const backends::Target& target, const std::string& type, const boost::json::value& data) -> base::Result<std::size_t> {
      if (refuse_with != 0) return refused();
      said.push_back({target.text(), type, data});
      return std::size_t{3};
    };
    door.request = [this](const backends::Target& target, const std::string& type, const boost::json::value& data, base::Millis timeout,
                          backends::AnswerWatcher watcher) -> base::Result<backends::RequestNumber> {
      if (refuse_with != 0) return refused();
      said.push_back({target.text(), type, data, timeout});
      asking[said.size()] = std::move(watcher);
      return static_cast<backends::RequestNumber>(said.size());
    };
    door.forget_request = [this](backends::RequestNumber number) {
      given_up.push_back(number);
      asking.erase(number);
    };
    door.state = [this](const std::string& pool, const boost::json::object& request) -> base::Result<boost::json::value> {
      if (refuse_with != 0) return refused();
      state_asked.emplace_back(pool, request);
      return {boost::system::in_place_value, state_answer};
    };
    door.watch_state = [this](const std::string& pool, const std::string& key,
                              backends::StateWatcher watcher) -> base::Result<backends::StateWatchId> {
      if (refuse_with != 0) return refused();
      watched.emplace_back(pool, key);
      state_watchers[watched.size()] = std::move(watcher);
      return static_cast<backends::StateWatchId>(watched.size());
    };
    door.unwatch_state = [this](backends::StateWatchId id) { state_watchers.erase(id); };
  }

  base::Result<backends::OrderId> take(const backends::Order& order, backends::OrderWatcher watcher) {
    if (refuse_with != 0) return base::Error{"not now: shop is rolling", refuse_with};
    orders.push_back(order);
    watchers[orders.size()] = std::move(watcher);
    return static_cast<backends::OrderId>(orders.size());
  }
};

}  // namespace drover::admin
