// What one route says about paths, heads and answers has to fit together.
#include "config/judge.hpp"
#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace drover::config {

namespace {

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// To a gateway interface (CGI, WSGI, PHP) "X-User" and "X_User" are one name.
std::string folded(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '_', '-');
  return out;
}

bool listed(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::any_of(names, [&](std::string_view each) { return same_name(each, name); });
}

/// They say where a message ends or belong to one connection alone: changed by hand, the other side would read another message.
constexpr std::array<std::string_view, 10> kFraming{
    "Connection", "Content-Length", "Keep-Alive",        "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
    "TE",         "Trailer",        "Transfer-Encoding", "Upgrade"};
/// By them a request is known, in logs and on its way, and loops are found.
constexpr std::array<std::string_view, 3> kTraces{"X-Request-ID", "Via", "Max-Forwards"};
/// drover writes one of each. What stands in a route is the operator's word and may take its place, as behind something that ends TLS, but
/// of two the worker could believe either.
constexpr std::array<std::string_view, 6> kOnce{"Forwarded",         "X-Forwarded-For",    "X-Forwarded-Host",
                                                "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Request-Start"};
constexpr std::array<std::string_view, 3> kFilledIn{"host", "path", "query"};

class OneRoute {
 public:
  OneRoute(Judge& judge, const RouteNote& note) : judge_(judge), route_(note.route), path_(note.name + ".") {}

  void run() {
    if (no_query("path")) strip();
    prefix();
    edits("request", route_.request, true);
    edits("response", route_.response, false);
    redirect();
    respond();
    vain();
  }

 private:
  bool given(const std::string& key) const { return judge_.given(path_ + key); }
  bool clean(const std::string& key) const { return judge_.clean(path_ + key); }
  void mistake(const std::string& key, const std::string& what, std::string hint) {
    judge_.mistake(place_of(judge_.config, path_ + key), key + ": " + what, std::move(hint));
  }
  bool no_query(const std::string& key);
  void strip();
  void prefix();
  void edits(const std::string& side, const HeaderEdits& edits, bool request);
  void edit(const std::string& side, const std::string& what, const std::string& place, const std::string& name, bool request);
  void host(const std::string& place, const std::string& value);
  void redirect();
  std::optional<std::string> unknown_name() const;
  void respond();
  void vain();

  Judge& judge_;
  const Route& route_;
  std::string path_;
};

bool OneRoute::no_query(const std::string& key) {
  const std::string& value = key == "path" ? route_.path : key == "strip" ? route_.strip : route_.prefix;
  if (!clean(key)) return false;
  if (value.find('?') == std::string::npos) return true;
  mistake(key, quoted(value) + " has a query", "routes look at the path alone: end it before the '?'");
  return false;
}

/// Each request that the route is for must have it, whole segments of it.
void OneRoute::strip() {
  if (route_.strip.empty() || !no_query("strip")) return;
  const std::string& strip = route_.strip;
  if (strip == "/") return mistake("strip", "\"/\" leaves nothing", "take the line out: each path begins with '/'");
  if (strip.ends_with('/')) return mistake("strip", quoted(strip) + " ends with '/'", "write " + quoted(strip.substr(0, strip.size() - 1)));
  if (!route_.path.starts_with(strip)) {
    return mistake("strip", quoted(strip) + " is not the beginning of path " + quoted(route_.path),
                   "the path itself, or whole segments from its beginning");
  }
  if (route_.path.size() > strip.size() && route_.path[strip.size()] != '/') {
    mistake("strip", quoted(strip) + " ends within a segment of path " + quoted(route_.path), "whole segments: end it before a '/'");
  }
}

void OneRoute::prefix() {
  if (route_.prefix.empty() || !no_query("prefix") || !route_.prefix.ends_with('/')) return;
  if (route_.prefix == "/") return mistake("prefix", "\"/\" adds nothing", "take the line out: each path begins with '/'");
  mistake("prefix", quoted(route_.prefix) + " ends with '/'", "write " + quoted(route_.prefix.substr(0, route_.prefix.size() - 1)));
}

