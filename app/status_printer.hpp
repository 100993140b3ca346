// Role: the table that `drover run` prints on its standard output every few seconds.
// Thread: supervisor's; it never waits for whoever should read: what can't be written at once is left out. Ownership: owns its
//         timer and its own way to the output; borrows the loop.
#pragma once

#include "backends/status.hpp"
#include "base/unique_fd.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <string>

namespace drover::app {

class StatusPrinter {
 public:
  StatusPrinter(boost::asio::io_context& io, base::Millis every, std::function<backends::ClusterStatus()> status, int output = 1);
  StatusPrinter(const StatusPrinter&) = delete;

 private:
  using Executor = boost::asio::io_context::executor_type;

  void wait();
  void print(const std::string& text);

  boost::asio::basic_waitable_timer<base::Clock, boost::asio::wait_traits<base::Clock>, Executor> timer_;
  base::Millis every_;
  std::function<backends::ClusterStatus()> status_;
  base::UniqueFd output_;
  bool broken_ = false;  ///< the last one was cut: the next one begins on a new line
};

}  // namespace drover::app
