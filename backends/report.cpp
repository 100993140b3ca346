#include "backends/report.hpp"

#include "base/text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace drover::backends {

namespace {

namespace json = boost::json;

constexpr std::size_t kMaxJson = 64 * 1024;  // bytes of an answer that are looked at
constexpr std::size_t kMaxJsonDepth = 8;
constexpr std::size_t kMaxWords = 16;        // of an agent's line
constexpr std::size_t kMaxWordLine = 1024;   // bytes of it
constexpr std::size_t kMaxAssignments = 64;  // of a datagram
constexpr double kMaxCpuPercent = 1e6;       // 10,000 cores: beyond it the figure is no figure
constexpr double kMaxMemory = 0x1p53;        // bytes
constexpr double kMostPercent = 1'000'000;   // a share that is larger is no share
constexpr std::uint32_t kWholeShare = 100;   // a slot gets no more than its even part

/// One line of text that any terminal may see: control characters and what is not UTF-8 escaped, at most kMaxStatus bytes.
std::string cleaned(std::string_view text) {
  constexpr std::string_view kCut = "…";
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  std::string out;
  std::size_t room_for_cut = 0;
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(1, base::utf8_length(text));
    out += text.front() == '\t' ? " " : base::printable(text.substr(0, length));
    text.remove_prefix(length);
    if (out.size() + kCut.size() <= Report::kMaxStatus) room_for_cut = out.size();
    if (out.size() > Report::kMaxStatus) {
      out.resize(room_for_cut);
      return out.append(kCut);
    }
  }
  return out;
}

std::optional<double> number(const json::value* value, double most) {
  if (value == nullptr || !value->is_number()) return std::nullopt;
  const double figure = value->is_double()  ? value->get_double()
                        : value->is_int64() ? static_cast<double>(value->get_int64())
                                            : static_cast<double>(value->get_uint64());
  return std::isfinite(figure) && figure >= 0 && figure <= most ? std::optional(figure) : std::nullopt;
}

Report report_of_json(std::string_view body) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::error_code error;
  const json::value value = json::parse(body, error, {}, options);
  Report report;
  if (error || !value.is_object()) return report;
  const json::object& object = value.get_object();
  if (const auto memory = number(object.if_contains("memory"), kMaxMemory)) report.memory_bytes = static_cast<std::uint64_t>(*memory);
  report.cpu_percent = number(object.if_contains("cpu"), kMaxCpuPercent);
  if (const json::value* ready = object.if_contains("ready"); ready != nullptr && ready->is_bool()) report.ready = ready->get_bool();
  if (const auto share = number(object.if_contains("share"), kMostPercent))
    report.share = static_cast<std::uint32_t>(std::min<double>(*share, kWholeShare));
  if (const json::value* status = object.if_contains("status"); status != nullptr && status->is_string()) {
    report.status = cleaned({status->get_string().data(), status->get_string().size()});
  }
  return report;
}

/// What an agent's words say together, whatever their order; of two that contradict each other the worse counts.
struct AgentWords {
  std::optional<bool> up;
  std::optional<bool> in_service;
  std::optional<std::uint32_t> share;
};

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// False: no agent says that.
bool take_word(std::string_view text, AgentWords& words) {
  const std::string word = lower(text);
  if (word == "up") {
    words.up = words.up.value_or(true);
  } else if (word == "down" || word == "fail" || word == "stopped") {
    words.up = false;
  } else if (word == "ready") {
    words.in_service = words.in_service.value_or(true);
  } else if (word == "drain" || word == "maint") {
    words.in_service = false;
  } else if (word.ends_with('%') && is_digits({word.data(), word.size() - 1})) {
    std::uint32_t percent = kWholeShare;  // as for digits beyond any number
    std::from_chars(word.data(), word.data() + word.size() - 1, percent);
    words.share = std::min(percent, kWholeShare);
  } else {
    // Weights and connection limits in numbers of another balancer's config: known, and without a meaning here.
    return is_digits(word) || (word.starts_with("maxconn:") && is_digits(std::string_view(word).substr(8)));
  }
  return true;
}

