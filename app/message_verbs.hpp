// Role: the command-line verbs that speak to workers and look into their shared state.
// Thread: the command's one; each verb is a process. Ownership: values. Exit codes: those of verbs.hpp; 2: an argument is no JSON, or missing.
#pragma once

#include "app/verbs.hpp"
#include "base/units.hpp"

#include <array>
#include <string>
#include <string_view>

namespace drover::app {

inline constexpr base::Millis kDefaultAnswerTime{5'000};
inline constexpr base::Millis kLongestAnswerTime{60'000};

struct MessageAsked {
  std::string target;
  std::string type;
  std::string data;  ///< JSON; "-" = standard input; "" = none
  base::Millis timeout = kDefaultAnswerTime;
};
int send_message(const Common& common, const MessageAsked& asked);
/// Of one worker: its answer's data. Of a pool: a line for each worker.
int request_workers(const Common& common, const MessageAsked& asked);

inline constexpr std::array<std::string_view, 6> kStateActions{"get", "set", "delete", "incr", "list", "watch"};

struct StateAsked {
  std::string action;  ///< one of kStateActions
  std::string pool;
  std::string key;      ///< list: what keys begin with
  std::string value;    ///< JSON; "-" = standard input
  std::string expires;  ///< "30s"; "" = never
};
int state(const Common& common, const StateAsked& asked);

}  // namespace drover::app
