// Role: JSON as drover writes it: figures in plain decimal form ("0.25", never "2.5E-1"), and no byte in it that could steer a
//       terminal or that is not UTF-8.
// Thread: any; pure. Ownership: values.
#pragma once

#include <boost/json/value.hpp>

#include <string>
#include <string_view>

namespace drover::admin {

std::string json_text(const boost::json::value& value);
/// What belongs to workers: every number as exact as it came, the shortest text that is read as the same one.
std::string exact_json_text(const boost::json::value& value);
void append_exact_json(std::string& out, const boost::json::value& value);
/// A whole JSON text that somebody else wrote, known to be valid: changed in nothing but the bytes that could steer a terminal.
void append_json_as_it_is(std::string& out, std::string_view text);
void append_json(std::string& out, const boost::json::value& value);
/// With its quotes. Control characters, DEL and C1 are \uXXXX; a byte that is not UTF-8 is U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace drover::admin