/// HAProxy's "agent-check": the first line, words between blanks and commas in any order, a description behind '#'. Unlike there a
/// single unknown word makes the line no report: health pages that people read say "up" and "down" in their sentences, too.
Report report_of_words(std::string_view body) {
  constexpr std::string_view kBetween = " \t,";
  const std::size_t begin = body.find_first_not_of(" \t\r\n");
  std::string_view line = body.substr(std::min(begin, body.size()));
  line = line.substr(0, line.find_first_of("\r\n"));
  Report report;
  if (line.size() > kMaxWordLine) return report;
  const std::size_t sharp = line.find('#');
  std::string_view rest = line.substr(0, sharp);
  AgentWords words;
  for (std::size_t count = 0;; ++count) {
    rest.remove_prefix(std::min(rest.find_first_not_of(kBetween), rest.size()));
    if (rest.empty()) break;
    const std::string_view word = rest.substr(0, rest.find_first_of(kBetween));
    if (count == kMaxWords || !take_word(word, words)) return report;
    rest.remove_prefix(word.size());
  }
  report.healthy = words.up;
  report.share = words.share;
  if (words.in_service == false || words.up == false) {
    report.wants_work = false;
  } else if (words.in_service || words.up) {
    report.wants_work = true;
  }
  if (!report.empty() && sharp != std::string_view::npos) report.status = cleaned(line.substr(sharp + 1));
  return report;
}

/// False: not known here, or nothing that the supervisor acts on (MAINPID=, FDSTORE=, BARRIER= …).
bool take_assignment(std::string_view line, Report& report) {
  if (line == "READY=1") {
    report.ready = true;
    report.wants_work = true;
    report.reloading = false;
  } else if (line == "RELOADING=1") {
    report.ready.reset();
    report.wants_work = false;
    report.reloading = true;
  } else if (line == "STOPPING=1") {
    report.ready.reset();
    report.wants_work = false;
    report.reloading = false;
  } else if (line == "WATCHDOG=1") {
    report.alive = true;
  } else if (line == "WATCHDOG=trigger") {
    report.healthy = false;
  } else if (line.starts_with("STATUS=")) {
    report.status = cleaned(line.substr(7));
  } else {
    return false;
  }
  return true;
}

}  // namespace

const char* to_text(ReportSource source) {
  switch (source) {
    case ReportSource::probe: return "probe";
    case ReportSource::notify: return "notify";
    case ReportSource::channel: return "channel";
  }
  return "";
}

bool Report::empty() const { return !memory_bytes && !cpu_percent && !ready && !wants_work && !healthy && !share && !status && !alive && !reloading; }

std::optional<Report> report_of_answer(std::string_view content_type, std::string_view body) {
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || body.size() > kMaxJson) return std::nullopt;
  const bool is_json = body[first] == '{' || lower(content_type.substr(0, content_type.find(';'))).find("json") != std::string::npos;
  Report report = is_json ? report_of_json(body) : report_of_words(body);
  return report.empty() ? std::nullopt : std::optional(std::move(report));
}

std::optional<Report> report_of_notification(std::string_view datagram) {
  Report report;
  bool known = false;
  for (std::size_t count = 0; !datagram.empty() && count < kMaxAssignments; ++count) {
    const std::string_view line = datagram.substr(0, datagram.find('\n'));
    datagram.remove_prefix(std::min(line.size() + 1, datagram.size()));
    known = take_assignment(line, report) || known;
  }
  return known ? std::optional(std::move(report)) : std::nullopt;
}

Report report_of_message(const ipc::Message& message) {
  Report report;
  if (message.type() == "ready" || message.object() == nullptr) {
    report.ready = true;
    return report;
  }
  report.alive = true;
  const json::value* memory = message.member("memory");
  if (memory != nullptr && memory->is_object()) memory = memory->get_object().if_contains("rss");
  if (const auto bytes = number(memory, kMaxMemory)) report.memory_bytes = static_cast<std::uint64_t>(*bytes);
  report.cpu_percent = number(message.member("cpu"), kMaxCpuPercent);
  if (const auto share = number(message.member("share"), kMostPercent))
    report.share = static_cast<std::uint32_t>(std::min<double>(*share, kWholeShare));
  if (const json::value* ready = message.member("ready"); ready != nullptr && ready->is_bool()) report.ready = ready->get_bool();
  if (const json::value* status = message.member("status"); status != nullptr && status->is_string()) {
    report.status = cleaned({status->get_string().data(), status->get_string().size()});
  }
  return report;
}

std::string error_of_message(const ipc::Message& message) {
  const json::value* error = message.member("error");
  if (error == nullptr) error = message.member("message");
  if (error != nullptr && error->is_object()) error = error->get_object().if_contains("message");
  if (error == nullptr || !error->is_string()) return {};
  return cleaned({error->get_string().data(), error->get_string().size()});
}

}  // namespace drover::backends
