#include "app/json_argument.hpp"

#include "admin/api_input.hpp"
#include "app/command_line.hpp"
#include "base/text.hpp"
#include "ipc/json_reader.hpp"

#include <boost/json/parse.hpp>

#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace drover::app {

namespace {

namespace json = boost::json;

constexpr std::size_t kMostRead = 1024 * 1024;  ///< more no message may have
constexpr std::size_t kDeepest = 128;           ///< of an answer: what is allowed within it, and what is around it
constexpr std::size_t kShown = 60;

base::Result<std::string> standard_input() {
  std::string text;
  std::array<char, 16 * 1024> bytes{};
  while (text.size() <= kMostRead) {
    const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error("can't read standard input", errno);
    if (got == 0) return {boost::system::in_place_value, std::move(text)};
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
  return base::Error{"standard input has more than 1MiB: no message or value may be so long", EFBIG};
}

}  // namespace

base::Result<std::string> json_argument(const std::string& text) {
  if (text.empty()) return {boost::system::in_place_value, ""};
  auto whole = text == "-" ? standard_input() : base::Result<std::string>(boost::system::in_place_value, text);
  if (!whole) return whole;
  const auto value = ipc::read_json(*whole, admin::kMaxMessageDepth - 1);  // one more is around it on its way
  if (value) return whole;
  const std::string& reason = value.error().message;
  if (text == "-") return base::Error{"standard input: " + reason, EINVAL};
  const std::string shown = base::printable(text, kShown);
  const bool word = shown == text && text.find_first_of("{[\"'\\") == std::string::npos;
  return base::Error{shown + ": " + reason + (word ? "; a string has its quotes: '\"" + shown + "\"'" : ""), EINVAL};
}

json::value parse_lenient(std::string_view text) {
  auto exact = ipc::read_json(text, kDeepest);
  if (exact) return std::move(*exact);
  if (exact.error().code != E2BIG) return {};
  json::parse_options options;  // more values than one message may have, as a list of state can: all of them, to the last digit but one
  options.max_depth = kDeepest;
  boost::system::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  return error ? json::value() : value;
}

int wrong_usage(std::string_view verb, const base::Error& error) {
  fail(std::string(verb) + ": " + error.message);
  return kUsage;
}

}  // namespace drover::app
