#include "config/values.hpp"

#include "base/text.hpp"
#include "config/keys.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace drover::config {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

struct Amount {
  double number = 0;
  std::string_view digits;  ///< as written
  std::string_view unit;    ///< what follows the number, blanks taken off
  bool blank = false;       ///< there were some
};

/// "1.5GiB" → 1.5 and "GiB"; none: it doesn't start with a plain number.
std::optional<Amount> split_amount(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && (std::isdigit(static_cast<unsigned char>(text[end])) != 0 || text[end] == '.')) ++end;
  Amount amount;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + end, amount.number, std::chars_format::fixed);
  if (end == 0 || end > 18 || error != std::errc{} || stop != text.data() + end || text[0] == '.' || text[end - 1] == '.') return std::nullopt;
  amount.digits = text.substr(0, end);
  text.remove_prefix(end);
  while (!text.empty() && text[0] == ' ') {
    text.remove_prefix(1);
    amount.blank = true;
  }
  amount.unit = text;
  return amount;
}

constexpr std::array kDurationUnits{Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", 3'600'000}};
constexpr std::array kByteUnits{Unit{"B", 1}, Unit{"KiB", 0x1p10}, Unit{"MiB", 0x1p20}, Unit{"GiB", 0x1p30}, Unit{"TiB", 0x1p40}};

/// What people write for a unit, and the one that is meant.
struct Slip {
  std::string_view written;
  std::string_view meant;
};
constexpr std::array kDurationSlips{Slip{"sec", "s"},     Slip{"secs", "s"},   Slip{"seconds", "s"}, Slip{"second", "s"},
                                    Slip{"S", "s"},       Slip{"min", "m"},    Slip{"mins", "m"},    Slip{"M", "m"},
                                    Slip{"minutes", "m"}, Slip{"minute", "m"}, Slip{"hr", "h"},      Slip{"hour", "h"},
                                    Slip{"hours", "h"},   Slip{"H", "h"},      Slip{"msec", "ms"},   Slip{"milliseconds", "ms"}};
constexpr std::array kByteSlips{Slip{"K", "KiB"}, Slip{"k", "KiB"},   Slip{"KB", "KiB"}, Slip{"kB", "KiB"},  Slip{"kb", "KiB"},  Slip{"kib", "KiB"},
                                Slip{"M", "MiB"}, Slip{"m", "MiB"},   Slip{"MB", "MiB"}, Slip{"mb", "MiB"},  Slip{"mib", "MiB"}, Slip{"G", "GiB"},
                                Slip{"g", "GiB"}, Slip{"GB", "GiB"},  Slip{"gb", "GiB"}, Slip{"gib", "GiB"}, Slip{"T", "TiB"},   Slip{"TB", "TiB"},
                                Slip{"b", "B"},   Slip{"bytes", "B"}, Slip{"byte", "B"}};

struct Measure {
  const char* noun;   ///< "a duration"
  const char* units;  ///< for messages
  const char* example;
  const char* usual;  ///< the unit proposed when none is written
};
constexpr Measure kDuration{"a duration", "ms, s, m, h", "\"30s\"", "s"};
constexpr Measure kSize{"a size", "B, KiB, MiB, GiB, TiB", "\"500MiB\"", "KiB"};

Read<double> read_amount(std::string_view text, std::span<const Unit> units, std::span<const Slip> slips, const Measure& measure) {
  const std::string units_hint = std::string("a number and a unit (") + measure.units + "), like " + measure.example;
  if (text.starts_with('-')) return Complaint{quoted(text) + " is negative", units_hint};
  const auto amount = split_amount(text);
  if (!amount) return Complaint{quoted(text) + " is not " + measure.noun, units_hint};
  const std::string digits(amount->digits);
  if (amount->unit.empty()) return Complaint{quoted(text) + " has no unit", "write " + quoted(digits + measure.usual)};
  for (const Unit& unit : units) {
    if (unit.name != amount->unit) continue;
    if (amount->blank) return Complaint{quoted(text) + " has a blank before its unit", "write " + quoted(digits + std::string(unit.name))};
    return amount->number * unit.factor;
  }
  for (const Slip& slip : slips) {
    if (slip.written == amount->unit) return Complaint{"unknown unit in " + quoted(text), "write " + quoted(digits + std::string(slip.meant))};
  }
  return Complaint{"unknown unit in " + quoted(text), std::string("units: ") + measure.units};
}

std::optional<std::uint32_t> read_number(std::string_view text, std::uint32_t most, int radix = 10) {
  std::uint32_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number, radix);
  if (text.empty() || error != std::errc{} || stop != text.data() + text.size() || number > most) return std::nullopt;
  return number;
}

/// base::nearest, and two neighbouring letters that changed places, which count as two slips there.
std::string_view near_name(const std::string& given, std::span<const std::string_view> known) {
  if (given.size() > 64) return {};
  if (const std::string_view near = base::nearest(given, known); !near.empty()) return near;
  std::string swapped = given;
  for (std::size_t i = 1; i < swapped.size(); ++i) {
    std::swap(swapped[i - 1], swapped[i]);
    const auto found = std::find(known.begin(), known.end(), swapped);
    if (found != known.end()) return *found;
    std::swap(swapped[i - 1], swapped[i]);
  }
  return {};
}

}  // namespace

