#include "admin/json_text.hpp"

#include "base/text.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace drover::admin {

namespace {

namespace json = boost::json;

constexpr double kRounded = 1e12;  ///< below it a double has room for millionths

/// A double stays one for readers that tell them from integers: "2.0".
void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) value = 0;                                   // JSON has no word for it
  if (std::abs(value) < kRounded) value = std::round(value * 1e6) / 1e6;  // nobody measures finer
  std::array<char, 400> digits{};                                         // the longest double in fixed form has 309 digits before the point
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed);
  const std::string_view text(digits.data(), error == std::errc{} ? end - digits.data() : 0);
  out += text.empty() ? "0" : text;
  if (text.find('.') == std::string_view::npos) out += ".0";
}

void append_exact_double(std::string& out, double value) {
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), std::isfinite(value) ? value : 0);
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

template <class Each>
void append_list(std::string& out, char open, char close, const auto& items, Each each) {
  out += open;
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ',';
    first = false;
    each(item);
  }
  out += close;
}

void append_value(std::string& out, const json::value& value, void (*append_number)(std::string&, double)) {
  if (const auto* text = value.if_string()) {
    append_json_string(out, *text);
  } else if (const auto* number = value.if_double()) {
    append_number(out, *number);
  } else if (const auto* whole = value.if_int64()) {
    out += std::to_string(*whole);
  } else if (const auto* natural = value.if_uint64()) {
    out += std::to_string(*natural);
  } else if (const auto* truth = value.if_bool()) {
    out += *truth ? "true" : "false";
  } else if (const auto* array = value.if_array()) {
    append_list(out, '[', ']', *array, [&](const json::value& each) { append_value(out, each, append_number); });
  } else if (const auto* object = value.if_object()) {
    append_list(out, '{', '}', *object, [&](const json::key_value_pair& each) {
      append_json_string(out, each.key());
      out += ':';
      append_value(out, each.value(), append_number);
    });
  } else {
    out += "null";
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = base::utf8_length(text);
    const auto lead = static_cast<unsigned char>(text[0]);
    const unsigned second = length == 2 ? static_cast<unsigned char>(text[1]) : 0;
    if (length == 0) {
      out += "\\ufffd";
    } else if (lead == '"' || lead == '\\') {
      out += '\\';
      out += text[0];
    } else if (lead == '\n') {
      out += "\\n";
    } else if (lead == '\t') {
      out += "\\t";
    } else if (lead < 0x20 || lead == 0x7F) {
      out += fmt::format("\\u{:04x}", lead);
    } else if (lead == 0xC2 && second < 0xA0) {
      out += fmt::format("\\u{:04x}", second);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

void append_json(std::string& out, const json::value& value) { append_value(out, value, append_double); }

void append_exact_json(std::string& out, const json::value& value) { append_value(out, value, append_exact_double); }

std::string json_text(const json::value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

std::string exact_json_text(const json::value& value) {
  std::string out;
  append_exact_json(out, value);
  return out;
}

void append_json_as_it_is(std::string& out, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned second = byte == 0xC2 && i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0xFFU;
    if (byte < 0x20) {
      out += ' ';  // valid JSON has them between its words only
    } else if (byte == 0x7F) {
      out += "\\u007f";
    } else if (second < 0xA0) {
      out += fmt::format("\\u{:04x}", second);
      ++i;
    } else {
      out += text[i];
    }
  }
}

}  // namespace drover::admin
