#include "proxy/error_pages.hpp"

#include <array>
#include <utility>

namespace drover::proxy {

ErrorPage::ErrorPage(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  std::string_view start = text.substr(text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  const char c = first == std::string_view::npos ? ' ' : start[first];
  // A page that begins with a placeholder is text, not JSON.
  kind_ = c == '<' ? Kind::html : c == '{' && !start.substr(first).starts_with("{{") ? Kind::json : Kind::text;
  constexpr std::array<std::pair<std::string_view, Place>, 3> kPlaces{
      {{"{{status}}", Place::status}, {"{{reason}}", Place::reason}, {"{{request_id}}", Place::request_id}}};
  Piece piece;
  while (!text.empty()) {
    for (const auto& [name, place] : kPlaces) {
      if (!text.starts_with(name)) continue;
      piece.then = place;
      text.remove_prefix(name.size());
      break;
    }
    if (piece.then != Place::none) {
      pieces_.push_back(std::exchange(piece, {}));
    } else {
      const std::size_t next = text.find("{{", 1);
      piece.text += text.substr(0, next);
      text.remove_prefix(next == std::string_view::npos ? text.size() : next);
    }
  }
  pieces_.push_back(std::move(piece));
}

std::string_view ErrorPage::type() const {
  switch (kind_) {
    case Kind::html: return "text/html; charset=utf-8";
    case Kind::json: return "application/json";
    case Kind::text: return "text/plain; charset=utf-8";
  }
  return {};
}

void ErrorPage::append_escaped(std::string& out, std::string_view text) const {
  for (const char c : text) {
    if (kind_ == Kind::html && c == '<') {
      out += "&lt;";
    } else if (kind_ == Kind::html && c == '>') {
      out += "&gt;";
    } else if (kind_ == Kind::html && c == '&') {
      out += "&amp;";
    } else if (kind_ == Kind::html && c == '"') {
      out += "&quot;";
    } else if (kind_ == Kind::html && c == '\'') {
      out += "&#39;";
    } else if (kind_ == Kind::json && static_cast<unsigned char>(c) < 0x20) {
      out += ' ';
    } else {
      if (kind_ == Kind::json && (c == '"' || c == '\\')) out += '\\';
      out += c;
    }
  }
}

std::string ErrorPage::body(const PageFacts& facts) const {
  std::string out;
  for (const Piece& piece : pieces_) {
    out += piece.text;
    switch (piece.then) {
      case Place::none: break;
      case Place::status: out += std::to_string(facts.status); break;
      case Place::reason: append_escaped(out, facts.reason); break;
      case Place::request_id: append_escaped(out, facts.request_id); break;
    }
  }
  return out;
}

ErrorPages::ErrorPages(const config::Config& config, const std::map<std::string, std::string>& files) : pages_(config.pools.size()) {
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    for (const auto& [status, path] : config.pools[i].errors) {
      const auto page = files.find("pool." + config.pools[i].name + ".errors." + std::to_string(status));
      if (page != files.end()) pages_[i].emplace(static_cast<unsigned>(status), ErrorPage(page->second));
    }
  }
}

const ErrorPage* ErrorPages::find(std::uint32_t pool, unsigned status) const {
  if (pool >= pages_.size()) return nullptr;
  const auto found = pages_[pool].find(status);
  return found == pages_[pool].end() ? nullptr : &found->second;
}

}  // namespace drover::proxy