void OneRoute::edit(const std::string& side, const std::string& what, const std::string& place, const std::string& name, bool request) {
  const std::string key = side + "." + what;
  const auto refuse = [&](const std::string& why, std::string fix) {
    judge_.mistake(place_of(judge_.config, path_ + key + "." + place), key + ": " + quoted(name) + " " + why, std::move(fix));
  };
  if (!clean(key + "." + place)) return;
  const std::string known = request ? folded(name) : name;
  if (listed(kFraming, known)) return refuse("frames messages or belongs to one connection: only drover may write it", "take it out");
  if (!request) {
    if (same_name(known, "Via")) refuse("tells the way that a message went", "take it out");
    return;
  }
  if (listed(kTraces, known)) return refuse("is how drover and what is behind it know a request", "take it out");
  if (same_name(known, "Expect")) return refuse("is between the client and drover: it decides when the body comes", "take it out");
  if (what == "add" && listed(kOnce, known)) return refuse("is written by drover: a worker could believe either", "set puts yours in its place");
  if (same_name(known, "Host") && what != "set") {
    refuse(what == "add" ? "may be there once only" : "must be there", "request = { set = { Host = \"…\" } } puts another in its place");
  }
}

void OneRoute::host(const std::string& place, const std::string& value) {
  if (!clean("request.set." + place)) return;
  if (const auto read = read_host_header(value); !read) mistake("request.set." + place, read.error().what, read.error().hint);
}

void OneRoute::edits(const std::string& side, const HeaderEdits& edits, bool request) {
  for (std::size_t i = 0; i < edits.remove.size(); ++i) edit(side, "remove", std::to_string(i), edits.remove[i], request);
  for (const Field& each : edits.set) {
    edit(side, "set", each.name, each.name, request);
    if (request && same_name(each.name, "Host")) host(each.name, each.value);
  }
  for (const Field& each : edits.add) edit(side, "add", each.name, each.name, request);
}

/// The first "${…}" that nobody fills in, as written.
std::optional<std::string> OneRoute::unknown_name() const {
  const std::string& to = route_.redirect.to;
  for (std::size_t at = to.find("${"); at != std::string::npos; at = to.find("${", at + 2)) {
    const std::size_t end = to.find('}', at);
    if (end == std::string::npos) return to.substr(at);
    const std::string name = to.substr(at + 2, end - at - 2);
    if (std::ranges::find(kFilledIn, name) == kFilledIn.end()) return to.substr(at, end + 1 - at);
  }
  return std::nullopt;
}

void OneRoute::redirect() {
  if (given("redirect.status") && clean("redirect.status") &&
      (route_.redirect.status == 304 || route_.redirect.status == 305 || route_.redirect.status == 306)) {
    mistake("redirect.status", std::to_string(route_.redirect.status) + " sends nobody elsewhere", "301, 302, 303, 307 or 308");
  }
  const std::string& to = route_.redirect.to;
  if (to.empty() || !clean("redirect.to")) return;
  const auto no_uri = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F || c == '"' || c == '<' || c == '>' || c == '\\';
  };
  if (to.size() > kMaxFieldValue) return mistake("redirect.to", "has more than 4096 bytes", "shorten it");
  if (std::ranges::any_of(to, no_uri)) {
    return mistake("redirect.to", quoted(to) + " holds a character that no address can have", "write it percent-encoded, like \"%20\" for a blank");
  }
  if (const auto unknown = unknown_name())
    return mistake("redirect.to", quoted(*unknown) + " is filled in by nobody", "${host}, ${path} and ${query} are");
  if (to.starts_with("http://") || to.starts_with("https://")) return;
  // "//elsewhere" names another host: what a client asked for must not become that.
  if (to.starts_with("${path}") || (to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/$")))
    return;  // of a ${path} the proxy sees to it
  mistake("redirect.to", quoted(to) + " is no address that leads to one place for all",
          "begin with http://, https://, or a path of your own, like \"https://${host}${path}${query}\"");
}

void OneRoute::respond() {
  const int status = route_.respond.status;
  if (status == 0 || !clean("respond.status")) return;
  if (!route_.respond.body.empty() && clean("respond.body") && (status == 204 || status == 205 || status == 304)) {
    mistake("respond.body", "an answer " + std::to_string(status) + " has none", "take body out, or write status = 200");
  }
}

void OneRoute::vain() {
  if (!given("redirect.to") && !given("respond.status")) return;
  const Route usual;
  const char* way = given("redirect.to") ? "redirect" : "respond";
  const auto say = [&](const char* key, bool said) {
    if (said && clean(key)) judge_.warn(path_ + key, std::string(key) + " does nothing with " + way + ": no worker gets the request");
  };
  say("strip", !route_.strip.empty() && !given("redirect.to"));  // a redirect's ${path} is the one that a worker would get
  say("prefix", !route_.prefix.empty() && !given("redirect.to"));
  say("request", route_.request != usual.request);
  say("timeout", route_.timeout.has_value());
  say("priority", route_.priority != usual.priority);
}

}  // namespace

void validate_route(Judge& judge, const RouteNote& note) { OneRoute(judge, note).run(); }

}  // namespace drover::config
