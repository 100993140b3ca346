#include "proxy/head_edits.hpp"

#include "base/path_readings.hpp"
#include "proxy/head_text.hpp"
#include "proxy/message.hpp"

#include <algorithm>
#include <array>

namespace drover::proxy {

namespace {

/// Not a route's business: framing, connections, hops. (Via is not listed: drover writes it whatever a route says.)
bool off_limits(std::string_view name) {
  constexpr std::array<std::string_view, 10> kNames{"connection", "content-length",    "expect", "host", "keep-alive", "proxy-connection", "te",
                                                    "trailer",    "transfer-encoding", "upgrade"};
  return std::any_of(kNames.begin(), kNames.end(), [&](std::string_view each) { return equal_ignoring_case(each, name); });
}

std::string_view without_last_slash(std::string_view path) {
  if (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

}  // namespace

bool HeadEdits::same(std::string_view a, std::string_view b) const {
  if (side_ == Side::client) return equal_ignoring_case(a, b);
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return gateway_sign(x) == gateway_sign(y); });
}

bool HeadEdits::listed(std::string_view name) const {
  const bool found = std::any_of(edits_->remove.begin(), edits_->remove.end(), [&](const std::string& each) { return same(each, name); }) ||
                     std::any_of(edits_->set.begin(), edits_->set.end(), [&](const config::Field& each) { return same(each.name, name); });
  return found && !off_limits(name);
}

bool HeadEdits::brings(std::string_view name) const {
  if (edits_ == nullptr) return false;
  const auto named = [&](const config::Field& each) { return same(each.name, name); };
  return std::any_of(edits_->set.begin(), edits_->set.end(), named) || std::any_of(edits_->add.begin(), edits_->add.end(), named);
}

std::string_view HeadEdits::host() const {
  if (edits_ == nullptr || side_ != Side::worker) return {};
  for (const config::Field& field : edits_->set) {
    if (equal_ignoring_case(field.name, "host")) return field.value;
  }
  return {};
}

void HeadEdits::append(Buffer& out) const {
  if (edits_ == nullptr) return;
  for (const auto* list : {&edits_->set, &edits_->add}) {
    for (const config::Field& field : *list) {
      if (!off_limits(field.name)) append_field(out, field.name, field.value);
    }
  }
}

WorkerPath worker_path(std::string_view path, const config::Route& route) {
  WorkerPath made;
  made.rest = path;
  if (!path.starts_with('/')) return made;  // the "*" of OPTIONS
  if (!route.strip.empty()) {
    std::size_t length = base::prefix_length(path, route.strip);
    if (length > 0 && route.strip.ends_with('/')) --length;
    made.rest.remove_prefix(length);
    if (length > 0) {
      made.stripped = without_last_slash(route.strip);
      while (made.rest.starts_with("//")) made.rest.remove_prefix(1);  // a worker could take what follows for a host
    }
  }
  made.before = without_last_slash(route.prefix);
  if (made.before.empty() && made.rest.empty()) made.slash = "/";
  return made;
}

}  // namespace drover::proxy
