// What one route says about paths, heads and answers has to fit together.
#include "base/path_readings.hpp"
#include "base/text.hpp"
#include "config/judge.hpp"
#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace drover::config {

namespace {

/// To a gateway interface (CGI, WSGI, PHP) "X-User", "X_User" and perhaps "X.User" are one name.
std::string folded(std::string_view name) {
  std::string out(name);
  std::ranges::replace_if(
      out, [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  return out;
}

bool listed(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::any_of(names, [&](std::string_view each) { return base::equal_ignoring_case(each, name); });
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
    if (no_query("path")) {
      readings();
      star();
      strip();
    }
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
  void readings();
  void star();
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

std::string read(std::string_view path, base::Reading how) {
  std::string out;
  base::read_path(path, how, out);
  return out;
}

/// Has it one meaning only, whoever reads it (docs/adr/0007)?
bool one_reading(std::string_view path) {
  const std::string plain = read(path, base::Reading::plain);
  return read(path, base::Reading::resolved) == plain && read(path, base::Reading::lenient) == plain;
}

/// Of a path with more than one reading: each request for it leads elsewhere in another one, and is answered 400.
void OneRoute::readings() {
  if (!clean("path") || one_reading(route_.path)) return;
  const std::string simple = read(route_.path, base::Reading::lenient);
  const bool proposed = one_reading(simple) && simple.find_first_of("?%[]^`{|}\"<>") == std::string::npos;
  mistake("path", quoted(route_.path) + " leads elsewhere once its dots, slashes or escapes are resolved: each request for it is answered 400",
          proposed ? "write " + quoted(simple) : "without dot segments, \"//\", ';', '\\\\' and escapes of visible characters");
}

void OneRoute::star() {
  if (!route_.path.ends_with('*') || !clean("path")) return;
  const std::string without = route_.path.ends_with("/*") ? route_.path.substr(0, std::max<std::size_t>(route_.path.size() - 2, 1)) : "";
  judge_.warn(path_ + "path", "path: the '*' of " + quoted(route_.path) + " is a star and nothing else; a path covers all that is below it" +
                                  (without.empty() ? "" : ": write " + quoted(without)));
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

/// Dot segments and empty ones would lead the worker elsewhere, behind the back of whoever routed by the path.
void OneRoute::prefix() {
  if (route_.prefix.empty() || !no_query("prefix")) return;
  std::string resolved;
  const bool dots =
      base::read_path(route_.prefix, base::Reading::resolved, resolved) || base::read_path(route_.prefix, base::Reading::lenient, resolved);
  if (dots || route_.prefix.find("//") != std::string::npos) {
    std::string end = read(route_.prefix, base::Reading::lenient);
    while (end.ends_with('/')) end.pop_back();
    return mistake("prefix", quoted(route_.prefix) + (dots ? " has dot segments" : " has \"//\"") + ", which a worker may resolve or not",
                   end.empty() ? "take the line out: they lead to \"/\"" : "write where they lead: " + quoted(end));
  }
  if (!route_.prefix.ends_with('/')) return;
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
    if (base::equal_ignoring_case(known, "Via")) refuse("tells the way that a message went", "take it out");
    return;
  }
  if (listed(kTraces, known)) return refuse("is how drover and what is behind it know a request", "take it out");
  if (base::equal_ignoring_case(known, "Expect")) return refuse("is between the client and drover: it decides when the body comes", "take it out");
  if (what == "add" && listed(kOnce, known)) return refuse("is written by drover: a worker could believe either", "set puts yours in its place");
  if (base::equal_ignoring_case(known, "Host") && what != "set") {
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
    if (request && base::equal_ignoring_case(each.name, "Host")) host(each.name, each.value);
  }
  for (const Field& each : edits.add) edit(side, "add", each.name, each.name, request);
}

/// Of "http://…": does anything stand where the host does?
bool names_a_host(std::string_view to) {
  std::string_view authority = to.substr(to.find("://") + 3);
  for (const std::string_view end : {"/", "?", "#", "${path}", "${query}"}) authority = authority.substr(0, authority.find(end));
  authority.remove_prefix(authority.rfind('@') + 1);  // npos + 1 is 0
  return !authority.empty() && authority.front() != ':';
}

/// The first dollar that begins nothing which is filled in, as written.
std::optional<std::string> OneRoute::unknown_name() const {
  const std::string& to = route_.redirect.to;
  for (std::size_t at = to.find('$'); at != std::string::npos; at = to.find('$', at + 1)) {
    if (!to.substr(at).starts_with("${")) return to.substr(at, to.find_first_of("/?#$", at + 1) - at);
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
    return mistake("redirect.to", quoted(*unknown) + " is filled in by nobody", "${host}, ${path} and ${query} are; a dollar is %24");
  if (to.starts_with("http://") || to.starts_with("https://")) {
    if (!names_a_host(to))
      mistake("redirect.to", quoted(to) + " names no host", "like \"https://example.org/\" or \"https://${host}${path}${query}\"");
    return;
  }
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
