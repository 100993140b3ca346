#include "base/path_readings.hpp"

#include <array>

namespace drover::base {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/// What stands at the front of a path: one character or one escape, in a reading.
struct Unit {
  std::array<char, 3> text{};
  std::size_t size = 1;      ///< of `text`
  std::size_t consumed = 1;  ///< of the path
};

Unit next_unit(std::string_view path, Reading how) {
  Unit unit;
  unit.text[0] = path.front();
  if (path.front() != '%' || path.size() < 3) return unit;
  const int high = hex_value(path[1]);
  const int low = hex_value(path[2]);
  if (high < 0 || low < 0) return unit;
  const int value = high * 16 + low;
  unit.consumed = 3;
  if (unreserved(value) || (how == Reading::lenient && value > 0x20 && value < 0x7F)) {
    unit.text[0] = static_cast<char>(value);
    return unit;
  }
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  unit.text = {'%', kDigits[static_cast<std::size_t>(high)], kDigits[static_cast<std::size_t>(low)]};
  unit.size = 3;
  return unit;
}

/// Builds a path segment by segment; what stands behind `segment_` is the one that has not ended yet.
class Resolver {
 public:
  Resolver(Reading how, std::string& out) : lenient_(how == Reading::lenient), out_(out) {}

  void put(const Unit& unit) {
    const char c = unit.text[0];
    if (c == '/' || (lenient_ && c == '\\')) {
      if (begun_) end_segment(false);
      begin_segment();
    } else if (lenient_ && c == ';') {
      dropping_ = true;
    } else if (!dropping_) {
      out_.append(unit.text.data(), unit.size);
    }
  }

  bool finish() {
    if (begun_) end_segment(true);
    return dots_;
  }

 private:
  void begin_segment() {
    segment_ = out_.size();
    out_.push_back('/');
    begun_ = true;
    dropping_ = false;
  }

  /// `last`: nothing follows, so a segment that goes leaves its slash.
  void end_segment(bool last) {
    const std::string_view name = std::string_view(out_).substr(segment_ + 1);
    const bool up = name == "..";
    if (up || name == ".") {
      dots_ = true;
      out_.resize(segment_);
      if (up) out_.resize(out_.empty() ? 0 : out_.rfind('/'));
      if (last) out_.push_back('/');
    } else if (lenient_ && name.empty() && !last) {
      out_.resize(segment_);
    }
  }

  bool lenient_;
  std::string& out_;
  std::size_t segment_ = 0;
  bool begun_ = false;
  bool dropping_ = false;
  bool dots_ = false;
};

}  // namespace

bool ambiguous(std::string_view path) {
  char before = 0;
  for (const char c : path) {
    if (c == '%' || c == ';' || c == '\\' || (before == '/' && (c == '/' || c == '.'))) return true;
    before = c;
  }
  return false;
}

bool read_path(std::string_view path, Reading how, std::string& out) {
  out.clear();
  if (!path.starts_with('/')) {
    out = path;
    return false;
  }
  if (how == Reading::plain) {
    while (!path.empty()) {
      const Unit unit = next_unit(path, how);
      out.append(unit.text.data(), unit.size);
      path.remove_prefix(unit.consumed);
    }
    return false;
  }
  Resolver resolver(how, out);
  while (!path.empty()) {
    const Unit unit = next_unit(path, how);
    resolver.put(unit);
    path.remove_prefix(unit.consumed);
  }
  return resolver.finish();
}

std::size_t prefix_length(std::string_view path, std::string_view prefix) {
  const bool open_end = prefix.ends_with('/');
  std::size_t at = 0;
  while (!prefix.empty()) {
    if (at == path.size()) return 0;
    const Unit have = next_unit(path.substr(at), Reading::plain);
    const Unit want = next_unit(prefix, Reading::plain);
    if (have.size != want.size || have.text != want.text) return 0;
    at += have.consumed;
    prefix.remove_prefix(want.consumed);
  }
  return at == path.size() || open_end || path[at] == '/' ? at : 0;
}

}  // namespace drover::base
