// Role: what the verbs that ask a running drover have in common: one answer as JSON, a stream of lines, and printing.
// Thread: the command's one. Ownership: values.
#pragma once

#include "app/client.hpp"
#include "app/verbs.hpp"

#include <boost/json/value.hpp>

#include <string>

namespace drover::app {

/// To standard output, at once: whoever follows through a pipe sees each line when it comes.
void print(const std::string& text);

/// One answer as JSON; exit_code not 0: there is none, and why has been said.
struct Got {
  boost::json::value value;
  std::string text;
  int exit_code = 0;
  unsigned status = 0;  ///< 0 = nobody answered
};
Got ask(const Common& common, const Asking& asking);
inline Got get(const Common& common, const std::string& target) { return ask(common, {.target = target}); }

/// As the value of a query's parameter.
std::string as_parameter(const std::string& text);

/// Follows a stream of lines until it ends or `on_line` has enough. 0; else why not has been said.
int tell_lines(const Common& common, const Asking& asking, const OnLine& on_line);

/// {"event":"gap","lost":n}: to standard error.
bool said_gap(const boost::json::value& line);

}  // namespace drover::app