std::string quoted(std::string_view text) { return '"' + base::printable(text, 80) + '"'; }

std::string suggest(std::string_view given, std::span<const std::string_view> known) {
  std::string lower(given);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::string_view near = near_name(lower, known);
  if (!near.empty()) return "did you mean '" + std::string(near) + "'?";
  std::string all = "known: ";
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (i > 0) all += ", ";
    all += known[i];
  }
  return all;
}

std::string number_text(double number) {
  std::array<char, 400> out{};  // the largest double has 309 digits before its point
  const auto [end, error] = std::to_chars(out.data(), out.data() + out.size(), number, std::chars_format::fixed);
  return error == std::errc{} ? std::string(out.data(), end) : std::string();
}

Read<Millis> read_duration(std::string_view text) {
  const auto amount = read_amount(text, kDurationUnits, kDurationSlips, kDuration);
  if (!amount) return amount.error();
  if (*amount > 1e15) return Complaint{quoted(text) + " is too long", "720h (30 days) is the longest"};
  if (std::round(*amount) != *amount) return Complaint{quoted(text) + " is finer than a millisecond", "whole milliseconds are the finest"};
  return Millis(static_cast<std::int64_t>(*amount));
}

Read<Bytes> read_bytes(std::string_view text) {
  if (text == "0") return Bytes{0};
  const auto amount = read_amount(text, kByteUnits, kByteSlips, kSize);
  if (!amount) return amount.error();
  if (*amount > 0x1p62) return Complaint{quoted(text) + " is too large", "no machine has that much"};
  return Bytes{static_cast<std::uint64_t>(*amount)};
}

Read<double> read_percent(std::string_view text) {
  const auto amount = split_amount(text);
  if (!amount || (!amount->unit.empty() && amount->unit != "%")) return Complaint{quoted(text) + " is not a percentage", "like \"80%\""};
  if (amount->unit.empty() || amount->blank) {
    return Complaint{quoted(text) + " is not a percentage", "write " + quoted(std::string(amount->digits) + "%")};
  }
  return amount->number;
}

Read<PortRange> read_ports(std::string_view text) {
  const std::string hint = "two numbers from 1 to 65535, like \"20000-29999\"";
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return Complaint{quoted(text) + " is not a range of ports", hint};
  const auto first = read_number(text.substr(0, dash), 65535);
  const auto last = read_number(text.substr(dash + 1), 65535);
  if (!first || !last || *first == 0 || *last == 0) return Complaint{quoted(text) + " is not a range of ports", hint};
  if (*first > *last) {
    return Complaint{quoted(text) + " ends before it begins", "write " + quoted(std::to_string(*last) + "-" + std::to_string(*first))};
  }
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

Read<int> read_signal(std::string_view text) {
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const SignalName& signal : signal_names()) {
    if (signal.name == name) return signal.number;
  }
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  if (upper.starts_with("SIG")) upper.erase(0, 3);
  std::string known = "known: ";
  for (const SignalName& signal : signal_names()) {
    if (signal.name == upper) return Complaint{"unknown signal " + quoted(text), "did you mean '" + upper + "'?"};
    known += (known.ends_with(' ') ? "" : ", ") + std::string(signal.name);
  }
  return Complaint{"unknown signal " + quoted(text), known};
}

Read<unsigned> read_umask(std::string_view text) {
  const auto mask = text.size() <= 4 ? read_number(text, 0777, 8) : std::nullopt;
  if (!mask) return Complaint{quoted(text) + " is not a umask", "octal digits from \"000\" to \"777\", like \"022\""};
  return *mask;
}

Read<std::string> read_url_path(std::string_view text) {
  if (!text.starts_with('/')) return Complaint{quoted(text) + " is not a path", "a path begins with '/': write " + quoted("/" + std::string(text))};
  if (text.size() > 2048) return Complaint{"a path of more than 2048 bytes", "shorten it"};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || c == '#') {
      return Complaint{quoted(text) + " holds a character that no request's path can have", "write it percent-encoded, like \"%20\" for a blank"};
    }
  }
  return taken(std::string(text));
}

bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && text.size() <= 256 && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kOthers.find(c) != std::string_view::npos;
  });
}

Read<std::string> read_field_value(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (text.empty()) return taken({});
  if (text.size() > kMaxFieldValue) return Complaint{"a header field's value of more than 4096 bytes", "shorten it"};
  if (blank(text.front()) || blank(text.back()))
    return Complaint{quoted(text) + " begins or ends with a blank, which no receiver would see", "take it off"};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte >= 0x7F) {
      return Complaint{quoted(text) + " holds a character that a header field's value can't", "visible ASCII characters, and blanks between them"};
    }
  }
  return taken(std::string(text));
}

Read<std::string> read_host_header(std::string_view text) {
  const char* hint = "a name, with or without a port, like \"shop.example.org\"";
  if (text.empty()) return Complaint{"is empty", "take the line out for the default"};
  if (text.size() > 255) return Complaint{quoted(text) + " has more than 255 bytes", hint};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || c == '/') return Complaint{quoted(text) + " holds a character that no Host header can have", hint};
  }
  return taken(std::string(text));
}

}  // namespace drover::config
