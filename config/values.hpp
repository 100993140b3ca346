// Role: one value's text → its meaning: durations, sizes, addresses, names. The unit is always written.
// Thread: any; pure. Ownership: plain values.
#pragma once

#include "base/result.hpp"
#include "config/model.hpp"

#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace drover::config {

/// Why a text was not taken, without the key's name: "has no unit"; and the fix.
struct Complaint {
  std::string what;
  std::string hint;
};

template <class T>
using Read = base::Result<T, Complaint>;

/// A string as a good result: without the name a string would also be half a Complaint.
inline Read<std::string> taken(std::string text) { return {boost::system::in_place_value, std::move(text)}; }

Read<Millis> read_duration(std::string_view text);
/// "0" needs no unit.
Read<Bytes> read_bytes(std::string_view text);
Read<double> read_percent(std::string_view text);
Read<PortRange> read_ports(std::string_view text);
Read<Bind> read_bind(std::string_view text);
Read<int> read_signal(std::string_view text);
Read<unsigned> read_umask(std::string_view text);
/// A route's host, in lower case.
Read<std::string> read_host(std::string_view text);
Read<std::string> read_url_path(std::string_view text);
/// A Host header's value.
Read<std::string> read_host_header(std::string_view text);

/// A header field's value: visible characters and blanks between them.
Read<std::string> read_field_value(std::string_view text);
/// RFC 9110 section 5.6.2.
bool is_token(std::string_view text);

/// "did you mean 'x'?", or "known: a, b, c" when nothing is near.
std::string suggest(std::string_view given, std::span<const std::string_view> known);
/// The shortest text that is read as the same number: "0.1", "80".
std::string number_text(double number);
/// In double quotes, as it would stand in the file; long or unprintable text cut and escaped.
std::string quoted(std::string_view text);

}  // namespace drover::config
