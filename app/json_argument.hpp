// Role: JSON as an argument of a command: checked before anything is asked, and passed on as it was written.
// Thread: the command's one. Ownership: values.
#pragma once

#include "base/result.hpp"

#include <boost/json/value.hpp>

#include <string>
#include <string_view>

namespace drover::app {

/// `text`: JSON, "-" = what standard input has, "" = nothing (then the result is "", too). Error: with the fix.
base::Result<std::string> json_argument(const std::string& text);

/// As deep as any that a drover sends; null: it is no JSON.
boost::json::value parse_lenient(std::string_view text);

/// "drover: state: …" on standard error; the exit code.
int wrong_usage(std::string_view verb, const base::Error& error);

}  // namespace drover::app
