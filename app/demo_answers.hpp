// Role: what the demo worker says: who answered, or how it is (/health), as JSON.
// Thread: the demo worker's one. Ownership: plain values; the clock readings of the last /health are kept here.
// Only HTTP messages come in and go out: demo_worker.cpp does the network.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/value.hpp>

#include <string_view>

namespace drover::app {

using DemoRequest = boost::beast::http::request<boost::beast::http::string_body>;
using DemoResponse = boost::beast::http::response<boost::beast::http::string_body>;

class DemoAnswers {
 public:
  DemoAnswers();
  DemoResponse answer(const DemoRequest& request);
  static DemoResponse refusal(boost::beast::http::status status, std::string_view reason);

 private:
  boost::json::object health();

  boost::json::value id_;  ///< DROVER_WORKER: a number where it is one, null outside drover
  double cpu_at_;          ///< seconds of CPU at the last /health
  double asked_at_;        ///< seconds of the steady clock then
};

}  // namespace drover::app
