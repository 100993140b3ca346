// The part of the command line that speaks to workers.
#include "app/command_line.hpp"

namespace drover::app {

namespace {

constexpr base::Millis kLeastTime{1};

constexpr const char* kStateFooter =
    "  get POOL KEY            prints the value as JSON; 1 when there is none\n"
    "  set POOL KEY JSON       a string has its quotes: '\"text\"'\n"
    "  delete POOL KEY\n"
    "  incr POOL KEY [N]       adds N (1), prints the sum\n"
    "  list POOL [PREFIX]      KEY, a tab, JSON; a line for each\n"
    "  watch POOL [KEY]        tells every change until it is interrupted; 'PREFIX*': of all that begin so";

/// What every worker is sent may come from standard input.
constexpr const char* kDataHelp = "its data, as JSON; -: from standard input; default: null";

}  // namespace

void CommandLine::add_message_verbs() {
  CLI::App* send = asking_verb("send", "send a message to a worker, or to all of a pool", [this] { return send_message(common_, message_); });
  CLI::App* request =
      asking_verb("request", "ask a worker, or all of a pool, and print what they answer", [this] { return request_workers(common_, message_); });
  for (CLI::App* sub : {send, request}) {
    sub->add_option("TARGET", message_.target, "pool or pool.N")->required();
    sub->add_option("TYPE", message_.type, "the message's type, as the workers know it")->required();
    sub->add_option("JSON", message_.data, kDataHelp);
  }
  request
      ->add_option_function<std::string>(
          "--timeout",
          [this](const std::string& text) {
            message_.timeout = duration("--timeout", text, kLeastTime);
            if (message_.timeout > kLongestAnswerTime) throw CLI::ValidationError("--timeout", text + " is more than 60s");
          },
          "how long to wait for an answer, at most 60s; default 5s")
      ->type_name("TIME");
  CLI::App* sub = asking_verb("state", "the state that a pool's workers share", [this] { return state(common_, state_); });
  std::vector<std::string> actions;
  for (const auto action : kStateActions) actions.emplace_back(action);
  sub->add_option("ACTION", state_.action, "get, set, delete, incr, list or watch")->required()->check(CLI::IsMember(actions));
  sub->add_option("POOL", state_.pool, "whose state")->required();
  sub->add_option("KEY", state_.key, "list: what keys begin with; watch: also PREFIX*");
  sub->add_option("VALUE", state_.value, "JSON; -: from standard input");
  sub->add_option_function<std::string>(
         "--expires",
         [this](const std::string& text) {
           duration("--expires", text, kLeastTime);
           state_.expires = text;
         },
         "set, incr: it is gone after that time; default: never")
      ->type_name("TIME");
  sub->footer(kStateFooter);
}

}  // namespace drover::app
