#include "balancer/routes.hpp"

#include "base/host_name.hpp"
#include "base/path_readings.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <tuple>

namespace drover::balancer {

namespace {

/// "/api" covers "/api" and "/api/x", not "/apix"; "/api/" what lies below; "/" everything, also the "*" of OPTIONS.
bool covers(std::string_view prefix, std::string_view path) {
  if (prefix == "/") return true;
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/';
}

bool has_value(const config::Field& condition) { return condition.value != "*"; }

/// Is it the one that the condition wants?
bool seen(const void* condition, std::string_view value) {
  const auto& wanted = *static_cast<const config::Field*>(condition);
  return !has_value(wanted) || value == wanted.value;
}

/// By the alphabet; names have no case.
bool text_before(const config::Field& a, const config::Field& b) {
  const auto text = [](const config::Field& condition) { return std::pair(base::lowered(condition.name), condition.value); };
  return text(a) < text(b);
}

std::string plain(const std::string& path) {
  std::string out;
  base::read_path(path.empty() ? "/" : path, base::Reading::plain, out);
  return out;
}

}  // namespace

bool Routes::Candidate::fits(const RouteAsk& ask) const {
  if (!methods.empty() && std::find(methods.begin(), methods.end(), ask.method) == methods.end()) return false;
  return std::all_of(headers.begin(), headers.end(),
                     [&](const config::Field& wanted) { return ask.fields != nullptr && ask.fields(ask.request, wanted.name, seen, &wanted); });
}

const Routes::Candidate* Routes::Paths::find(const RouteAsk& ask) const {
  const auto fitting = [&](const PathNode& node) -> const Candidate* {
    const auto found = std::find_if(node.candidates.begin(), node.candidates.end(), [&](const Candidate& each) { return each.fits(ask); });
    return found == node.candidates.end() ? nullptr : &*found;
  };
  const auto before = [](std::string_view path, const PathNode& node) { return path < node.path; };
  if (!whole.empty()) {
    const auto behind = std::upper_bound(whole.begin(), whole.end(), ask.path, before);
    if (behind != whole.begin() && std::prev(behind)->path == ask.path) {
      if (const Candidate* found = fitting(*std::prev(behind))) return found;
    }
  }
  if (prefixes.empty()) return nullptr;
  // Every prefix of the path is a prefix, too, of the greatest one that is not behind the path: the rest is a walk from that to shorter ones.
  // What does not begin with a slash has at most "/", which is then the first.
  auto behind = std::upper_bound(prefixes.begin(), prefixes.end(), ask.path, before);
  if (!ask.path.starts_with('/')) behind = std::next(prefixes.begin());
  if (behind == prefixes.begin()) return nullptr;
  for (const PathNode* node = &*std::prev(behind);; node = &prefixes[*node->shorter]) {
    if (covers(node->path, ask.path)) {
      if (const Candidate* found = fitting(*node)) return found;
    }
    if (!node->shorter) return nullptr;
  }
}

Routes::Paths& Routes::paths_of(const std::string& host) {
  if (host.empty() || host == "*") return any_;
  if (!host.starts_with("*.")) return exact_[std::string(base::HostName(host).text())];
  const std::string suffix(base::HostName(std::string_view(host).substr(1)).text());
  suffix_lengths_.push_back(suffix.size());
  return suffix_[suffix];
}

Routes::Routes(const config::Config& config) {
  for (std::uint32_t position = 0; position < config.routes.size(); ++position) {
    const config::Route& route = config.routes[position];
    Candidate candidate{position, route.methods, route.headers, !route.strip.empty() || !route.prefix.empty()};
    std::sort(candidate.methods.begin(), candidate.methods.end());
    std::sort(candidate.headers.begin(), candidate.headers.end(), text_before);
    Paths& paths = paths_of(route.host);
    auto& nodes = route.exact ? paths.whole : paths.prefixes;
    const std::string path = plain(route.path);
    by_path_ = by_path_ || route.exact || path != "/" || candidate.rewrites;
    auto node = std::find_if(nodes.begin(), nodes.end(), [&](const PathNode& each) { return each.path == path; });
    if (node == nodes.end()) node = nodes.insert(nodes.end(), PathNode{path, {}, {}});
    node->candidates.push_back(std::move(candidate));
  }
  std::sort(suffix_lengths_.begin(), suffix_lengths_.end(), std::greater<>());
  suffix_lengths_.erase(std::unique(suffix_lengths_.begin(), suffix_lengths_.end()), suffix_lengths_.end());
  any_.put_in_order();
  for (auto& [host, paths] : exact_) paths.put_in_order();
  for (auto& [host, paths] : suffix_) paths.put_in_order();
}

void Routes::Paths::put_in_order() {
  const auto by_path = [](const PathNode& a, const PathNode& b) { return a.path < b.path; };
  const auto best_first = [](const Candidate& a, const Candidate& b) {
    const auto rank = [](const Candidate& each) {
      return std::tuple(each.methods.empty(), each.methods.size(), -std::ssize(each.headers),
                        -std::count_if(each.headers.begin(), each.headers.end(), has_value));
    };
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    if (a.methods != b.methods) return a.methods < b.methods;
    return std::lexicographical_compare(a.headers.begin(), a.headers.end(), b.headers.begin(), b.headers.end(), text_before);
  };
  for (auto* nodes : {&whole, &prefixes}) {
    std::sort(nodes->begin(), nodes->end(), by_path);
    for (PathNode& node : *nodes) std::sort(node.candidates.begin(), node.candidates.end(), best_first);
  }
  for (std::uint32_t i = 1; i < prefixes.size(); ++i) {
    std::optional<std::uint32_t> shorter = i - 1;
    while (shorter && !prefixes[i].path.starts_with(prefixes[*shorter].path)) shorter = prefixes[*shorter].shorter;
    prefixes[i].shorter = shorter;
  }
}

const Routes::Candidate* Routes::find(const RouteAsk& ask) const {
  if (!exact_.empty() || !suffix_.empty()) {
    const base::HostName host(ask.host);
    const std::string_view name = host.text();
    if (const auto found = exact_.find(name); found != exact_.end()) {
      if (const Candidate* candidate = found->second.find(ask)) return candidate;
    }
    for (const std::size_t length : suffix_lengths_) {
      if (length >= name.size() || name[name.size() - length] != '.') continue;
      const auto found = suffix_.find(name.substr(name.size() - length));
      if (found == suffix_.end()) continue;
      if (const Candidate* candidate = found->second.find(ask)) return candidate;
    }
  }
  return any_.find(ask);
}

std::optional<std::uint32_t> Routes::match(const RouteAsk& ask) const {
  const Candidate* found = find(ask);
  return found == nullptr ? std::nullopt : std::optional(found->route);
}

Routes::Choice Routes::choose(const RouteAsk& ask, std::string& scratch) const {
  using Kind = Choice::Kind;
  const auto chosen = [](const Candidate* found) { return found == nullptr ? Choice{} : Choice{Kind::found, found->route}; };
  if (!by_path_ || !base::ambiguous(ask.path)) return chosen(find(ask));
  const auto read = [&](base::Reading how, bool& dots) {
    dots = base::read_path(ask.path, how, scratch);
    RouteAsk as_read = ask;
    as_read.path = scratch;
    return find(as_read);
  };
  bool dots = false;
  const Candidate* found = read(base::Reading::plain, dots);
  for (const base::Reading how : {base::Reading::resolved, base::Reading::lenient}) {
    const Candidate* other = read(how, dots);
    // Where a prefix is taken off or put before, dot segments would lead out of what is left.
    if (other != found || (dots && found != nullptr && found->rewrites)) return {Kind::doubtful, 0};
  }
  return chosen(found);
}

std::uint32_t pool_of(const config::Route& route, std::uint64_t lot) {
  std::uint64_t all = 0;
  for (const auto& part : route.split) all += part.weight;
  if (all == 0) return route.split.empty() ? route.pool : route.split.front().pool;
  std::uint64_t at = lot % all;  // the remainder favours nobody by more than all/2^64
  for (const auto& part : route.split) {
    if (at < part.weight) return part.pool;
    at -= part.weight;
  }
  return route.split.back().pool;
}

}  // namespace drover::balancer
