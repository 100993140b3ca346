#include "app/asking.hpp"

#include "app/json_view.hpp"

#include <boost/json/parse.hpp>

#include <cstdio>

namespace drover::app {

namespace json = boost::json;

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Got ask(const Common& common, const Asking& asking) {
  const Found found = find_socket(common);
  if (found.exit_code != 0) return {{}, {}, found.exit_code};
  const auto answer = Client(found.socket).ask(asking);
  if (!answer) return {{}, {}, fail(answer.error().message)};
  if (answer->status != 200) return {{}, {}, fail(error_in(*answer)), answer->status};
  boost::system::error_code error;
  Got got{json::parse(answer->body, error), answer->body, 0, answer->status};
  if (error) got.exit_code = fail("what answers on " + found.socket + " is not a drover of this kind: " + error.message());
  return got;
}

std::string as_parameter(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c));
    out += plain ? std::string(1, c) : escaped;
  }
  return out;
}

int tell_lines(const Common& common, const Asking& asking, const OnLine& on_line) {
  const Found found = find_socket(common);
  if (found.exit_code != 0) return found.exit_code;
  const auto answer = Client(found.socket).follow(asking, on_line);
  if (!answer) return fail(answer.error().message);
  if (answer->status != 200) return fail(error_in(*answer));
  if (!answer->whole) return fail("drover has ended, or closed the connection");
  return 0;
}

bool said_gap(const json::value& line) {
  if (text_in(line, "event") != "gap") return false;
  std::fprintf(stderr, "drover: %.0f lines were pushed out before they could be read\n", number_in(line, "lost"));
  return true;
}

}  // namespace drover::app
