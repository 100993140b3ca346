// Role: what every StateStore must do. A store gets all checks by being in the table of state_store_test.cpp; stores with planted
//       defects show there that the checks find what they look for.
// Thread: the test's. Ownership: each check makes stores of its own.
#pragma once

#include "ipc/state_store.hpp"

#include <boost/json/value.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::ipc::test {

using MakeStore = std::function<std::unique_ptr<StateStore>(const StateLimits&)>;

/// What a check found wrong.
class Findings {
 public:
  void expect(bool held, const std::string& promise) {
    if (!held) broken_.push_back(promise);
  }
  const std::vector<std::string>& broken() const { return broken_; }
  std::string text() const;

 private:
  std::vector<std::string> broken_;
};

struct Check {
  std::string_view name;
  void (*run)(const MakeStore& make, Findings& findings);
};
std::span<const Check> checks();

/// Random operations with a clock of its own, on the store and on a naive one beside it; findings name the seed and the step.
void model_check(const MakeStore& make, Findings& findings);

/// A change as it was heard.
struct Heard {
  std::string key;
  std::optional<boost::json::value> value;
  std::optional<boost::json::value> old_value;
  std::uint64_t by = 0;
};
/// Writes down what a store tells, as long as it lives.
class Listener {
 public:
  explicit Listener(StateStore& store);
  ~Listener() { store_.unwatch(watch_); }
  Listener(const Listener&) = delete;
  std::vector<Heard> take() { return std::exchange(heard_, {}); }

 private:
  StateStore& store_;
  std::vector<Heard> heard_;
  std::uint64_t watch_;
};
std::string to_text(const Heard& heard);

}  // namespace drover::ipc::test
