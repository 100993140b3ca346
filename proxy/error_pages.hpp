// Role: the pages that a pool's `errors` names, cut at their placeholders once at start: {{status}}, {{reason}} and {{request_id}} are
//       filled in, escaped as the page's kind wants it. The kind is told by the page's first character: '<' is HTML, '{' JSON, else plain text.
// Thread: any, read-only after construction. Ownership: copies of the pages' text.
#pragma once

#include "config/model.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace drover::proxy {

/// What a page is told.
struct PageFacts {
  unsigned status = 500;
  std::string_view reason;
  std::string_view request_id;
};

class ErrorPage {
 public:
  explicit ErrorPage(std::string_view text);
  std::string_view type() const;
  std::string body(const PageFacts& facts) const;

 private:
  enum class Kind : std::uint8_t { html, json, text };
  enum class Place : std::uint8_t { none, status, reason, request_id };
  /// Text, and what stands behind it.
  struct Piece {
    std::string text;
    Place then = Place::none;
  };
  void append_escaped(std::string& out, std::string_view text) const;

  Kind kind_ = Kind::text;
  std::vector<Piece> pieces_;
};

class ErrorPages {
 public:
  /// `files`: see ipc::Snapshot.
  ErrorPages(const config::Config& config, const std::map<std::string, std::string>& files);
  /// nullptr: drover's own words.
  const ErrorPage* find(std::uint32_t pool, unsigned status) const;

 private:
  std::vector<std::map<unsigned, ErrorPage>> pages_;  ///< by pool
};

}  // namespace drover::proxy
